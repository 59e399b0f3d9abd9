"""The switches: nothing but an explicit arm makes the desk act, halt stands over everything, and leases end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from support.cases import BOTH, NOW
from unrip.domain.arming import Switches
from unrip.domain.pairs import Direction
from unrip.frame.contract import Control, ControlRefused, Log, SetTimer
from unrip.frame.switching import LEASE_TIMER, end_of_lease, lease_timer, switch, switch_state

DIRECTIONS = st.sampled_from([BOTH, (Direction.BASE_IN,), (Direction.BASE_OUT,)])


def control(action: str, **arguments: Any) -> Control:
    return Control(action=action, arguments=arguments, actor="operator", reason="a test")


def followed(switches: Switches, action: str, now: datetime = NOW, **arguments: Any) -> Switches:
    after = switch(switches, control(action, **arguments), now, configuration_hash="config-1")
    assert after is not None
    return after


def armed(now: datetime = NOW, directions: tuple[Direction, ...] = BOTH, minutes: int = 60) -> Switches:
    return followed(Switches(), "arm", now, directions=list(directions), lease_minutes=minutes)


class Operators(RuleBasedStateMachine):
    """Operators and time do whatever they like; a plain model says what may act."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.switches = Switches()
        self.lease: tuple[tuple[Direction, ...], datetime] | None = None
        self.paused = False
        self.halted = False

    @rule(directions=DIRECTIONS, minutes=st.integers(min_value=1, max_value=1440))
    def arm(self, directions: tuple[Direction, ...], minutes: int) -> None:
        self.switches = followed(self.switches, "arm", self.now, directions=list(directions), lease_minutes=minutes)
        self.lease, self.halted = (directions, self.now + timedelta(minutes=minutes)), False

    @rule()
    def disarm(self) -> None:
        self.switches, self.lease = followed(self.switches, "disarm", self.now), None

    @rule()
    def halt(self) -> None:
        self.switches, self.halted = followed(self.switches, "halt", self.now), True

    @rule()
    def pause(self) -> None:
        self.switches, self.paused = followed(self.switches, "pause", self.now), True

    @rule()
    def resume(self) -> None:
        self.switches, self.paused = followed(self.switches, "resume", self.now), False

    @rule(minutes=st.integers(min_value=0, max_value=2_000))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def lease_timer_fires(self) -> None:
        self.switches, _effects = end_of_lease(self.switches, self.now)

    @rule()
    def restart(self) -> None:
        self.switches, self.lease, self.paused, self.halted = Switches(), None, False, False

    @invariant()
    def only_an_unexpired_lease_arms(self) -> None:
        expected = self.lease[0] if self.lease is not None and self.now < self.lease[1] else ()
        assert self.switches.armed_directions(self.now) == expected
        assert (self.switches.paused, self.switches.halted) == (self.paused, self.halted)


TestOperators = Operators.TestCase
TestOperators.settings = settings(max_examples=60, stateful_step_count=30)


def test_every_start_is_disarmed() -> None:
    assert Switches().armed_directions(NOW) == ()
    assert switch_state(Switches(), NOW) == {
        "armed": "none",
        "arm_expires_at": "",
        "survives_restart": "false",
        "paused": "false",
        "halted": "false",
    }


def test_a_lease_ends_at_its_instant() -> None:
    switches = armed(minutes=1)
    assert switches.armed_directions(NOW + timedelta(seconds=59, microseconds=999_999)) == BOTH
    assert switches.armed_directions(NOW + timedelta(minutes=1)) == ()


def test_halt_stands_until_an_explicit_arm() -> None:
    halted = followed(armed(), "halt")
    for action in ("pause", "resume", "disarm", "halt"):
        halted = followed(halted, action)
        assert halted.halted
    assert not followed(halted, "arm", directions=["base_in"], lease_minutes=5).halted


def test_a_pause_keeps_the_lease() -> None:
    paused = followed(armed(), "pause")
    assert paused.armed_directions(NOW) == BOTH
    assert followed(paused, "resume").armed_directions(NOW) == BOTH


def test_a_lease_says_who_gave_it_for_what() -> None:
    lease = armed(directions=(Direction.BASE_OUT,), minutes=7).lease
    assert lease is not None
    assert (lease.actor, lease.reason, lease.configuration_hash) == ("operator", "a test", "config-1")
    assert (lease.granted_at, lease.expires_at) == (NOW, NOW + timedelta(minutes=7))


def test_a_direction_named_twice_is_refused() -> None:
    with pytest.raises(ControlRefused, match="named twice"):
        armed(directions=(Direction.BASE_IN, Direction.BASE_IN))


def test_other_controls_are_not_about_the_switches() -> None:
    assert switch(Switches(), control("drain"), NOW, configuration_hash="") is None


def test_the_lease_timer_ends_the_lease_and_is_set_again_when_it_came_early() -> None:
    switches = armed(minutes=1)
    end = NOW + timedelta(minutes=1)
    assert lease_timer(switches) == [SetTimer(name=LEASE_TIMER, at=end)]
    early, effects = end_of_lease(switches, end - timedelta(microseconds=1))
    assert (early, effects) == (switches, [SetTimer(name=LEASE_TIMER, at=end)])
    ended, effects = end_of_lease(switches, end)
    assert ended.lease is None
    assert [type(effect) for effect in effects] == [Log]
    assert end_of_lease(ended, end) == (ended, [])
