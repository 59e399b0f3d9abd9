"""Whether the ledger can be the newest one; if not, nothing is armed until every offer it may not know is dead.

A restored backup must not forget live offers (blueprint, section 8). In quarantine a command that the ledger does not
know counts as perhaps sent. It ends by evidence: every command up to the topic's end is in the ledger, and a final
block is later than the first one read in it by the longest life of an offer. No nonce ends before the first of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from unrip.domain.attempt import AttemptState, TradeResult
from unrip.domain.desk_state import COMMITS_MAX, CommandPosition
from unrip.domain.policy import Policy
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import Effect, Log, Subscribe
from unrip.messages.topics import EXECUTE_TRADE, TRADE_RESULT
from unrip.services.trade_executor.definition import RESULTS_READ_BACK
from unrip.services.trade_executor.effects import LedgerLoaded, NoteSurroundings
from unrip.services.trade_executor.offers.ledger_writes import LedgerWrites
from unrip.services.trade_executor.offers.nonce import FINALITY_ALLOWANCE
from unrip.services.trade_executor.state import QuarantineState


class Quarantine:
    """The judgement at a start and wherever the ledger is found to be another one, and the wait that follows it."""

    def __init__(
        self, *, account: str, policy: Policy, writes: LedgerWrites, on_begin: Callable[[], list[Effect]]
    ) -> None:
        self._account = account
        self._writes = writes
        longest_ms = policy.longest_life_ms + policy.clock_ahead_max_ms
        self._longest_life = timedelta(milliseconds=longest_ms) + FINALITY_ALLOWANCE
        self._on_begin = on_begin
        self._position: CommandPosition | None = None
        #: Whether the ledger has handled commands, so that results may show more than it knows.
        self._handled_any = False
        #: Whether the results on Kafka were read back, so that the commands may be.
        self.judged = False
        self.state: QuarantineState | None = None
        #: Whether a final block was read in it.
        self._timed = False
        #: The highest number of commits that anybody knows of, and that a note of this quarantine has named.
        self._commits = 0
        self._named = 0
        #: The commands that stood in the topic were all read; and are all in the ledger, too.
        self._end_read = False
        self._all_known = False
        #: What an earlier life published last about each command.
        self._told: dict[str, TradeResult] = {}

    def knows_every_offer(self, *, handled: bool) -> bool:
        """Whether every offer on a nonce is known; `handled`: no command that was read waits any more."""
        self._all_known = self._all_known or (self._end_read and handled)
        compared = self.judged or not self._handled_any
        return compared and (self.state is None or self._all_known)

    def load(self, event: LedgerLoaded, now: datetime, *, reason: str = "", commits: int = 0) -> list[Effect]:
        """The ledger as it was found: its own doubts or ours, then what the topics know that it does not."""
        self._position, self._handled_any = event.position, event.position is not None
        self._commits = max(self._commits, commits, event.view.commits or 0)
        self.judged = self._end_read = self._all_known = False
        effects: list[Effect] = [Subscribe(topic=TRADE_RESULT, tail=RESULTS_READ_BACK, until_end=True)]
        if event.quarantined_until is not None and not reason:  # an earlier life began it, and wrote it down
            return [*effects, *self._enter(event.doubt, now)]
        return [*effects, *(self._begin(reason or event.doubt, now) if reason or event.doubt else [])]

    def on_result(self, result: TradeResult, now: datetime) -> list[Effect]:
        """Take a result that an earlier life published: it shows how far the ledger was then."""
        if result.account != self._account:
            return []
        self._told[result.command_id] = result
        if result.ledger is None:
            return []
        told = result.ledger.commits or 0
        commits = told if told <= COMMITS_MAX else 0
        if not self._is_ahead(result.ledger.position, commits):
            return []
        self._commits = max(self._commits, commits)
        return self.begin("ledger_older_than_its_results", now)

    def told(self, command_id: str) -> TradeResult | None:
        """The last result of an earlier life about a command that the ledger does not know."""
        return self._told.get(command_id)

    def never_claimed(self, command_id: str) -> TradeResult | None:
        """The rejection of a command that an earlier life published: of this one no byte was ever signed."""
        told = self.told(command_id)
        return told if told is not None and told.state is AttemptState.REJECTED else None

    def on_commands(self, topic_id: str, now: datetime) -> list[Effect]:
        """The topic of the commands: is it the one that the ledger has a position in."""
        position, self._position = self._position, None  # judged once after each load
        if position is None or position.topic_id == topic_id:
            return []
        return self.begin("commands_topic_is_another", now)

    def on_truncated(self, topic: str, now: datetime) -> list[Effect]:
        """The topic of the commands ends before the ledger's position, at a load: what it held is not known."""
        if topic != EXECUTE_TRADE.name or self._position is None:
            return []
        self._position = None  # judged once after each load
        return self.begin("commands_topic_is_truncated", now)

    def results_read(self, now: datetime) -> list[Effect]:
        """The results are read back: commands are read from right after the ledger's position.

        A topic that is made anew is read once more, and that is said again; the commands are followed by then.
        """
        if self.judged:
            return []
        self.judged = True
        position = self._position
        lift = self._note(now) if self.state is not None and self._commits > self._named else []
        return [
            *lift,
            Subscribe(
                topic=EXECUTE_TRADE,
                topic_id=position.topic_id if position else None,
                offset=position.next_offset if position else None,
            ),
        ]

    def commands_read(self) -> None:
        """The commands that stood in the topic were all read."""
        self._end_read = self.judged

    def on_block(self, reading: VerifierReading) -> list[Effect]:
        """A final block that is believed and not old: the first one says what a later one must be later than."""
        if self.state is None or not self.judged:
            return []
        if not self._timed:
            self._timed = True
            self.state = msgspec.structs.replace(self.state, until=reading.block_time + self._longest_life)
            return []
        if not self._all_known or reading.block_time <= self.state.until:
            return []
        over, self.state, self._told = self.state, None, {}
        return [
            Log(event="quarantine_over", component="quarantine", body={"reason": over.reason}),
            *self._writes.push(NoteSurroundings(account=self._account, reason="", quarantined_until=None)),
        ]

    def stands_in_the_way(self) -> dict[str, bool]:
        """The named reason, with what the operator must know."""
        if self.state is None:
            return {}
        missing = [] if self._all_known else ["every command is read"]
        missing.append(f"a final block is later than {self.state.until:%H:%M:%S} UTC")
        return {f"quarantine: {self.state.reason}, until {' and '.join(missing)}": True}

    def _is_ahead(self, told: CommandPosition | None, commits: int) -> bool:
        """Whether a result of the ledger names a later state of it than was loaded."""
        if told is None:
            return False
        known = self._position
        further = known is None or (told.topic_id == known.topic_id and told.next_offset > known.next_offset)
        return further or commits > self._commits

    def begin(self, reason: str, now: datetime) -> list[Effect]:
        """Begin to wait, unless that is so already: the first reason stands."""
        return [] if self.state is not None else self._begin(reason, now)

    def _begin(self, reason: str, now: datetime) -> list[Effect]:
        """Wait, and measure anew; a restart meanwhile goes on waiting."""
        return [*self._enter(reason, now), *self._note(now)]

    def _enter(self, reason: str, now: datetime) -> list[Effect]:
        self.state = QuarantineState(reason=reason, until=now + self._longest_life)
        self._timed, self._named = False, 0
        line = Log(event="quarantined", level="error", component="quarantine", body={"reason": reason})
        return [line, *self._on_begin()]

    def _note(self, now: datetime) -> list[Effect]:
        """Record the quarantine, and have the ledger count on from above every known commit."""
        if self.state is None:
            return []
        self._named = self._commits
        note = NoteSurroundings(
            account=self._account,
            reason=self.state.reason,
            quarantined_until=now + self._longest_life,
            commits=self._commits,
        )
        return self._writes.push(note)
