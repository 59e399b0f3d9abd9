"""Nonces that the newest block cannot judge: older blocks are asked, and where none can tell, an operator decides.

Once its salt or its own deadline has ended, the contract may have forgotten that a nonce was used: a late "unused"
proves nothing (blueprint, principle 3). No timer ends anything here; timers only ask again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from pydantic import Field

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer
from unrip.domain.balances import shows_no_fill
from unrip.domain.evidence import LookFurther, Unproven
from unrip.domain.verifier import PastSpan, VerifierReading
from unrip.service.contract import Control, ControlRefused, Count, Effect
from unrip.service.http import Action, ReasonBody
from unrip.services.trade_executor.effects import ApplyReading, Ending, NoteAttempt, PastRead, PastUnread, ReadPast
from unrip.services.trade_executor.following import Followed, OpenOffers
from unrip.services.trade_executor.lane import NoteLane
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import result_of_offer
from unrip.services.trade_executor.revoking import Revocations

#: After a look that told nothing, the next one about the same nonce: doubled each time, up to the second.
RETRY_FIRST = timedelta(seconds=10)
RETRY_MAX = timedelta(minutes=10)


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
    _asked: ReadPast | None = None

    def look(self, reading: VerifierReading, now: datetime, *, claiming: Collection[str]) -> list[Effect]:
        """The newest block was read: ask older ones about what it cannot judge, and nobody joins it any more.

        A new salt may have ended the others: offers with those are asked about once, however long they still live.
        """
        if self._newest is not None and reading.salt != self._newest.salt:
            self.offers.ask_about_other_salts(reading.salt)
        self._newest = reading
        undecided = self.offers.undecided(reading, claiming=claiming)
        everything = [followed.offer for followed in self.offers.by_command.values()]
        open_nonces = {offer.nonce for offer in everything}
        self._doubts = {nonce: doubt for nonce, doubt in self._doubts.items() if nonce in open_nonces}
        for followed in undecided:
            followed.noticed = True
            self._doubts.setdefault(followed.offer.nonce, Doubt(next_check_at=now))
        due = [each.offer for each in undecided if self._doubts[each.offer.nonce].next_check_at <= now]
        if self._asked is not None or not due:
            return []
        self._asked = _question(due, everything, reading)
        return [self._asked]

    def on_past(self, event: PastRead | PastUnread, now: datetime) -> list[Effect]:
        """What older blocks say, or that they cannot be read."""
        question, self._asked = self._asked, None
        if question is None or self._newest is None:
            raise AssertionError("older blocks were read that nobody asked for")
        if isinstance(event, PastUnread):
            outcome = "unread" if event.kept else "not_kept"
            effects: list[Effect] = [Count(name="past_reads", labels={"outcome": outcome})]
            return [*effects, *self._in_doubt(question.nonces, event.reason, now, unproven=not event.kept)]
        verdicts = {
            nonce: verdict for nonce, verdict in self._verdicts(question, event.readings, now) if verdict is not None
        }
        endings = tuple(verdict for verdict in verdicts.values() if isinstance(verdict, Ending))
        used = [nonce for nonce, verdict in verdicts.items() if isinstance(verdict, LookFurther)]
        effects = [Count(name="past_reads", labels={"outcome": "read"})]
        if endings:
            effects += self._end(endings, max(reading.height for reading in event.readings))
        effects += self.revocations.questions(offer for offer in question.offers if offer.nonce in used)
        effects += self._in_doubt(used, "who used it is looked for", now, unproven=False)
        for nonce, verdict in verdicts.items():
            if isinstance(verdict, Unproven):
                effects += self._in_doubt([nonce], verdict.reason, now, unproven=True)
        return effects

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
        doubt = self._doubts.get(followed.offer.nonce)
        if doubt is None or not doubt.unproven:
            raise ControlRefused(f"the chain can still tell how the offer of command {command_id} ends; wait for it")
        evidence = ChainEvidence(
            height=self._newest.height,
            block_time=self._newest.block_time,
            nonce_used=False,
            salt_valid=self._newest.salts.get(followed.offer.salt, False),
            operator=control.actor,
        )
        ending = self.offers.resolved(command_id, state, evidence, control.reason, now)
        return self._end((ending,), self._newest.height)

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

    def _verdicts(
        self, question: ReadPast, readings: tuple[VerifierReading, ...], now: datetime
    ) -> Iterator[tuple[str, Ending | LookFurther | Unproven | None]]:
        newest = self._newest.block_time if self._newest is not None else now
        no_fill = len(readings) > 1 and self._no_fill(question.offers, *readings)
        for nonce in question.nonces:
            revocation = self.revocations.by_nonce.get(nonce)
            yield (
                nonce,
                self.offers.past_ending(nonce, readings, now, newest=newest, no_fill=no_fill, revocation=revocation),
            )

    def _no_fill(self, offers: Sequence[Offer], before: VerifierReading, after: VerifierReading) -> bool:
        """Whether balances show that no offer was executed and forgotten; a revocation of ours moves none."""
        revocations = self.revocations.by_nonce
        revoked = {nonce for nonce, each in revocations.items() if each.executed is not None}
        may_be_revoked = {nonce for nonce, each in revocations.items() if each.traced is None}
        unrevoked = [offer for offer in offers if offer.nonce not in revoked]
        return shows_no_fill(unrevoked, before, after, may_be_revoked=may_be_revoked)

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

    def _open(self, nonce: str) -> list[Followed]:
        return [each for each in self.offers.by_command.values() if each.offer.nonce == nonce and not each.ending]


def _question(due: Sequence[Offer], everything: Sequence[Offer], reading: VerifierReading) -> ReadPast:
    """About all nonces of one salt that has ended; about a single one after its own deadline."""
    first = due[0]
    alike = [
        offer
        for offer in due
        if offer.nonce == first.nonce
        or (offer.salt == first.salt and reading.block_time <= min(offer.nonce_deadline, first.nonce_deadline))
    ]
    span = PastSpan(
        salt=first.salt,
        valid_at=max(offer.inventory_height for offer in alike),
        height=reading.height,
        block_time=reading.block_time,
        nonce_deadline=min(offer.nonce_deadline for offer in alike),
    )
    nonces = tuple(dict.fromkeys(offer.nonce for offer in alike))
    return ReadPast(span=span, nonces=nonces, offers=tuple(everything))
