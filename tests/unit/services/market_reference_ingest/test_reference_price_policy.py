"""When a price is not believed: the peg, the jump, and what a restart remembers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine import a_record
from support.logic import T0, after, lines, of, published
from support.market import Market, case_of, refused
from unrip.domain.decision import Refusal
from unrip.domain.market import Jump, MarketPrice, Peg, PrimaryReading, SecondReading, SourceHealth, disagreement_of
from unrip.frame.contract import CaughtUp, Subscribe
from unrip.messages.topics import MARKET_PRICE
from unrip.services.market_reference_ingest.jump import JumpGuard
from unrip.services.market_reference_ingest.peg import PegGuard


def price_of(market: Market) -> MarketPrice:
    """The price of this moment, as `/state` shows it."""
    price: MarketPrice = market.logic.state(market.now).price
    return price


def peg_of(market: Market) -> Peg:
    peg = price_of(market).peg
    assert peg is not None
    return peg


def jump_of(market: Market) -> Jump:
    jump = price_of(market).jump
    assert jump is not None
    return jump


# --- the peg -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("readings", "broken"),
    [
        (["1.000"], False),
        (["0.9799"], True),
        (["0.985"], True),  # never judged before: what lies between the bounds is not whole
        (["0.990"], False),
        (["1.000", "0.985"], False),
        (["1.000", "0.980"], False),
        (["1.000", "0.9799"], True),
        (["1.000", "1.0201"], True),
        (["1.000", "0.970", "0.985"], True),
        (["1.000", "0.970", "0.9899"], True),
        (["1.000", "0.970", "0.990"], False),
        (["1.000", "0.970", "1.010"], False),
        (["1.000", "0.970", "1.000", "0.985"], False),
    ],
)
def test_the_peg_breaks_beyond_the_outer_bound_and_heals_within_the_inner(readings: list[str], *, broken: bool) -> None:
    market = Market()
    for reading in readings:
        market.run(seconds=60)
        market.coingecko(eure=reading)
    peg = peg_of(market)
    assert peg.broken is broken
    assert peg.quote_asset_eur == Decimal(readings[-1])
    assert peg.deviation == abs(Decimal(readings[-1]) - 1)
    assert (peg.breaks_beyond, peg.heals_within) == (Decimal("0.02"), Decimal("0.01"))


@given(st.lists(st.decimals(min_value=Decimal("0.95"), max_value=Decimal("1.05"), places=4), min_size=1))
def test_a_reading_between_the_bounds_changes_nothing(readings: list[Decimal]) -> None:
    guard = PegGuard(assumed=Decimal(1), breaks_beyond=Decimal("0.02"), heals_within=Decimal("0.01"))
    expected = True
    for number, reading in enumerate(readings):
        at = after(seconds=number)
        guard.take(_coingecko(at, quote_asset_eur=reading, quote_updated_at=at))
        deviation = abs(reading - 1)
        expected = deviation > Decimal("0.02") or (expected and deviation > Decimal("0.01"))
        assert guard.state.broken is expected


def _coingecko(at: datetime, **changes: object) -> SecondReading:
    reading = SecondReading(
        base_asset_eur=Decimal(70_000), base_updated_at=at, quote_asset_eur=None, quote_updated_at=None, observed_at=at
    )
    return msgspec.structs.replace(reading, **changes)


def test_the_peg_is_measured_against_what_is_assumed() -> None:
    market = Market(assumption="0.97")
    market.coingecko(eure="0.97")
    assert (peg_of(market).broken, peg_of(market).deviation) == (False, Decimal(0))
    market.coingecko(eure="1")
    assert peg_of(market).broken


def test_without_a_new_reading_the_last_good_one_keeps_its_time() -> None:
    market = Market()
    market.coingecko(eure="0.999", age_s=60)
    then = peg_of(market)
    market.run(hours=1)
    market.coingecko(eure=None)
    market.coingecko(eure="0.9", age_s=31 * 60)  # older than half an hour when it was read
    market.coingecko(eure="0.9", age_s=2 * 3_600)
    assert peg_of(market) == then
    assert then.updated_at == after(seconds=-60)


def test_an_answer_of_a_cache_that_went_back_in_time_is_not_believed() -> None:
    market = Market()
    market.coingecko("70000", eure="0.97", age_s=30)
    market.coingecko("60000", eure="1", age_s=40)
    price = price_of(market)
    assert price.peg is not None
    assert price.peg.broken
    assert price.second_opinion is not None
    assert price.second_opinion.base_asset_eur == 70_000


def test_the_peg_is_told_once_per_change() -> None:
    market = Market()
    for reading in ("1", "0.97", "0.96", "0.985", "1", "1"):
        market.coingecko(eure=reading)
        market.run(seconds=2)
    assert [line for line in lines(market.effects) if line.startswith("peg")] == ["peg_broken", "peg_healed"]


# --- the jump ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mid", "jumped"), [("70700", False), ("70701", True), ("69307", False), ("69306", True)])
def test_a_move_beyond_the_limit_within_the_window_is_a_jump(mid: str, *, jumped: bool) -> None:
    market = Market()
    market.ticks("70000", seconds=30)
    market.ticks(mid, seconds=1)
    jump = jump_of(market)
    assert jump.jumped is jumped
    assert {jump.lowest, jump.highest} == {Decimal(70_000), Decimal(mid)}
    assert jump.move == disagreement_of(*sorted([Decimal(70_000), Decimal(mid)]))
    assert (jump.limit, jump.window_s, jump.readings, jump.readings_min) == (Decimal("0.01"), 60, 31, 10)
    assert jump.since == (after(seconds=30) if jumped else None)


def test_many_small_steps_are_a_jump_and_a_slow_drift_is_none() -> None:
    fast, slow = Market(), Market()
    for step in range(40):
        fast.ticks(Decimal(70_000 + 20 * step), seconds=1)
        slow.ticks(Decimal(70_000 + 20 * step), seconds=3)
    assert jump_of(fast).jumped
    assert not jump_of(slow).jumped


def test_a_level_that_held_for_a_window_is_confirmed_and_told() -> None:
    market = Market()
    market.ticks("70000", seconds=5)
    market.ticks("72000", seconds=59)
    assert jump_of(market).jumped
    market.ticks("72000", seconds=1)
    assert not jump_of(market).jumped
    assert [line for line in lines(market.effects) if line.startswith("price")] == ["price_jumped", "price_settled"]


def test_a_spike_that_returns_blocks_until_it_is_a_window_ago() -> None:
    market = Market()
    market.ticks("70000", seconds=5)
    market.ticks("77000", seconds=1)
    market.ticks("70000", seconds=59)
    assert jump_of(market).jumped
    market.ticks("70000", seconds=1)
    assert not jump_of(market).jumped


def test_a_spike_within_a_second_is_seen() -> None:
    market = Market()
    for mid in ("70000", "77000", "70000"):
        market.tick(bid=mid, ask=mid)
    assert jump_of(market).jumped


@pytest.mark.parametrize("silence_s", [0, 61, 3_600])
def test_a_first_tick_at_a_start_or_after_a_silence_is_no_calm(silence_s: int) -> None:
    market = Market()
    if silence_s:
        market.ticks("70000", seconds=60)
        assert not jump_of(market).jumped
        market.run(seconds=silence_s)
    for readings in range(1, 10):
        market.ticks("35000", seconds=1)
        assert (jump_of(market).jumped, jump_of(market).readings) == (True, readings)
    market.ticks("35000", seconds=1)
    assert not jump_of(market).jumped
    assert "price_jumped" not in lines(market.effects), "nothing moved as far as anybody saw"
    market.run(seconds=51)
    assert jump_of(market).jumped, "nor is a silence that begins"


def test_silence_confirms_nothing() -> None:
    market = Market()
    market.ticks("70000", seconds=5)
    market.ticks("72000", seconds=1)
    market.run(seconds=300)
    market.ticks("72000", seconds=9)
    assert (jump_of(market).jumped, jump_of(market).readings) == (True, 9)
    market.ticks("72000", seconds=1)
    assert not jump_of(market).jumped


def test_coingecko_contradicts_only_by_what_it_learned_after_the_jump() -> None:
    market = Market()
    market.coingecko("70000", age_s=0)
    market.ticks("70000", seconds=5)
    market.ticks("72000", seconds=61)
    assert not jump_of(market).jumped, "an average from before the jump says nothing about it"
    market.ticks("74000", seconds=1)
    market.run(seconds=1)
    market.coingecko("72000", age_s=0)
    market.ticks("74000", seconds=90)
    assert (jump_of(market).jumped, jump_of(market).contradicted) == (True, True)
    market.coingecko("73900", age_s=0)
    market.ticks("74000", seconds=1)
    assert (jump_of(market).jumped, jump_of(market).contradicted) == (False, False)


@given(
    st.lists(
        st.tuples(st.integers(min_value=1, max_value=70), st.sampled_from([70_000, 70_300, 70_699, 70_800, 72_000])),
        max_size=60,
    )
)
def test_the_rule_by_brute_force(steps: list[tuple[int, int]]) -> None:
    guard = JumpGuard(limit=Decimal("0.01"), window_s=60, readings_min=10)
    history: list[tuple[int, int]] = []
    now = 0
    for gap, mid in steps:
        now += gap
        history.append((now, mid))
        at = after(seconds=now)
        guard.take(_kraken(at, mid), None)
        window = [value for then, value in history if now - then < 60]
        calm = max(window) * 100 <= min(window) * 101
        jumped = not calm or len(window) < 10
        assert guard.state(at).jumped is jumped


def _kraken(at: datetime, mid: int) -> PrimaryReading:
    return PrimaryReading(bid=Decimal(mid), ask=Decimal(mid), observed_at=at, source_time=None, transport="websocket")


# --- what a restart remembers ------------------------------------------------------------------------------------


def last_words(market: Market) -> MarketPrice:
    market.run(seconds=2)
    return market.prices()[-1]


def test_a_broken_peg_is_still_broken_after_a_restart_and_as_old_as_it_was() -> None:
    before = Market()
    before.coingecko(eure="0.97", age_s=60)
    again = Market(at=after(hours=5), remembers=last_words(before))
    assert (peg_of(again).broken, peg_of(again).updated_at) == (True, after(seconds=-60))
    again.coingecko(eure="0.985")
    assert peg_of(again).broken
    again.coingecko(eure="0.995")
    assert not peg_of(again).broken


def test_a_restart_with_another_assumption_measures_against_that_one() -> None:
    before = Market()
    before.coingecko(eure="0.97")
    again = Market(at=after(hours=1), remembers=last_words(before), assumption="0.97")
    assert (peg_of(again).broken, peg_of(again).deviation) == (True, Decimal(0))
    again.coingecko(eure="0.97")
    assert not peg_of(again).broken


@pytest.mark.parametrize(
    ("reading", "restarted"),
    [
        ("1", {"assumption": "0.97"}),
        ("0.985", {"peg_breaks_beyond": "0.005", "peg_heals_within": "0.005"}),
    ],
)
def test_a_restart_that_asks_more_of_the_peg_breaks_it_by_the_last_reading(
    reading: str, restarted: dict[str, Any]
) -> None:
    before = Market()
    before.coingecko(eure="1")
    before.coingecko(eure=reading, age_s=20)
    assert peg_of(before).broken is False
    again = Market(at=after(hours=1), remembers=last_words(before), **restarted)
    assert peg_of(again).broken
    again.run(seconds=2)
    assert "peg_broken" in lines(again.effects)


def test_a_peg_that_was_never_read_is_unknown_after_a_restart_too() -> None:
    again = Market(at=after(hours=1), remembers=last_words(Market()), peg_breaks_beyond="0", peg_heals_within="0")
    assert peg_of(again).broken is None


def test_a_whole_peg_is_still_whole_between_the_bounds_after_a_restart() -> None:
    before = Market()
    before.coingecko(eure="1", age_s=60)
    again = Market(at=after(hours=5), remembers=last_words(before))
    again.coingecko(eure="0.985")
    assert peg_of(again).broken is False


def test_what_came_before_the_memory_is_judged_once_more() -> None:
    before = Market()
    before.coingecko(eure="0.97", age_s=60)
    before.ticks("70000", seconds=3)
    again = Market(at=after(seconds=10))
    again.ticks("72000", seconds=1)
    again.coingecko(eure="0.985")
    assert (jump_of(again).since, peg_of(again).quote_asset_eur) == (None, Decimal("0.985"))
    again.emit(a_record(MARKET_PRICE, last_words(before), published_at=after(seconds=6)))
    assert (jump_of(again).jumped, peg_of(again).broken, peg_of(again).quote_asset_eur) == (
        True,
        True,
        Decimal("0.985"),
    )
    again.now = after(seconds=10, milliseconds=900)
    again.tick(bid="72000", ask="72000")
    assert jump_of(again).readings == 3, "an extreme of 70 000, the last word, and the second of the two ticks"


def test_a_jump_is_not_forgotten_by_a_restart_and_needs_its_own_readings() -> None:
    before = Market()
    before.ticks("70000", seconds=5)
    before.ticks("72000", seconds=5)
    again = Market(at=after(seconds=300), remembers=last_words(before))
    again.ticks("72000", seconds=9)
    assert (jump_of(again).jumped, jump_of(again).since) == (True, after(seconds=5))
    again.ticks("72000", seconds=1)
    assert not jump_of(again).jumped


def test_a_move_while_the_service_was_down_for_seconds_is_a_jump() -> None:
    before = Market()
    before.ticks("70000", seconds=5)
    again = Market(at=after(seconds=20), remembers=last_words(before))
    again.ticks("72000", seconds=1)
    assert jump_of(again).jumped
    later = Market(at=after(seconds=120), remembers=last_words(before))
    later.ticks("72000", seconds=1)
    assert jump_of(later).since is None, "what is older than the window is no recent reading"
    assert jump_of(later).jumped, "and one reading makes no calm"
    later.ticks("72000", seconds=9)
    assert not jump_of(later).jumped


def test_readings_of_before_are_as_old_as_they_are() -> None:
    before = Market()
    before.coingecko(age_s=60)
    before.tick()
    again = Market(at=after(hours=1), remembers=last_words(before), connected=False)
    again.run(seconds=2)
    price = again.prices()[-1]
    assert (price.primary_health, price.second_opinion_health) == (SourceHealth.STALE, SourceHealth.STALE)
    assert price.primary is not None
    assert price.primary.observed_at == T0
    case = case_of(again)
    assert (case.price_age_ms, case.peg_age_ms) == (3_602_000, 3_662_000)
    assert refused(case) is Refusal.PRICE_STALE


def test_a_record_of_another_pair_or_of_the_future_is_not_remembered() -> None:
    before = Market()
    before.coingecko(eure="0.97")
    price = last_words(before)
    other = Market(remembers=msgspec.structs.replace(price, pair="X/Y"))
    ahead = Market(remembers=price, published_at=after(milliseconds=1))
    for market in (other, ahead):
        assert (peg_of(market).broken, price_of(market).second_opinion) == (None, None)


def test_nothing_is_published_before_the_memory_is_read() -> None:
    market = Market(caught_up=False)
    (asked,) = of(Subscribe, market.effects)
    assert (asked.topic, asked.tail, asked.until_end) == (MARKET_PRICE, 1, True)
    market.tick()
    assert not published(market.run(seconds=5), MARKET_PRICE.name)
    assert market.logic.not_ready(market.now) == ["reading_back"]
    market.emit(CaughtUp(topic=MARKET_PRICE.name, topic_id="prices-1"))
    assert published(market.run(seconds=1), MARKET_PRICE.name)
    assert market.logic.not_ready(market.now) == []
