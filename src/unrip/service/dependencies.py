"""What a service stands on: broker, database, and the lock of its role. Changes are logged once and told as events."""

from __future__ import annotations

from collections.abc import Callable

from unrip.service.contract import BusChanged, DatabaseChanged, Effect, Emit, Log, RoleChanged


class Dependencies:
    """The state of broker, database and role, as their watches report it."""

    def __init__(
        self,
        *,
        emit: Emit,
        perform: Callable[[Effect], None],
        uses_database: bool,
        single_active: bool,
        on_bus_back: Callable[[], None],
        on_superseded: Callable[[], None],
    ) -> None:
        self._emit = emit
        self._perform = perform
        self._uses_database = uses_database
        self._single_active = single_active
        self._on_bus_back = on_bus_back
        self._on_superseded = on_superseded
        self.bus_up: bool | None = None
        self._database_up: bool | None = None
        #: None until the lock was won for the first time.
        self.generation: int | None = None
        self.active = not single_active

    @property
    def database_up(self) -> bool | None:
        """None where the service uses no database."""
        return bool(self._database_up) if self._uses_database else None

    def bus_changed(self, up: bool, reason: str) -> None:  # noqa: FBT001 - the signature of `bus.ports.OnState`
        """The broker answers, or no longer does."""
        before, self.bus_up = self.bus_up, up
        if before == up:
            return
        self._say("kafka", up=up, before=before, reason=reason)
        self._emit(BusChanged(up=up, reason=reason))
        if up:
            self._on_bus_back()

    def database_changed(self, up: bool, reason: str) -> None:  # noqa: FBT001 - as above
        """PostgreSQL answers, or no longer does."""
        before, self._database_up = self._database_up, up
        if before == up:
            return
        self._say("postgres", up=up, before=before, reason=reason)
        self._emit(DatabaseChanged(up=up, reason=reason))

    def role_changed(self, active: bool, generation: int | None) -> None:  # noqa: FBT001 - as above
        """The lock of the role was won or lost.

        Another instance had the role in between if it comes back with another generation: then this process ends and
        starts anew, disarmed, since what it knows is no longer the newest.
        """
        if active and self.generation is not None and generation != self.generation:
            self._on_superseded()
            return
        self.active = active
        if active:
            self.generation = generation
        self._perform(Log(event="active" if active else "standby", component="role", body={"generation": generation}))
        self._emit(RoleChanged(active=active, generation=generation))

    def health_failures(self) -> list[str]:
        """Hard dependencies that are away."""
        return ["postgres_unreachable"] if self._uses_database and not self._database_up else []

    def not_ready(self) -> list[str]:
        """What stands in the way of any work."""
        reasons = self.health_failures()
        if not self.bus_up:
            reasons.append("kafka_unreachable")
        if not self.active:
            reasons.append("standby")
        return reasons

    def _say(self, name: str, *, up: bool, before: bool | None, reason: str) -> None:
        """The first answer is no recovery, so nothing is said about it."""
        if up and before is not None:
            self._perform(Log(event=f"{name}_recovered", component=name))
        elif not up:
            self._perform(Log(event=f"{name}_lost", level="error", component=name, body={"reason": reason}))
