"""Nonces that the newest block cannot judge: older blocks are asked, and where none can tell, an operator decides.

Once its salt or its own deadline has ended, the contract may have forgotten that a nonce was used: a late "unused"
proves nothing (blueprint, principle 3). No timer ends anything here; timers only ask again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer
from unrip.domain.balances import shows_no_fill
from unrip.domain.doubt import Seen, past_doubt
from unrip.domain.evidence import (
    Ended,
    Lapsed,
    LookFurther,
    Search,
    Settled,
    Trace,
    Unproven,
    Verdict,
    Wait,
    operator_may_say,
)
from unrip.domain.verifier import PastSpan, UseSpan, VerifierReading
from unrip.frame.contract import Control, ControlRefused, Count, Effect
from unrip.services.trade_executor.effects import (
    ApplyReading,
    FindFill,
    NoteAttempt,
    PastRead,
    PastUnread,
    ReadPast,
    ReadUse,
    UseRead,
)
from unrip.services.trade_executor.offers.believing import refusal_counted
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.nonce import Doubt, Interest, LiveNonce, LiveOffer
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import result_of_offer, stamped
from unrip.services.trade_executor.state import NonceInDoubt

#: The block of a use is looked for so long after a notice has named a transaction: that says more, and mostly at once.
_AFTER_NOTICE = timedelta(seconds=2)


class OlderBlocks:
    """One look back at a time, at the nonces that are due for it."""

    def __init__(self, book: Book, report: ExecutionReport) -> None:
        self._book = book
        self._report = report
        self._newest: VerifierReading | None = None
        self._asked: ReadPast | ReadUse | None = None

    def look(self, reading: VerifierReading, now: datetime, verdicts: Mapping[str, Verdict]) -> list[Effect]:
        """The newest block was read and judged: ask older ones about what it cannot tell.

        A new salt may have ended the others: offers with those are asked about once, however long they still live.
        """
        if self._newest is not None and reading.salt != self._newest.salt:
            for live in self._book.nonces.values():
                if any(each.offer.salt != reading.salt for each in live.offers.values()):
                    live.ask(Interest.ONCE)
        self._newest = reading
        lives = [(self._book.nonces[nonce], verdict) for nonce, verdict in verdicts.items()]
        effects = [effect for live, verdict in lives for effect in self._doubt(live, verdict, now)]
        effects += [effect for live, verdict in lives for effect in self._seek(live, verdict, now)]
        unread = []
        for live in [live for live, verdict in lives if isinstance(verdict, LookFurther)]:
            if live.use is not None:
                # These blocks say no more than before, but more may be known beside them.
                effects += self._judge_past([live], live.use, now)
            elif live.doubt is not None and live.doubt.due(now):
                unread.append((live, live.doubt.used_at))
        if self._asked is None and unread:
            self._asked = self._question(unread, reading)
            effects.append(self._asked)
        return effects

    def on_past(self, event: PastRead | PastUnread | UseRead, now: datetime) -> list[Effect]:
        """What older blocks say, or that they cannot be read."""
        question, self._asked = self._asked, None
        if question is None or self._newest is None:
            raise AssertionError("older blocks were read that nobody asked for")
        if not self._book.complete:  # what they say of a nonce whose offers are not all known is asked once more
            event = PastUnread(kept=True, reason="the ledger may lack offers until every command is read")
        nonces = (question.span.nonce,) if isinstance(question, ReadUse) else question.nonces
        lives = [self._book.nonces[nonce] for nonce in nonces if nonce in self._book.nonces]
        if isinstance(event, PastUnread):
            outcome = "unread" if event.kept else "not_kept"
            for live in lives if isinstance(question, ReadUse) and not event.kept else ():
                live.search = Search.NONE  # without the block of its use nothing leads to the transaction
            told = [self._told_nothing(live, event.reason, now, unproven=not event.kept) for live in lives]
            return [Count(name="past_reads", labels={"outcome": outcome}), *(each for some in told for each in some)]
        blocks = (event.before, event.after) if isinstance(event, UseRead) else event.readings
        newest = Seen(height=self._newest.height, block_time=self._newest.block_time)
        if (refused := next(filter(None, (past_doubt(each, newest) for each in blocks)), None)) is not None:
            reason = f"an older block is not believed: {refused.doubt}"
            told = [self._told_nothing(live, reason, now, unproven=False) for live in lives]
            return [refusal_counted(refused), *(each for some in told for each in some)]
        return [Count(name="past_reads", labels={"outcome": "read"}), *self._judge_past(lives, blocks, now)]

    def look_again(self, live: LiveNonce, now: datetime) -> None:
        """It is known whether a revocation used this nonce: older blocks may judge it now, and others by it."""
        if live.doubt is not None:
            for doubt in (each.doubt for each in self._book.nonces.values() if each.doubt is not None):
                doubt.next_check_at = now

    def resolve(self, control: Control, now: datetime) -> list[Effect]:
        """End an offer by an operator's word; see `end_by`."""
        live, end = self.end_by(control)
        return self._close({live.nonce: end}, end.evidence.height, now, reason=control.reason)

    def end_by(self, control: Control) -> tuple[LiveNonce, Settled | Lapsed]:
        """How a nonce ends by an operator's word about one of its offers.

        Raises:
            ControlRefused: it is not open, or blocks may still tell.

        """
        command_id, outcome = control.arguments["command_id"], control.arguments["outcome"]
        found, newest = self._book.offer(command_id), self._newest
        if found is None or found.closing or newest is None:
            raise ControlRefused(f"command {command_id} has no open offer")
        live = self._book.nonces[found.offer.nonce]
        if live.doubt is None or not live.doubt.unproven:
            raise ControlRefused(f"the chain can still tell how the offer of command {command_id} ends; wait for it")
        evidence = ChainEvidence(
            height=newest.height,
            block_time=newest.block_time,
            nonce_used=live.doubt.used_at is not None or newest.nonces.get(live.nonce, False),
            salt_valid=newest.salts.get(found.offer.salt, False),
            operator=control.actor,
        )
        if not operator_may_say(evidence, last_deadline=live.last_deadline):
            raise ControlRefused(
                f"the offer of command {command_id} can be taken until {live.last_deadline:%H:%M:%S} UTC: "
                "only `unrip halt --revoke` ends it before that"
            )
        settled = outcome == AttemptState.SETTLED
        return live, Settled(taker=found.offer, evidence=evidence) if settled else Lapsed(evidence=evidence)

    def state(self) -> tuple[NonceInDoubt, ...]:
        """For `GET /state`: every nonce in doubt, with its open offers."""
        return tuple(
            NonceInDoubt(
                nonce=live.nonce,
                command_ids=tuple(each.offer.command_id for each in live.open),
                unproven=live.doubt.unproven,
                reason=live.doubt.reason,
                looks=live.doubt.looks,
                next_check_at=live.doubt.next_check_at,
            )
            for live in self._book.nonces.values()
            if live.doubt is not None and live.open
        )

    # --- judging ---------------------------------------------------------------------------------------------------

    def _judge_past(
        self, lives: Iterable[LiveNonce], blocks: tuple[VerifierReading, ...], now: datetime
    ) -> list[Effect]:
        """Take over what older blocks say about these nonces."""
        newest = self._newest.block_time if self._newest is not None else now
        no_fill = len(blocks) > 1 and self._no_fill(*blocks)
        ends, looks = dict[str, Ended](), list[tuple[LiveNonce, Verdict]]()
        for live in (live for live in lives if live.open):
            if [block.nonces[live.nonce] for block in blocks] == [False, True]:
                live.use = (blocks[0], blocks[1])
            verdict = self._book.judged_by_past(live, blocks, newest=newest, no_fill=no_fill)
            if isinstance(verdict, Ended):
                ends[live.nonce] = verdict
            else:
                looks.append((live, verdict))
        effects = self._close(ends, max(block.height for block in blocks), now) if ends else []
        used = [live for live, _verdict in looks if any(block.nonces[live.nonce] for block in blocks)]
        effects += [effect for live in used for effect in live.trace_revocation()]
        for live, verdict in looks:
            if isinstance(verdict, LookFurther | Wait):
                effects += self._told_nothing(live, "who used it is looked for", now, unproven=False)
            effects += [*self._doubt(live, verdict, now), *self._seek(live, verdict, now)]
        return effects

    def _no_fill(self, before: VerifierReading, after: VerifierReading) -> bool:
        """Whether balances show that no offer was executed and forgotten; a revocation of ours moves none."""
        traces = {live.nonce: live.trace for live in self._book.nonces.values()}
        offers = [
            offer
            for offer in self._book.may_have_moved()
            if {offer.nonce} <= before.nonces.keys() & after.nonces.keys()
            and traces.get(offer.nonce) is not Trace.REVOKED
        ]
        may_be_revoked = {nonce for nonce, trace in traces.items() if trace is Trace.UNTRACED}
        return shows_no_fill(
            offers, before, after, may_be_revoked=may_be_revoked, withdrawals=tuple(self._book.withdrawals)
        )

    def _close(
        self, ends: Mapping[str, Ended], height: int, now: datetime, *, reason: str | None = None
    ) -> list[Effect]:
        """The ledger has newer balances than an older block's; only the releases are written."""
        write = ApplyReading(account=self._book.account, height=height, credited={}, endings=())
        return self._book.close(ends, now, write, reason=reason)

    # --- doubt -----------------------------------------------------------------------------------------------------

    def _doubt(self, live: LiveNonce, verdict: Verdict, now: datetime) -> list[Effect]:
        """Note that a nonce is in doubt, and report once that nothing proves it."""
        if isinstance(verdict, LookFurther):
            first_look = now + (_AFTER_NOTICE if any(each.named for each in live.offers.values()) else timedelta(0))
            doubt = live.doubt = live.doubt or Doubt(next_check_at=first_look)
            if verdict.used_at is not None and doubt.used_at is None:
                doubt.used_at, doubt.next_check_at = verdict.used_at, first_look
        elif isinstance(verdict, Unproven):
            doubt = live.doubt = live.doubt or Doubt(next_check_at=now)
            if not doubt.unproven or doubt.due(now):
                return self._told_nothing(live, verdict.reason, now, unproven=True)
        return []

    def _told_nothing(self, live: LiveNonce, reason: str, now: datetime, *, unproven: bool) -> list[Effect]:
        """Ask again later. What is unproven is reported once."""
        if live.doubt is None:
            return []
        live.doubt.later(reason, now)
        if not unproven or live.doubt.unproven:
            return []
        live.doubt.unproven = True
        return [effect for each in live.open for effect in self._unproven(each, live.doubt, now)]

    def _unproven(self, live: LiveOffer, doubt: Doubt, now: datetime) -> list[Effect]:
        state = AttemptState.UNPROVEN
        result = result_of_offer(live.offer, state, reason=doubt.reason, next_check_at=doubt.next_check_at)
        live.lineage = stamped(live.lineage, state, now)
        return [
            *self._book.writes.push(NoteAttempt(result=result, lineage=live.lineage)),
            *self._report.failed(live.offer, state, doubt.reason),
        ]

    # --- asking ----------------------------------------------------------------------------------------------------

    def _seek(self, live: LiveNonce, verdict: Verdict, now: datetime) -> list[Effect]:
        """The blocks of a use were read and do not say who did it: the transaction does."""
        doubt = live.doubt
        if live.use is None or doubt is None or isinstance(verdict, Ended):
            return []
        if doubt.sought_lately(now):
            return []
        doubt.sought_at = now
        return [FindFill(nonce=live.nonce, height=live.use[1].height)]

    def _question(self, due: Sequence[tuple[LiveNonce, int | None]], reading: VerifierReading) -> ReadPast | ReadUse:
        """Where one nonce was used; or about all of one salt that has ended, or a single one after its own deadline."""
        (live, used_at), *_ = due
        moved = self._book.may_have_moved()
        if used_at is not None:
            unused_at = min(each.offer.inventory_height for each in live.open)
            span = UseSpan(nonce=live.nonce, unused_at=unused_at, used_at=used_at)
            return ReadUse(span=span, offers=moved, salts=tuple(dict.fromkeys(offer.salt for offer in moved)))
        unused = [each.offer for other, used_at in due if used_at is None for each in other.open]
        first, *others = unused
        alike = [first, *(offer for offer in others if _fits(offer, first, reading))]
        past = PastSpan(
            salt=first.salt,
            valid_at=max(offer.inventory_height for offer in alike),
            height=reading.height,
            block_time=reading.block_time,
            nonce_deadline=min(offer.nonce_deadline for offer in alike),
        )
        return ReadPast(span=past, nonces=tuple(dict.fromkeys(offer.nonce for offer in alike)), offers=moved)


def _fits(offer: Offer, first: Offer, reading: VerifierReading) -> bool:
    """Whether the blocks that judge the one judge the other, too."""
    in_time = reading.block_time <= min(offer.nonce_deadline, first.nonce_deadline)
    return offer.nonce == first.nonce or (offer.salt == first.salt and in_time)
