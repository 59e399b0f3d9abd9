"""Every way a feed can go wrong, and the reason that refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from support.market import Market, case_of, refused
from unrip.domain.decision import Refusal
from unrip.domain.market import PrimaryReading
from unrip.domain.policy import Policy
from unrip.net.events import SocketClosed
from unrip.net.reconnect import Cause
from unrip.services.market_reference_ingest.effects import CoinGeckoUnread, KrakenRestUnread
from unrip.services.market_reference_ingest.logic import KRAKEN


def in_order(market: Market) -> None:
    """Both sources agree and have done so for a while."""
    market.coingecko("70000", age_s=0)
    market.ticks("70000", seconds=20)


def kraken_gone(market: Market) -> None:
    market.emit(SocketClosed(connection=KRAKEN, cause=Cause.CLOSED, reason="gone"))
    market.emit(KrakenRestUnread(reason="HTTP 503"))


def frozen(market: Market) -> None:
    in_order(market)
    market.run(seconds=11)


def frozen_in_its_own_time(market: Market) -> None:
    in_order(market)
    stamp = market.now.isoformat()
    for _ in range(11):
        market.tick(bid="70000", ask="70000", timestamp=stamp)
        market.run(seconds=1)


def frozen_with_fresh_stamps(market: Market) -> None:
    in_order(market)
    market.coingecko("72500", age_s=0)
    market.ticks("70000", seconds=2)


def jumping(market: Market) -> None:
    in_order(market)
    market.ticks("71000", seconds=2)


def bad_ticks(bid: object, ask: object) -> Callable[[Market], None]:
    def script(market: Market) -> None:
        for _ in range(12):
            market.tick(bid=json.dumps(bid), ask=json.dumps(ask))
            market.run(seconds=1)

    return script


def after_good_ones(script: Callable[[Market], None]) -> Callable[[Market], None]:
    def whole(market: Market) -> None:
        in_order(market)
        script(market)

    return whole


def late_returning(market: Market) -> None:
    in_order(market)
    stamp = market.now.isoformat()
    market.run(seconds=30)
    market.tick(bid="70000", ask="70000", timestamp=stamp)
    market.run(seconds=1)


def late_tick(market: Market) -> None:
    in_order(market)
    market.tick(bid="70000", ask="70000", timestamp=market.now.isoformat())
    market.run(seconds=1)
    market.tick(bid="69400", ask="69400", timestamp=(market.now - timedelta(seconds=9)).isoformat())
    market.run(seconds=1)
    price = case_of(market).fair_rate
    assert price == 70_000


def late_rest_answer(market: Market) -> None:
    in_order(market)
    asked_at = market.now
    market.ticks("70001", seconds=5)
    late = PrimaryReading(
        bid=Decimal(1), ask=Decimal(2), observed_at=asked_at - timedelta(seconds=5), source_time=None, transport="rest"
    )
    market.read_rest(late)
    market.run(seconds=1)


def not_matching(market: Market) -> None:
    in_order(market)
    market.told("cancel_only")
    market.run(seconds=1)


def not_matching_by_rest(market: Market) -> None:
    in_order(market)
    market.run(seconds=6)
    market.rest("70000", system="maintenance")
    market.run(seconds=1)


def kraken_down(market: Market) -> None:
    in_order(market)
    kraken_gone(market)
    market.run(seconds=60)


def coingecko_down(market: Market) -> None:
    in_order(market)
    market.run(hours=5)
    market.emit(CoinGeckoUnread(reason="HTTP 503", retry_after_s=None))
    market.ticks("70000", seconds=12)


def coingecko_down_for_long(market: Market) -> None:
    in_order(market)
    market.run(hours=6)
    market.ticks("70000", seconds=12)


def coingecko_never_there(market: Market) -> None:
    market.ticks("70000", seconds=12)


def just_started(market: Market) -> None:
    market.coingecko("70000", age_s=0)
    market.ticks("70000", seconds=9)


def wrong_after_a_silence(market: Market) -> None:
    in_order(market)
    market.run(seconds=70)
    market.ticks("35000", seconds=1)
    market.run(seconds=1)


def wrong_for_long_after_a_silence(market: Market) -> None:
    in_order(market)
    market.run(seconds=700)
    market.ticks("35000", seconds=200)


def both_down(market: Market) -> None:
    in_order(market)
    kraken_gone(market)
    market.run(seconds=700)


def depegged(market: Market) -> None:
    in_order(market)
    market.coingecko("70000", age_s=0, eure="0.97")
    market.ticks("70000", seconds=2)


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What happens to a feed, and the reason that names it; None where a price stands."""

    script: Callable[[Market], None]
    reason: Refusal | None
    #: The same where the policy lets CoinGecko stand in for Kraken.
    with_fallback: Refusal | None
    source: str | None = "kraken.websocket"
    connected: bool = True


FEEDS = {
    "everything in order": Feed(script=in_order, reason=None, with_fallback=None),
    "frozen": Feed(script=frozen, reason=Refusal.PRICE_STALE, with_fallback=None),
    "frozen in its own time": Feed(script=frozen_in_its_own_time, reason=Refusal.PRICE_STALE, with_fallback=None),
    "frozen with fresh stamps": Feed(
        script=frozen_with_fresh_stamps,
        reason=Refusal.PRICE_SOURCES_DISAGREE,
        with_fallback=Refusal.PRICE_SOURCES_DISAGREE,
    ),
    "jumping": Feed(script=jumping, reason=Refusal.PRICE_JUMP, with_fallback=Refusal.PRICE_JUMP),
    "just started": Feed(script=just_started, reason=Refusal.PRICE_JUMP, with_fallback=Refusal.PRICE_JUMP),
    "wrong after a silence": Feed(
        script=wrong_after_a_silence,
        reason=Refusal.PRICE_SOURCES_DISAGREE,
        with_fallback=Refusal.PRICE_SOURCES_DISAGREE,
    ),
    "wrong for long after a silence, with CoinGecko away": Feed(
        script=wrong_for_long_after_a_silence,
        reason=Refusal.PRICE_SOURCES_DISAGREE,
        with_fallback=Refusal.PRICE_SOURCES_DISAGREE,
    ),
    "inverted": Feed(script=after_good_ones(bad_ticks(70_001, 70_000)), reason=Refusal.PRICE_STALE, with_fallback=None),
    "zero": Feed(script=after_good_ones(bad_ticks(0, 70_000)), reason=Refusal.PRICE_STALE, with_fallback=None),
    "one-sided": Feed(script=after_good_ones(bad_ticks(70_000, None)), reason=Refusal.PRICE_STALE, with_fallback=None),
    "never anything but inverted": Feed(
        script=bad_ticks(70_001, 70_000),
        reason=Refusal.PRICE_MISSING,
        with_fallback=Refusal.PRICE_MISSING,
        source=None,
    ),
    "late-returning": Feed(script=late_returning, reason=Refusal.PRICE_STALE, with_fallback=None),
    "a tick that comes late": Feed(script=late_tick, reason=None, with_fallback=None),
    "an answer of REST that comes late": Feed(script=late_rest_answer, reason=None, with_fallback=None),
    "an exchange that does not match": Feed(script=not_matching, reason=Refusal.PRICE_MISSING, with_fallback=None),
    "an exchange that does not match, by REST alone": Feed(
        script=not_matching_by_rest, reason=Refusal.PRICE_MISSING, with_fallback=None, source="kraken.rest"
    ),
    "Kraken down": Feed(script=kraken_down, reason=Refusal.PRICE_STALE, with_fallback=None),
    "CoinGecko down": Feed(script=coingecko_down, reason=None, with_fallback=None),
    "CoinGecko down for six hours": Feed(
        script=coingecko_down_for_long, reason=Refusal.PEG_UNKNOWN, with_fallback=Refusal.PEG_UNKNOWN
    ),
    "CoinGecko never there": Feed(
        script=coingecko_never_there, reason=Refusal.PEG_UNKNOWN, with_fallback=Refusal.PEG_UNKNOWN
    ),
    "both down": Feed(script=both_down, reason=Refusal.PRICE_STALE, with_fallback=Refusal.PRICE_STALE),
    "EURe off its peg": Feed(script=depegged, reason=Refusal.PEG_BROKEN, with_fallback=Refusal.PEG_BROKEN),
}


@pytest.mark.parametrize("name", FEEDS)
def test_a_feed_that_goes_wrong_is_refused_by_the_right_reason(name: str) -> None:
    feed = FEEDS[name]
    market = Market()
    feed.script(market)
    case = case_of(market)
    assert (refused(case), case.price_source) == (feed.reason, feed.source)
    fallback = case_of(market, Policy(coingecko_fallback=True))
    assert refused(fallback) is feed.with_fallback
    stands_in = feed.reason in {Refusal.PRICE_STALE, Refusal.PRICE_MISSING} and feed.with_fallback is None
    assert fallback.price_fallback is stands_in
    assert (fallback.price_source == "coingecko") is stands_in
