"""Every refusal by itself: what puts it in force, that it is the one named, and the numbers it shows."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from support.cases import (
    BOTH,
    BTC,
    EURE,
    FAIR,
    a_case,
    a_coingecko,
    a_decision,
    a_demand,
    a_desk,
    ago,
    an_inventory,
    numbers_of,
    seen,
)
from support.refusals import (
    OUT,
    Refused,
    demand,
    price,
)
from support.refusals_from_inventory import FROM_INVENTORY
from support.refusals_up_to_price import UP_TO_PRICE
from unrip.domain.case import Case
from unrip.domain.decision import Refusal
from unrip.domain.guards import GUARDS, ask_all
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount

CASES = [*UP_TO_PRICE, *FROM_INVENTORY]


def test_everything_in_order_is_accepted() -> None:
    decision = a_decision()
    assert decision.accepted
    assert decision.reason is None
    assert all(guard.passed for guard in decision.guards)
    assert decision.required == OUT


@pytest.mark.parametrize("refused", CASES, ids=lambda case: f"{case.reason}: {case.name}" if case.name else case.reason)
def test_a_refusal_is_named_with_the_numbers_that_decided_it(refused: Refused) -> None:
    decision = a_decision(a_case(**refused.changes))
    assert not decision.accepted
    assert decision.reason is refused.reason
    assert decision.command is None
    assert dict(numbers_of(decision)) == refused.numbers
    others = {guard.reason for guard in decision.guards if not guard.passed} - {refused.reason}
    assert others == refused.also - {refused.reason}


def test_every_refusal_has_a_case() -> None:
    assert {refused.reason for refused in CASES} == set(Refusal)


def test_the_guards_are_the_refusals_in_their_order() -> None:
    assert list(GUARDS) == list(Refusal)
    assert tuple(guard.reason for guard in ask_all(a_case())) == tuple(Refusal)


def test_the_first_that_refuses_is_named_and_all_are_recorded() -> None:
    """With everything out of order at once, undoing the named reason each time names them all, in order."""
    named = []
    broken: dict[Refusal, dict[str, Any]] = {
        Refusal.PAUSED: {"paused": True},
        Refusal.DISARMED: {"armed": ()},
        Refusal.HALTED: {"halted": True},
        Refusal.AUDIT_STORE_UNAVAILABLE: {"store_up": False},
    }
    while True:
        changes: dict[str, Any] = {}
        for change in broken.values():
            changes |= change
        decision = a_decision(a_case(desk=a_desk(**changes)))
        assert len(decision.guards) == len(Refusal)
        if decision.reason is None:
            break
        named.append(decision.reason)
        del broken[decision.reason]
    assert named == [Refusal.PAUSED, Refusal.DISARMED, Refusal.HALTED, Refusal.AUDIT_STORE_UNAVAILABLE]


def blind(case: Case, missing: str) -> Case:
    """The same case with one input unknown."""
    if missing in {"executor", "history", "ledger"}:
        return a_case(desk=msgspec.structs.replace(case.desk, **{missing: None}))
    return a_case(**{missing: None})


@pytest.mark.parametrize("missing", ["price", "inventory", "executor", "history", "ledger"])
def test_a_guard_that_cannot_be_evaluated_refuses_and_says_unknown(missing: str) -> None:
    decision = a_decision(blind(a_case(), missing))
    assert not decision.accepted
    refused = [guard for guard in decision.guards if not guard.passed]
    assert refused
    assert all("unknown" in guard.numbers.values() for guard in refused)


def test_a_missing_second_opinion_is_degraded_not_refused() -> None:
    old = (a_coingecko(base_updated_at=ago(600_001)), a_coingecko(observed_at=ago(600_001)))
    for coingecko in (None, *old):
        decision = a_decision(a_case(**price(second_opinion=coingecko, disagreement=None)))
        assert decision.accepted
        assert decision.price_degraded
    assert not a_decision().price_degraded


def test_a_router_leg_is_answered_where_the_policy_says_so() -> None:
    policy = Policy(answer_router_legs=True)
    assert a_decision(a_case(policy=policy, **demand(router_leg=True))).accepted


@pytest.mark.parametrize("direction", BOTH)
def test_both_directions_go_through_the_same_guards(direction: Direction) -> None:
    decision = a_decision(a_case(**demand(direction=direction)))
    assert decision.accepted
    poor = an_inventory(credited={BTC.asset_id: Amount(0), EURE.asset_id: Amount(0)})
    decision = a_decision(a_case(inventory=seen("i", poor), **demand(direction=direction)))
    assert decision.reason is Refusal.INSUFFICIENT_INVENTORY


def test_numbers_are_plain_digits_whatever_their_magnitude() -> None:
    """`1E+2` or a float's rounding would be no help to whoever must explain a refusal."""
    huge = a_demand(amount_in=Amount(2**127 - 1))
    decision = a_decision(a_case(demand=huge))
    assert decision.reason is Refusal.INSUFFICIENT_INVENTORY
    for guard in decision.guards:
        assert not any("E+" in number or "E-" in number for number in guard.numbers.values())
    notional = next(guard for guard in decision.guards if guard.reason is Refusal.NOTIONAL_ABOVE_CAP).numbers
    assert Fraction(notional["notional_eur"]) == (2**127 - 1) * Fraction(FAIR) / 10**8
