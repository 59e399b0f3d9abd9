"""Whether the ledger can be the newest one; if not, nothing is armed until every offer it may not know is dead.

A restored backup must not forget live offers (blueprint, section 8): for the longest life of an offer, commands that
the ledger does not know count as perhaps sent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from unrip.domain.attempt import TradeResult
from unrip.domain.desk import CommandPosition
from unrip.domain.values import Value
from unrip.messages.topics import EXECUTE_TRADE, TRADE_RESULT
from unrip.service.contract import Effect, Log, SetTimer, Subscribe
from unrip.services.trade_executor.effects import LedgerLoaded, NoteSurroundings
from unrip.services.trade_executor.lane import NoteLane

TIMER = "quarantine"
#: Results read back to find the newest of our account.
_RESULTS_TAIL = 100


class QuarantineState(Value):
    """What `GET /state` shows."""

    reason: str
    until: datetime


class Quarantine:
    """The judgement at the start, and the wait that follows it."""

    def __init__(self, *, account: str, longest_life: timedelta, notes: NoteLane) -> None:
        self._account = account
        self._notes = notes
        self._longest_life = longest_life
        self._position: CommandPosition | None = None
        #: The results on Kafka were read back, and the commands may be.
        self.judged = False
        self.state: QuarantineState | None = None

    def load(self, event: LedgerLoaded, now: datetime) -> list[Effect]:
        """The ledger at the start: its own doubts, then what the topics know that it does not."""
        self._position = event.position
        effects: list[Effect] = [Subscribe(topic=TRADE_RESULT, tail=_RESULTS_TAIL, until_end=True)]
        if event.quarantined_until is not None:
            return [*effects, *self._enter(event.doubt, event.quarantined_until)]
        return [*effects, *(self.begin(event.doubt, now) if event.doubt else [])]

    def on_result(self, result: TradeResult, now: datetime) -> list[Effect]:
        """A result that an earlier life published: it names how far the ledger was then."""
        told = result.ledger.position if result.ledger is not None and result.account == self._account else None
        if told is None:
            return []
        known = self._position
        if known is None or (told.topic_id == known.topic_id and told.next_offset > known.next_offset):
            return self.begin("ledger_older_than_its_results", now)
        return []

    def on_commands(self, topic_id: str, now: datetime) -> list[Effect]:
        """The topic of the commands: is it the one that the ledger has a position in."""
        position, self._position = self._position, None  # judged once
        if position is None or position.topic_id == topic_id:
            return []
        return self.begin("commands_topic_is_another", now)

    def on_truncated(self, topic: str, now: datetime) -> list[Effect]:
        """The topic of the commands ends before the ledger's position, at the start: what it held is not known."""
        if topic != EXECUTE_TRADE.name or self._position is None:
            return []
        self._position = None  # judged once
        return self.begin("commands_topic_is_truncated", now)

    def results_read(self) -> list[Effect]:
        """The results are read back: commands are read from right after the ledger's position.

        A topic that is made anew is read once more, and that is said again; the commands are followed by then.
        """
        if self.judged:
            return []
        self.judged = True
        position = self._position
        return [
            Subscribe(
                topic=EXECUTE_TRADE,
                topic_id=position.topic_id if position else None,
                offset=position.next_offset if position else None,
            )
        ]

    def on_timer(self, now: datetime) -> list[Effect]:
        """The wait is over, unless the timer came a moment early: this database is the recorded one from now on."""
        if self.state is None:
            return []
        if now < self.state.until:
            return [SetTimer(name=TIMER, at=self.state.until)]
        over, self.state = self.state, None
        return [
            Log(event="quarantine_over", component="quarantine", body={"reason": over.reason}),
            *self._notes.push(NoteSurroundings(account=self._account, reason="", quarantined_until=None)),
        ]

    def stands_in_the_way(self) -> dict[str, bool]:
        """The named reason, with what the operator must know."""
        if self.state is None:
            return {}
        return {f"quarantine: {self.state.reason}, until {self.state.until:%H:%M:%S} UTC": True}

    def begin(self, reason: str, now: datetime) -> list[Effect]:
        """Wait; a restart meanwhile goes on waiting. The first reason stands."""
        if self.state is not None:
            return []
        until = now + self._longest_life
        note = NoteSurroundings(account=self._account, reason=reason, quarantined_until=until)
        return [*self._enter(reason, until), *self._notes.push(note)]

    def _enter(self, reason: str, until: datetime) -> list[Effect]:
        self.state = QuarantineState(reason=reason, until=until)
        body = {"reason": reason, "until": until.isoformat()}
        return [
            SetTimer(name=TIMER, at=until),
            Log(event="quarantined", level="error", component="quarantine", body=body),
        ]
