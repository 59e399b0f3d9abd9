"""Commands up to their claim: strictly in order, one at a time, so that the ledger's position is contiguous."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from unrip.domain.attempt import Rejection
from unrip.domain.command import TradeCommand
from unrip.frame.contract import Count, CrashPoint, Effect, RecordReceived
from unrip.frame.switchboard import Switchboard
from unrip.services.trade_executor.effects import (
    AuthorityJudged,
    ClaimDecided,
    ClaimOffer,
    OfferSigned,
    RejectCommand,
    SignOffer,
)
from unrip.services.trade_executor.intake.claims import claim_of, reject_of
from unrip.services.trade_executor.intake.inspection import Inspector, Numbers
from unrip.services.trade_executor.intake.own_limits import OwnLimits
from unrip.services.trade_executor.intake.quarantine import Quarantine
from unrip.services.trade_executor.intake.renewal import Renewal
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.chain_watch import ChainWatch
from unrip.services.trade_executor.offers.relay_traffic import RelayTraffic
from unrip.services.trade_executor.offers.revocations import Revocations
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import rejected, stamped
from unrip.store.ledger import ClaimKind

#: The rejections that the ledger decides by itself where a claim was asked for.
_REFUSED_BY_THE_LEDGER = set(ClaimKind) - {ClaimKind.CLAIMED, ClaimKind.DUPLICATE, ClaimKind.REJECTED}


@dataclass
class Commands:
    """The commands that wait, and the one that is being handled."""

    inspector: Inspector
    own: OwnLimits
    switchboard: Switchboard
    quarantine: Quarantine
    renewal: Renewal
    book: Book
    chain: ChainWatch
    revocations: Revocations
    traffic: RelayTraffic
    report: ExecutionReport
    #: Whether a command was put back because the role is not ours any more; until that is told, none is handled.
    awaits_role: bool = False
    proof: AuthorityJudged = field(default_factory=lambda: AuthorityJudged(proven=False, reason="not tried yet"))
    waiting: deque[RecordReceived] = field(default_factory=deque)
    #: The command being handled, and the ledger write that decides it once that is known.
    current: RecordReceived | None = None
    _claim: ClaimOffer | RejectCommand | None = None
    #: Whether it is a command of which nobody knows whether it was sent.
    _adopting: bool = False

    @property
    def active(self) -> bool:
        """Whether commands are ours: without the role another instance may handle them."""
        return self.switchboard.active and not self.awaits_role

    def next(self, now: datetime) -> list[Effect]:
        """Take the next command, unless one is being handled or the executor is paused: then commands wait.

        An adopted command waits for no operator, since nothing is sent; it waits for the balances of a final block.
        """
        quarantined = self.quarantine.state is not None
        waits = not self.book.writes.recorded() if quarantined else self.switchboard.paused
        unable = self.switchboard.draining or not self.active or self.renewal.judging
        if self.current or not self.waiting or waits or unable:
            return []
        record = self.current = self.waiting.popleft()
        command: TradeCommand = record.message.payload
        self.report.commanded(command)
        if quarantined:
            return self._adopt(record, command, now)
        found = self.inspector.rejection(
            command,
            switches=self.switchboard.switches,
            connected=self.proof.proven and not self.traffic.not_ready(),
            reading=self.chain.reading,
            told=self.chain.believing.told,
            explained_fall=self.book.explained_fall(command.asset_out, command.inventory_height),
            live_nonces=self.book.live_nonces(command.asset_out),
            clock=self.own.clock,
            commanded_at=record.message.observed_at,
            overspent=self.own.overspent(command, self.renewal.view, self.book, now),
            price=self.own.price,
            now=now,
        )
        return self._sign(command) if found is None else self._reject(record, found, now)

    def _adopt(self, record: RecordReceived, command: TradeCommand, now: datetime) -> list[Effect]:
        """In quarantine a command that the ledger does not know counts as perhaps sent, unless nobody can use it.

        One that an earlier life has rejected is rejected again, with the same result.
        """
        self._adopting = True
        found = self.inspector.unusable(command, now)
        if found is None and (told := self.quarantine.never_claimed(command.command_id)) is not None:
            found = Rejection(told.reason or ""), told.numbers
        return self._sign(command) if found is None else self._reject(record, found, now)

    def _sign(self, command: TradeCommand) -> list[Effect]:
        self.book.claiming.add(command.nonce)
        return [SignOffer(command=command)]

    def _reject(self, record: RecordReceived, found: tuple[Rejection, Numbers], now: datetime) -> list[Effect]:
        self._claim = reject_of(record, found, now, account=self.inspector.account)
        return [self._claim]

    def on_signed(self, event: OfferSigned, now: datetime) -> list[Effect]:
        """Claim what was signed; only then may a byte of it leave."""
        record = self.current
        if record is None or record.message.payload.command_id != event.command_id:
            raise AssertionError("an offer was signed for a command that is not being handled")
        self._claim = claim_of(record, event, now, adopting=self._adopting)
        return [CrashPoint(name="executor.signed"), self._claim]

    def on_decided(self, event: ClaimDecided, now: datetime) -> list[Effect]:
        """Follow what the ledger did with the command, and take the next one."""
        claim, record = self._claim, self.current
        if claim is None or record is None:
            raise AssertionError("the ledger decided a claim that nobody made")
        self.let_go()
        command: TradeCommand = record.message.payload
        if event.kind != "duplicate":  # after a duplicate the ledger's own offers are read first
            self.book.claiming.discard(command.nonce)
        self.renewal.seen(event.view)
        effects: list[Effect] = [Count(name="commands", labels={"outcome": event.kind})]
        match event.kind:
            case "claimed" if isinstance(claim, ClaimOffer):
                self.own.claimed(claim.offer, now)
                effects += self._claimed(claim, now, took=event.took)
            case "duplicate":  # perhaps our own claim, committed without an answer: follow what the ledger has
                self.renewal.look()
            case kind if kind in _REFUSED_BY_THE_LEDGER and isinstance(claim, ClaimOffer):
                numbers = {"amount_out": str(int(claim.offer.amount_out))}
                result = rejected(command, Rejection(kind), numbers, account=self.inspector.account)
                effects += self.report.ended(result, now)
            case _:
                effects += self.report.ended(claim.result, now)
        return [*effects, *self.next(now)]

    def _claimed(self, claim: ClaimOffer, now: datetime, *, took: timedelta) -> list[Effect]:
        """Send the offer; or follow it where an earlier life may have sent it, and revoke it if all are to be."""
        offer, switches = claim.offer, self.switchboard.switches
        if not claim.perhaps_sent and not self.renewal.doubt:
            ends_at = claim.lineage.stages["signed"] + took
            sent = self.traffic.send(claim, now, ends_at=ends_at, switches=switches)
            return [*sent, *self.book.withdrawals.hear()]
        self.book.adopt(offer, stamped(claim.lineage, "claimed", now), told=self.quarantine.told(offer.command_id))
        halted = switches.halted and self.book.revoked.requested
        revoked = self.revocations.request([offer], now) if halted else []
        return [*revoked, *self.chain.read_fills(), *self.chain.ask_anew(now)]

    # --- a claim that was not decided ------------------------------------------------------------------------------

    def claim_again(self) -> list[Effect]:
        """Make the claim once more: its fate is unknown."""
        return [self._claim] if self._claim is not None else []

    def let_go(self) -> None:
        """Handle no command."""
        self.current, self._claim, self._adopting = None, None, False

    def put_back(self) -> RecordReceived:
        """Put the command back: nothing was claimed, judge it anew once the role is ours, perhaps as too late."""
        record = self.current
        if record is None:
            raise AssertionError("the ledger refused a claim that nobody made")
        self.let_go()
        self.awaits_role = True
        self.book.claiming.discard(record.message.payload.nonce)
        self.waiting.appendleft(record)
        return record
