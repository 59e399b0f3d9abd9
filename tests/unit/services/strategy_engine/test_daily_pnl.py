"""What a day's fills have brought: valued at the markout once and for good, by the newest price until then."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import ACCOUNT, BTC, EURE, FAIR, NOW, PAIR, a_jump, a_price, a_view
from support.engine import Engine, a_control, a_record, only
from unrip.domain.attempt import AttemptState, ChainEvidence, TradeResult
from unrip.domain.command import Exchange
from unrip.domain.decision import Decision, Refusal
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount
from unrip.frame.contract import ControlRefused
from unrip.messages.topics import MARKET_PRICE, TRADE_RESULT
from unrip.services.strategy_engine.daily_pnl import DailyPnl, midnight_before
from unrip.services.strategy_engine.effects import RememberPolicy, Restore

MARKOUT = timedelta(minutes=10)
#: 20 000 sat for 11.7 EURe: worth 12 EUR at the fair rate, so it brings 0.30 EUR there.
SATS, WEI = Amount(20_000), Amount(117 * 10**17)


def a_fill(name: str = "one", *, at: datetime = NOW, direction: Direction = Direction.BASE_IN) -> TradeResult:
    base_in = direction is Direction.BASE_IN
    exchange = (
        Exchange(asset_in=BTC.asset_id, amount_in=SATS, asset_out=EURE.asset_id, amount_out=WEI)
        if base_in
        else Exchange(asset_in=EURE.asset_id, amount_in=WEI, asset_out=BTC.asset_id, amount_out=SATS)
    )
    return TradeResult(
        command_id=name,
        quote_id=name,
        account=ACCOUNT,
        pair=PAIR.name,
        direction=direction,
        state=AttemptState.SETTLED,
        reason=None,
        numbers={},
        quote_hash=name,
        request=None,
        response=None,
        evidence=ChainEvidence(height=9, block_time=at, nonce_used=True, salt_valid=True),
        next_check_at=None,
        ledger=a_view(),
        exchange=exchange,
    )


def a_spent(name: str, *, told_by: str | None = None, candidates: tuple[Exchange, ...] = ()) -> TradeResult:
    """A taken offer of several, of which nobody knows which it was."""
    fill = msgspec.structs.replace(a_fill(name), state=AttemptState.SPENT)
    return msgspec.structs.replace(fill, exchange=None, told_by=told_by, candidates=candidates)


def a_day(*, complete: bool = True) -> DailyPnl:
    return DailyPnl(pair=PAIR, markout=MARKOUT, complete=complete)


def price(fair_rate: int | Decimal | None) -> MarketPrice:
    return a_price(fair_rate=None if fair_rate is None else Decimal(fair_rate))


def a_jumped_price(fair_rate: int) -> MarketPrice:
    return a_price(fair_rate=Decimal(fair_rate), jump=a_jump(jumped=True))


def test_a_fill_is_valued_by_the_newest_price_until_its_markout_and_then_for_good() -> None:
    day = a_day()
    day.priced(price(FAIR), NOW)
    day.filled(a_fill())
    seen = []
    for minute, rate in ((1, 70_000), (9, 50_000), (10, 60_000), (11, 1)):
        day.priced(price(rate), NOW + timedelta(minutes=minute))
        seen.append(day.result_eur(NOW + timedelta(minutes=minute)))
    assert seen == [Decimal("2.3"), Decimal("-1.7"), Decimal("0.3"), Decimal("0.3")]
    assert day.state() == {"fills_today": 1, "fills_unmarked": 0}


def test_a_jump_that_nobody_confirmed_values_no_fill() -> None:
    day = a_day()
    day.filled(a_fill())
    day.priced(a_jumped_price(600_000), NOW)
    assert day.result_eur(NOW) is None, "as without any price"
    day.priced(price(FAIR), NOW)
    seen = []
    jumped = a_jumped_price(600_000)
    for minute, each in ((9, jumped), (10, jumped), (11, price(50_000)), (12, price(1))):
        day.priced(each, NOW + timedelta(minutes=minute))
        seen.append((day.result_eur(NOW + timedelta(minutes=minute)), day.state()["fills_unmarked"]))
    waits, marked = (Decimal("0.3"), 1), (Decimal("-1.7"), 0)
    assert seen == [waits, waits, marked, marked], "the first settled price marks"


def test_a_fill_that_is_heard_of_late_is_valued_by_the_first_price_after_that() -> None:
    day = a_day()
    day.filled(a_fill())
    day.priced(price(FAIR), NOW + timedelta(minutes=30))
    day.priced(price(1), NOW + timedelta(minutes=31))
    assert day.result_eur(NOW + timedelta(minutes=31)) == Decimal("0.3")


def test_the_same_fill_twice_counts_once_and_nothing_but_fills_counts() -> None:
    day = a_day()
    day.priced(price(FAIR), NOW)
    for _ in range(2):
        day.filled(a_fill(), price(FAIR))
    day.filled(msgspec.structs.replace(a_fill("lapsed"), state=AttemptState.LAPSED))
    day.filled(a_spent("told by its sibling", told_by="one"))
    foreign = Exchange(asset_in="nep141:wrap.near", amount_in=SATS, asset_out=EURE.asset_id, amount_out=WEI)
    day.filled(msgspec.structs.replace(a_fill("another pair"), exchange=foreign))
    assert day.result_eur(NOW) == Decimal("0.3")


def test_nothing_is_known_before_the_fills_of_earlier_lives_or_without_any_price() -> None:
    assert a_day(complete=False).result_eur(NOW) is None
    day = a_day()
    assert day.result_eur(NOW) == 0
    day.filled(a_fill())
    assert day.result_eur(NOW) is None
    day.priced(price(None), NOW)
    assert day.result_eur(NOW) is None
    day.priced(price(FAIR), NOW)
    day.priced(price(None), NOW)
    assert day.result_eur(NOW) == Decimal("0.3"), "the last known price"


def test_a_day_ends_at_midnight_utc_and_a_fill_belongs_to_the_day_of_its_block() -> None:
    midnight = midnight_before(NOW) + timedelta(days=1)
    day = a_day()
    day.priced(price(FAIR), NOW)
    day.filled(a_fill("before", at=midnight - timedelta(seconds=1)))
    day.filled(a_fill("after", at=midnight))
    assert day.result_eur(midnight - timedelta(seconds=1)) == Decimal("0.3")
    assert day.result_eur(midnight) == Decimal("0.3")
    day.priced(price(90_000), midnight + MARKOUT)
    assert day.result_eur(midnight + MARKOUT) == Decimal("6.3"), "yesterday's fill counts no more"
    assert day.state()["fills_today"] == 1


def test_where_nobody_knows_which_offer_was_taken_the_worst_of_them_counts() -> None:
    """Which one is the worst may change with the price, until the markout settles it."""
    selling, buying = a_fill(direction=Direction.BASE_OUT).exchange, a_fill().exchange
    assert selling is not None
    assert buying is not None
    day = a_day()
    day.filled(a_spent("one", candidates=(selling, buying)))
    day.filled(a_spent("two", told_by="one"))
    for minute, rate in ((1, 50_000), (2, 70_000), (10, 50_000), (11, 90_000)):
        day.priced(price(rate), NOW + timedelta(minutes=minute))
        alone = []
        for exchange in (selling, buying):
            only_one = a_day()
            only_one.priced(price(50_000 if minute > 10 else rate), NOW)
            only_one.filled(msgspec.structs.replace(a_fill(), exchange=exchange))
            alone.append(only_one.result_eur(NOW))
        assert day.result_eur(NOW) == min(each for each in alone if each is not None)
    assert day.state() == {"fills_today": 1, "fills_unmarked": 0}


FILLS = st.lists(st.tuples(st.sampled_from(list(Direction)), st.integers(0, 1_200), st.integers(0, 1_500)), max_size=12)


@given(fills=FILLS, rates=st.lists(st.integers(1, 10**6), min_size=20, max_size=20), restart_s=st.integers(0, 1_900))
def test_a_restart_changes_no_result(fills: list[tuple[Direction, int, int]], rates: list[int], restart_s: int) -> None:
    """Whatever was marked is on record with its price; the rest is told again, in any order."""
    prices = [(NOW + timedelta(seconds=100 * number), price(rate)) for number, rate in enumerate(rates)]
    results = [a_fill(f"f{n}", at=NOW + timedelta(seconds=at), direction=way) for n, (way, at, _) in enumerate(fills)]
    day, again = a_day(), a_day()
    restart = NOW + timedelta(seconds=restart_s)
    for at, each in prices:
        for result in results:
            assert result.evidence is not None
            if result.evidence.block_time <= at:
                day.filled(result)
        day.priced(each, at)
    expected = day.result_eur(prices[-1][0])
    for result in reversed(results):
        assert result.evidence is not None
        marks = (one for at, one in prices if result.evidence.block_time + MARKOUT <= at <= restart)
        if result.evidence.block_time <= restart:
            again.filled(result, next(marks, None))
    for at, each in prices:
        if at > restart:
            for result in results:
                assert result.evidence is not None
                if result.evidence.block_time <= at:
                    again.filled(result)
            again.priced(each, at)
    again.priced(prices[-1][1], prices[-1][0])
    assert again.result_eur(prices[-1][0]) == expected


@given(fills=FILLS, rate=st.integers(1, 10**6))
def test_the_result_is_what_came_less_what_went(fills: list[tuple[Direction, int, int]], rate: int) -> None:
    day = a_day()
    day.priced(price(rate), NOW)
    sats = wei = 0
    for number, (way, _, _) in enumerate(fills):
        day.filled(a_fill(f"f{number}", direction=way))
        sign = 1 if way is Direction.BASE_IN else -1
        sats, wei = sats + sign * SATS, wei - sign * WEI
    result = day.result_eur(NOW)
    assert result is not None
    assert Fraction(result) == Fraction(sats * rate, 10**8) + Fraction(wei, 10**18)


# --- in the engine --------------------------------------------------------------------------------------------------


def test_a_loss_beyond_the_limit_refuses_and_a_new_day_does_not() -> None:
    desk = Engine(Policy(day_result_min_eur=Decimal(-1))).ready()
    desk.feed(a_record(TRADE_RESULT, a_fill(at=NOW - MARKOUT)))
    desk.feed(a_record(MARKET_PRICE, price(50_000), observed_at=NOW))
    desk.inputs()
    desk.demand()
    decision: Decision = desk.decisions[0].payload
    assert decision.reason is Refusal.DAILY_LOSS_HALT
    assert decision.desk.day_result_eur == Decimal("-1.7")
    tomorrow = midnight_before(NOW) + timedelta(days=1)
    assert desk.state(tomorrow).desk.day_result_eur == 0


@pytest.mark.parametrize("recalled", [False, True])
def test_an_unknown_taker_may_have_brought_a_loss_beyond_the_limit_also_in_the_next_life(recalled: bool) -> None:
    ruin = Exchange(asset_in=BTC.asset_id, amount_in=SATS, asset_out=EURE.asset_id, amount_out=Amount(100 * WEI))
    small = a_fill().exchange
    assert small is not None
    spent = a_spent("one", candidates=(small, ruin)), a_spent("two", told_by="one")
    desk = Engine().ready(fills=tuple((each, None) for each in spent) if recalled else ())
    for each in () if recalled else spent:
        desk.feed(a_record(TRADE_RESULT, each))
    desk.demand()
    decision: Decision = desk.decisions[0].payload
    assert decision.reason is Refusal.DAILY_LOSS_HALT
    assert decision.desk.day_result_eur is not None
    assert decision.desk.day_result_eur < -10


def test_fills_of_an_earlier_life_are_recalled_and_those_of_the_topic_added() -> None:
    desk = Engine()
    desk.start()
    (recall,) = only(Restore, desk.effects)
    assert (recall.base, recall.since, recall.markout) == (Policy().hash, midnight_before(NOW), MARKOUT)
    assert desk.state(NOW).desk.day_result_eur is None
    desk.feed(a_record(TRADE_RESULT, a_fill("marked")))
    desk.feed(a_record(TRADE_RESULT, a_fill("told again")))
    desk.caught_up(fills=((a_fill("told again"), None), (a_fill("marked"), price(50_000))))
    desk.inputs()
    assert desk.state(NOW).desk.day_result_eur == Decimal("-1.4"), "one is marked, one waits"


def test_a_policy_that_an_operator_set_is_in_force_again_and_the_brake_waits_until_it_is() -> None:
    desk = Engine()
    desk.start()
    for action, arguments in (("limits", {"notional_cap_eur": Decimal(1)}), ("threshold", {"edge_threshold": "3 %"})):
        with pytest.raises(ControlRefused, match="not read yet"):
            desk.feed(a_control(action, **arguments))
    tight = Policy(notional_cap_eur=Decimal(5))
    desk.caught_up(policy=tight)
    assert desk.logic.control_state(NOW)["notional_cap_eur"] == "5"
    (kept,) = only(RememberPolicy, desk.effects)
    assert (kept.policy, kept.base, kept.actor) == (tight, Policy().hash, "start")
    (changed,) = only(RememberPolicy, desk.feed(a_control("limits", notional_cap_eur=Decimal(4))))
    assert changed.base == Policy().hash != changed.policy.hash
