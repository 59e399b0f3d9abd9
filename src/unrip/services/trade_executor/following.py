"""Open offers and what one final block says about them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, TradeResult
from unrip.domain.balances import Withdrawal, used_beside
from unrip.domain.evidence import (
    Alive,
    Ended,
    Lapsed,
    LookFurther,
    Promise,
    Revoked,
    Settled,
    Spent,
    Trace,
    Unproven,
    Verdict,
    Voided,
    Wait,
    judge,
    judge_past,
)
from unrip.domain.values import Delta
from unrip.domain.verifier import VerifierFill, VerifierReading
from unrip.services.trade_executor.effects import Chain, Ending
from unrip.services.trade_executor.results import result_of_offer
from unrip.services.trade_executor.revoking import Revocation

#: The first question about an offer comes this long after its deadline: a final block lags by a few seconds.
FINALITY_ALLOWANCE = timedelta(seconds=3)
#: Transactions that notices may name for one offer; a true one is among the first.
_NAMED_MAX = 4
#: Settlements remembered to explain a fall of the balance since a snapshot.
SETTLED_KEPT = 1_000
#: Offers that were taken and are remembered, since they may have moved balances in the block of another's use.
_TAKEN_KEPT = 100
#: What says that a nonce has not ended.
Look = Alive | LookFurther | Wait | Unproven
_END_OF: dict[type[Ended], AttemptState] = {
    Settled: AttemptState.SETTLED,
    Spent: AttemptState.SPENT,
    Voided: AttemptState.VOIDED,
    Revoked: AttemptState.REVOKED,
    Lapsed: AttemptState.LAPSED,
}


@dataclass
class Followed:
    """An open offer with what is known of it."""

    offer: Offer
    chain: Chain
    #: Ask about it at the next read, whatever its deadline: after a start or a reconnect.
    ask_now: bool = False
    #: A notice says that it settled, a block that its nonce is used, or we revoke it: ask at every read until its end.
    noticed: bool = False
    #: It was open before this start or this connection, and no final block was asked about it since.
    unrecovered: bool = False
    #: The answer as sent; the relay's reply to it is awaited.
    frame: str = ""
    awaits_reply: bool = False
    #: The transaction that settled it, or else the first that a notice names.
    tx_hash: str | None = None
    #: What notices name: any of it may be wrong, or not final yet.
    named: list[str] = field(default_factory=list)
    diff: dict[str, Delta] | None = None
    #: Our reading when it was claimed; its nonce was unused then, if it was the first to carry it.
    before: VerifierReading | None = None
    #: Its ending is being written.
    ending: bool = False

    def name(self, tx_hash: str) -> None:
        """A notice names the transaction that settled it."""
        self.tx_hash = self.tx_hash or tx_hash
        if tx_hash not in self.named and len(self.named) < _NAMED_MAX:
            self.named.append(tx_hash)


@dataclass
class _Known:
    """What is known of the use of a nonce with open offers."""

    #: The intent that a final transaction executed, and the transaction.
    executed: str | None = None
    tx_hash: str | None = None
    #: The last block with the nonce unused, and the next one, where it is used.
    use: tuple[VerifierReading, VerifierReading] | None = None


@dataclass
class OpenOffers:
    """Every offer that may still settle, by command."""

    by_command: dict[str, Followed] = field(default_factory=dict)
    #: (height, asset, amount) of settlements since the start.
    settled: deque[tuple[int, str, int]] = field(default_factory=lambda: deque(maxlen=SETTLED_KEPT))
    #: What the owner took out, as far as the bridge has told.
    withdrawn: Iterable[Withdrawal] = ()
    _taken: deque[Offer] = field(default_factory=lambda: deque(maxlen=_TAKEN_KEPT))
    _known: dict[str, _Known] = field(default_factory=dict)
    #: Transactions whose fills are being read.
    _fills_asked: set[str] = field(default_factory=set)

    def add(self, followed: Followed) -> None:
        """Follow an offer to its end."""
        self.by_command.setdefault(followed.offer.command_id, followed)

    def claimed(self, followed: Followed) -> None:
        """Follow an offer that was just claimed; a reading of the ledger in between knows less of it than we do."""
        self.by_command[followed.offer.command_id] = followed

    def by_quote_hash(self, quote_hash: str) -> Followed | None:
        """The open offer with this hash."""
        return next((each for each in self.by_command.values() if each.offer.quote_hash == quote_hash), None)

    def ask_about_all(self) -> None:
        """On a new connection every open offer is asked about: notices of the time before it may be lost."""
        for followed in self.by_command.values():
            followed.ask_now = followed.unrecovered = True

    def ask_about_other_salts(self, salt: str) -> None:
        """Of these the salt may have ended, and they with it."""
        for followed in self.by_command.values():
            if followed.offer.salt != salt:
                followed.ask_now = True

    def asked_about(self, nonces: Collection[str]) -> None:
        """A final block was asked about these."""
        for followed in self.by_command.values():
            if followed.offer.nonce in nonces:
                followed.ask_now = followed.unrecovered = False

    def unrecovered(self) -> int:
        """Offers of an earlier life or connection that no final block was asked about yet."""
        return sum(followed.unrecovered and not followed.ending for followed in self.by_command.values())

    def due(self, now: datetime) -> list[Followed]:
        """The offers to ask about: asked for, noticed, or past their deadline by the finality allowance."""
        return [
            followed
            for followed in self.by_command.values()
            if not followed.ending
            and (followed.ask_now or followed.noticed or now >= followed.offer.offer_deadline + FINALITY_ALLOWANCE)
        ]

    def explained_fall(self, asset_id: str, since_height: int) -> int:
        """What open offers and settlements after a height may have taken of an asset."""
        largest: dict[str, int] = {}
        for offer in (followed.offer for followed in self.by_command.values()):
            if offer.asset_out == asset_id:
                largest[offer.nonce] = max(offer.amount_out, largest.get(offer.nonce, 0))
        promised = sum(largest.values())
        taken = sum(amount for height, asset, amount in self.settled if asset == asset_id and height > since_height)
        return promised + taken

    def live_nonces(self, asset_id: str) -> set[str]:
        """The nonces that open offers of this asset carry and that nothing speaks against: no block, and no notice."""
        live = [each for each in self.by_command.values() if not each.ending and each.offer.asset_out == asset_id]
        return {each.offer.nonce for each in live} - {each.offer.nonce for each in live if each.noticed}

    def fills_to_read(self) -> list[str]:
        """The transactions to ask about what they moved, again as long as the offers they are named for are open."""
        named = (
            tx_hash
            for followed in self.by_command.values()
            if self._of(followed.offer.nonce).executed is None and not followed.ending
            for tx_hash in followed.named
        )
        asked = [tx_hash for tx_hash in dict.fromkeys(named) if tx_hash not in self._fills_asked]
        self._fills_asked.update(asked)
        return asked

    def note_fills(self, tx_hash: str, fills: tuple[VerifierFill, ...]) -> None:
        """Keep what a transaction moved for the offers it settled; nothing, where it could not be read."""
        self._fills_asked.discard(tx_hash)
        open_nonces = {followed.offer.nonce for followed in self.by_command.values()}
        for fill in fills:
            followed = self.by_quote_hash(fill.quote_hash)
            nonce = fill.nonce or (followed.offer.nonce if followed is not None else None)
            if nonce not in open_nonces or (followed is not None and followed.offer.nonce != nonce):
                continue
            known = self._known.setdefault(nonce, _Known())
            known.executed, known.tx_hash = fill.quote_hash, fill.tx_hash
            if followed is not None:
                followed.tx_hash, followed.diff = fill.tx_hash, fill.diff

    def note_use(self, nonce: str, before: VerifierReading, after: VerifierReading) -> None:
        """The block of a nonce's use was found."""
        self._known.setdefault(nonce, _Known()).use = (before, after)

    def is_named(self, nonce: str) -> bool:
        """Whether a notice has named a transaction that may say who used a nonce."""
        return any(followed.named for followed in self.by_command.values() if followed.offer.nonce == nonce)

    def use_of(self, nonce: str) -> tuple[VerifierReading, VerifierReading] | None:
        """The two blocks between which a nonce was used, once they are found."""
        return self._of(nonce).use

    def may_have_moved(self) -> tuple[Offer, ...]:
        """Everything of ours that is open or was taken lately: in a block of the past any of it may have moved."""
        return (*(followed.offer for followed in self.by_command.values()), *self._taken)

    def judged(
        self,
        reading: VerifierReading,
        now: datetime,
        *,
        claiming: Collection[str],
        revocations: Mapping[str, Revocation],
    ) -> dict[str, Ending | Look]:
        """What this block says about the nonces asked about; those that it ends are marked as being written.

        `revocations` are those that may exist. A nonce that is just being claimed once more is asked about again: its
        end must tell of all its offers.
        """
        by_nonce: dict[str, list[Followed]] = {}
        for followed in self.by_command.values():
            if followed.offer.nonce not in reading.nonces or followed.ending:
                continue
            if followed.offer.nonce in claiming:
                followed.ask_now = True
            else:
                by_nonce.setdefault(followed.offer.nonce, []).append(followed)
        return {
            nonce: self._told(
                judge(self._promise(offers, revocations.get(nonce)), reading, newest=reading.block_time),
                offers,
                now,
                revocations.get(nonce),
            )
            for nonce, offers in by_nonce.items()
        }

    def used_by_whom(self, reading: VerifierReading) -> list[Offer]:
        """Offers whose nonce is used while nobody has said yet by which intent."""
        return [
            followed.offer
            for followed in self.by_command.values()
            if reading.nonces.get(followed.offer.nonce, False) and not followed.ending
        ]

    def judged_by_past(
        self,
        nonce: str,
        readings: Sequence[VerifierReading],
        now: datetime,
        *,
        newest: datetime,
        no_fill: bool,
        revocation: Revocation | None,
    ) -> Ending | Look | None:
        """What older blocks say about one nonce; None where none of its offers is open any more.

        `no_fill`: the balances of the two show that no offer used it in the later one, where it was forgotten.
        """
        offers = [each for each in self.by_command.values() if each.offer.nonce == nonce and not each.ending]
        if not offers:
            return None
        verdict = judge_past(self._promise(offers, revocation), readings, newest=newest, no_fill=no_fill)
        return self._told(verdict, offers, now, revocation)

    def _told(
        self, verdict: Verdict, offers: Sequence[Followed], now: datetime, revocation: Revocation | None
    ) -> Ending | Look:
        """The ending that a verdict is; what is not ended by what it should be is asked about at every read."""
        if isinstance(verdict, Ended):
            return _ending(verdict, offers, now, revocation, self._of(offers[0].offer.nonce))
        if not isinstance(verdict, Alive):
            for followed in offers:
                followed.noticed = True
        return verdict

    def resolved(
        self, command_id: str, state: AttemptState, evidence: ChainEvidence, reason: str, now: datetime
    ) -> Ending:
        """The end of an open offer's nonce by an operator's word: this one settled, or none did."""
        nonce = self.by_command[command_id].offer.nonce
        offers = [each for each in self.by_command.values() if each.offer.nonce == nonce]
        results = tuple(
            _result(
                each,
                state if each.offer.command_id == command_id else AttemptState.LAPSED,
                evidence,
                now,
                reason=reason,
            )
            for each in offers
        )
        return Ending(nonce=nonce, state=state, results=results)

    def ended(self, ending: Ending, height: int) -> list[Followed]:
        """Forget the offers of an ending that is committed, and remember what it took."""
        self._known.pop(ending.nonce, None)
        gone = [self.by_command.pop(result.command_id) for result, _chain in ending.results]
        took = [
            followed.offer
            for followed, (result, _chain) in zip(gone, ending.results, strict=True)
            if result.state.moved
        ]
        if took:
            largest = max(took, key=lambda offer: offer.amount_out)
            self.settled.append((height, largest.asset_out, largest.amount_out))
            self._taken.extend(took)
        return gone

    def _of(self, nonce: str) -> _Known:
        return self._known.get(nonce) or _Known()

    def _promise(self, offers: Sequence[Followed], revocation: Revocation | None) -> Promise:
        """What is known of the nonce of these offers beside the blocks."""
        first = offers[0]
        comparable = first.before is not None and not self._anything_else(
            first.offer.nonce, since_height=first.before.height
        )
        known = self._of(first.offer.nonce)
        trace = Trace.NONE if revocation is None else revocation.trace
        others: tuple[tuple[Offer, ...], ...] = ()
        if known.use is not None:
            # While it may have been our revocation that used it, another's fill that was forgotten may have moved this.
            forgotten = trace is Trace.UNTRACED
            others = used_beside(first.offer.nonce, self.may_have_moved(), *known.use, forgotten=forgotten)
        return Promise(
            offers=tuple(followed.offer for followed in offers),
            executed=known.executed,
            trace=trace,
            before=first.before if comparable else None,
            use=known.use,
            others=others,
            withdrawals=tuple(self.withdrawn),
        )

    def _anything_else(self, nonce: str, *, since_height: int) -> bool:
        """Whether another offer may have moved a balance since a height."""
        others = any(followed.offer.nonce != nonce for followed in self.by_command.values())
        return others or any(height > since_height for height, _asset, _amount in self.settled)


def _ending(
    verdict: Ended, offers: Sequence[Followed], now: datetime, revocation: Revocation | None, known: _Known
) -> Ending:
    """One result for each of the offers."""
    state, taker = _END_OF[type(verdict)], verdict.taker if isinstance(verdict, Settled) else None
    evidence = verdict.evidence
    if state is AttemptState.VOIDED and evidence.moved is None:
        evidence = msgspec.structs.replace(evidence, executed=known.executed, tx_hash=known.tx_hash)
    results = tuple(
        _result(
            followed,
            state if taker in {None, followed.offer} else AttemptState.LAPSED,
            evidence,
            now,
            revocation=revocation,
            executed=known.executed,
        )
        for followed in offers
    )
    if state is AttemptState.SPENT:
        results = _told_once(results)
    return Ending(nonce=offers[0].offer.nonce, state=state, results=results)


def _result(
    followed: Followed,
    state: AttemptState,
    evidence: ChainEvidence,
    now: datetime,
    *,
    reason: str | None = None,
    revocation: Revocation | None = None,
    executed: str | None = None,
) -> tuple[TradeResult, Chain]:
    followed.ending = True
    chain = msgspec.structs.replace(followed.chain, stages={**followed.chain.stages, state.value: now})
    revoked = revocation.executed if revocation is not None and state is AttemptState.REVOKED else None
    if revoked is not None:
        own = msgspec.structs.replace(evidence, tx_hash=revoked.tx_hash, executed=revoked.intent_hash)
        return result_of_offer(followed.offer, state, evidence=own, request=revoked.payload), chain
    if state is AttemptState.VOIDED:
        result = result_of_offer(followed.offer, state, reason=reason, evidence=evidence)
        return msgspec.structs.replace(result, exchange=None), chain
    own_hash = followed.offer.quote_hash if executed == followed.offer.quote_hash else None
    own = msgspec.structs.replace(evidence, tx_hash=followed.tx_hash, diff=followed.diff, executed=own_hash)
    return result_of_offer(followed.offer, state, reason=reason, evidence=own), chain


def _told_once(results: tuple[tuple[TradeResult, Chain], ...]) -> tuple[tuple[TradeResult, Chain], ...]:
    """Nobody knows which offer took the nonce: the first result tells what moved, or else what may have."""
    (first, chain), *others = results
    moved = tuple(dict.fromkeys(result.exchange for result, _chain in results if result.exchange is not None))
    if len(moved) > 1:
        first = msgspec.structs.replace(first, exchange=None, candidates=moved)
    silent = {"exchange": None, "told_by": first.command_id}
    return (first, chain), *((msgspec.structs.replace(result, **silent), chain) for result, chain in others)
