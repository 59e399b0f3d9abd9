"""The beat on `ops.service_status`: a service reports itself each second, and at once after an operator's action."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.status import ServiceStatus
from unrip.domain.values import Value
from unrip.frame.contract import Publish, Vitals
from unrip.messages.topics import SERVICE_STATUS

BEAT_S = 1.0


class Beat:
    """Builds beats; observations are numbered under the start's id."""

    def __init__(
        self, *, service: str, start_id: str, started_at: datetime, account: str | None, details: type[Value] | None
    ) -> None:
        """`details` is what the service says that it tells; of another type they are a programming error."""
        self._service = service
        self._account = account
        self._details = details
        self._start_id = start_id
        self._started_at = started_at
        self._sequence = 0

    def next(
        self,
        now: datetime,
        vitals: Vitals,
        *,
        active: bool,
        generation: int | None,
        health_failures: list[str],
        not_ready: list[str],
        database_up: bool | None,
    ) -> Publish:
        """The next beat as an effect."""
        kind = type(vitals.details)
        if vitals.details is not None and kind is not self._details:
            raise AssertionError(f"the definition of this service does not say that its beat tells {kind.__name__}")
        self._sequence += 1
        event_id = f"{self._start_id}-beat-{self._sequence}"
        status = ServiceStatus(
            service=self._service,
            instance=self._start_id,
            account=self._account,
            active=active,
            started_at=self._started_at,
            healthy=not health_failures,
            ready=not not_ready,
            not_ready=tuple(not_ready),
            paused=vitals.paused,
            generation=generation,
            database_up=database_up,
            details=vitals.details,
        )
        return Publish(
            topic=SERVICE_STATUS, event_id=event_id, payload=status, observed_at=now, correlation_id=event_id
        )
