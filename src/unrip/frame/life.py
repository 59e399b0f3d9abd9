"""What every service knows of itself, kept before it hears of an event. Pure.

A service reads its life and says nothing about it: whether it works, is paused or draining, what it stands on, and how
its observations are numbered.
"""

from __future__ import annotations

from datetime import datetime

from unrip.domain.arming import Switches
from unrip.frame.contract import (
    BusChanged,
    Control,
    ControlRefused,
    DatabaseChanged,
    Draining,
    Event,
    RoleChanged,
    Started,
)


class Life:
    """The life of one service, from one start to its end."""

    def __init__(self) -> None:
        #: The id of this start, empty before it.
        self.start_id = ""
        self.started_at: datetime | None = None
        #: Whether the role is ours; a service that shares no role always works.
        self.active = False
        self.why_not_active = ""
        self.draining = False
        self.bus_up = False
        #: False once PostgreSQL is known to be lost.
        self.database_up = True
        self.switches = Switches()
        #: How many observations were numbered.
        self.numbered_so_far = 0

    @property
    def paused(self) -> bool:
        """Whether an operator wants nothing new to be done."""
        return self.switches.paused

    @property
    def silent(self) -> bool:
        """Whether nothing new is to be done."""
        return self.paused or self.draining

    def on_event(self, event: Event, now: datetime) -> None:
        """Take notice of what concerns every service; the service hears of it after."""
        match event:
            case Started():
                self.start_id, self.started_at = event.start_id, now
                self.active, self.why_not_active = event.active, event.why
            case RoleChanged():
                self.active, self.why_not_active = event.active, event.why
            case BusChanged():
                self.bus_up = event.up
            case DatabaseChanged():
                self.database_up = event.up
            case Control(action="pause" | "resume"):
                self.switches = self.switches.with_paused(paused=event.action == "pause")
            case Draining() | Control(action="drain"):
                self.draining = True

    def refuse_while_paused(self, *, or_where: bool = False) -> None:
        """Refuse an action that asks for new work, in a pause or where the service itself has paused that work.

        Raises:
            ControlRefused: it is paused; resuming comes first.

        """
        if self.paused or or_where:
            raise ControlRefused("paused: resume first")

    def numbered(self, kind: str) -> str:
        """The id of the next observation."""
        self.numbered_so_far += 1
        return f"{self.start_id}-{kind}-{self.numbered_so_far}"

    def not_ready(self) -> list[str]:
        """What stands in the way of every service's work."""
        reasons = {"paused": self.paused, "draining": self.draining}
        return [reason for reason, holds in reasons.items() if holds]

    def control_state(self, now: datetime) -> dict[str, str]:
        """What the actions change that every service has."""
        del now
        return {"paused": str(self.paused).lower()}

    def follow(self, control: Control, now: datetime) -> dict[str, str] | None:
        """What an action would change here, None where it is no action of every service."""
        del now
        match control.action:
            case "pause" | "resume":
                return {"paused": str(control.action == "pause").lower()}
            case "drain":
                return {}
        return None
