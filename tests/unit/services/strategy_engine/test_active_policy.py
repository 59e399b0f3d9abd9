"""Limits that are changed while the desk runs: what PostgreSQL has not acknowledged is never told as kept."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from support.cases import ACCOUNT, NOW
from support.engine import Engine, a_control, a_record, only
from unrip.domain.policy import Policy
from unrip.domain.status import ControlRecord
from unrip.frame.contract import (
    CaughtUp,
    ChangeCancelled,
    Control,
    ControlRefused,
    DatabaseChanged,
    RecordReceived,
    Subscribe,
)
from unrip.frame.leases import ForgetLease
from unrip.messages.topics import CONTROL_ACTION
from unrip.services.strategy_engine.effects import PolicyPersisted, RememberPolicy
from unrip.services.strategy_engine.limits import tightest


def a_cap(euros: int) -> Control:
    return a_control("limits", notional_cap_eur=Decimal(euros))


def cap_in_force(desk: Engine) -> str:
    return str(desk.state(NOW).notional_cap_eur)


def test_a_tighter_limit_acts_at_once_and_is_kept_when_postgresql_says_so() -> None:
    desk = Engine().ready()
    (remembered,) = only(RememberPolicy, desk.feed(a_cap(5)))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(5)), desk.logic.idle()) == ("5", False, False)
    assert desk.state(NOW).limits_kept is False
    desk.feed(PolicyPersisted(change=remembered.change))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(5)), desk.logic.idle()) == ("5", True, True)


def test_only_the_last_of_several_tighter_limits_makes_all_of_them_kept() -> None:
    desk = Engine().ready()
    (first,) = only(RememberPolicy, desk.feed(a_cap(5)))
    (second,) = only(RememberPolicy, desk.feed(a_cap(4)))
    assert (first.generation, second.change) == (second.generation, first.change + 1)
    desk.feed(PolicyPersisted(change=first.change))
    assert desk.logic.kept(a_cap(4)) is False
    desk.feed(PolicyPersisted(change=second.change))
    assert desk.logic.kept(a_cap(4)) is True


def test_no_lease_survives_a_tighter_limit_which_a_crash_might_forget() -> None:
    desk = Engine().ready()
    assert len(only(ForgetLease, desk.feed(a_cap(5)))) == 1
    assert desk.logic.vitals(NOW).details.switches.armed, "this process goes on, by the tighter limit"


def test_a_looser_limit_acts_only_once_it_is_kept() -> None:
    desk = Engine().ready()
    effects = desk.feed(a_cap(50))
    assert only(ForgetLease, effects) == []
    (remembered,) = only(RememberPolicy, effects)
    assert (cap_in_force(desk), desk.logic.control_state(NOW)["notional_cap_eur"]) == ("25", "50")
    desk.feed(PolicyPersisted(change=remembered.change))
    assert cap_in_force(desk) == "50"


def test_a_looser_limit_that_is_withdrawn_acts_neither_now_nor_after_a_restart() -> None:
    desk = Engine().ready()
    (looser,) = only(RememberPolicy, desk.feed(a_cap(50)))
    (restored,) = only(RememberPolicy, desk.feed(ChangeCancelled()))
    assert (restored.policy, restored.change) == (Policy(), looser.change + 1)
    desk.feed(PolicyPersisted(change=looser.change))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(50))) == ("25", False)
    desk.feed(PolicyPersisted(change=restored.change))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(50))) == ("25", True)
    assert desk.feed(ChangeCancelled()) == [], "nothing waits any more"


def test_a_tighter_limit_takes_the_place_of_a_looser_one_that_waits() -> None:
    desk = Engine().ready()
    desk.feed(a_cap(50))
    (tighter,) = only(RememberPolicy, desk.feed(a_cap(5)))
    assert cap_in_force(desk) == "5"
    desk.feed(PolicyPersisted(change=tighter.change))
    assert cap_in_force(desk) == "5"


def test_nothing_is_loosened_while_it_could_not_be_kept_and_tightening_goes_on() -> None:
    desk = Engine().ready()
    desk.feed(DatabaseChanged(up=False, reason="a test"))
    with pytest.raises(ControlRefused, match="PostgreSQL is away"):
        desk.feed(a_cap(50))
    desk.feed(a_cap(5))
    desk.feed(DatabaseChanged(up=True, reason="a test"))
    with pytest.raises(ControlRefused, match="not kept yet"):
        desk.feed(a_cap(20))
    desk.keep()
    desk.feed(a_cap(20))
    desk.keep()
    assert cap_in_force(desk) == "20"


def test_changes_are_numbered_anew_in_each_life_under_its_generation() -> None:
    desk = Engine()
    desk.start(generation=7)
    desk.caught_up()
    (start,) = only(RememberPolicy, desk.effects)
    assert (start.generation, start.change) == (7, 1)


def a_told(desk: Engine, **changes: Any) -> RecordReceived:
    """The record of an action of an earlier life, with the limits as they were after it."""
    fields: dict[str, Any] = {
        "service": "strategy-engine",
        "instance": "strategy-engine-0",
        "action": "limits",
        "actor": "operator",
        "reason": "a test",
        "arguments": {},
        "before": {},
        "after": {**desk.logic.control_state(NOW), "notional_cap_eur": "5"},
        "acted_at": NOW,
        "applied": True,
        "reason_refused": None,
        "account": ACCOUNT,
    }
    return a_record(CONTROL_ACTION, ControlRecord(**(fields | changes)), event_id="told")


CONTROLS_READ = CaughtUp(topic=CONTROL_ACTION.name, topic_id="controls-1")


@pytest.mark.parametrize("recalled", ["first", "last"])
def test_a_limit_that_was_tightened_after_the_copy_of_the_database_is_not_forgotten(recalled: str) -> None:
    """PostgreSQL remembers the looser one; the record of the action is on Kafka."""
    desk = Engine()
    desk.start(generation=4)
    assert CONTROL_ACTION in [each.topic for each in only(Subscribe, desk.effects)]
    if recalled == "first":
        desk.caught_up()
    desk.feed(a_told(desk))
    desk.feed(CONTROLS_READ)
    if recalled == "last":
        desk.caught_up()
    assert cap_in_force(desk) == "5"
    assert only(RememberPolicy, desk.effects)[-1].policy.notional_cap_eur == 5
    assert only(ForgetLease, desk.effects) or recalled == "last"


def test_a_record_that_is_older_than_the_account_in_it_still_tightens() -> None:
    desk = Engine().ready()
    desk.feed(CONTROLS_READ)
    desk.feed(a_told(desk, account=None))
    assert cap_in_force(desk) == "5"


def test_only_the_last_record_counts_and_what_it_loosened_does_not() -> None:
    desk = Engine()
    desk.start()
    desk.feed(a_told(desk))
    loosened = {**desk.logic.control_state(NOW), "notional_cap_eur": "50"}
    desk.feed(a_told(desk, after=loosened))
    desk.feed(CONTROLS_READ)
    desk.caught_up()
    assert cap_in_force(desk) == "25"


@pytest.mark.parametrize(
    ("told", "in_force"),
    [
        (Policy(notional_cap_eur=Decimal(100), edge_threshold=Decimal("0.005")), None),
        (Policy(notional_cap_eur=Decimal(101)), Policy()),
        (Policy(notional_cap_eur=Decimal(101), exposure_cap_eur=Decimal(5)), Policy(exposure_cap_eur=Decimal(5))),
        (Policy(edge_base=Decimal("0.004"), notional_cap_eur=Decimal(5)), Policy(notional_cap_eur=Decimal(5))),
        (Policy(edge_per_sqrt_minute=Decimal(-1)), Policy()),
        (Policy(notional_ceiling_eur=Decimal(10**6), edge_floor=Decimal(-1)), Policy()),
        (Policy(beat_age_max_ms=10**9, disagreement_max=Decimal(1)), Policy()),
    ],
)
def test_limits_beyond_the_configuration_are_in_force_by_no_row(told: Policy, in_force: Policy | None) -> None:
    """An operator's change never went beyond it, nor changed what is no limit: the row says what was not so."""
    desk = Engine()
    desk.start()
    desk.caught_up(policy=told)
    assert desk.logic._policy.now == (in_force or told)
    (kept,) = only(RememberPolicy, desk.effects)
    assert kept.policy == (in_force or told)


@pytest.mark.parametrize("days", [-400, 0, 400])
def test_a_record_that_was_spooled_comes_late_and_counts(days: int) -> None:
    """Whatever its date is: a brake is not measured by a clock."""
    desk = Engine().ready()
    desk.feed(CONTROLS_READ)
    acted_at = NOW + timedelta(days=days)
    told = a_told(desk, acted_at=acted_at)
    desk.feed(replace(told, message=replace(told.message, observed_at=acted_at, published_at=acted_at)))
    assert cap_in_force(desk) == "5"


@pytest.mark.parametrize(
    "changes",
    [
        {"service": "trade-executor"},
        {"instance": "strategy-engine-1"},
        {"account": "other.near"},
        {"after": {"notional_cap_eur": "5"}},
        {"after": {**Engine().logic.control_state(NOW), "notional_cap_eur": "five"}},
        {"after": {**Engine().logic.control_state(NOW), "notional_cap_eur": "5", "policy_base": "another"}},
    ],
)
def test_what_is_no_record_of_our_own_limits_changes_nothing(changes: dict[str, Any]) -> None:
    """With another configured policy, or an unreadable one, the operator's earlier changes no longer hold."""
    desk = Engine().ready()
    desk.feed(CONTROLS_READ)
    assert only(RememberPolicy, desk.feed(a_told(desk, **changes))) == []
    assert cap_in_force(desk) == "25"


def test_the_tightest_of_two_policies_is_that_of_each_limit() -> None:
    one = Policy(notional_cap_eur=Decimal(10), edge_threshold=Decimal("0.02"), base_max=Decimal(1), quote_min=None)
    other = Policy(notional_cap_eur=Decimal(20), edge_threshold=Decimal("0.03"), base_max=None, quote_min=Decimal(5))
    tight = Policy(
        notional_cap_eur=Decimal(10), edge_threshold=Decimal("0.03"), base_max=Decimal(1), quote_min=Decimal(5)
    )
    assert tightest(one, other) == tightest(other, one) == tight


def test_a_new_session_is_given_again_what_this_life_has_kept() -> None:
    """It may lead to a copy of an earlier moment; what it has already stays as it is."""
    desk = Engine().ready()
    desk.feed(a_cap(5))
    desk.keep()
    before = [each for each in desk.effects if isinstance(each, RememberPolicy)]
    desk.feed(DatabaseChanged(up=False, reason="gone"))
    again = only(RememberPolicy, desk.feed(DatabaseChanged(up=True, reason="")))
    assert again[-1] == before[-1]
    assert [each.change for each in again] == list(range(1, again[-1].change + 1))
    desk.feed(PolicyPersisted(change=1))
    assert desk.logic.kept(a_cap(5)) is True, "what was kept is kept"
