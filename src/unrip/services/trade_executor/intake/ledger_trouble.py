"""What the ledger fails to do: named while it lasts, and a command that it refuses is set aside.

A refusal lies with what we asked, or with a ledger that breaks its own promises. The command becomes a dead letter, the
role is left, and the process stays: the kill switch needs no ledger.
"""

from __future__ import annotations

from unrip.frame.contract import Effect, Log, RecordReceived
from unrip.frame.dead_letters import dead_letter_of_event
from unrip.services.trade_executor.effects import LedgerRefused, LedgerUnknown

#: Calls that are repeated until they succeed, so that their trouble ends by itself.
_LASTING = {"claim", "note", "load"}
_SET_ASIDE_MAX = 100


class LedgerTrouble:
    """The last failure of each kind of call, until one of it succeeds, and the commands that were set aside."""

    def __init__(self) -> None:
        #: The failures by kind of call: a full disk may take one kind of row and refuse another, so each ends its own
        #: only.
        self._names: dict[str, str] = {}
        self._set_aside: dict[str, None] = {}

    def failed(self, event: LedgerUnknown | LedgerRefused) -> None:
        """Note that a call failed."""
        if event.call in _LASTING:
            kind = "ledger_refuses" if isinstance(event, LedgerRefused) else "ledger_away"
            self._names[event.call] = f"{kind}: {event.reason}"

    def over(self, call: str) -> None:
        """Note that a call of this kind succeeded."""
        self._names.pop(call, None)

    def loaded(self) -> None:
        """Forget all failures: after a new load what was asked before may be asked no more, or fails again at once."""
        self._names.clear()

    def stands_in_the_way(self) -> dict[str, bool]:
        """The named reasons, with PostgreSQL's error texts."""
        return dict.fromkeys(self._names.values(), True)

    def set_aside(self, record: RecordReceived, reason: str) -> list[Effect]:
        """Make a dead letter for this command, once: it is handled again when the role is ours."""
        command_id: str = record.message.payload.command_id
        if command_id in self._set_aside:
            return []
        self._set_aside[command_id] = None
        if len(self._set_aside) > _SET_ASIDE_MAX:
            del self._set_aside[next(iter(self._set_aside))]
        body = {"command_id": command_id, "offset": record.offset, "reason": reason}
        log = Log(event="invalid_message", level="error", component="ledger", topic=record.topic, body=body)
        return [log, dead_letter_of_event(record, f"the ledger refuses it: {reason}")]
