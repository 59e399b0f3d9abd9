"""Effects and events that only the strategy knows."""

from __future__ import annotations

from datetime import datetime, timedelta

from unrip.domain.attempt import TradeResult
from unrip.domain.equity import HighestEquity
from unrip.domain.market import MarketPrice
from unrip.domain.policy import Policy
from unrip.domain.values import Value


class RememberPolicy(Value):
    """Effect: keep the policy by its hash, so that its decisions can be recomputed, and note that it is in force.

    `PolicyPersisted` follows, in the order of the changes.
    """

    policy: Policy
    #: The hash of the configured policy that it was changed from.
    base: str
    #: Changes count from 1 in each generation; the highest of the highest generation is in force after a restart.
    generation: int
    change: int
    actor: str
    reason: str


class PolicyPersisted(Value):
    """PostgreSQL has acknowledged a change, and every earlier one of this life."""

    change: int


class Restore(Value):
    """Effect: read back what must survive a restart; `Restored` follows, and then `HighestRestored`."""

    base: str
    #: The beginning of the UTC day.
    since: datetime
    markout: timedelta
    #: The generation of this life; what it keeps is numbered within.
    generation: int


class Restored(Value):
    """What an earlier life left."""

    #: The policy in force; None when it is the configured one.
    policy: Policy | None
    #: The day's settled results, each with the price of its markout, if that is on record.
    fills: tuple[tuple[TradeResult, MarketPrice | None], ...]


class HighestRestored(Value):
    """The highest equity of earlier lives; None in the first one. No decision waits for it."""

    highest: HighestEquity | None
    #: The generation of this life.
    generation: int


class PersistHighest(Value):
    """Effect: keep the highest equity; `HighestPersisted` follows. There is never a second one before that."""

    highest: HighestEquity
    #: Changes count from 1 in each generation; the highest of the highest generation is found after a restart.
    generation: int
    change: int


class HighestPersisted(Value):
    """PostgreSQL has acknowledged the highest equity."""
