"""The state of Kraken's matching engine: what its socket tells, what REST answers, and which of them counts."""

from __future__ import annotations

import pytest

from support.logic import of
from support.market import ONLINE, Market, case_of, refused
from unrip.domain.decision import Refusal
from unrip.net.events import SocketClosed, SocketOpened
from unrip.net.reconnect import Cause
from unrip.services.market_reference_ingest.effects import KrakenRestUnread, PollKrakenRest
from unrip.services.market_reference_ingest.logic import KRAKEN


@pytest.mark.parametrize("system", ["maintenance", "cancel_only", "post_only"])
def test_without_discovery_there_is_no_fair_rate(system: str) -> None:
    market = Market()
    market.run(milliseconds=1_500)
    market.tick()
    assert market.prices()[-1].fair_rate is not None
    market.run(milliseconds=1_500)
    price = market.prices(market.told(system))[-1]
    assert (price.fair_rate, price.primary_system) == (None, system)
    assert market.logic.not_ready(market.now) == ["kraken_not_online"]
    market.hear(ONLINE)
    market.tick()
    market.run(milliseconds=1_500)
    assert market.prices()[-1].fair_rate is not None


def test_an_unknown_state_is_not_online() -> None:
    market = Market(connected=False)
    market.run(milliseconds=1_500)
    assert market.prices(market.rest(system=None))[-1].fair_rate is None
    market.run(milliseconds=1_500)
    assert market.prices(market.rest(system="online"))[-1].fair_rate is not None


def test_rest_tells_the_state_while_a_socket_brings_ticks_and_has_not_told_it() -> None:
    market = Market()
    market.emit(SocketClosed(connection=KRAKEN, cause=Cause.CLOSED, reason="gone"))
    market.emit(SocketOpened(connection=KRAKEN))  # and its one word about the state is lost
    for _ in range(20):
        market.tick()
        if of(PollKrakenRest, market.run(seconds=1)):
            market.rest(system="online")
    assert market.logic.not_ready(market.now) == []
    assert market.prices()[-1].fair_rate is not None
    market.hear(ONLINE)
    market.tick()
    assert not of(PollKrakenRest, market.run(seconds=4))


def test_trouble_that_the_socket_told_is_not_ended_early_by_rest() -> None:
    market = Market()
    market.told("maintenance")
    market.rest(system="online")
    market.run(milliseconds=1_500)
    assert market.prices()[-1].primary_system == "maintenance"
    market.rest(system="maintenance")
    market.rest(system="online")
    market.run(milliseconds=1_500)
    assert market.prices()[-1].primary_system == "maintenance", "nor by an end of what REST itself told"


def refusals(market: Market, *, seconds: int, rest: str | None, tick_every_s: int | None = None) -> set[str | None]:
    """What the guards of the price say at every half second, while each question to REST is answered like this."""
    found: set[str | None] = set()
    for half in range(2 * seconds):
        if tick_every_s is not None and half % (2 * tick_every_s) == 0:
            market.tick(bid="70000", ask="70000")
        if of(PollKrakenRest, market.run(milliseconds=500)):
            if rest is None:
                market.emit(KrakenRestUnread(reason="HTTP 520"))
            else:
                market.rest("70000", system=rest)
        found.add(refused(case_of(market)))
    return found


@pytest.mark.parametrize("tick_every_s", [None, 9])
def test_trouble_that_only_rest_tells_counts_although_the_socket_said_online(tick_every_s: int | None) -> None:
    """The socket lives, but its word of the state is lost, and REST's price has no time that shows a dead book."""
    market = Market()
    market.coingecko("70000")
    market.ticks("70000", seconds=20)
    refusals(market, seconds=7, rest="maintenance", tick_every_s=tick_every_s)
    assert refusals(market, seconds=18, rest="maintenance", tick_every_s=tick_every_s) == {Refusal.PRICE_MISSING}
    assert market.prices()[-1].primary_system == "maintenance"


def in_trouble_by_rest() -> Market:
    """Its socket has said `online` before, and brings ticks again."""
    market = Market()
    market.coingecko("70000")
    market.ticks("70000", seconds=20)
    refusals(market, seconds=10, rest="maintenance")
    market.tick(bid="70000", ask="70000")
    assert market.logic.not_ready(market.now) == ["kraken_not_online"]
    return market


def test_rest_is_asked_on_about_the_trouble_that_it_told_and_ends_it_itself() -> None:
    market = in_trouble_by_rest()
    market.rest("70000", system="maintenance")
    polls = 0
    for _ in range(10):
        market.tick(bid="70000", ask="70000")
        if of(PollKrakenRest, market.run(seconds=1)):
            polls += 1
            market.rest("70000", system="maintenance")
    assert 4 <= polls <= 6
    market.rest("70000", system="online")
    market.run(seconds=1)
    assert market.logic.not_ready(market.now) == []
    assert refusals(market, seconds=20, rest=None, tick_every_s=1) == {None}, "the socket's word stands again"
    assert not of(PollKrakenRest, market.run(seconds=3))


def test_what_the_socket_tells_after_rest_told_of_trouble_stands() -> None:
    market = in_trouble_by_rest()
    market.told("online")
    market.run(seconds=1)
    assert market.logic.not_ready(market.now) == []
    market.tick(bid="70000", ask="70000")
    assert len(of(PollKrakenRest, market.run(seconds=4))) <= 1


def test_trouble_that_rest_told_and_can_no_longer_confirm_is_unknown_and_not_over() -> None:
    market = in_trouble_by_rest()
    assert refusals(market, seconds=60, rest=None, tick_every_s=1) == {Refusal.PRICE_MISSING}
    assert market.prices()[-1].primary_system is None
    assert refusals(market, seconds=5, rest="online", tick_every_s=1) >= {None}
    assert market.logic.not_ready(market.now) == []


def test_a_state_that_flaps_between_the_two_sides_locks_nothing() -> None:
    market = Market()
    market.coingecko("70000")
    market.ticks("70000", seconds=20)
    for _ in range(20):
        refusals(market, seconds=7, rest="cancel_only")
        market.told("online")
        refusals(market, seconds=7, rest="post_only")
        market.told("maintenance")
        refusals(market, seconds=3, rest="online")
    refusals(market, seconds=14, rest="online", tick_every_s=1)
    assert market.logic.not_ready(market.now) == []
    assert refusals(market, seconds=60, rest="online", tick_every_s=1) == {None}


def test_the_end_of_trouble_that_the_socket_did_not_tell_is_told_by_rest() -> None:
    """Found by seed 57: the state's change back fell into a moment in which nothing came over the socket."""
    market = Market()
    market.told("maintenance")
    for _ in range(16):
        market.tick()
        if of(PollKrakenRest, market.run(seconds=1)):
            market.rest(system="online")
    assert market.logic.not_ready(market.now) == []
    assert market.prices()[-1].primary_system == "online"


def test_what_was_told_in_trouble_is_no_price_once_trouble_is_over() -> None:
    """It is young enough, and nobody could trade at it."""
    market = Market()
    market.ticks("70000", seconds=20)
    market.told("maintenance")
    market.tick(bid="60000", ask="60000")
    market.run(seconds=1)
    market.told("online")
    market.run(milliseconds=1_500)
    assert market.prices()[-1].primary_system == "online"
    assert market.prices()[-1].fair_rate is None
    market.rest("70000")
    market.run(milliseconds=1_500)
    assert market.prices()[-1].fair_rate is not None
