from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from support.logic import PAIR, T0, act, after, lines, of, published
from unrip.domain.market import CoinGeckoReading, KrakenReading, MarketPrice, SourceHealth
from unrip.net.events import CloseSocket, FrameReceived, SendFrame, SocketClosed, SocketOpened
from unrip.net.reconnect import Cause
from unrip.service.contract import BusChanged, ControlRefused, Effect, Event, Published, SetTimer, Started, TimerFired
from unrip.services.market_reference_ingest.effects import (
    CoinGeckoRead,
    CoinGeckoUnread,
    KrakenRestRead,
    KrakenRestUnread,
    PollCoinGecko,
    PollKrakenRest,
)
from unrip.services.market_reference_ingest.logic import KRAKEN, MarketReferenceIngest

ONLINE = json.dumps({"channel": "status", "data": [{"system": "online"}]})


class Desk:
    """The logic with its timers, driven by a clock that moves only in `run`."""

    def __init__(self, *, connected: bool = True, assumption: str = "1", acknowledging: bool = True) -> None:
        self.acknowledging = acknowledging
        self.logic = MarketReferenceIngest(
            pair=PAIR,
            symbol="BTC/EUR",
            eure_eur_assumption=Decimal(assumption),
            kraken_age_max_ms=10_000,
            coingecko_age_max_ms=600_000,
            coingecko_interval_s=260,
        )
        self.now = T0
        self.timers: dict[str, datetime] = {}
        self.effects: list[Effect] = []
        self.emit(Started(active=True, generation=None, start_id="market-1"))
        self.emit(BusChanged(up=True, reason=""))
        if connected:
            self.emit(SocketOpened(connection=KRAKEN))
            self.hear(ONLINE)

    def emit(self, event: Event) -> list[Effect]:
        effects = list(self.logic.on_event(event, self.now))
        self.timers |= {timer.name: timer.at for timer in of(SetTimer, effects)}
        self.effects += effects
        if self.acknowledging:
            for record in published(effects, "ref.market_price"):
                self.emit(Published(token=record.token or "", offset=1))
        return effects

    def hear(self, text: str) -> list[Effect]:
        return self.emit(FrameReceived(connection=KRAKEN, text=text, size_bytes=len(text), received_at=self.now))

    def tick(self, bid: str = "70000.0", ask: str = "70000.2", **fields: Any) -> list[Effect]:
        prices = f'"symbol":"BTC/EUR","bid":{bid},"ask":{ask}'
        more = "".join(f',"{name}":{json.dumps(value)}' for name, value in fields.items())
        return self.hear('{"channel":"ticker","type":"update","data":[{' + prices + more + "}]}")

    def run(self, **units: float) -> list[Effect]:
        """Let time pass; timers fire in order."""
        end, seen = self.now + timedelta(**units), len(self.effects)
        while self.timers:
            name = min(self.timers, key=lambda timer: self.timers[timer])
            if self.timers[name] > end:
                break
            self.now = max(self.now, self.timers.pop(name))
            self.emit(TimerFired(name=name))
        self.now = end
        return self.effects[seen:]

    def prices(self, effects: list[Effect] | None = None) -> list[MarketPrice]:
        records = published(self.effects if effects is None else effects, "ref.market_price")
        return [record.payload for record in records]

    def coingecko(self, btc: str = "70100", *, age_s: int = 30, eure: str | None = "0.999") -> list[Effect]:
        then = self.now - timedelta(seconds=age_s)
        return self.emit(
            CoinGeckoRead(
                reading=CoinGeckoReading(
                    btc_eur=Decimal(btc),
                    btc_updated_at=then,
                    eure_eur=None if eure is None else Decimal(eure),
                    eure_updated_at=None if eure is None else then,
                    observed_at=self.now,
                )
            )
        )

    def rest(self, bid: str = "69000", system: str | None = "online") -> list[Effect]:
        reading = KrakenReading(
            bid=Decimal(bid), ask=Decimal(bid) + 1, observed_at=self.now, source_time=None, transport="rest"
        )
        return self.emit(KrakenRestRead(reading=reading, system=system))


def test_a_tick_becomes_a_price_with_its_own_times() -> None:
    desk = Desk()
    desk.run(milliseconds=1_500)
    (record,) = published(desk.tick(timestamp="2026-11-22T10:00:00.500Z"), "ref.market_price")
    price: MarketPrice = record.payload
    assert (record.observed_at, record.occurred_at) == (after(milliseconds=1_500), after(milliseconds=500))
    assert record.event_id.startswith("market-1-price-")
    assert price.fair_rate == Decimal("70000.1")
    assert price.kraken is not None
    assert (price.kraken.transport, price.kraken_health, price.kraken_system) == ("websocket", "fresh", "online")
    assert (price.coingecko, price.coingecko_health, price.disagreement) == (None, SourceHealth.UNKNOWN, None)


def test_the_assumption_is_explicit_and_applied() -> None:
    desk = Desk(assumption="0.5")
    desk.run(milliseconds=1_500)
    price = desk.prices(desk.tick())[-1]
    assert price.fair_rate == Decimal("140000.2")
    assert price.eure_eur_assumption == Decimal("0.5")


def test_every_record_has_its_own_id() -> None:
    desk = Desk()
    desk.run(seconds=10)
    ids = [record.event_id for record in published(desk.effects, "ref.market_price")]
    assert len(ids) == len(set(ids)) > 5


def test_changes_go_out_at_a_bounded_rate_and_the_last_one_always() -> None:
    desk = Desk()
    desk.run(seconds=5)
    before = len(desk.prices())
    for number in range(100):
        desk.run(milliseconds=10)
        desk.tick(bid=str(70_000 - number))
    desk.run(milliseconds=100)
    made = desk.prices()[before:]
    assert 9 <= len(made) <= 12
    assert made[-1].kraken is not None
    assert made[-1].kraken.bid == 69_901


def test_without_a_change_there_is_a_record_a_second_and_its_age_grows() -> None:
    desk = Desk()
    desk.tick()
    made = published(desk.run(seconds=8), "ref.market_price")
    assert 7 <= len(made) <= 9
    assert {record.observed_at for record in made} == {T0}


def test_an_unchanged_tick_is_fresh_but_no_change() -> None:
    desk = Desk()
    desk.run(milliseconds=1_500)
    assert desk.prices(desk.tick())
    desk.run(milliseconds=500)
    assert not desk.prices(desk.tick())
    desk.run(seconds=9)
    desk.tick()
    desk.run(seconds=9)
    assert "source_stale" not in lines(desk.effects)


# --- the fallback ------------------------------------------------------------------------------------------------


def test_rest_is_asked_when_the_socket_has_no_fresh_tick_and_never_twice_at_once() -> None:
    desk = Desk()
    desk.tick()
    assert not of(PollKrakenRest, desk.run(seconds=4))
    assert len(of(PollKrakenRest, desk.run(seconds=20))) == 1
    desk.rest()
    assert len(of(PollKrakenRest, desk.run(seconds=3))) == 1


def test_rest_asks_at_most_every_other_second() -> None:
    desk = Desk(connected=False)
    polls = 0
    for _ in range(20):
        polls += len(of(PollKrakenRest, desk.run(seconds=1)))
        desk.rest()
    assert polls <= 10


def test_a_rest_price_carries_on_without_the_socket() -> None:
    desk = Desk()
    desk.tick()
    desk.emit(SocketClosed(connection=KRAKEN, cause=Cause.CLOSED, reason="gone"))
    desk.run(seconds=6)
    price = desk.prices(desk.rest("69000"))[-1]
    assert price.kraken is not None
    assert (price.kraken.transport, price.fair_rate) == ("rest", Decimal("69000.5"))


def test_an_older_rest_answer_does_not_replace_a_newer_tick() -> None:
    desk = Desk()
    late = KrakenReading(bid=Decimal(1), ask=Decimal(2), observed_at=T0, source_time=None, transport="rest")
    desk.run(milliseconds=1_500)
    desk.tick()
    desk.emit(KrakenRestRead(reading=late, system="online"))
    desk.run(milliseconds=1_500)
    assert desk.prices()[-1].fair_rate == Decimal("70000.1")


def test_both_sources_gone_makes_the_price_old_not_absent() -> None:
    desk = Desk()
    desk.tick()
    desk.emit(SocketClosed(connection=KRAKEN, cause=Cause.CLOSED, reason="gone"))
    desk.run(seconds=9)
    assert desk.prices()[-1].fair_rate is not None
    desk.run(seconds=5)
    assert desk.prices()[-1].kraken_health is SourceHealth.STALE
    assert desk.logic.not_ready(desk.now) == ["kraken_stale"]


# --- the engine's state ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", ["maintenance", "cancel_only", "post_only"])
def test_without_discovery_there_is_no_fair_rate(system: str) -> None:
    desk = Desk()
    desk.run(milliseconds=1_500)
    desk.tick()
    assert desk.prices()[-1].fair_rate is not None
    desk.run(milliseconds=1_500)
    price = desk.prices(desk.hear(json.dumps({"channel": "status", "data": [{"system": system}]})))[-1]
    assert (price.fair_rate, price.kraken_system) == (None, system)
    assert desk.logic.not_ready(desk.now) == ["kraken_not_online"]
    desk.hear(ONLINE)
    desk.run(milliseconds=1_500)
    assert desk.prices()[-1].fair_rate is not None


def test_an_unknown_state_is_not_online() -> None:
    desk = Desk(connected=False)
    desk.run(milliseconds=1_500)
    assert desk.prices(desk.rest(system=None))[-1].fair_rate is None
    desk.run(milliseconds=1_500)
    assert desk.prices(desk.rest(system="online"))[-1].fair_rate is not None


def test_what_the_socket_pushed_stands_above_what_rest_says() -> None:
    desk = Desk()
    desk.hear(json.dumps({"channel": "status", "data": [{"system": "maintenance"}]}))
    desk.rest(system="online")
    desk.run(milliseconds=1_500)
    assert desk.prices()[-1].kraken_system == "maintenance"


# --- CoinGecko ---------------------------------------------------------------------------------------------------


def test_the_second_opinion_is_compared_and_the_peg_read() -> None:
    desk = Desk()
    desk.run(milliseconds=1_500)
    desk.tick(bid="70000", ask="70000")
    desk.coingecko("70700")
    desk.run(milliseconds=200)
    price = desk.prices()[-1]
    assert price.disagreement == Decimal("0.01")
    assert (price.eure_eur_observed, price.coingecko_health) == (Decimal("0.999"), SourceHealth.FRESH)


def test_an_old_peg_is_unknown() -> None:
    desk = Desk()
    desk.coingecko(age_s=1_801)
    desk.run(milliseconds=1_500)
    price = desk.prices()[-1]
    assert price.eure_eur_observed is None
    assert price.coingecko_health is SourceHealth.STALE


def test_coingecko_is_asked_at_its_interval() -> None:
    desk = Desk()
    assert len(of(PollCoinGecko, desk.effects)) == 1
    desk.coingecko()
    assert len(of(PollCoinGecko, desk.run(seconds=259))) == 0
    assert len(of(PollCoinGecko, desk.run(seconds=2))) == 1


def test_a_rate_limit_is_obeyed_also_by_a_refresh() -> None:
    desk = Desk()
    desk.emit(CoinGeckoUnread(reason="429", retry_after_s=300))
    assert not of(PollCoinGecko, desk.run(seconds=261))
    assert not of(PollCoinGecko, act(desk.logic, "refresh", desk.now))
    assert of(PollCoinGecko, desk.run(seconds=260))


# --- health ------------------------------------------------------------------------------------------------------


def test_stale_and_fresh_are_told_once_per_change() -> None:
    desk = Desk()
    desk.coingecko()
    desk.tick()
    assert lines(desk.run(seconds=9)) == []
    desk.emit(KrakenRestUnread(reason="kraken rest: HTTP 520"))
    stale = desk.run(seconds=30)
    assert lines(stale) == ["source_stale"]
    desk.tick()
    assert lines(desk.run(seconds=5)) == ["source_fresh"]


def test_a_source_that_never_answers_is_told_once_its_time_is_over() -> None:
    desk = Desk(connected=False)
    assert lines(desk.run(seconds=9)) == []
    assert lines(desk.run(seconds=60)) == ["source_stale"]
    assert desk.logic.not_ready(desk.now) == ["kraken_unknown"]


def test_a_price_with_an_old_time_of_its_own_is_old() -> None:
    desk = Desk()
    desk.run(seconds=30)
    desk.tick(timestamp="2026-11-22T10:00:15Z")
    desk.run(milliseconds=1_500)
    assert desk.prices()[-1].kraken_health is SourceHealth.STALE


def test_a_socket_without_a_tick_is_subscribed_again_and_then_given_up() -> None:
    desk = Desk()
    desk.tick()
    heartbeat = '{"channel":"heartbeat"}'
    asked: list[Effect] = []
    for _ in range(11):
        asked += desk.run(milliseconds=1_500)
        desk.hear(heartbeat)
    assert [json.loads(frame.text)["method"] for frame in of(SendFrame, asked)] == ["subscribe"]
    assert of(CloseSocket, desk.run(seconds=10)) == [CloseSocket(connection=KRAKEN, reason="mute")]


def test_ticks_that_are_no_price_are_counted_by_name_and_are_no_sign_of_life() -> None:
    desk = Desk()
    desk.tick(bid="70001", ask="70000")
    desk.tick(bid="0")
    assert desk.logic.state(desk.now)["kraken_ticks_refused"] == {"crossed": 1, "not_positive": 1}
    assert desk.logic.not_ready(desk.now) == ["kraken_unknown"]


# --- broker and controls -----------------------------------------------------------------------------------------


def test_while_the_broker_is_away_polling_goes_on_and_only_the_newest_goes_out_afterwards() -> None:
    desk = Desk()
    desk.emit(BusChanged(up=False, reason="gone"))
    effects = desk.run(seconds=270)
    assert not published(effects, "ref.market_price")
    assert of(PollKrakenRest, effects)
    desk.tick(bid="65000", ask="65001")
    desk.run(milliseconds=1_500)
    (record,) = published(desk.emit(BusChanged(up=True, reason="")), "ref.market_price")
    assert record.payload.kraken.bid == 65_000


def test_a_broker_that_acknowledges_nothing_gets_no_queue() -> None:
    desk = Desk(acknowledging=False)
    effects = desk.run(seconds=120)
    waiting = published(desk.effects, "ref.market_price")
    assert len(waiting) == 20
    assert not desk.logic.idle()
    assert published(desk.emit(Published(token=waiting[0].token or "", offset=1)), "ref.market_price")
    assert not published(effects[-5:], "ref.market_price")


def test_paused_it_asks_and_publishes_nothing() -> None:
    desk = Desk()
    desk.coingecko()
    act(desk.logic, "pause", desk.now)
    desk.tick()
    effects = desk.run(seconds=300)
    assert not published(effects, "ref.market_price")
    assert not of(PollKrakenRest, effects) + of(PollCoinGecko, effects)
    assert "paused" in desk.logic.not_ready(desk.now)
    with pytest.raises(ControlRefused, match="resume first"):
        act(desk.logic, "refresh", desk.now)
    resumed = act(desk.logic, "resume", desk.now)
    assert of(PollKrakenRest, resumed)
    assert of(PollCoinGecko, resumed)
    assert published(resumed, "ref.market_price")


def test_refresh_asks_both_sources_now() -> None:
    desk = Desk()
    desk.coingecko()
    refreshed = act(desk.logic, "refresh", desk.now)
    assert of(PollKrakenRest, refreshed)
    assert of(PollCoinGecko, refreshed)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ControlRefused):
        act(Desk().logic, "arm")
