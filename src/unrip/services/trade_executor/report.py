"""The report on executions: the latest attempts, counts, and one log line per change of state."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from unrip.domain.attempt import AttemptState, Offer, TradeResult, VenueReply, execution_id_of
from unrip.domain.command import TradeCommand
from unrip.frame.contract import Count, Effect, Log
from unrip.services.trade_executor.state import EndedAttempt, FailedExecution
from unrip.store.ledger import HeldDifference

ATTEMPTS_KEPT = 50


class ExecutionReport:
    """Counts since the start and the last attempts."""

    def __init__(self) -> None:
        self._last_command: TradeCommand | None = None
        self._last_response: VenueReply | None = None
        self._last_error: FailedExecution | None = None
        self._ended: Counter[str] = Counter()
        self._attempts: deque[EndedAttempt] = deque(maxlen=ATTEMPTS_KEPT)
        self._verifier_read = True
        self._differences: tuple[HeldDifference, ...] = ()

    def commanded(self, command: TradeCommand) -> None:
        """A command is being handled."""
        self._last_command = command

    def answered(self, response: VenueReply) -> None:
        """The relay replied."""
        self._last_response = response

    def submitted(self, offer: Offer) -> list[Effect]:
        """The bytes left."""
        return [_line("execution_submitted", offer.pair, _ids(offer))]

    def failed(self, offer: Offer, state: AttemptState, reason: str) -> list[Effect]:
        """Refused, or without a reply; the offer stays open until evidence."""
        self._last_error = FailedExecution(**_ids(offer), state=state, reason=reason)
        return [_line("execution_failed", offer.pair, {**_ids(offer), "state": state, "reason": reason}, "warning")]

    def ended(self, result: TradeResult, now: datetime) -> list[Effect]:
        """A terminal result is committed."""
        self._ended[result.state] += 1
        body: dict[str, Any] = {
            "execution_id": execution_id_of(result.command_id),
            "command_id": result.command_id,
            "quote_id": result.quote_id,
            "state": result.state,
            "reason": result.reason,
            "numbers": result.numbers,
        }
        self._attempts.append(EndedAttempt(**body, ended_at=now, evidence=result.evidence))
        event = {
            AttemptState.REJECTED: "execution_rejected",
            AttemptState.DROPPED: "execution_failed",
        }.get(result.state, "execution_completed")
        by_word = result.evidence is not None and result.evidence.operator is not None
        labels = {"state": str(result.state), "reason": "operator" if by_word else result.reason or "none"}
        return [Count(name="executions_ended", labels=labels), _line(event, result.pair, body)]

    def recovered(self, open_offers: int) -> list[Effect]:
        """Every open offer was asked about since the start or the reconnect."""
        return [Log(event="execution_recovered", component="recovery", body={"open_offers": open_offers})]

    def held_differs(self, differences: Sequence[HeldDifference]) -> list[Effect]:
        """Report where counter and open holds do not add up: once per change, and never repaired by itself."""
        new, self._differences = [each for each in differences if each not in self._differences], tuple(differences)
        return [
            Count(name="held_checks", labels={"outcome": "differs" if differences else "agrees"}),
            *(_differs(each) for each in new),
        ]

    def health_failures(self) -> list[str]:
        """What the last check of the ledger found."""
        return ["ledger_differs"] if self._differences else []

    def unread(self, reason: str) -> list[Effect]:
        """Log once that the verifier could not be read, until it can be read again."""
        before, self._verifier_read = self._verifier_read, False
        if not before:
            return []
        body = {"reason": reason}
        return [Log(event="connection_lost", level="warning", component="verifier", venue="near_intents", body=body)]

    def read_again(self) -> list[Effect]:
        """Note that the verifier was read."""
        before, self._verifier_read = self._verifier_read, True
        return [] if before else [Log(event="connection_recovered", component="verifier", venue="near_intents")]

    def state(self) -> dict[str, Any]:
        """For `GET /state`."""
        return {
            "last_command": self._last_command,
            "last_venue_response": self._last_response,
            "last_error": self._last_error,
            "completed": dict(self._ended),
            "attempts": tuple(reversed(self._attempts)),
        }


def _ids(offer: Offer) -> dict[str, Any]:
    return {
        "execution_id": execution_id_of(offer.command_id),
        "command_id": offer.command_id,
        "quote_id": offer.quote_id,
        "quote_hash": offer.quote_hash,
    }


def _line(event: str, pair: str, body: dict[str, Any], level: str = "info") -> Log:
    return Log(event=event, level=level, component="execution", venue="near_intents", pair=pair, body=body)


def _differs(difference: HeldDifference) -> Log:
    held, open_holds = str(int(difference.held)), str(int(difference.open_holds))
    body = {"asset": difference.asset, "held": held, "open_holds": open_holds}
    return Log(event="ledger_differs", level="error", component="ledger", body=body)
