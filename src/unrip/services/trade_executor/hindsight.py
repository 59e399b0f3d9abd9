"""Nonces that the newest block cannot judge: older blocks are asked, and where none can tell, an operator decides.

Once its salt or its own deadline has ended, the contract may have forgotten that a nonce was used: a late "unused"
proves nothing (blueprint, principle 3). No timer ends anything here; timers only ask again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from pydantic import Field

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer
from unrip.domain.balances import shows_no_fill
from unrip.domain.doubt import Seen, past_doubt
from unrip.domain.evidence import LookFurther, Unproven, Wait, operator_may_say
from unrip.domain.verifier import PastSpan, UseSpan, VerifierReading
from unrip.service.contract import Control, ControlRefused, Count, Effect
from unrip.service.http import Action, ReasonBody
from unrip.services.trade_executor.believing import refusal_counted
from unrip.services.trade_executor.effects import (
    ApplyReading,
    Ending,
    FindFill,
    NoteAttempt,
    PastRead,
    PastUnread,
    ReadPast,
    ReadUse,
    UseRead,
)
from unrip.services.trade_executor.following import Followed, Look, OpenOffers
from unrip.services.trade_executor.lane import NoteLane
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import result_of_offer
from unrip.services.trade_executor.revoking import Revocations

#: After a look that told nothing, the next one about the same nonce: doubled each time, up to the second.
RETRY_FIRST = timedelta(seconds=10)
RETRY_MAX = timedelta(minutes=10)
#: The block of a use is looked for so long after a notice has named a transaction: that says more, and mostly at once.
_AFTER_NOTICE = timedelta(seconds=2)


class ResolveBody(ReasonBody):
    """An operator's word about an offer that nothing proves."""

    command_id: str = Field(min_length=1, max_length=200)
    outcome: Literal["lapsed", "settled"] = Field(description="How it ended; offers that share its nonce lapsed.")


RESOLVE_ACTION = Action(
    name="resolve",
    body=ResolveBody,
    summary="End an unproven offer by an operator's word; refused while blocks may still tell.",
)


@dataclass
class Doubt:
    """What looking back at one nonce has come to."""

    next_check_at: datetime
    #: A height at which the nonce is used: the block of its use is looked for. None where it is unused.
    used_at: int | None = None
    #: The transaction that used it is looked for, where the blocks of the use do not say who did.
    sought_at: datetime | None = None
    looks: int = 0
    reason: str = ""
    #: The blocks that would tell are not kept, or do not tell.
    unproven: bool = False


@dataclass
class Hindsight:
    """One look back at a time, at the nonces that are due for it."""

    account: str
    offers: OpenOffers
    notes: NoteLane
    revocations: Revocations
    report: ExecutionReport
    _doubts: dict[str, Doubt] = field(default_factory=dict)
    _newest: VerifierReading | None = None
    _asked: ReadPast | ReadUse | None = None

    def look(self, reading: VerifierReading, now: datetime, verdicts: Mapping[str, Ending | Look]) -> list[Effect]:
        """The newest block was read and judged: ask older ones about what it cannot tell.

        A new salt may have ended the others: offers with those are asked about once, however long they still live.
        """
        if self._newest is not None and reading.salt != self._newest.salt:
            self.offers.ask_about_other_salts(reading.salt)
        self._newest = reading
        open_nonces = {followed.offer.nonce for followed in self.offers.by_command.values()}
        self._doubts = {nonce: doubt for nonce, doubt in self._doubts.items() if nonce in open_nonces}
        effects = self._take(verdicts, now)
        effects += self._seek(verdicts, now)
        unread = []
        for nonce in [nonce for nonce, verdict in verdicts.items() if isinstance(verdict, LookFurther)]:
            if (use := self.offers.use_of(nonce)) is not None:
                # These blocks say no more than before, but more may be known beside them.
                effects += self._judge_past([nonce], use, now)
            elif self._doubts[nonce].next_check_at <= now:
                unread.append(nonce)
        if self._asked is None and unread:
            self._asked = self._question(unread, reading)
            effects.append(self._asked)
        return effects

    def _seek(self, verdicts: Mapping[str, Ending | Look], now: datetime) -> list[Effect]:
        """The blocks of a use were read and do not say who did it: the transaction does."""
        effects: list[Effect] = []
        for nonce, verdict in verdicts.items():
            use, doubt = self.offers.use_of(nonce), self._doubts.get(nonce)
            if use is None or doubt is None or isinstance(verdict, Ending):
                continue
            if doubt.sought_at is None or now >= doubt.sought_at + RETRY_FIRST:
                doubt.sought_at = now
                effects.append(FindFill(nonce=nonce, height=use[1].height))
        return effects

    def on_past(self, event: PastRead | PastUnread | UseRead, now: datetime) -> list[Effect]:
        """What older blocks say, or that they cannot be read."""
        question, self._asked = self._asked, None
        if question is None or self._newest is None:
            raise AssertionError("older blocks were read that nobody asked for")
        nonces = (question.span.nonce,) if isinstance(question, ReadUse) else question.nonces
        if isinstance(event, PastUnread):
            outcome = "unread" if event.kept else "not_kept"
            effects: list[Effect] = [Count(name="past_reads", labels={"outcome": outcome})]
            return [*effects, *self._in_doubt(nonces, event.reason, now, unproven=not event.kept)]
        readings = (event.before, event.after) if isinstance(event, UseRead) else event.readings
        newest = Seen(height=self._newest.height, block_time=self._newest.block_time)
        if (refused := next(filter(None, (past_doubt(each, newest) for each in readings)), None)) is not None:
            reason = f"an older block is not believed: {refused.doubt}"
            return [refusal_counted(refused), *self._in_doubt(nonces, reason, now, unproven=False)]
        return [Count(name="past_reads", labels={"outcome": "read"}), *self._judge_past(nonces, readings, now)]

    def traced(self, nonce: str, now: datetime) -> None:
        """It is known whether a revocation used this nonce: blocks that show its use may judge it, and others by it."""
        if nonce in self._doubts:
            for doubt in self._doubts.values():
                doubt.next_check_at = now

    def resolve(self, control: Control, now: datetime) -> list[Effect]:
        """End an offer by an operator's word.

        Raises:
            ControlRefused: it is not open, or blocks may still tell.

        """
        command_id, state = control.arguments["command_id"], AttemptState(control.arguments["outcome"])
        followed = self.offers.by_command.get(command_id)
        if followed is None or followed.ending or self._newest is None:
            raise ControlRefused(f"command {command_id} has no open offer")
        nonce, newest = followed.offer.nonce, self._newest
        doubt = self._doubts.get(nonce)
        if doubt is None or not doubt.unproven:
            raise ControlRefused(f"the chain can still tell how the offer of command {command_id} ends; wait for it")
        used = doubt.used_at is not None or newest.nonces.get(nonce, False)
        last_deadline = max(offer.offer_deadline for offer in self._offers_of({nonce}))
        evidence = ChainEvidence(
            height=newest.height,
            block_time=newest.block_time,
            nonce_used=used,
            salt_valid=newest.salts.get(followed.offer.salt, False),
            operator=control.actor,
        )
        if not operator_may_say(evidence, last_deadline=last_deadline):
            raise ControlRefused(
                f"the offer of command {command_id} can be taken until {last_deadline:%H:%M:%S} UTC: "
                "only `unrip halt --revoke` ends it before that"
            )
        ending = self.offers.resolved(command_id, state, evidence, control.reason, now)
        return self._end((ending,), newest.height)

    def state(self) -> list[dict[str, Any]]:
        """For `GET /state`: every nonce in doubt, with its open offers."""
        still_open = {nonce: self._open(nonce) for nonce in self._doubts}
        return [
            {
                "nonce": nonce,
                "command_ids": [followed.offer.command_id for followed in still_open[nonce]],
                "unproven": doubt.unproven,
                "reason": doubt.reason,
                "looks": doubt.looks,
                "next_check_at": doubt.next_check_at,
            }
            for nonce, doubt in self._doubts.items()
            if still_open[nonce]
        ]

    def _judge_past(
        self, nonces: Collection[str], readings: tuple[VerifierReading, ...], now: datetime
    ) -> list[Effect]:
        """Take over what older blocks say about these nonces."""
        newest = self._newest.block_time if self._newest is not None else now
        no_fill = len(readings) > 1 and self._no_fill(*readings)
        verdicts: dict[str, Ending | Look] = {}
        for nonce in nonces:
            if [reading.nonces[nonce] for reading in readings] == [False, True]:
                self.offers.note_use(nonce, *readings)
            verdict = self.offers.judged_by_past(
                nonce,
                readings,
                now,
                newest=newest,
                no_fill=no_fill,
                revocation=self.revocations.by_nonce.get(nonce),
            )
            if verdict is not None:
                verdicts[nonce] = verdict
        endings = tuple(verdict for verdict in verdicts.values() if isinstance(verdict, Ending))
        used = [nonce for nonce in verdicts if any(reading.nonces[nonce] for reading in readings)]
        effects = self._end(endings, max(reading.height for reading in readings)) if endings else []
        effects += self.revocations.questions(self._offers_of(set(used) - {ending.nonce for ending in endings}))
        for nonce, verdict in verdicts.items():
            if isinstance(verdict, LookFurther | Wait):
                effects += self._in_doubt([nonce], "who used it is looked for", now, unproven=False)
        return [*effects, *self._take(verdicts, now)]

    def _take(self, verdicts: Mapping[str, Ending | Look], now: datetime) -> list[Effect]:
        """Note which nonces are in doubt, and tell once of each that nothing proves."""
        effects: list[Effect] = []
        for nonce, verdict in verdicts.items():
            if isinstance(verdict, LookFurther):
                first_look = now + (_AFTER_NOTICE if self.offers.is_named(nonce) else timedelta(0))
                doubt = self._doubts.setdefault(nonce, Doubt(next_check_at=first_look))
                if verdict.used_at is not None and doubt.used_at is None:
                    doubt.used_at, doubt.next_check_at = verdict.used_at, first_look
            elif isinstance(verdict, Unproven):
                self._doubts.setdefault(nonce, Doubt(next_check_at=now))
                if not self._doubts[nonce].unproven or self._doubts[nonce].next_check_at <= now:
                    effects += self._in_doubt([nonce], verdict.reason, now, unproven=True)
        return effects

    def _no_fill(self, before: VerifierReading, after: VerifierReading) -> bool:
        """Whether balances show that no offer was executed and forgotten; a revocation of ours moves none."""
        offers = [
            each for each in self.offers.may_have_moved() if {each.nonce} <= before.nonces.keys() & after.nonces.keys()
        ]
        revocations = self.revocations.by_nonce
        revoked = {nonce for nonce, each in revocations.items() if each.executed is not None}
        may_be_revoked = {nonce for nonce, each in revocations.items() if each.traced is None}
        unrevoked = [offer for offer in offers if offer.nonce not in revoked]
        return shows_no_fill(
            unrevoked, before, after, may_be_revoked=may_be_revoked, withdrawals=tuple(self.offers.withdrawn)
        )

    def _end(self, endings: tuple[Ending, ...], height: int) -> list[Effect]:
        """The ledger has newer balances than an older block's; only the releases are written."""
        for ending in endings:
            self.revocations.ended((result for result, _chain in ending.results), recorded=False)
        return self.notes.push(ApplyReading(account=self.account, height=height, credited={}, endings=endings))

    def _in_doubt(self, nonces: Collection[str], reason: str, now: datetime, *, unproven: bool) -> list[Effect]:
        """Ask again later. What is unproven is told once."""
        effects: list[Effect] = []
        for nonce in nonces:
            doubt = self._doubts.get(nonce)
            if doubt is None:
                continue
            doubt.next_check_at = now + min(RETRY_FIRST * 2**doubt.looks, RETRY_MAX)
            doubt.looks = min(doubt.looks + 1, 10)
            doubt.reason = reason
            if unproven and not doubt.unproven:
                doubt.unproven = True
                for followed in self._open(nonce):
                    effects += self._unproven(followed, doubt, now)
        return effects

    def _unproven(self, followed: Followed, doubt: Doubt, now: datetime) -> list[Effect]:
        state = AttemptState.UNPROVEN
        result = result_of_offer(followed.offer, state, reason=doubt.reason, next_check_at=doubt.next_check_at)
        followed.chain = msgspec.structs.replace(followed.chain, stages={**followed.chain.stages, state.value: now})
        return [
            *self.notes.push(NoteAttempt(result=result, chain=followed.chain)),
            *self.report.failed(followed.offer, state, doubt.reason),
        ]

    def _question(self, due: Sequence[str], reading: VerifierReading) -> ReadPast | ReadUse:
        """Where one nonce was used; or about all of one salt that has ended, or a single one after its own deadline."""
        used_at = self._doubts[due[0]].used_at
        offers = self.offers.may_have_moved()
        if used_at is not None:
            own = self._offers_of({due[0]})
            unused_at = min(offer.inventory_height for offer in own)
            span = UseSpan(nonce=due[0], unused_at=unused_at, used_at=used_at)
            return ReadUse(span=span, offers=offers, salts=tuple(dict.fromkeys(offer.salt for offer in offers)))
        first, *others = self._offers_of({nonce for nonce in due if self._doubts[nonce].used_at is None})
        alike = [first, *(offer for offer in others if _fits(offer, first, reading))]
        past = PastSpan(
            salt=first.salt,
            valid_at=max(offer.inventory_height for offer in alike),
            height=reading.height,
            block_time=reading.block_time,
            nonce_deadline=min(offer.nonce_deadline for offer in alike),
        )
        return ReadPast(span=past, nonces=tuple(dict.fromkeys(offer.nonce for offer in alike)), offers=offers)

    def _offers_of(self, nonces: Iterable[str]) -> list[Offer]:
        return [
            each.offer for each in self.offers.by_command.values() if each.offer.nonce in nonces and not each.ending
        ]

    def _open(self, nonce: str) -> list[Followed]:
        return [each for each in self.offers.by_command.values() if each.offer.nonce == nonce and not each.ending]


def _fits(offer: Offer, first: Offer, reading: VerifierReading) -> bool:
    """Whether the blocks that judge the one judge the other, too."""
    in_time = reading.block_time <= min(offer.nonce_deadline, first.nonce_deadline)
    return offer.nonce == first.nonce or (offer.salt == first.salt and in_time)
