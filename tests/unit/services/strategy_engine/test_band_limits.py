"""Inventory bands in the strategy: set, obeyed, taken away; what own commands could bring; what may still be quoted."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import BOTH, BTC, EURE, NOW, PAIR, a_case, a_demand, a_desk, a_view
from support.engine import ARM, Engine, a_control, a_record, only
from unrip.domain.case import Case
from unrip.domain.decision import Refusal
from unrip.domain.demand import SwapDemand
from unrip.domain.desk_state import CommandPosition
from unrip.domain.guards import inventory_in_band
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount
from unrip.messages.topics import EXECUTE_TRADE
from unrip.services.strategy_engine.effects import RememberPolicy
from unrip.services.strategy_engine.trade_ready import trade_ready


@pytest.mark.parametrize(
    ("change", "brake"),
    [
        ({"base_min": "1.1", "base_max": "1.9"}, True),
        ({"base_min": "0.9"}, False),
        ({"base_min": "none"}, False),
        ({"base_max": "2.1"}, False),
        ({"base_max": "none", "quote_max": "5"}, False),
        ({"quote_min": "none"}, False),
    ],
)
def test_a_band_that_is_wider_or_gone_is_no_brake(change: dict[str, str], brake: bool) -> None:
    desk = Engine(Policy(base_min=Decimal(1), base_max=Decimal(2), quote_min=Decimal(0))).ready()
    assert desk.logic.tightens(a_control("limits", **change)) is brake


def test_a_band_is_set_shown_obeyed_and_taken_away_again() -> None:
    desk = Engine().ready()
    (remembered,) = only(RememberPolicy, desk.feed(a_control("limits", quote_min="4999.5")))
    assert remembered.policy == Policy(quote_min=Decimal("4999.5"))
    assert desk.logic.control_state(NOW)["quote_min"] == "4999.5"
    ready = desk.state(NOW).trade_ready
    assert ready["base_in"].reasons == ("inventory_out_of_band",)
    assert ready["base_out"].ready
    desk.demand("too much")
    assert desk.decisions[-1].payload.reason is Refusal.INVENTORY_OUT_OF_BAND
    desk.acknowledge(desk.decisions[-1])
    desk.keep()
    desk.feed(a_control("limits", quote_min="none"))
    desk.keep()
    assert desk.logic.control_state(NOW)["quote_min"] == "none"
    assert desk.logic.control_state(NOW)["policy_hash"] == Policy().hash
    desk.demand("the same again", offset=1)
    assert desk.decisions[-1].payload.accepted


#: Credited are 0.1 BTC, and a demand here brings 20 000 sat of it: room for one.
ROOM_FOR_ONE = Policy(base_max=Decimal("0.1003"))


def test_what_own_commands_could_bring_counts_until_the_ledger_says_what_became_of_them() -> None:
    desk = Engine(ROOM_FOR_ONE).ready()
    desk.demand("first")
    decision = desk.decisions[0]
    assert decision.payload.accepted
    desk.acknowledge(decision)
    desk.acknowledge(desk.commands[0])
    desk.demand("second", offset=1)
    assert desk.decisions[-1].payload.reason is Refusal.INVENTORY_OUT_OF_BAND
    desk.acknowledge(desk.decisions[-1])
    passed = CommandPosition(topic_id=f"{EXECUTE_TRADE.name}-1", next_offset=1_000)
    for number, brings in enumerate((20_000, 0)):
        desk.inputs(view=a_view(position=passed, incoming={BTC.asset_id: Amount(brings)}))
        desk.demand(f"claimed, then rejected {number}", offset=2 + number)
        if brings:
            assert desk.decisions[-1].payload.reason is Refusal.INVENTORY_OUT_OF_BAND
            desk.acknowledge(desk.decisions[-1])
    assert desk.decisions[-1].payload.accepted


def test_what_commands_of_an_earlier_life_could_bring_counts_after_a_restart() -> None:
    before = Engine().ready()
    before.demand("first")
    before.acknowledge(before.decisions[0])
    command = before.commands[0].payload
    desk = Engine(ROOM_FOR_ONE)
    desk.start()
    desk.feed(a_record(EXECUTE_TRADE, command, offset=7))
    desk.caught_up()
    desk.feed(ARM)
    for next_offset, accepted in ((7, False), (8, True)):
        position = CommandPosition(topic_id=f"{EXECUTE_TRADE.name}-1", next_offset=next_offset)
        desk.inputs(view=a_view(position=position))
        desk.demand(f"after {next_offset}", offset=next_offset)
        assert desk.decisions[-1].payload.accepted is accepted
        if not accepted:
            assert desk.decisions[-1].payload.reason is Refusal.INVENTORY_OUT_OF_BAND
            desk.acknowledge(desk.decisions[-1])


# --- trade-ready ----------------------------------------------------------------------------------------------------


def quotable(policy: Policy, direction: Direction = Direction.BASE_IN, **view: dict[str, Amount]) -> str | None:
    def case_of(demand: SwapDemand) -> Case:
        return a_case(demand=demand, policy=policy, desk=a_desk(ledger=a_view(**view)))

    largest: str | None = trade_ready(case_of, PAIR, NOW)[direction].largest_quotable
    return largest


@pytest.mark.parametrize(
    ("policy", "largest"),
    [
        (Policy(quote_min=Decimal(4_985)), "15.00000000"),
        (Policy(quote_min=Decimal(5_000)), None),
        (Policy(quote_min=Decimal(5_001)), None),
        (Policy(quote_max=Decimal(1), base_min=Decimal(1)), "25.00000000"),
        (Policy(base_max=Decimal("0.1")), None),
        (Policy(base_max=Decimal("0.09")), None),
        (Policy(base_max=Decimal("0.1002")), "11.73984219"),
    ],
)
def test_the_largest_quotable_amount_stays_within_the_bands(policy: Policy, largest: str | None) -> None:
    assert quotable(policy) == largest


def test_the_largest_quotable_amount_leaves_room_for_what_is_promised_and_may_come() -> None:
    assert quotable(Policy(quote_min=Decimal(4_985)), held={EURE.asset_id: Amount(10 * 10**18)}) == "5.00000000"
    assert quotable(Policy(base_max=Decimal("0.1004")), incoming={BTC.asset_id: Amount(20_000)}) == "11.73984219"


def test_with_an_upper_bound_nothing_is_quotable_while_it_is_not_known_what_may_come() -> None:
    assert quotable(Policy(base_max=Decimal(1)), credited={EURE.asset_id: Amount(5_000 * 10**18)}) is None
    assert quotable(Policy(quote_max=Decimal(1)), credited={EURE.asset_id: Amount(5_000 * 10**18)}) == "25.00000000"


@given(st.sampled_from(BOTH), st.integers(0, 30), st.integers(0, 30))
def test_an_offer_of_the_largest_quotable_amount_keeps_to_the_bands(
    direction: Direction, out_eur: int, in_eur: int
) -> None:
    """At 60 000 EUR, with 0.1 BTC and 5 000 EURe."""
    btc = {Direction.BASE_IN: in_eur, Direction.BASE_OUT: -out_eur}[direction] / Decimal(60_000) + Decimal("0.1")
    eure = Decimal({Direction.BASE_IN: -out_eur, Direction.BASE_OUT: in_eur}[direction] + 5_000)
    policy = (
        Policy(base_max=btc, quote_min=eure) if direction is Direction.BASE_IN else Policy(base_min=btc, quote_max=eure)
    )
    largest = quotable(policy, direction)
    if largest is None:
        assert 0 in {out_eur, in_eur}
        return
    amount = PAIR.spent(direction).units(Decimal(largest))
    demand = a_demand(direction, amount_in=None, amount_out=amount)
    assert inventory_in_band(a_case(demand=demand, policy=policy))[0]
    slightly_more = msgspec.structs.replace(demand, amount_out=Amount(amount * 1_001 // 1_000 + 1))
    more = a_case(demand=slightly_more, policy=policy)
    assert not inventory_in_band(more)[0] or more.notional_eur is None or more.notional_eur > 25
