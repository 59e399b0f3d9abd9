"""What the executor believes of the chain: each reading is doubted first, and an operator may take a belief back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from unrip.domain.doubt import Belief, Believed, Doubt, Older, Refused, Seen
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import Count, Effect, Log
from unrip.services.trade_executor.effects import LedgerLoaded

#: The time of a block whose ledger kept only its height.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_OUTWEIGHED = "readings in a row agree against it"


@dataclass
class Believing:
    """The last reading, believed or not, and why it was not."""

    belief: Belief
    told: VerifierReading | None = None
    refused: Refused | None = None
    _loaded: bool = False
    #: An operator's reason to replace what is believed by the next reading.
    _undo_reason: str | None = None
    _said: Doubt | None = field(default=None)

    def load(self, event: LedgerLoaded) -> None:
        """Go on from what the ledger believes; nothing is believed before that is known."""
        if not self._loaded and event.view.height:
            self.belief.resume(event.believed or Seen(height=event.view.height, block_time=_LONG_AGO))
        self._loaded = True

    def take(self, reading: VerifierReading, now: datetime) -> Believed | Older | Refused:
        """Judge a reading."""
        self.told = reading
        judged = self.belief.take(reading, now) if self._loaded else Older()
        self.refused = judged if isinstance(judged, Refused) else None
        return judged

    def undo(self, reason: str) -> None:
        """Have the next reading that agrees with the clock replace what is believed, as an operator decided."""
        self.belief.undone, self._undo_reason = True, reason

    def not_ready(self) -> list[str]:
        """The name of the doubt about the last reading; a wrong clock has its own."""
        if self.refused is None or self.refused.doubt is Doubt.CLOCK_SKEWED:
            return []
        return [f"verifier_doubted: {self.refused.doubt}"]

    def judged(self, judged: Believed | Older | Refused) -> tuple[str | None, list[Effect]]:
        """Why this reading replaces a greater height, None where it replaces nothing; and the effects that report it.

        Each reading and each refusal is counted, each change of the doubt is a line, and so is a belief that gave way.
        """
        before, self._said = self._said, None if self.refused is None else self.refused.doubt
        effects: list[Effect] = [Count(name="verifier_reads", labels={"outcome": _outcome(judged)})]
        if self.refused is not None:
            effects.append(refusal_counted(self.refused))
            if self._said != before:
                body = {"doubt": self.refused.doubt, "numbers": self.refused.numbers}
                effects.append(_line("reading_refused", "error", body))
        elif before is not None:
            effects.append(_line("reading_believed", "info", {}))
        if not isinstance(judged, Believed) or judged.replaces is None or self.told is None:
            return None, effects
        because, self._undo_reason = self._undo_reason or _OUTWEIGHED, None
        heights = {"was_height": judged.replaces.height, "height": self.told.height}
        line = _line("belief_replaced", "error", {**heights, "node": self.told.node, "reason": because})
        return because, [*effects, Count(name="beliefs_replaced"), line]


def _outcome(judged: Believed | Older | Refused) -> str:
    if isinstance(judged, Believed):
        return "read"
    behind = isinstance(judged, Older) or judged.doubt is Doubt.CHAIN_WENT_BACK
    return "older_block" if behind else "refused"


def refusal_counted(refused: Refused) -> Count:
    """Count a reading that was not believed, by the name of the doubt."""
    return Count(name="readings_refused", labels={"doubt": refused.doubt})


def _line(event: str, level: str, body: dict[str, Any]) -> Log:
    return Log(event=event, level=level, component="verifier", venue="near_intents", body=body)
