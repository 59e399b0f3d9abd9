"""Limits that an operator changes, what counts against them, and what is left of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from support.cases import EURE, NOW, a_view
from support.engine import Engine, a_control, command_record, decision_record, engine, only, restarted
from unrip.domain.decision import Decision, Refusal
from unrip.domain.policy import Policy
from unrip.domain.values import MONEY, Amount
from unrip.frame.action import ReasonBody
from unrip.frame.contract import (
    ControlRefused,
)
from unrip.services.strategy_engine.effects import RememberPolicy
from unrip.services.strategy_engine.limits import (
    BASE,
    LIMITS,
    LimitsBody,
    ThresholdBody,
    changed_policy,
    policy_state,
    tightens,
    tightest,
    told_policy,
)


def test_a_changed_threshold_is_remembered_and_used() -> None:
    desk = engine()
    (remembered,) = only(RememberPolicy, desk.feed(a_control("threshold", edge_threshold="2.5 %")))
    assert (remembered.actor, remembered.reason) == ("operator", "a test")
    desk.demand()
    decision: Decision = desk.decisions[0].payload
    assert decision.reason is Refusal.EDGE_BELOW_THRESHOLD
    assert decision.edge_threshold == Decimal("0.025")
    assert decision.policy_hash == remembered.policy.hash != Policy().hash


@pytest.mark.parametrize(
    ("action", "arguments", "complaint"),
    [
        ("limits", {"notional_cap_eur": Decimal("100.01")}, "above limits.notional_ceiling_eur 100"),
        ("threshold", {"edge_threshold": "0.49 %"}, "below limits.edge_floor 0.5 %"),
        ("limits", {"edge_base": "49 bps"}, "below limits.edge_floor 0.5 %"),
        ("limits", {"edge_per_sqrt_minute": "-1 bps"}, "negative"),
        ("limits", {"base_min": "2", "base_max": "1"}, "base_min 2 is above base_max 1"),
        ("limits", {"quote_max": "-1"}, "quote_max '-1': write whole tokens, such as 0.05, or none"),
        ("limits", {"quote_max": "a lot"}, "quote_max 'a lot': write whole tokens"),
        ("limits", {"base_min": "NaN"}, "base_min 'NaN': write whole tokens"),
        ("limits", {"base_min": "Infinity"}, "base_min is not a usable number"),
        ("limits", {"notional_floor_eur": Decimal("1E+200")}, "notional_floor_eur is not a usable number"),
        ("limits", {"deadline_max_ms": 600_000}, "deadline_max_ms is no limit that can be changed at run time"),
        ("limits", {"notional_ceiling_eur": Decimal(1)}, "notional_ceiling_eur is no limit that can be changed"),
        ("threshold", {"edge_threshold": "2"}, "needs its unit"),
        ("threshold", {"edge_threshold": "NaN %"}, "not finite"),
    ],
)
def test_no_change_goes_beyond_the_configurations_bounds(
    action: str, arguments: dict[str, Any], complaint: str
) -> None:
    desk = engine()
    before = desk.logic.control_state(NOW)
    with pytest.raises(ControlRefused, match=complaint):
        desk.feed(a_control(action, **arguments))
    assert desk.logic.control_state(NOW) == before
    assert not desk.logic.tightens(a_control(action, **arguments))


@pytest.mark.parametrize(
    ("action", "arguments", "brake"),
    [
        ("threshold", {"edge_threshold": "3 %"}, True),
        ("threshold", {"edge_threshold": "1 %"}, False),
        ("limits", {"notional_cap_eur": Decimal(10)}, True),
        ("limits", {"notional_cap_eur": Decimal(50)}, False),
        ("limits", {"notional_floor_eur": Decimal(2)}, True),
        ("limits", {"notional_floor_eur": Decimal("0.5")}, False),
        ("limits", {"notional_cap_eur": Decimal(10), "edge_base": "1 %"}, False),
        ("limits", {"edge_per_sqrt_minute": "1 %"}, True),
        ("limits", {"exposure_cap_eur": Decimal(100), "offers_per_minute_max": 60, "unknown_max": 0}, True),
        ("limits", {"exposure_cap_eur": Decimal(251)}, False),
        ("limits", {"offers_per_minute_max": 61}, False),
        ("limits", {"unknown_max": 11}, False),
        ("limits", {"base_min": "0", "base_max": "1000", "quote_min": "0", "quote_max": "1000"}, True),
        ("limits", {"base_max": "none"}, True),
        ("limits", {"base_max": "1", "quote_min": "1", "notional_cap_eur": Decimal(26)}, False),
        ("arm", {"directions": ["base_in"], "lease_minutes": 1}, False),
    ],
)
def test_a_change_that_only_makes_the_desk_do_less_is_a_brake(
    action: str, arguments: dict[str, Any], brake: bool
) -> None:
    assert engine().logic.tightens(a_control(action, **arguments)) is brake


def test_offers_of_the_last_minute_are_counted_by_their_decisions() -> None:
    desk = Engine(Policy(offers_per_minute_max=2)).ready()
    reasons = []
    for number, second in enumerate((0, 10, 59, 60, 69, 70)):
        desk.now = NOW + timedelta(seconds=second)
        desk.inputs()
        desk.demand(f"quote-{number}", offset=number, received_at=desk.now, answer_by=desk.now + timedelta(seconds=1))
        reasons.append(desk.decisions[-1].payload.reason)
        desk.acknowledge(desk.decisions[-1])
        if desk.decisions[-1].payload.accepted:
            desk.acknowledge(desk.commands[-1])
    assert reasons == [None, None, Refusal.RATE_LIMITED, None, Refusal.RATE_LIMITED, None]


@pytest.mark.parametrize("read_back", ["decision", "command", "both"])
def test_offers_of_an_earlier_life_count_after_a_restart(read_back: str) -> None:
    record, decision = decision_record()
    records = {"decision": [record], "command": [command_record(decision.command)]}
    records["both"] = [*records["command"], *records["decision"]]
    desk = restarted(*records[read_back])
    assert desk.state(NOW).desk.offers_last_minute == 1
    assert desk.state(NOW + timedelta(seconds=60)).desk.offers_last_minute == 0


def test_the_largest_quotable_amount_stays_within_the_exposure_that_is_left() -> None:
    desk = engine()
    for held, largest in ((239, "11.00000000"), (250, None)):
        desk.inputs(view=a_view(held={EURE.asset_id: Amount(held * 10**18)}))
        assert desk.state(NOW).trade_ready["base_in"].largest_quotable == largest


MIDDLE = Policy(
    edge_threshold=Decimal("0.02"),
    base_min=Decimal(2),
    base_max=Decimal(8),
    quote_min=Decimal(2),
    quote_max=Decimal(8),
)
#: Every limit that can be changed, with a value that lets less through than `MIDDLE` does, and one that lets more.
BOTH_WAYS: dict[str, tuple[Any, Any]] = {
    "edge_threshold": ("3 %", "1 %"),
    "edge_base": ("3 %", "1 %"),
    "edge_per_sqrt_minute": ("1 %", "0 %"),
    "notional_cap_eur": (Decimal(24), Decimal(26)),
    "notional_floor_eur": (Decimal(2), Decimal(0)),
    "exposure_cap_eur": (Decimal(249), Decimal(251)),
    "base_min": ("3", "none"),
    "base_max": ("7", "none"),
    "quote_min": ("3", "1"),
    "quote_max": ("7", "9"),
    "day_result_min_eur": (Decimal(-9), Decimal(-11)),
    "drawdown_max_eur": (Decimal(49), Decimal(51)),
    "offers_per_minute_max": (59, 61),
    "unknown_max": (9, 11),
}


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_tightens_one_way_and_loosens_the_other(name: str) -> None:
    tight, loose = ({name: value} for value in BOTH_WAYS[name])
    assert tightens(MIDDLE, a_control("limits", **tight))
    assert not tightens(MIDDLE, a_control("limits", **loose))
    tighter, looser = (changed_policy(MIDDLE, a_control("limits", **change)) for change in (tight, loose))
    assert tightest(looser, MIDDLE) == tightest(MIDDLE, looser) == MIDDLE
    assert tightest(tighter, looser) == tightest(looser, tighter) == tighter
    assert told_policy(MIDDLE, {**policy_state(looser), BASE: MIDDLE.hash}) == looser


@pytest.mark.parametrize("name", ["notional_cap_eur", "notional_floor_eur"])
def test_the_last_digit_of_a_limit_counts(name: str) -> None:
    """Python's own context rounds to 28 digits, and what loosens by less than that would pass for a brake."""
    digit = Decimal("1E-40")
    plain = getattr(MIDDLE, name)
    longer = MONEY.add(plain, digit)
    loosens = name.endswith("cap_eur")
    assert tightens(MIDDLE, a_control("limits", **{name: longer})) is not loosens


def test_what_can_be_changed_is_as_written_here() -> None:
    assert sorted(LIMITS) == sorted(BOTH_WAYS)


def test_every_limit_that_can_be_changed_has_a_kind() -> None:
    """One that the body takes and no kind names would pass for a brake, however it is loosened."""
    taken = {*LimitsBody.model_fields, *ThresholdBody.model_fields} - ReasonBody.model_fields.keys()
    assert sorted(LIMITS) == sorted(taken)
