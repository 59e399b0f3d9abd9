"""What strategy-engine shows of itself."""

from __future__ import annotations

import types
from datetime import datetime
from decimal import Decimal
from typing import Any

from unrip.domain.decision import Refusal
from unrip.domain.desk_state import DeskState
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Direction
from unrip.domain.reference import Observed
from unrip.domain.values import Value
from unrip.frame.state import SwitchState
from unrip.services.strategy_engine.limits import LIMITS


class Readiness(Value):
    """Whether a trade may happen now in one direction."""

    ready: bool
    #: Every reason why not.
    reasons: tuple[str, ...]
    #: The symbol of what it would spend.
    spends: str
    #: In smallest units; null where it is not known.
    spendable: str | None
    #: The most that one offer may spend now, in whole tokens; null where it is nothing or not known.
    largest_quotable: str | None


class Decided(Value):
    """A decision in short."""

    quote_id: str
    direction: Direction
    accepted: bool
    reason: Refusal | None
    gross_edge: Decimal | None
    notional_eur: Decimal | None
    decided_at: datetime


class EngineState(SwitchState):
    """`GET /state` of strategy-engine but for the limits in force."""

    #: Whether PostgreSQL has the limits in force.
    limits_kept: bool
    policy_hash: str
    #: The one answer to trade-ready, by direction.
    trade_ready: dict[str, Readiness]
    generation: int
    price: Observed[MarketPrice] | None
    inventory: Observed[IntentInventory] | None
    desk: DeskState
    #: Own commands that the executor's ledger has not handled yet.
    commands_uncounted: int
    demands_waiting: int
    fills_today: int
    #: Those of today's fills whose markout is not known yet.
    fills_unmarked: int
    equity_eur: Decimal | None
    drawdown_eur: Decimal | None
    decisions_accepted: int
    #: Reason to count, since the start.
    decisions_refused: dict[str, int]
    #: The newest first.
    latest_decisions: tuple[Decided, ...]


def _limits(fields: dict[str, Any]) -> None:
    fields |= {
        "__module__": __name__,
        "__doc__": "`GET /state` of strategy-engine, each changeable limit by its name.",
        "__annotations__": dict.fromkeys(LIMITS, str),
    }


#: The limits are declared once, in `domain/policy.py`.
StrategyState: type[EngineState] = types.new_class("StrategyState", (EngineState,), {"kw_only": True}, _limits)
