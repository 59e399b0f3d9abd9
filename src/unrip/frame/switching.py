"""The controls that arm, disarm, halt and pause, the same for every service that holds switches."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from pydantic import Field

from unrip import __version__
from unrip.domain.arming import LEASE_MINUTES_MAX, ArmLease, Switches
from unrip.domain.pairs import Direction
from unrip.frame.action import Action, ReasonBody
from unrip.frame.contract import Control, ControlRefused, Effect, Log, SetTimer

LEASE_TIMER = "lease"


class ArmBody(ReasonBody):
    """A permission to act, for a time."""

    directions: list[Direction] = Field(default=[Direction.BASE_IN, Direction.BASE_OUT], min_length=1)
    lease_minutes: int = Field(
        default=480, ge=1, le=LEASE_MINUTES_MAX, description="The lease ends by itself after this."
    )
    survive_restart: bool = Field(
        default=False, description="Arm again after a restart, for the same build and configuration."
    )


class RevokingHaltBody(ReasonBody):
    """The kill switch."""

    revoke: bool = Field(default=False, description="Take live offers back, too, by spending their nonces.")


ARM = Action(
    name="arm",
    body=ArmBody,
    summary="Allow side effects in the given directions until the lease ends.",
    log_event="armed",
)
DISARM = Action(name="disarm", summary="Allow no side effect in any direction.", brake=True, log_event="disarmed")
HALT = Action(
    name="halt", summary="Disarm at once; stays halted until the next explicit arm.", brake=True, log_event="halted"
)
#: The action of the service that has live offers outside.
HALT_AND_REVOKE = msgspec.structs.replace(HALT, body=RevokingHaltBody)
ARMING_ACTIONS = (ARM, DISARM, HALT)


def switch(switches: Switches, control: Control, now: datetime, *, configuration_hash: str) -> Switches | None:
    """The switches after a control; None when the control is not about them."""
    match control.action:
        case "arm":
            return switches.armed(_lease(control, now, configuration_hash))
        case "disarm":
            return switches.disarmed()
        case "halt":
            return switches.halt()
        case "pause":
            return switches.with_paused(paused=True)
        case "resume":
            return switches.with_paused(paused=False)
    return None


def lease_timer(switches: Switches) -> list[Effect]:
    """The timer that ends the lease, none without one."""
    return [SetTimer(name=LEASE_TIMER, at=switches.lease.expires_at)] if switches.lease else []


def end_of_lease(switches: Switches, now: datetime) -> tuple[Switches, list[Effect]]:
    """The switches when the lease's timer has fired, and what is said about it.

    A lease ends by the wall clock and timers run on the monotonic one, so a timer can come a moment early: it is set
    again.
    """
    if switches.lease is None or switches.armed_directions(now):
        return switches, lease_timer(switches)
    body = {"actor": "lease", "reason": "the lease has ended"}
    return switches.disarmed(), [Log(event="disarmed", component="arming", body=body)]


def switch_state(switches: Switches, now: datetime) -> dict[str, str]:
    """The switches as a control record shows them."""
    return {
        "armed": ",".join(switches.armed_directions(now)) or "none",
        "arm_expires_at": switches.lease.expires_at.isoformat() if switches.lease else "",
        "survives_restart": str(switches.lease is not None and switches.lease.survives_restart).lower(),
        "paused": str(switches.paused).lower(),
        "halted": str(switches.halted).lower(),
    }


def _lease(control: Control, now: datetime, configuration_hash: str) -> ArmLease:
    directions = tuple(Direction(name) for name in control.arguments["directions"])
    if len(set(directions)) != len(directions):
        raise ControlRefused("a direction is named twice")
    return ArmLease(
        directions=directions,
        actor=control.actor,
        reason=control.reason,
        build=__version__,
        configuration_hash=configuration_hash,
        granted_at=now,
        expires_at=now + timedelta(minutes=control.arguments["lease_minutes"]),
        survives_restart=control.arguments.get("survive_restart", False),
    )
