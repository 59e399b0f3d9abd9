"""The kill switch's second half: live offers are taken back by spending their nonces.

A revocation is a pure function of its nonce, so nothing need be recorded before it acts: after a crash the one that may
have been published is made again and looked for. Only the chain shows who used a nonce first, the taker or we.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from unrip.domain.attempt import Offer
from unrip.frame.contract import Count, CrashPoint, Effect, Log
from unrip.services.trade_executor.effects import (
    Finding,
    NoteRevocation,
    Publication,
    PublishRevocation,
    RevocationPublished,
    RevocationSigned,
    RevocationTraced,
    SignRevocation,
)
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.chain_watch import ChainWatch
from unrip.services.trade_executor.offers.nonce import Interest
from unrip.services.trade_executor.offers.revocation import Revocation


class Revocations:
    """Signs, publishes and traces revocations."""

    def __init__(self, book: Book, chain: ChainWatch) -> None:
        self._book = book
        self._chain = chain
        self.report = book.revoked

    def revoke(self, now: datetime) -> list[Effect]:
        """Spend the nonce of every offer that may still be taken."""
        return self.request([each.offer for each in self._book.everything() if not each.closing], now)

    def request(self, offers: Sequence[Offer], now: datetime) -> list[Effect]:
        """Take back these offers, as far as they are still live."""
        self.report.request(offers, now, loaded=self._book.loaded)
        for offer in offers:
            self._book.nonces[offer.nonce].ask(Interest.UNTIL_ENDED)
        live = {offer.nonce: offer.nonce_deadline for offer in offers if offer.offer_deadline > now}
        return [SignRevocation(nonce=nonce, deadline=deadline) for nonce, deadline in live.items()]

    def on_event(self, event: RevocationSigned | RevocationPublished | RevocationTraced, now: datetime) -> list[Effect]:
        """Send a revocation first and record it after; what used its nonce is looked up once the nonce is used."""
        match event:
            case RevocationSigned():
                return self._signed(event)
            case RevocationPublished():
                return [CrashPoint(name="executor.revoked"), *self._published(event), *self._chain.ask_anew(now)]
            case RevocationTraced():
                return self._traced(event, now)

    def _signed(self, event: RevocationSigned) -> list[Effect]:
        """Send a signed revocation: from now on either a taker or our revocation may use the nonce."""
        self.report.update(event.nonce, revocation_hash=event.intent_hash)
        publish = PublishRevocation(nonce=event.nonce, payload=event.payload)
        live = self._book.nonces.get(event.nonce)
        recorded = False
        if live is not None:
            recorded = live.revocation is not None and live.revocation.payload == event.payload
            live.revocation = live.revocation or Revocation(payload=None)
            live.revocation.payload = event.payload
        if recorded or (live is not None and live.forgotten):  # the ledger has it, or no hold that it could be noted on
            return [publish]
        note = NoteRevocation(account=self._book.account, nonce=event.nonce, payload=event.payload)
        return [publish, *self._book.writes.push(note)]

    def _published(self, event: RevocationPublished) -> list[Effect]:
        """Follow what the relay did with it."""
        offers = self.report.update(event.nonce, publication=event.publication, reason=event.reason)
        taken = event.publication is Publication.TAKEN
        body = {
            "nonce": event.nonce,
            "quote_ids": [each.quote_id for each in offers],
            "intent_hash": next((each.revocation_hash for each in offers), None),
            "publication": event.publication,
            "reason": event.reason,
        }
        return [
            Count(name="revocations", labels={"outcome": event.publication}),
            Log(
                event="revocation_published" if taken else "revocation_failed",
                level="info" if taken else "warning",
                component="revocation",
                venue="near_intents",
                body=body,
            ),
        ]

    def _traced(self, event: RevocationTraced, now: datetime) -> list[Effect]:
        count = Count(name="revocation_traces", labels={"finding": event.finding})
        live = self._book.nonces.get(event.nonce)
        if live is None or live.revocation is None:
            return [count]
        live.revocation.tracing = False
        if event.finding is Finding.UNKNOWN:
            return [count]
        live.revocation.traced = event
        self._chain.older_blocks.look_again(live, now)
        return [count, *self._chain.ask_anew(now)]
