"""A drawdown is a fall of value by price or by trade, never a transfer; it is told once."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from support.cases import BTC, EURE, PAIR, a_books, a_price, an_inventory
from support.engine import Engine, a_record, only
from unrip.domain.inventory import Books
from unrip.domain.policy import Policy
from unrip.domain.values import Delta
from unrip.messages.topics import INTENT_INVENTORY, MARKET_PRICE
from unrip.service.contract import Count, Effect, Log
from unrip.services.strategy_engine.equity import Equity


def books(sats: int, eur: int, *, transferred: dict[str, int] | None = None) -> Books:
    made = a_books({BTC.asset_id: Delta(sats), EURE.asset_id: Delta(eur * 10**18)})
    moves = {asset: Delta(amount) for asset, amount in (transferred or {}).items()}
    return Books(**{name: getattr(made, name) for name in made.__struct_fields__} | {"transferred": moves})


def seen(equity: Equity, now: Books, rate: int = 60_000) -> list[str]:
    effects = equity.seen(now, a_price(fair_rate=Decimal(rate)), drawdown_max_eur=Decimal(50))
    return [effect.event for effect in effects if isinstance(effect, Log)]


def test_a_fall_from_the_highest_is_told_once_and_once_that_it_is_over() -> None:
    equity = Equity(pair=PAIR)
    told = [seen(equity, books(10**6, 100), rate) for rate in (60_000, 70_000, 65_000, 64_999, 60_000, 66_000)]
    assert told == [[], [], [], ["drawdown"], [], ["drawdown_over"]]
    assert equity.state() == {"equity_eur": Decimal(760), "drawdown_eur": Decimal(40)}


def test_a_transfer_is_neither_gain_nor_loss_but_its_price_counts_from_then_on() -> None:
    equity = Equity(pair=PAIR)
    seen(equity, books(10**6, 100))
    assert seen(equity, books(10**6, 0, transferred={EURE.asset_id: -100 * 10**18})) == []
    assert equity.state()["drawdown_eur"] == 0
    assert seen(equity, books(2 * 10**6, 0, transferred={EURE.asset_id: -100 * 10**18, BTC.asset_id: 10**6})) == []
    assert equity.state() == {"equity_eur": Decimal(1_200), "drawdown_eur": Decimal(0)}
    assert seen(equity, books(2 * 10**6, 0, transferred={EURE.asset_id: -100 * 10**18, BTC.asset_id: 10**6}), 57_000)
    assert equity.state()["drawdown_eur"] == 60


def test_what_was_transferred_before_the_start_moves_nothing() -> None:
    equity = Equity(pair=PAIR)
    assert seen(equity, books(10**6, 100, transferred={EURE.asset_id: 10**20})) == []
    assert equity.state() == {"equity_eur": Decimal(700), "drawdown_eur": Decimal(0)}


@given(transfers=st.lists(st.integers(-50, 50), max_size=10), rate=st.integers(1_000, 100_000))
def test_no_course_of_transfers_is_a_drawdown(transfers: list[int], rate: int) -> None:
    equity, total = Equity(pair=PAIR), 0
    for transfer in transfers:
        total += transfer
        seen(equity, books(10**6, 1_000 + total, transferred={EURE.asset_id: total * 10**18}), rate)
        assert equity.drawdown_eur == 0


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
