"""Everything that is known of one nonce whose offers may still settle, and the results of their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

import msgspec

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, TradeResult
from unrip.domain.evidence import Ended, Lapsed, Revoked, Search, Settled, Spent, Trace, Voided
from unrip.domain.verifier import VerifierFill, VerifierReading
from unrip.frame.contract import Effect
from unrip.services.trade_executor.effects import Ending, Lineage, TraceRevocation
from unrip.services.trade_executor.offers.revocation import Revocation
from unrip.services.trade_executor.relay.acknowledgements import Notice
from unrip.services.trade_executor.results import result_of_offer, stamped

#: How long after an offer's deadline it is first asked about: a final block lags by a few seconds.
FINALITY_ALLOWANCE = timedelta(seconds=3)
#: How long after a look at older blocks that showed nothing the next one follows: doubled each time, up to the second.
RETRY_FIRST = timedelta(seconds=10)
RETRY_MAX = timedelta(minutes=10)
#: How many transactions notices may name for one offer; a true one is among the first.
_NAMED_MAX = 4
#: How often the transaction of a use is asked for in vain before it is reported that no node has it.
_SEARCHES_MAX = 6
_END_OF: dict[type[Ended], AttemptState] = {
    Settled: AttemptState.SETTLED,
    Spent: AttemptState.SPENT,
    Voided: AttemptState.VOIDED,
    Revoked: AttemptState.REVOKED,
    Lapsed: AttemptState.LAPSED,
}


class Interest(IntEnum):
    """Why the chain is asked about a nonce before a deadline of its offers has passed."""

    NONE = 0
    ONCE = 1
    """Ask at the next read: after a start or a reconnect, or since its salt may have ended."""
    UNTIL_ENDED = 2
    """Ask at every read: a notice says that it settled, a block that it is used, or we revoke it, or may have."""


@dataclass
class LiveOffer:
    """An open offer with what is known of it alone."""

    offer: Offer
    lineage: Lineage
    #: Our reading when it was claimed; its nonce was unused then, if the offer was the first to carry it.
    before: VerifierReading | None = None
    #: Whether the answer was sent and the relay's reply is awaited.
    frame: str = ""
    awaits_reply: bool = False
    #: The transactions that notices name: any of them may be wrong, or not final yet.
    named: list[str] = field(default_factory=list)
    #: Notices that are acknowledged once its end is committed.
    notices: list[Notice] = field(default_factory=list)
    #: Whether its end is being written.
    closing: bool = False

    def name(self, tx_hash: str) -> None:
        """Keep the transaction that a notice names."""
        if tx_hash not in self.named and len(self.named) < _NAMED_MAX:
            self.named.append(tx_hash)


@dataclass
class Doubt:
    """How far looking for the end of a nonce in older blocks has come."""

    next_check_at: datetime
    #: A height at which the nonce is used: the block of its use is looked for. None where it is unused.
    used_at: int | None = None
    #: Whether the transaction that used it is looked for, since the blocks of the use do not show who did.
    sought_at: datetime | None = None
    looks: int = 0
    reason: str = ""
    #: Whether the blocks that would show it are not kept, or do not show it.
    unproven: bool = False

    def due(self, now: datetime) -> bool:
        """Whether to look again; a look that lies further ahead than any wait was planned by a clock that was wrong."""
        return not now < self.next_check_at <= now + RETRY_MAX

    def sought_lately(self, now: datetime) -> bool:
        """Whether the transaction was asked for within the first wait."""
        return self.sought_at is not None and timedelta(0) <= now - self.sought_at < RETRY_FIRST

    def later(self, reason: str, now: datetime) -> None:
        """Look again later, after a look that showed nothing: the next one comes later each time."""
        self.next_check_at = now + min(RETRY_FIRST * 2**self.looks, RETRY_MAX)
        self.looks = min(self.looks + 1, 10)
        self.reason = reason


@dataclass
class LiveNonce:
    """One nonce: it is used once, so its offers have one end."""

    nonce: str
    #: Its offers by command, in the order of the claims.
    offers: dict[str, LiveOffer] = field(default_factory=dict)
    #: Offers that a ledger that went back does not know, by command, until they are adopted.
    forgotten: dict[str, LiveOffer] = field(default_factory=dict)
    interest: Interest = Interest.NONE
    #: Whether it was open before this start or this connection, and no final block was asked about it since.
    unasked: bool = False
    #: What a final transaction shows of its use.
    fill: VerifierFill | None = None
    #: How far the search for that transaction has come, and how often it was in vain.
    search: Search = Search.PENDING
    searches: int = 0
    #: The last block with it unused, and the next one, where it is used.
    use: tuple[VerifierReading, VerifierReading] | None = None
    revocation: Revocation | None = None
    doubt: Doubt | None = None

    @property
    def open(self) -> list[LiveOffer]:
        """The offers whose end is not being written."""
        return [each for each in self.offers.values() if not each.closing]

    @property
    def last_deadline(self) -> datetime:
        """The last deadline, after which no open offer can be executed any more."""
        return max(each.offer.offer_deadline for each in self.open)

    @property
    def trace(self) -> Trace:
        """Whether a revocation of ours may have used it."""
        return Trace.NONE if self.revocation is None else self.revocation.trace

    # --- asking the chain ------------------------------------------------------------------------------------------

    def ask(self, interest: Interest) -> None:
        """Ask the chain about it."""
        self.interest = max(self.interest, interest)

    def asked(self) -> None:
        """Note that a final block was asked about it."""
        self.unasked = False
        if self.interest is Interest.ONCE:
            self.interest = Interest.NONE

    def due(self, now: datetime) -> bool:
        """Whether to ask at the next read: there is a reason, or a deadline has passed by the finality allowance."""
        return any(self.interest or now >= each.offer.offer_deadline + FINALITY_ALLOWANCE for each in self.open)

    def not_found_now(self) -> None:
        """Ask for the transaction of its use again: it could not be read."""
        self.searches += 1
        if self.search is Search.PENDING and self.searches >= _SEARCHES_MAX:
            self.search = Search.UNREAD

    def trace_revocation(self) -> list[Effect]:
        """Ask, once at a time, whether our revocation used the nonce, which is used."""
        revocation, offers = self.revocation, self.open
        if not offers or revocation is None or revocation.traced is not None or revocation.tracing:
            return []
        revocation.tracing = True
        deadline = offers[0].offer.nonce_deadline
        return [TraceRevocation(nonce=self.nonce, deadline=deadline, payload=revocation.payload)]

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(self, end: Ended, now: datetime, reason: str | None) -> Ending:
        """The end of every open offer, with one result for each; `reason` is an operator's."""
        state, taker = _END_OF[type(end)], end.taker if isinstance(end, Settled) else None
        evidence = end.evidence
        if state is AttemptState.VOIDED and evidence.moved is None and self.fill is not None:
            evidence = msgspec.structs.replace(evidence, executed=self.fill.quote_hash, tx_hash=self.fill.tx_hash)
        results = tuple(
            self._result(each, state if taker in {None, each.offer} else AttemptState.LAPSED, evidence, now, reason)
            for each in self.open
        )
        return Ending(
            nonce=self.nonce, state=state, results=_with_candidates(results) if state is AttemptState.SPENT else results
        )

    def _result(
        self, live: LiveOffer, state: AttemptState, evidence: ChainEvidence, now: datetime, reason: str | None
    ) -> tuple[TradeResult, Lineage]:
        live.closing = True
        offer, lineage = live.offer, stamped(live.lineage, state, now)
        revoked = self.revocation.executed if self.revocation is not None and state is AttemptState.REVOKED else None
        if revoked is not None:
            own = msgspec.structs.replace(evidence, tx_hash=revoked.tx_hash, executed=revoked.intent_hash)
            return result_of_offer(offer, state, evidence=own, request=revoked.payload), lineage
        if state is AttemptState.VOIDED:
            result = result_of_offer(offer, state, reason=reason, evidence=evidence)
            return msgspec.structs.replace(result, exchange=None), lineage
        if self.fill is not None and self.fill.quote_hash == offer.quote_hash:
            fill = self.fill
            own = msgspec.structs.replace(evidence, tx_hash=fill.tx_hash, diff=fill.diff, executed=offer.quote_hash)
        else:
            own = msgspec.structs.replace(evidence, tx_hash=next(iter(live.named), None))
        return result_of_offer(offer, state, reason=reason, evidence=own), lineage


def _with_candidates(results: tuple[tuple[TradeResult, Lineage], ...]) -> tuple[tuple[TradeResult, Lineage], ...]:
    """Have the first result carry what moved, or else what may have: nobody knows which offer was executed."""
    (first, lineage), *others = results
    moved = tuple(dict.fromkeys(result.exchange for result, _chain in results if result.exchange is not None))
    if len(moved) > 1:
        first = msgspec.structs.replace(first, exchange=None, candidates=moved)
    silent = {"exchange": None, "told_by": first.command_id}
    return (first, lineage), *((msgspec.structs.replace(result, **silent), lineage) for result, lineage in others)
