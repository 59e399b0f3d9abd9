from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from support.engine import a_control
from support.logic import T0, act, after, lines, of, published
from support.market import Market, case_of, refused
from unrip.domain.decision import Refusal
from unrip.domain.guards import price_known
from unrip.domain.market import MarketPrice, PrimaryReading, SourceHealth
from unrip.domain.policy import Policy
from unrip.frame.contract import BusChanged, ControlRefused, Effect, Log, Published
from unrip.net.events import CloseSocket, SendFrame, SocketClosed
from unrip.net.reconnect import Cause
from unrip.services.market_reference_ingest.effects import (
    CoinGeckoUnread,
    KrakenRestRead,
    KrakenRestUnread,
    PollCoinGecko,
    PollKrakenRest,
)
from unrip.services.market_reference_ingest.logic import KRAKEN


def test_a_tick_becomes_a_price_with_its_own_times() -> None:
    market = Market()
    market.run(milliseconds=1_500)
    (record,) = published(market.tick(timestamp="2026-11-22T10:00:00.500Z"), "ref.market_price")
    price: MarketPrice = record.payload
    assert (record.observed_at, record.occurred_at) == (after(milliseconds=1_500), after(milliseconds=500))
    assert record.event_id.startswith("market-1-price-")
    assert price.fair_rate == Decimal("70000.1")
    assert price.primary is not None
    assert (price.primary.transport, price.primary_health, price.primary_system) == ("websocket", "fresh", "online")
    assert (price.second_opinion, price.second_opinion_health, price.disagreement) == (None, SourceHealth.UNKNOWN, None)


def test_the_assumption_is_explicit_and_applied() -> None:
    market = Market(assumption="0.5")
    market.run(milliseconds=1_500)
    price = market.prices(market.tick())[-1]
    assert price.fair_rate == Decimal("140000.2")
    assert price.quote_asset_eur == Decimal("0.5")


def test_every_record_has_its_own_id() -> None:
    market = Market()
    market.run(seconds=10)
    ids = [record.event_id for record in published(market.effects, "ref.market_price")]
    assert len(ids) == len(set(ids)) > 5


def test_changes_go_out_at_a_bounded_rate_and_the_last_one_always() -> None:
    market = Market()
    market.run(seconds=5)
    before = len(market.prices())
    for number in range(100):
        market.run(milliseconds=10)
        market.tick(bid=str(70_000 - number))
    market.run(milliseconds=100)
    made = market.prices()[before:]
    assert 9 <= len(made) <= 12
    assert made[-1].primary is not None
    assert made[-1].primary.bid == 69_901


def test_without_a_change_there_is_a_record_a_second_and_its_age_grows() -> None:
    market = Market()
    market.tick()
    made = published(market.run(seconds=8), "ref.market_price")
    assert 7 <= len(made) <= 9
    assert {record.observed_at for record in made} == {T0}


def test_an_unchanged_tick_is_fresh_but_no_change() -> None:
    market = Market()
    market.run(milliseconds=1_500)
    assert market.prices(market.tick())
    market.run(milliseconds=500)
    assert not market.prices(market.tick())
    market.run(seconds=9)
    market.tick()
    market.run(seconds=9)
    assert "source_stale" not in lines(market.effects)


# --- the fallback ------------------------------------------------------------------------------------------------


def test_rest_is_asked_when_the_socket_has_no_fresh_tick_and_never_twice_at_once() -> None:
    market = Market()
    market.tick()
    assert not of(PollKrakenRest, market.run(seconds=4))
    assert len(of(PollKrakenRest, market.run(seconds=20))) == 1
    market.rest()
    assert len(of(PollKrakenRest, market.run(seconds=3))) == 1


def test_rest_asks_at_most_every_other_second() -> None:
    market = Market(connected=False)
    polls = 0
    for _ in range(20):
        polls += len(of(PollKrakenRest, market.run(seconds=1)))
        market.rest()
    assert polls <= 10


def test_a_rest_price_carries_on_without_the_socket() -> None:
    market = Market()
    market.tick()
    market.emit(SocketClosed(connection=KRAKEN, cause=Cause.CLOSED, reason="gone"))
    market.run(seconds=6)
    price = market.prices(market.rest("69000"))[-1]
    assert price.primary is not None
    assert (price.primary.transport, price.fair_rate) == ("rest", Decimal("69000.5"))


def test_an_older_rest_answer_does_not_replace_a_newer_tick() -> None:
    market = Market()
    late = PrimaryReading(bid=Decimal(1), ask=Decimal(2), observed_at=T0, source_time=None, transport="rest")
    market.run(milliseconds=1_500)
    market.tick()
    market.emit(KrakenRestRead(reading=late, system="online"))
    market.run(milliseconds=1_500)
    assert market.prices()[-1].fair_rate == Decimal("70000.1")


def test_a_tick_of_an_earlier_time_of_kraken_does_not_replace_a_newer_one() -> None:
    market = Market()
    market.run(seconds=20)
    market.tick(bid="70000", ask="70000", timestamp=market.now.isoformat())
    late = (market.now - timedelta(seconds=9)).isoformat()
    market.run(milliseconds=1_500)
    market.tick(bid="69400", ask="69400", timestamp=late)
    market.run(milliseconds=1_500)
    assert market.prices()[-1].fair_rate == 70_000
    assert market.logic.state(market.now).kraken_ticks_refused == {"late": 1}
    market.rest("69999.5")
    market.tick(bid="69400", ask="69400", timestamp=late)
    market.run(milliseconds=1_500)
    assert market.prices()[-1].fair_rate == 70_000, "nor where REST, which tells no time, answered in between"
    market.tick(bid="70002", ask="70002", timestamp=market.now.isoformat())
    market.run(milliseconds=1_500)
    assert market.prices()[-1].fair_rate == 70_002


def test_a_socket_that_brings_late_ticks_only_is_helped_out_by_rest() -> None:
    market = Market()
    market.tick(timestamp=market.now.isoformat())
    asked: list[Effect] = []
    for _ in range(8):
        asked += market.run(seconds=1)
        market.tick(timestamp=(market.now - timedelta(seconds=9)).isoformat())
    assert of(PollKrakenRest, asked)


@pytest.mark.parametrize("ahead_s", [3, 9, 3_600])
def test_a_clock_that_kraken_has_put_back_does_not_freeze_the_price(ahead_s: int) -> None:
    market = Market()
    market.tick(bid="70000", ask="70000", timestamp=after(seconds=ahead_s).isoformat())
    market.run(seconds=1)
    for _ in range(11):
        market.tick(bid="70100", ask="70100", timestamp=market.now.isoformat())
        market.run(seconds=1)
    assert market.prices()[-1].fair_rate == 70_100
    assert market.logic.not_ready(market.now) == []


def test_a_late_tick_does_not_replace_what_an_earlier_start_read() -> None:
    before = Market(at=after(seconds=20))
    before.tick(bid="70000", ask="70000", timestamp=before.now.isoformat())
    before.run(seconds=2)
    again = Market(at=before.now, remembers=before.prices()[-1])
    again.tick(bid="69400", ask="69400", timestamp=after(seconds=11).isoformat())
    again.run(seconds=2)
    assert again.prices()[-1].fair_rate == 70_000


def test_both_sources_gone_makes_the_price_old_not_absent() -> None:
    market = Market()
    market.tick()
    market.emit(SocketClosed(connection=KRAKEN, cause=Cause.CLOSED, reason="gone"))
    market.run(seconds=9)
    assert market.prices()[-1].fair_rate is not None
    market.run(seconds=5)
    assert market.prices()[-1].primary_health is SourceHealth.STALE
    assert market.logic.not_ready(market.now) == ["kraken_stale"]


# --- CoinGecko ---------------------------------------------------------------------------------------------------


def test_the_second_opinion_is_compared_and_the_peg_read() -> None:
    market = Market()
    market.run(milliseconds=1_500)
    market.tick(bid="70000", ask="70000")
    market.coingecko("70700")
    market.run(milliseconds=200)
    price = market.prices()[-1]
    assert price.disagreement == Decimal("0.01")
    assert (price.quote_asset_eur_observed, price.second_opinion_health) == (Decimal("0.999"), SourceHealth.FRESH)


def test_an_old_peg_is_unknown() -> None:
    market = Market()
    market.coingecko(age_s=1_801)
    market.run(milliseconds=1_500)
    price = market.prices()[-1]
    assert price.quote_asset_eur_observed is None
    assert price.second_opinion_health is SourceHealth.STALE


def test_coingecko_is_asked_at_its_interval() -> None:
    market = Market()
    assert len(of(PollCoinGecko, market.effects)) == 1
    market.coingecko()
    assert len(of(PollCoinGecko, market.run(seconds=259))) == 0
    assert len(of(PollCoinGecko, market.run(seconds=2))) == 1


def test_coingecko_is_asked_again_sooner_until_it_has_answered_once() -> None:
    market = Market()
    market.emit(CoinGeckoUnread(reason="HTTP 503", retry_after_s=None))
    assert len(of(PollCoinGecko, market.run(seconds=61))) == 1
    market.emit(CoinGeckoUnread(reason="HTTP 429", retry_after_s=90))
    assert not of(PollCoinGecko, market.run(seconds=89))
    assert len(of(PollCoinGecko, market.run(seconds=2))) == 1
    market.coingecko()
    market.emit(CoinGeckoUnread(reason="HTTP 503", retry_after_s=None))
    assert not of(PollCoinGecko, market.run(seconds=100))
    eager = Market(coingecko_interval_s=5)
    eager.emit(CoinGeckoUnread(reason="HTTP 503", retry_after_s=None))
    assert len(of(PollCoinGecko, eager.run(seconds=6))) == 1


def test_a_rate_limit_is_obeyed_also_by_a_refresh() -> None:
    market = Market()
    market.emit(CoinGeckoUnread(reason="429", retry_after_s=300))
    assert not of(PollCoinGecko, market.run(seconds=261))
    assert not of(PollCoinGecko, act(market.logic, "refresh", market.now))
    assert of(PollCoinGecko, market.run(seconds=260))


# --- health ------------------------------------------------------------------------------------------------------


def test_stale_and_fresh_are_told_once_per_change() -> None:
    market = Market()
    market.coingecko()
    market.tick()
    assert lines(market.run(seconds=9)) == []
    market.emit(KrakenRestUnread(reason="kraken rest: HTTP 520"))
    stale = market.run(seconds=30)
    assert lines(stale) == ["source_stale"]
    market.tick()
    assert lines(market.run(seconds=5)) == ["source_fresh"]


def test_a_source_that_never_answers_is_told_once_its_time_is_over() -> None:
    market = Market(connected=False)
    assert lines(market.run(seconds=9)) == []
    assert lines(market.run(seconds=60)) == ["source_stale"]
    assert market.logic.not_ready(market.now) == ["kraken_unknown"]


def test_a_price_with_an_old_time_of_its_own_is_old() -> None:
    market = Market()
    market.run(seconds=30)
    market.tick(timestamp="2026-11-22T10:00:15Z")
    market.run(milliseconds=1_500)
    assert market.prices()[-1].primary_health is SourceHealth.STALE


def test_a_socket_without_a_tick_is_subscribed_again_and_then_given_up() -> None:
    market = Market()
    market.tick()
    heartbeat = '{"channel":"heartbeat"}'
    asked: list[Effect] = []
    for _ in range(11):
        asked += market.run(milliseconds=1_500)
        market.hear(heartbeat)
    assert [json.loads(frame.text)["method"] for frame in of(SendFrame, asked)] == ["subscribe"]
    assert of(CloseSocket, market.run(seconds=10)) == [CloseSocket(connection=KRAKEN, reason="mute")]


def test_ticks_that_are_no_price_are_counted_by_name_and_are_no_sign_of_life() -> None:
    market = Market()
    market.tick(bid="70001", ask="70000")
    market.tick(bid="0")
    assert market.logic.state(market.now).kraken_ticks_refused == {"crossed": 1, "not_positive": 1}
    assert market.logic.not_ready(market.now) == ["kraken_unknown"]


# --- broker and controls -----------------------------------------------------------------------------------------


def test_while_the_broker_is_away_polling_goes_on_and_only_the_newest_goes_out_afterwards() -> None:
    market = Market()
    market.emit(BusChanged(up=False, reason="gone"))
    effects = market.run(seconds=270)
    assert not published(effects, "ref.market_price")
    assert of(PollKrakenRest, effects)
    market.tick(bid="65000", ask="65001")
    market.run(milliseconds=1_500)
    (record,) = published(market.emit(BusChanged(up=True, reason="")), "ref.market_price")
    assert record.payload.primary.bid == 65_000


def test_a_broker_that_acknowledges_nothing_gets_no_queue() -> None:
    market = Market(acknowledging=False)
    effects = market.run(seconds=120)
    waiting = published(market.effects, "ref.market_price")
    assert len(waiting) == 20
    assert not market.logic.idle()
    assert published(market.emit(Published(token=waiting[0].token or "", offset=1)), "ref.market_price")
    assert not published(effects[-5:], "ref.market_price")


def test_paused_it_asks_and_publishes_nothing() -> None:
    market = Market()
    market.coingecko()
    act(market.logic, "pause", market.now)
    market.tick()
    effects = market.run(seconds=300)
    assert not published(effects, "ref.market_price")
    assert not of(PollKrakenRest, effects) + of(PollCoinGecko, effects)
    assert "paused" in market.logic.not_ready(market.now)
    with pytest.raises(ControlRefused, match="resume first"):
        act(market.logic, "refresh", market.now)
    resumed = act(market.logic, "resume", market.now)
    assert of(PollKrakenRest, resumed)
    assert of(PollCoinGecko, resumed)
    assert published(resumed, "ref.market_price")


def test_a_pause_is_shown_by_a_last_price_without_a_rate_and_by_everything_that_is_asked() -> None:
    market = Market()
    market.coingecko("70000", age_s=0)
    market.ticks("70000", seconds=20)
    assert refused(case_of(market)) is None
    paused = market.emit(a_control("pause"))
    (last,) = market.prices(paused)
    assert (last.paused, last.fair_rate, last.second_opinion_rate) == (True, None, None)
    case = case_of(market, Policy(coingecko_fallback=True))
    assert refused(case) is Refusal.PRICE_MISSING
    assert price_known(case)[1]["reference"] == "paused"
    assert market.logic.not_ready(market.now)[0] == "paused"
    stale = next(each for each in of(Log, market.run(seconds=15)) if each.event == "source_stale")
    assert stale.body["last_failure"] == "paused"
    market.emit(a_control("resume"))
    market.ticks("70000", seconds=12)
    assert refused(case_of(market)) is None


# --- when Kraken is asked too much, and when it is quiet ---------------------------------------------------------


def polls_of(market: Market, *, seconds: int, pause_s: int | None) -> list[int]:
    """The seconds at which REST is asked, each time refused."""
    asked = []
    for second in range(seconds):
        if of(PollKrakenRest, market.run(seconds=1)):
            asked.append(second)
            market.emit(KrakenRestUnread(reason="kraken rest: refused: EAPI:Rate limit exceeded", pause_s=pause_s))
    return asked


def test_rest_is_left_alone_for_longer_each_time_that_it_was_asked_too_much() -> None:
    market = Market(connected=False)
    asked = polls_of(market, seconds=1_500, pause_s=10)
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert all(wanted <= gap <= wanted + 2 for gap, wanted in zip(gaps, [10, 20, 40, 80, 160, 300, 300], strict=False))
    assert not of(PollKrakenRest, act(market.logic, "refresh", market.now))
    market.run(seconds=310)
    market.rest()
    assert len(polls_of(market, seconds=10, pause_s=None)) >= 4, "an answer ends it"


def test_a_wait_that_a_gateway_names_is_kept_however_long() -> None:
    market = Market(connected=False)
    assert len(polls_of(market, seconds=1_000, pause_s=900)) <= 2


def test_a_price_whose_state_was_refused_keeps_away_too() -> None:
    market = Market(connected=False)
    market.run(seconds=3)
    reading = PrimaryReading(bid=Decimal(1), ask=Decimal(2), observed_at=market.now, source_time=None, transport="rest")
    market.emit(KrakenRestRead(reading=reading, system=None, pause_s=10))
    assert not of(PollKrakenRest, market.run(seconds=9))


@pytest.mark.parametrize(("bid", "dropped"), [("70000.0", False), ("69999.0", True)])
def test_a_quiet_pair_drops_no_connection_and_a_dead_subscription_does(bid: str, *, dropped: bool) -> None:
    market = Market()
    market.tick(bid="70000.0", ask="70001.0")
    effects: list[Effect] = []
    for _ in range(60):
        market.hear('{"channel":"heartbeat"}')
        new = market.run(seconds=1)
        effects += new
        if of(PollKrakenRest, new):
            market.rest(bid)
    assert bool(of(CloseSocket, effects)) is dropped


def test_refresh_asks_both_sources_now() -> None:
    market = Market()
    market.coingecko()
    refreshed = act(market.logic, "refresh", market.now)
    assert of(PollKrakenRest, refreshed)
    assert of(PollCoinGecko, refreshed)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ControlRefused):
        act(Market().logic, "arm")
