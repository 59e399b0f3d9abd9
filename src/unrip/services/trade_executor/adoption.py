"""Offers that a ledger has, or lacks: those of an earlier life are followed, forgotten ones wait to be adopted."""

from __future__ import annotations

from dataclasses import dataclass, field

from unrip.domain.attempt import Offer, TradeResult
from unrip.services.trade_executor.effects import Chain, ClaimOffer, DropAttempt, LedgerLoaded, NoteAttempt
from unrip.services.trade_executor.following import Followed, OpenOffers
from unrip.services.trade_executor.lane import NoteLane
from unrip.services.trade_executor.revoking import Revocations


@dataclass
class Adoption:
    """What we follow and a ledger that went back does not know, by command, until it is adopted."""

    offers: OpenOffers
    notes: NoteLane
    revocations: Revocations
    forgotten: dict[str, Followed] = field(default_factory=dict)

    def everything(self) -> list[Followed]:
        """What may still settle, whether or not the ledger knows it."""
        return [*self.offers.by_command.values(), *self.forgotten.values()]

    def lacks(self, nonce: str) -> bool:
        """Whether the ledger has no hold that something about this nonce could be written to."""
        return any(followed.offer.nonce == nonce for followed in self.forgotten.values())

    def follow(self, event: LedgerLoaded, *, earlier: bool) -> None:
        """Follow what the ledger has open: offers of an earlier life, or our own claim that was not heard of."""
        for offer in event.open_offers:
            chain = Chain(correlation_id=offer.correlation_id, causation_id=offer.command_id, stages={})
            # What an earlier life revoked is asked about until a block shows it, and no new offer shares its nonce.
            revoked = offer.nonce in event.revocations
            self.offers.add(Followed(offer=offer, chain=chain, ask_now=True, noticed=revoked, unrecovered=earlier))
        may_be_revoked = {offer.nonce for offer in event.open_offers if earlier}
        self.revocations.may_exist(may_be_revoked | event.revocations.keys(), event.revocations)

    def fall_back(self, event: LedgerLoaded) -> None:
        """The ledger is another one than we wrote to: what it does not know waits.

        Of the writes that wait those are made all the same which are about what it knows.
        """
        known = {offer.command_id for offer in event.open_offers}
        for followed in list(self.offers.by_command.values()):
            followed.ending, followed.ask_now = False, True
            if (command_id := followed.offer.command_id) not in known:
                self.forgotten[command_id] = self.offers.by_command.pop(command_id)
                followed.awaits_reply = False
        self.follow(event, earlier=True)
        for write in self.notes.give_up():
            if isinstance(write, NoteAttempt | DropAttempt) and write.result.command_id in known:
                self.notes.push(write)  # the lane is held, so none begins yet

    def adopt(self, claim: ClaimOffer, chain: Chain, *, revoke: bool, told: TradeResult | None) -> Offer:
        """Follow an offer that is claimed as perhaps sent; what was told of a transaction is a place to look at."""
        followed = self.forgotten.pop(claim.offer.command_id, None) or Followed(offer=claim.offer, chain=chain)
        followed.ask_now, followed.noticed = True, followed.noticed or revoke
        if told is not None and told.evidence is not None and told.evidence.tx_hash is not None:
            followed.name(told.evidence.tx_hash)
        self.offers.add(followed)
        self.revocations.may_exist([claim.offer.nonce], {})
        return claim.offer
