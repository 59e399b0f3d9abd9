"""What a service stands on: broker, database, and the lock of its role. Changes are logged once and told as events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unrip.domain.values import Value
from unrip.frame.contract import (
    ROLE_LEFT,
    ROLE_NOT_HELD,
    ROLE_UNCONFIRMED,
    STANDBY,
    BusChanged,
    DatabaseChanged,
    Effect,
    Emit,
    Log,
    RoleChanged,
)

#: A holder asks twice a second whether the role is still its own and waits for the answer for one second. Who has not
#: heard for longer stood still, and another instance may have the role by now. What a shorter stall lets pass, the
#: ledger refuses: it knows the newest generation of either role.
CONFIRMED_WITHIN_S = 2.0
_NOT_ASKED = "it was not asked yet"


class DependencyState(Value):
    """How a broker or a database is, for `GET /state`."""

    up: bool | None
    reason: str
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str | None


@dataclass
class Standing:
    """How one of them is by its last answer, and when it last did and last did not do its work."""

    up: bool | None = None
    reason: str = _NOT_ASKED
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    #: The error text of that failure; it stays after it is over.
    last_failure: str | None = None
    #: What was logged about it.
    said: str | None = None

    def heard(self, now: datetime, *, up: bool, reason: str) -> bool:
        """Take an answer in; True when it is to be logged: at each change, and when an outage's new reason lasts."""
        changed, lasts = up != self.up, reason == self.reason != self.said
        first_and_good = self.up is None and up
        self.up, self.reason = up, reason
        if up:
            self.last_success_at = now
        else:
            self.last_failure_at, self.last_failure = now, reason
        if not changed and (up or not lasts):
            return False
        self.said = reason
        return not first_and_good

    def state(self) -> DependencyState:
        """For `GET /state`."""
        return DependencyState(**{name: value for name, value in vars(self).items() if name != "said"})


class Dependencies:
    """The state of broker, database and role, as their watches report it."""

    def __init__(
        self,
        *,
        emit: Emit,
        perform: Callable[[Effect], None],
        clock: Callable[[], datetime],
        elapsed_s: Callable[[], float],
        uses_database: bool,
        single_active: bool,
        on_bus_back: Callable[[], None],
        on_superseded: Callable[[], None],
    ) -> None:
        self._emit = emit
        self._perform = perform
        self._clock, self._elapsed_s = clock, elapsed_s
        self._uses_database = uses_database
        self._on_bus_back = on_bus_back
        self._on_superseded = on_superseded
        self._bus = Standing()
        self._database = Standing()
        #: None until the lock was won for the first time.
        self.generation: int | None = None
        self.active = not single_active
        #: When the lock last said that the role is ours, by both clocks: one may be set, the other may sleep.
        self._confirmed: tuple[datetime, float] | None = None
        #: The named reason while it is not ours.
        self.why_not_active, self._role_words = ROLE_NOT_HELD, _NOT_ASKED

    @property
    def bus_up(self) -> bool | None:
        """None before the first answer."""
        return self._bus.up

    @property
    def database_up(self) -> bool | None:
        """None where the service uses no database."""
        return bool(self._database.up) if self._uses_database else None

    def bus_changed(self, up: bool, reason: str) -> None:  # noqa: FBT001 - the signature of `bus.ports.OnState`
        """What the broker answered, or that it did not."""
        before = self._bus.up
        self._hear("kafka", self._bus, up=up, reason=reason)
        if before == up:
            return
        self._emit(BusChanged(up=up, reason=reason))
        if up:
            self._on_bus_back()

    def database_changed(self, up: bool, reason: str) -> None:  # noqa: FBT001 - as above
        """What PostgreSQL answered, or that it did not."""
        before = self._database.up
        self._hear("postgres", self._database, up=up, reason=reason)
        if before != up:
            self._emit(DatabaseChanged(up=up, reason=reason))

    def role_changed(self, active: bool, generation: int | None) -> None:  # noqa: FBT001 - as above
        """The lock of the role was won, is still held, or was lost.

        Another instance had the role in between if it comes back with another generation: then this process ends and
        starts anew, disarmed, since what it knows is no longer the newest.
        """
        if active and self.generation is not None and generation != self.generation:
            self._on_superseded()
            return
        self._confirmed = (self._clock(), self._elapsed_s()) if active else None
        if active and self.active:
            return
        self.active = active
        if active:
            self.generation = generation
            self._role_words = ""
            self._say("active", generation=generation)
        self._tell_role()

    def role_refused(self, why: str) -> None:
        """What stands between us and the role: `STANDBY` where another instance has it, else in words.

        Who stood still before says so first: what is in the way now is no word about who took the role meanwhile.
        """
        self.doubt_role()
        name = STANDBY if why == STANDBY else ROLE_NOT_HELD
        if (name, why) == (self.why_not_active, self._role_words):
            return
        self.why_not_active, self._role_words = name, why
        self._say(name, level="info" if name == STANDBY else "warning", reason=why)
        if not self.active:
            self._tell_role()

    def doubt_role(self) -> None:
        """Doubt the role before anything is done: a process that stood still may have lost it without knowing."""
        if not self.active or self._confirmed is None:
            return
        told_at, told_s = self._confirmed
        unheard_s = max((self._clock() - told_at).total_seconds(), self._elapsed_s() - told_s)
        if unheard_s <= CONFIRMED_WITHIN_S:
            return
        self.active = False
        self.why_not_active, self._role_words = ROLE_UNCONFIRMED, f"nothing was heard of the lock for {unheard_s:.1f} s"
        self._say(ROLE_UNCONFIRMED, level="warning", reason=self._role_words)
        self._tell_role()

    def role_left(self, why: str) -> None:
        """Note that we gave the role up ourselves; it is wanted again after a while."""
        self.why_not_active, self._role_words = ROLE_LEFT, why
        self._say(ROLE_LEFT, level="error", reason=why)
        self.role_changed(active=False, generation=None)

    def health_failures(self) -> list[str]:
        """Hard dependencies that are away."""
        return ["postgres_unreachable"] if self._uses_database and not self._database.up else []

    def not_ready(self) -> list[str]:
        """The reasons that stand in the way of any work."""
        reasons = self.health_failures()
        if not self._bus.up:
            reasons.append("kafka_unreachable")
        if not self.active:
            reasons.append(self.why_not_active)
        return reasons

    def why(self) -> dict[str, str]:
        """Each of these reasons, with the error text of whoever refused."""
        words = {
            "postgres_unreachable": self._database.reason,
            "kafka_unreachable": self._bus.reason,
            ROLE_NOT_HELD: self._role_words,
            ROLE_LEFT: self._role_words,
            ROLE_UNCONFIRMED: self._role_words,
            STANDBY: "another instance holds the lock of this role",
        }
        return {reason: words[reason] for reason in self.not_ready()}

    def state(self) -> dict[str, DependencyState]:
        """How each of them is, for `GET /state`."""
        postgres = {"postgres": self._database.state()} if self._uses_database else {}
        return {"kafka": self._bus.state(), **postgres}

    def _tell_role(self) -> None:
        generation = self.generation if self.active else None
        self._emit(RoleChanged(active=self.active, generation=generation, why=self.why_not_active))

    def _hear(self, name: str, standing: Standing, *, up: bool, reason: str) -> None:
        if not standing.heard(self._clock(), up=up, reason=reason):
            return
        if up:
            self._say(f"{name}_recovered", component=name)
        else:
            self._say(f"{name}_lost", level="error", component=name, reason=reason)

    def _say(self, event: str, *, level: str = "info", component: str = "role", **body: Any) -> None:
        self._perform(Log(event=event, level=level, component=component, body=body))
