"""Everything the history has of one quote, and what follows from it. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from unrip.domain.attempt import AttemptState, TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.values import Value
from unrip.messages.envelope import Envelope
from unrip.messages.payloads import RawQuote

NOT_DECIDED = "not decided"
OPEN = "open"


class StageTime(Value):
    """A stage of the quote, and the time since the stage before."""

    stage: str
    at: datetime
    ms: float


class QuoteHistory(Value):
    """The records of one quote, each a whole event; missing ones are None."""

    quote_id: str
    quote: Envelope[RawQuote] | None = None
    demand: Envelope[SwapDemand] | None = None
    price: Envelope[MarketPrice] | None = None
    inventory: Envelope[IntentInventory] | None = None
    decision: Envelope[Decision] | None = None
    command: Envelope[TradeCommand] | None = None
    #: In the order in which they were published.
    results: tuple[Envelope[TradeResult], ...] = ()

    @property
    def last(self) -> TradeResult | None:
        """The newest state of the attempt; a terminal one whatever else was published after it."""
        states = [result.payload for result in self.results]
        return next((state for state in states if state.state.terminal), states[-1] if states else None)

    @property
    def outcome(self) -> str:
        """How it ended: the terminal state or `refused`, with the reason after a colon; `open`; or `not decided`."""
        if self.last is not None:
            return _with_reason(self.last.state, self.last.reason) if self.last.state.terminal else OPEN
        if self.command is not None:
            return OPEN
        if self.decision is None:
            return NOT_DECIDED
        return OPEN if self.decision.payload.accepted else _with_reason("refused", self.decision.payload.reason)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.outcome not in {OPEN, NOT_DECIDED}

    @property
    def missing(self) -> tuple[str, ...]:
        """Records that must exist, given those that do. An open attempt lacks nothing for being open."""
        decision = self.decision.payload if self.decision is not None else None
        has_command = self.command is not None or bool(self.results)
        expected = {
            "quote": True,
            # The pair's own quotes are decided; others are only recorded, up to a cap.
            "demand": self.quote is None or self.quote.payload.in_filter,
            "decision": self.quote is None or self.quote.payload.in_filter,
            "price": decision is not None and decision.price_id is not None,
            "inventory": decision is not None and decision.inventory_id is not None,
            "command": has_command or (decision is not None and decision.accepted),
        }
        records = [name for name, must in expected.items() if must and getattr(self, name) is None]
        return (*records, *self._missing_results())

    def _missing_results(self) -> list[str]:
        """Whatever happens to a claimed offer, its claim was committed and so published before."""
        states = {result.payload.state for result in self.results}
        if not states or AttemptState.REJECTED in states or AttemptState.CLAIMED in states:
            return []
        return [f"result {AttemptState.CLAIMED}"]

    @property
    def stages(self) -> tuple[StageTime, ...]:
        """Every stage in the order of time: the stamps that the events carry along, and when each was published."""
        stamps: dict[str, datetime] = {}
        for name, event in self._events():
            for stage, at in event.stages.items():
                stamps[stage] = min(at, stamps.get(stage, at))
            stamps.setdefault(f"{name} published", event.published_at)
        ordered = sorted(stamps.items(), key=lambda stamp: stamp[1])
        before = [at for _, at in ordered[:1] + ordered[:-1]]
        return tuple(
            StageTime(stage=stage, at=at, ms=(at - previous) / timedelta(milliseconds=1))
            for (stage, at), previous in zip(ordered, before, strict=True)
        )

    def _events(self) -> Iterable[tuple[str, Envelope[Any]]]:
        """The events of the quote itself; price and inventory are older and belong to many quotes."""
        single = {"quote": self.quote, "demand": self.demand, "decision": self.decision, "command": self.command}
        yield from ((name, event) for name, event in single.items() if event is not None)
        yield from ((f"result {event.payload.state}", event) for event in self.results)


def _with_reason(what: str, reason: str | None) -> str:
    return f"{what}: {reason}" if reason else str(what)
