"""The beat that a service publishes once a second about itself, and the record of what operators did to it."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.desk_state import LedgerView
from unrip.domain.pairs import Direction
from unrip.domain.values import Value


class SwitchView(Value):
    """The switches of a service that can be armed."""

    halted: bool
    armed: tuple[Direction, ...]
    arm_expires_at: datetime | None


class StrategyVitals(Value, tag="strategy", tag_field="kind"):
    """What only strategy-engine says."""

    switches: SwitchView


class ExecutorVitals(Value, tag="executor", tag_field="kind"):
    """What only trade-executor says."""

    switches: SwitchView
    #: Open attempts of an earlier life have not all been asked about yet.
    recovering: bool
    #: Commands that are read and not yet handled.
    lag: int
    #: Its ledger, from one transaction; None until it was read.
    ledger: LedgerView | None


class HistoryVitals(Value, tag="history", tag_field="kind"):
    """What only history-writer says."""

    #: Records behind the end of its topics; None where it did not say: unknown, which is not zero.
    lag: int | None


class OtherVitals(Value, tag="other", tag_field="kind"):
    """What a service says that this build does not know."""

    #: Its kind as the service wrote it.
    name: str
    #: All of it, as JSON.
    text: str


#: What a beat says beyond what every service says; None where there is nothing.
Details = StrategyVitals | ExecutorVitals | HistoryVitals | OtherVitals


class ServiceStatus(Value):
    """One beat of one instance."""

    service: str
    instance: str
    #: Whose desk it belongs to; None where none is configured, or where the record is older than this field.
    account: str | None
    #: False for a standby: another instance holds the lock.
    active: bool
    started_at: datetime
    healthy: bool
    ready: bool
    #: Why it is not ready; empty when it is.
    not_ready: tuple[str, ...]
    paused: bool
    #: The take-over number of an active instance that needs one.
    generation: int | None
    #: Its PostgreSQL accepts statements; None where it uses none.
    database_up: bool | None
    details: Details | None


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
    #: Whose desk it was; None where none is configured, or where the record is older than this field.
    account: str | None = None
