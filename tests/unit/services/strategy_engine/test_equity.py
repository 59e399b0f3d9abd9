"""A drawdown is a fall by price or by trade from the highest of all lives, never a transfer; it is told once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import BTC, EURE, NOW, PAIR, a_books, a_jump, a_price, an_inventory
from support.engine import ARM, Engine, a_record, only
from unrip.domain.equity import HighestEquity
from unrip.domain.inventory import Books
from unrip.domain.policy import Policy
from unrip.domain.values import Delta
from unrip.frame.contract import Count, Effect, Log
from unrip.messages.topics import INTENT_INVENTORY, MARKET_PRICE
from unrip.services.strategy_engine.effects import HighestPersisted, HighestRestored, PersistHighest, Restore
from unrip.services.strategy_engine.equity import Equity


def a_life(highest: HighestEquity | None = None, *, generation: int = 1) -> Equity:
    """An equity that knows what earlier lives have left."""
    equity = Equity(pair=PAIR)
    assert equity.on_event(HighestRestored(highest=highest, generation=generation)) == []
    return equity


def books(sats: int, eur: int, *, transferred: dict[str, int] | None = None) -> Books:
    made = a_books({BTC.asset_id: Delta(sats), EURE.asset_id: Delta(eur * 10**18)})
    moves = {asset: Delta(amount) for asset, amount in (transferred or {}).items()}
    return Books(**{name: getattr(made, name) for name in made.__struct_fields__} | {"transferred": moves})


def look(equity: Equity, now: Books, rate: int = 60_000) -> list[Effect]:
    return equity.seen(now, a_price(fair_rate=Decimal(rate)), drawdown_max_eur=Decimal(50))


def seen(equity: Equity, now: Books, rate: int = 60_000) -> list[str]:
    return [line.event for line in only(Log, look(equity, now, rate))]


def test_a_fall_from_the_highest_is_told_once_and_once_that_it_is_over() -> None:
    equity = a_life()
    told = [seen(equity, books(10**6, 100), rate) for rate in (60_000, 70_000, 65_000, 64_999, 60_000, 66_000)]
    assert told == [[], [], [], ["drawdown"], [], ["drawdown_over"]]
    assert equity.state() == {"equity_eur": Decimal(760), "drawdown_eur": Decimal(40)}


def test_a_transfer_is_neither_gain_nor_loss_but_its_price_counts_from_then_on() -> None:
    equity = a_life()
    seen(equity, books(10**6, 100))
    assert seen(equity, books(10**6, 0, transferred={EURE.asset_id: -100 * 10**18})) == []
    assert equity.state()["drawdown_eur"] == 0
    assert seen(equity, books(2 * 10**6, 0, transferred={EURE.asset_id: -100 * 10**18, BTC.asset_id: 10**6})) == []
    assert equity.state() == {"equity_eur": Decimal(1_200), "drawdown_eur": Decimal(0)}
    assert seen(equity, books(2 * 10**6, 0, transferred={EURE.asset_id: -100 * 10**18, BTC.asset_id: 10**6}), 57_000)
    assert equity.state()["drawdown_eur"] == 60


def test_a_jump_that_nobody_confirmed_makes_no_highest_and_hides_no_fall() -> None:
    jumped = a_jump(jumped=True)

    def jump(equity: Equity, rate: int) -> list[Effect]:
        price = a_price(fair_rate=Decimal(rate), jump=jumped)
        return equity.seen(books(10**6, 100), price, drawdown_max_eur=Decimal(50))

    equity = a_life()
    assert jump(equity, 90_000) == []
    assert equity.state()["equity_eur"] is None
    look(equity, books(10**6, 100))
    assert jump(equity, 90_000) == []
    assert equity.state() == {"equity_eur": Decimal(1_000), "drawdown_eur": Decimal(0)}
    assert seen(equity, books(10**6, 100)) == []
    assert equity.state()["drawdown_eur"] == 0
    assert [line.event for line in only(Log, jump(equity, 50_000))] == ["drawdown"]


@pytest.mark.parametrize("rate", [600_000, 6_000])
def test_a_transfer_during_a_jump_moves_the_highest_by_the_settled_price(rate: int) -> None:
    equity = a_life(HighestEquity(eur=Fraction(7_000), transferred={}))
    seen(equity, books(10**7, 900))
    assert equity.drawdown_eur == 100
    withdrawn = books(9 * 10**6, 900, transferred={BTC.asset_id: -(10**6)})
    false = a_price(fair_rate=Decimal(rate), jump=a_jump(jumped=True))
    assert only(PersistHighest, equity.seen(withdrawn, false, drawdown_max_eur=Decimal(10_000))) == []
    assert equity.drawdown_eur == max(0, 7_000 - (900 + rate // 10)), "the withdrawal itself is none meanwhile"
    (written,) = only(PersistHighest, look(equity, withdrawn))
    assert written.highest == HighestEquity(eur=Fraction(6_400), transferred=withdrawn.transferred)
    assert equity.drawdown_eur == 100


def test_what_was_transferred_before_the_first_life_moves_nothing() -> None:
    equity = a_life()
    assert seen(equity, books(10**6, 100, transferred={EURE.asset_id: 10**20})) == []
    assert equity.state() == {"equity_eur": Decimal(700), "drawdown_eur": Decimal(0)}


def test_books_that_are_begun_anew_move_no_highest_by_what_the_earlier_ones_had_counted() -> None:
    def begun(at: int, sats: int, eur: int, transferred: int) -> Books:
        made = books(sats, eur, transferred={EURE.asset_id: transferred * 10**18})
        return msgspec.structs.replace(made, begun_at=NOW + timedelta(seconds=at))

    equity = a_life()
    for snapshot in (begun(0, 10**6, 100, -100), begun(9, 10**6, 100, 0), begun(9, 10**6, 150, 50)):
        look(equity, snapshot)
        assert equity.drawdown_eur == 0
    look(equity, begun(9, 10**6, 100, 50))
    assert equity.drawdown_eur == 50


@given(transfers=st.lists(st.integers(-50, 50), max_size=10), rate=st.integers(1_000, 100_000))
def test_no_course_of_transfers_is_a_drawdown(transfers: list[int], rate: int) -> None:
    equity, total = a_life(), 0
    for transfer in transfers:
        total += transfer
        seen(equity, books(10**6, 1_000 + total, transferred={EURE.asset_id: total * 10**18}), rate)
        assert equity.drawdown_eur == 0


# --- kept beyond a restart ------------------------------------------------------------------------------------------


def test_a_fall_is_told_in_the_next_life_as_well_and_a_transfer_meanwhile_is_none() -> None:
    gone = {EURE.asset_id: -100 * 10**18}
    next_life = a_life(HighestEquity(eur=Fraction(800), transferred={}))
    assert seen(next_life, books(10**6, 0, transferred=gone), 60_000) == ["drawdown"]
    assert next_life.state() == {"equity_eur": Decimal(600), "drawdown_eur": Decimal(100)}


def test_before_the_kept_one_is_known_nothing_is_told_and_nothing_written() -> None:
    equity = Equity(pair=PAIR)
    assert look(equity, books(10**6, 100)) == []
    assert equity.state() == {"equity_eur": None, "drawdown_eur": None}, "unknown is not none"
    kept = HighestEquity(eur=Fraction(1_000), transferred={})
    assert equity.on_event(HighestRestored(highest=kept, generation=2)) == []
    assert seen(equity, books(10**6, 100)) == ["drawdown"]


def test_only_a_rise_and_a_transfer_are_written() -> None:
    equity = a_life(generation=7)
    (first,) = only(PersistHighest, look(equity, books(10**6, 100)))
    assert first == PersistHighest(highest=HighestEquity(eur=Fraction(700), transferred={}), generation=7, change=1)
    assert equity.on_event(HighestPersisted()) == []
    assert only(PersistHighest, look(equity, books(10**6, 100), 59_000)) == []
    gone = books(10**6, 0, transferred={EURE.asset_id: -100 * 10**18})
    (moved,) = only(PersistHighest, look(equity, gone, 59_000))
    assert (moved.highest.eur, moved.highest.transferred, moved.change) == (Fraction(600), gone.transferred, 2)
    assert equity.on_event(HighestPersisted()) == []
    (risen,) = only(PersistHighest, look(equity, gone, 61_000))
    assert (risen.highest.eur, risen.change) == (Fraction(610), 3)


def test_what_is_kept_is_not_written_again_by_the_next_life() -> None:
    equity = a_life(HighestEquity(eur=Fraction(700), transferred={}))
    assert look(equity, books(10**6, 100)) == []


#: A rate, and what is transferred before it: EUR and satoshi.
Step = tuple[int, int, int]
steps = st.lists(
    st.tuples(st.integers(50_000, 70_000), st.integers(-50, 50), st.integers(-99, 99)), min_size=1, max_size=20
)


def history_of(course: list[Step]) -> list[tuple[Books, int]]:
    """What the strategy sees, one after the other."""
    snapshots, eur, sats = [], 0, 0
    for rate, more_eur, more_sats in course:
        eur, sats = eur + more_eur, sats + more_sats
        transferred = {EURE.asset_id: eur * 10**18, BTC.asset_id: sats}
        snapshots.append((books(10**6 + sats, 2_000 + eur, transferred=transferred), rate))
    return snapshots


@given(course=steps, starts=st.sets(st.integers(0, 19)))
def test_a_restart_at_any_point_changes_no_drawdown(course: list[Step], starts: set[int]) -> None:
    unbroken, equity = a_life(), a_life()
    kept: HighestEquity | None = None
    for place, (snapshot, rate) in enumerate(history_of(course)):
        if place in starts:
            equity = a_life(kept)
        look(unbroken, snapshot, rate)
        effects = look(equity, snapshot, rate)
        while written := only(PersistHighest, effects):
            kept = written[0].highest
            effects = equity.on_event(HighestPersisted())
        assert equity.drawdown_eur == unbroken.drawdown_eur


@given(course=steps, acknowledged=st.sets(st.integers(0, 19)))
def test_one_write_is_under_way_and_the_newest_comes_last(course: list[Step], acknowledged: set[int]) -> None:
    equity = a_life()
    under_way: list[PersistHighest] = []
    for place, (snapshot, rate) in enumerate(history_of(course)):
        under_way += only(PersistHighest, look(equity, snapshot, rate))
        assert len(under_way) <= 1
        if under_way and place in acknowledged:
            kept = under_way.pop()
            under_way += only(PersistHighest, equity.on_event(HighestPersisted()))
    while under_way:
        kept = under_way.pop()
        under_way += only(PersistHighest, equity.on_event(HighestPersisted()))
    next_life = a_life(kept.highest)
    look(next_life, *history_of(course)[-1])
    assert next_life.drawdown_eur == equity.drawdown_eur


# --- in the strategy ------------------------------------------------------------------------------------------------


def test_the_engine_tells_it_and_refuses_nothing() -> None:
    desk = Engine(Policy(drawdown_max_eur=Decimal(1))).ready()
    effects: list[Effect] = []
    for rate in (60_000, 59_000):
        desk.feed(a_record(MARKET_PRICE, a_price(fair_rate=Decimal(rate))))
        effects += desk.feed(a_record(INTENT_INVENTORY, an_inventory()))
    assert [line.event for line in only(Log, effects)] == ["drawdown"]
    assert Count(name="drawdowns") in effects
    desk.demand()
    assert desk.decisions[0].payload.accepted


def test_the_engine_waits_with_no_decision_for_the_highest_of_earlier_lives() -> None:
    desk = Engine()
    desk.start(generation=3)
    desk.caught_up()
    desk.inputs()
    assert desk.logic.not_ready(NOW) == []
    desk.feed(ARM)
    desk.demand()
    assert desk.decisions[0].payload.accepted
    assert only(PersistHighest, desk.effects) == []
    desk.feed(HighestRestored(highest=HighestEquity(eur=Fraction(20_000), transferred={}), generation=3))
    effects = desk.feed(a_record(INTENT_INVENTORY, an_inventory()))
    assert [line.body["drawdown_eur"] for line in only(Log, effects)] == ["9000.00"]


def test_the_engine_keeps_the_highest_under_the_generation_that_it_took_over_with() -> None:
    desk = Engine()
    desk.start(generation=3)
    (recall,) = only(Restore, desk.effects)
    desk.caught_up()
    desk.feed(HighestRestored(highest=None, generation=recall.generation))
    desk.inputs()
    (written,) = only(PersistHighest, desk.effects)
    assert (written.highest.eur, written.generation, written.change) == (Fraction(11_000), 3, 1)
    desk.feed(a_record(MARKET_PRICE, a_price(fair_rate=Decimal(61_000))))
    assert only(PersistHighest, desk.feed(a_record(INTENT_INVENTORY, an_inventory()))) == []
    assert [each.change for each in only(PersistHighest, desk.feed(HighestPersisted()))] == [2]


def test_a_new_session_is_given_the_highest_again() -> None:
    """It may lead to a copy of an earlier moment; one write at a time, and the newest last."""
    equity = a_life()
    (first,) = only(PersistHighest, look(equity, books(10**6, 100)))
    assert equity.again() == [], "a write is under way"
    (again,) = only(PersistHighest, equity.on_event(HighestPersisted()))
    assert (again.highest, again.change) == (first.highest, first.change + 1)
    assert equity.on_event(HighestPersisted()) == []
    assert len(only(PersistHighest, equity.again())) == 1
    assert Equity(pair=PAIR).again() == [], "what earlier lives have left is not known yet"
