"""Our revocation of a nonce, and what the operator is told about the offers that were to be revoked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from unrip.domain.attempt import Offer, TradeResult
from unrip.domain.evidence import Trace
from unrip.services.trade_executor.effects import Finding, Publication, RevocationTraced
from unrip.services.trade_executor.state import RevocationState, RevokedOffer

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


@dataclass
class RevocationReport:
    """What became of the offers that were to be revoked, since the desk was halted."""

    #: Revoking was asked for before the ledger said what is open.
    waits_for_ledger: bool = False
    _requested_at: datetime | None = None
    #: By command.
    _offers: dict[str, RevokedOffer] = field(default_factory=dict)

    def begin(self) -> None:
        """A new halt: the report begins anew. Until then it keeps what ended between two requests."""
        self._offers = {}

    def request(self, offers: Iterable[Offer], now: datetime, *, loaded: bool) -> None:
        """These are to be revoked."""
        self._requested_at, self.waits_for_ledger = now, not loaded
        self._offers |= {offer.command_id: _unrevoked(offer, now) for offer in offers}

    def update(self, nonce: str, **changes: Any) -> list[RevokedOffer]:
        """Something new about the revocation of a nonce; the offers that it is about."""
        for command_id, told in self._offers.items():
            if told.nonce == nonce and told.publication is not Publication.EXPIRED:
                self._offers[command_id] = msgspec.structs.replace(told, **changes)
        return [each for each in self._offers.values() if each.nonce == nonce]

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
        return self.unknown_but(())

    def unknown_but(self, ended: Iterable[str]) -> int:
        """The same, once the ends of these commands' offers are known."""
        known = frozenset(ended)
        return sum(each.outcome == UNKNOWN and each.command_id not in known for each in self._offers.values())

    def state(self) -> RevocationState | None:
        """For `GET /state`; None before the first request."""
        if not self.requested:
            return None
        return RevocationState(
            requested_at=self._requested_at,
            waits_for_ledger=self.waits_for_ledger,
            unknown=self.unknown,
            offers=tuple(self.offers()),
        )

    def offers(self) -> Sequence[RevokedOffer]:
        """Every offer that was found open since the halt."""
        return list(self._offers.values())


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
