"""Limits that are changed while the desk runs: what PostgreSQL has not acknowledged is never told as kept."""

from __future__ import annotations

from decimal import Decimal

import pytest

from support.cases import NOW
from support.engine import Engine, a_control, only
from unrip.domain.policy import Policy
from unrip.service.contract import Control, ControlRefused, DatabaseChanged, Withdrawn
from unrip.service.leases import ForgetLease
from unrip.services.strategy_engine.effects import PolicyKept, RememberPolicy


def a_cap(euros: int) -> Control:
    return a_control("limits", notional_cap_eur=Decimal(euros))


def cap_in_force(desk: Engine) -> str:
    return str(desk.logic.state(NOW)["notional_cap_eur"])


def test_a_tighter_limit_acts_at_once_and_is_kept_when_postgresql_says_so() -> None:
    desk = Engine().ready()
    (remembered,) = only(RememberPolicy, desk.feed(a_cap(5)))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(5)), desk.logic.idle()) == ("5", False, False)
    assert desk.logic.state(NOW)["limits_kept"] is False
    desk.feed(PolicyKept(change=remembered.change))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(5)), desk.logic.idle()) == ("5", True, True)


def test_only_the_last_of_several_tighter_limits_makes_all_of_them_kept() -> None:
    desk = Engine().ready()
    (first,) = only(RememberPolicy, desk.feed(a_cap(5)))
    (second,) = only(RememberPolicy, desk.feed(a_cap(4)))
    assert (first.generation, second.change) == (second.generation, first.change + 1)
    desk.feed(PolicyKept(change=first.change))
    assert desk.logic.kept(a_cap(4)) is False
    desk.feed(PolicyKept(change=second.change))
    assert desk.logic.kept(a_cap(4)) is True


def test_no_lease_survives_a_tighter_limit_which_a_crash_might_forget() -> None:
    desk = Engine().ready()
    assert len(only(ForgetLease, desk.feed(a_cap(5)))) == 1
    assert desk.logic.vitals(NOW).armed, "this process goes on, by the tighter limit"


def test_a_looser_limit_acts_only_once_it_is_kept() -> None:
    desk = Engine().ready()
    effects = desk.feed(a_cap(50))
    assert only(ForgetLease, effects) == []
    (remembered,) = only(RememberPolicy, effects)
    assert (cap_in_force(desk), desk.logic.control_state(NOW)["notional_cap_eur"]) == ("25", "50")
    desk.feed(PolicyKept(change=remembered.change))
    assert cap_in_force(desk) == "50"


def test_a_looser_limit_that_is_withdrawn_acts_neither_now_nor_after_a_restart() -> None:
    desk = Engine().ready()
    (looser,) = only(RememberPolicy, desk.feed(a_cap(50)))
    (restored,) = only(RememberPolicy, desk.feed(Withdrawn()))
    assert (restored.policy, restored.change) == (Policy(), looser.change + 1)
    desk.feed(PolicyKept(change=looser.change))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(50))) == ("25", False)
    desk.feed(PolicyKept(change=restored.change))
    assert (cap_in_force(desk), desk.logic.kept(a_cap(50))) == ("25", True)
    assert desk.feed(Withdrawn()) == [], "nothing waits any more"


def test_a_tighter_limit_takes_the_place_of_a_looser_one_that_waits() -> None:
    desk = Engine().ready()
    desk.feed(a_cap(50))
    (tighter,) = only(RememberPolicy, desk.feed(a_cap(5)))
    assert cap_in_force(desk) == "5"
    desk.feed(PolicyKept(change=tighter.change))
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
