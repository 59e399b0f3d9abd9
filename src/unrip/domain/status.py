"""The beat that a service publishes once a second about itself, and the record of what operators did to it."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.desk_state import LedgerView
from unrip.domain.pairs import Direction
from unrip.domain.values import Value


class ServiceStatus(Value):
    """One beat of one instance."""

    service: str
    instance: str
    #: False for a standby: another instance holds the lock.
    active: bool
    started_at: datetime
    healthy: bool
    ready: bool
    #: Why it is not ready; empty when it is.
    not_ready: tuple[str, ...]
    paused: bool
    halted: bool
    armed: tuple[Direction, ...]
    arm_expires_at: datetime | None
    recovering: bool
    #: The take-over number of an active instance that needs one.
    generation: int | None
    #: Its PostgreSQL accepts statements; None where it uses none.
    database_up: bool | None
    #: Records behind the end of its topics; None where it consumes none.
    lag: int | None
    #: The executor's ledger, from one transaction; None elsewhere.
    ledger: LedgerView | None


class ControlRecord(Value):
    """Who did what to a service, why, and what it changed."""

    service: str
    instance: str
    action: str
    #: The name of the token that was used.
    actor: str
    reason: str
    arguments: dict[str, str]
    before: dict[str, str]
    after: dict[str, str]
    acted_at: datetime
    #: False for a refused attempt, with the refusal in `reason_refused`.
    applied: bool
    reason_refused: str | None
