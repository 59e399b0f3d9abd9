"""The report on decisions: counts, the latest ones, and log lines that cannot flood."""

from __future__ import annotations

from collections import Counter, deque
from datetime import datetime, timedelta
from typing import Any

from unrip.domain.decision import Decision, Refusal
from unrip.frame.contract import Count, Effect, Log, SetTimer
from unrip.services.strategy_engine.state import Decided

#: How many refusals in a second have a line each; above it they share one (blueprint, section 11).
REFUSAL_LINES_PER_S = 5
LATEST_KEPT = 50


class DecisionReport:
    """Counts by reason since the start, and the latest decisions."""

    def __init__(self) -> None:
        self._accepted = 0
        self._by_reason: Counter[Refusal] = Counter()
        self._latest: deque[Decision] = deque(maxlen=LATEST_KEPT)
        self._second_began: datetime | None = None
        self._lines = 0
        self._unsaid: Counter[Refusal] = Counter()

    def decided(self, decision: Decision, now: datetime) -> list[Effect]:
        """Count a decision and log it."""
        self._latest.append(decision)
        if decision.reason is None:
            self._accepted += 1
            return [Count(name="decisions", labels={"reason": "accepted"}), _line("decision_accepted", decision)]
        self._by_reason[decision.reason] += 1
        return [
            Count(name="decisions", labels={"reason": decision.reason}),
            *self._refused(decision, decision.reason, now),
        ]

    def _refused(self, decision: Decision, reason: Refusal, now: datetime) -> list[Effect]:
        if self._second_began is None or now - self._second_began >= timedelta(seconds=1):
            effects = self.summary(now)
            self._second_began, self._lines = now, 0
        else:
            effects = []
        self._lines += 1
        if self._lines <= REFUSAL_LINES_PER_S:
            return [*effects, _line("decision_rejected", decision)]
        self._unsaid[reason] += 1
        if self._unsaid.total() == 1:
            effects.append(SetTimer(name="report", at=self._second_began + timedelta(seconds=1)))
        return effects

    def summary(self, now: datetime) -> list[Effect]:
        """One line for the refusals that got none of their own."""
        del now
        if not self._unsaid:
            return []
        counts = {str(reason): count for reason, count in self._unsaid.items()}
        self._unsaid.clear()
        return [Log(event="decisions_rejected", component="decide", body={"counts": counts})]

    def state(self) -> dict[str, Any]:
        """For `GET /state`."""
        return {
            "decisions_accepted": self._accepted,
            "decisions_refused": {str(reason): count for reason, count in self._by_reason.items()},
            "latest_decisions": tuple(
                Decided(
                    quote_id=decision.quote_id,
                    direction=decision.direction,
                    accepted=decision.accepted,
                    reason=decision.reason,
                    gross_edge=decision.gross_edge,
                    notional_eur=decision.notional_eur,
                    decided_at=decision.decided_at,
                )
                for decision in reversed(self._latest)
            ),
        }


def _line(event: str, decision: Decision) -> Log:
    body: dict[str, Any] = {
        "quote_id": decision.quote_id,
        "decision_id": decision.decision_id,
        "direction": decision.direction,
        "gross_edge": decision.gross_edge,
        "notional_eur": decision.notional_eur,
    }
    if decision.reason is not None:
        refusing = next(guard for guard in decision.guards if guard.reason is decision.reason)
        body |= {"reason": decision.reason, "numbers": refusing.numbers}
    if decision.command is not None:
        body["command_id"] = decision.command.command_id
    return Log(event=event, component="decide", venue="near_intents", pair=decision.pair, body=body)
