"""The switches an operator holds: armed, paused, halted. Pure; every start is disarmed (R7)."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from unrip.domain.pairs import Direction
from unrip.domain.values import Value

#: No permission lasts longer than this.
LEASE_MINUTES_MAX = 1_440


class ArmLease(Value):
    """A recorded permission to act, for a time."""

    directions: tuple[Direction, ...]
    actor: str
    reason: str
    #: The build and the configuration that it was given for; another build or configuration needs another lease.
    build: str
    configuration_hash: str
    granted_at: datetime
    expires_at: datetime
    #: Whether the service arms itself with it again after a restart; every other lease ends with its process.
    survives_restart: bool = False

    def doubt(self, now: datetime) -> str | None:
        """Why nobody can have given it before `now`; None where somebody can."""
        if self.granted_at > now:
            return "it is dated ahead: a clock was wrong, or is"
        if self.expires_at - self.granted_at > timedelta(minutes=LEASE_MINUTES_MAX):
            return "it lasts longer than any that is given"
        return None


class Switches(Value):
    """The state of the switches.

    `halted` and `paused` overrule the lease without ending it, so that a refusal names what really stands in the way;
    `halted` stays until the next explicit arm.
    """

    lease: ArmLease | None = None
    paused: bool = False
    halted: bool = False

    def armed_directions(self, now: datetime) -> tuple[Direction, ...]:
        """The directions under an unexpired lease. Whether they may act also depends on `halted` and `paused`."""
        if self.lease is None or now >= self.lease.expires_at:
            return ()
        return self.lease.directions

    def armed(self, lease: ArmLease) -> Switches:
        """Arm by an operator's act: the only way out of halted."""
        return msgspec.structs.replace(self, lease=lease, halted=False)

    def disarmed(self) -> Switches:
        """Allow no direction to act."""
        return msgspec.structs.replace(self, lease=None)

    def halt(self) -> Switches:
        """Stop everything until somebody arms again."""
        return msgspec.structs.replace(self, halted=True)

    def with_paused(self, *, paused: bool) -> Switches:
        """Pause or resume. A pause keeps the lease: what was armed goes on after resume."""
        return msgspec.structs.replace(self, paused=paused)
