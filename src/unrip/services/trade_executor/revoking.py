"""The kill switch's second half: live offers are taken back by spending their nonces, and what came of it is told.

A revocation is a pure function of its nonce, so nothing need be recorded before it acts: after a crash the one that may
have been published is made again and looked for. Only the chain says who used a nonce first, the taker or we.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from unrip.domain.attempt import ChainEvidence, Offer, TradeResult
from unrip.domain.evidence import Trace
from unrip.domain.values import Value
from unrip.service.contract import Count, Effect, Log
from unrip.services.trade_executor.effects import (
    Finding,
    Publication,
    PublishRevocation,
    RevocationPublished,
    RevocationSigned,
    RevocationTraced,
    SignRevocation,
    TraceRevocation,
)

#: An offer whose end no evidence shows yet.
UNKNOWN = "unknown"


@dataclass
class Revocation:
    """A revocation that was published, or may have been by an earlier life that could not record it."""

    #: The signed intent; None where it is not known to have been published.
    payload: str | None
    #: Who used the nonce, once it is used.
    traced: RevocationTraced | None = None
    #: The question is under way.
    tracing: bool = False

    @property
    def trace(self) -> Trace:
        """Whether it used the nonce, as far as that is known."""
        if self.traced is None:
            return Trace.UNTRACED
        return Trace.REVOKED if self.traced.finding is Finding.REVOKED else Trace.NOT_REVOKED

    @property
    def executed(self) -> RevocationTraced | None:
        """The trace that shows that it used the nonce."""
        return self.traced if self.trace is Trace.REVOKED else None


class RevokedOffer(Value):
    """What the operator is told about one offer that was live when they were to be revoked."""

    command_id: str
    quote_id: str
    direction: str
    asset_out: str
    amount_out: str
    quote_hash: str
    nonce: str
    offer_deadline: datetime
    #: The hash of the intent that spends the nonce.
    revocation_hash: str | None
    publication: Publication
    reason: str
    #: The state that evidence has brought it to, or `unknown`.
    outcome: str
    evidence: ChainEvidence | None
    #: Whether the ledger has that end, too.
    recorded: bool


@dataclass
class Revocations:
    """Revocations by nonce, and the report on what was asked for since the desk was halted."""

    by_nonce: dict[str, Revocation] = field(default_factory=dict)
    #: Revoking was asked for before the ledger said what is open.
    waits_for_ledger: bool = False
    _requested_at: datetime | None = None
    #: By command.
    _offers: dict[str, RevokedOffer] = field(default_factory=dict)

    # --- revoking --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new halt: the report begins anew. Until then it keeps what ended between two requests."""
        self._offers = {}

    def request(self, offers: Iterable[Offer], now: datetime, *, loaded: bool) -> list[Effect]:
        """Take back every offer that is still live."""
        self._requested_at, self.waits_for_ledger = now, not loaded
        live: dict[str, datetime] = {}
        for offer in offers:
            if offer.offer_deadline > now:
                live[offer.nonce] = offer.nonce_deadline
            self._offers[offer.command_id] = _unrevoked(offer, now)
        return [SignRevocation(nonce=nonce, deadline=deadline) for nonce, deadline in live.items()]

    def is_published(self, event: RevocationSigned) -> bool:
        """Whether the same was published before, and is recorded or about to be."""
        known = self.by_nonce.get(event.nonce)
        return known is not None and known.payload == event.payload

    def signed(self, event: RevocationSigned) -> list[Effect]:
        """A revocation may go: from here on its nonce has two ways to be used."""
        self.by_nonce.setdefault(event.nonce, Revocation(payload=None)).payload = event.payload
        self._told(event.nonce, revocation_hash=event.intent_hash)
        return [PublishRevocation(nonce=event.nonce, payload=event.payload)]

    def published(self, event: RevocationPublished) -> list[Effect]:
        """What the relay made of it."""
        self._told(event.nonce, publication=event.publication, reason=event.reason)
        taken = event.publication is Publication.TAKEN
        offers = [each for each in self._offers.values() if each.nonce == event.nonce]
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

    # --- who used the nonce ----------------------------------------------------------------------------------------

    def may_exist(self, nonces: Collection[str], published: dict[str, str]) -> None:
        """Offers of an earlier life: each may have been revoked; for some that is known."""
        for nonce in nonces:
            self.by_nonce.setdefault(nonce, Revocation(payload=published.get(nonce)))

    def questions(self, used: Iterable[Offer]) -> list[Effect]:
        """Who used these nonces, each asked about once at a time."""
        effects: list[Effect] = []
        for nonce, deadline in {offer.nonce: offer.nonce_deadline for offer in used}.items():
            revocation = self.by_nonce.get(nonce)
            if revocation is not None and revocation.traced is None and not revocation.tracing:
                revocation.tracing = True
                effects.append(TraceRevocation(nonce=nonce, deadline=deadline, payload=revocation.payload))
        return effects

    def traced(self, event: RevocationTraced) -> bool:
        """Take an answer in; whether it is one."""
        revocation = self.by_nonce.get(event.nonce)
        if revocation is None:
            return False
        revocation.tracing = False
        if event.finding is Finding.UNKNOWN:
            return False
        revocation.traced = event
        return True

    def forget(self, nonce: str) -> None:
        """No offer of this nonce is open any more."""
        self.by_nonce.pop(nonce, None)

    # --- the report ------------------------------------------------------------------------------------------------

    def ended(self, results: Iterable[TradeResult], *, recorded: bool) -> None:
        """Evidence has shown how offers ended, or the ledger has it now."""
        for result in results:
            if (told := self._offers.get(result.command_id)) is not None:
                self._offers[result.command_id] = msgspec.structs.replace(
                    told, outcome=str(result.state), evidence=result.evidence, recorded=recorded
                )

    @property
    def requested(self) -> bool:
        """Whether live offers were to be taken back, in this life."""
        return self._requested_at is not None

    @property
    def unknown(self) -> int:
        """Offers whose end is not known."""
        return sum(each.outcome == UNKNOWN for each in self._offers.values())

    def state(self) -> dict[str, Any] | None:
        """For `GET /state`; None before the first request."""
        if not self.requested:
            return None
        return {
            "requested_at": self._requested_at,
            "waits_for_ledger": self.waits_for_ledger,
            "unknown": self.unknown,
            "offers": self.offers(),
        }

    def offers(self) -> Sequence[RevokedOffer]:
        """Every offer that was found open since the halt."""
        return list(self._offers.values())

    def _told(self, nonce: str, **changes: Any) -> None:
        for command_id, told in self._offers.items():
            if told.nonce == nonce and told.publication is not Publication.EXPIRED:
                self._offers[command_id] = msgspec.structs.replace(told, **changes)


def _unrevoked(offer: Offer, now: datetime) -> RevokedOffer:
    return RevokedOffer(
        command_id=offer.command_id,
        quote_id=offer.quote_id,
        direction=offer.direction,
        asset_out=offer.asset_out,
        amount_out=str(int(offer.amount_out)),
        quote_hash=offer.quote_hash,
        nonce=offer.nonce,
        offer_deadline=offer.offer_deadline,
        revocation_hash=None,
        publication=Publication.WAITING if offer.offer_deadline > now else Publication.EXPIRED,
        reason="",
        outcome=UNKNOWN,
        evidence=None,
        recorded=False,
    )
