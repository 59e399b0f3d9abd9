"""Every nonce whose offers may still settle: what is asked about them, what blocks say, and the one way they end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from unrip.domain.attempt import Offer, TradeResult
from unrip.domain.balances import used_beside
from unrip.domain.evidence import Alive, Ended, Promise, Trace, Verdict, judge, judge_past
from unrip.domain.verifier import VerifierFill, VerifierReading
from unrip.frame.contract import Effect
from unrip.services.trade_executor.effects import (
    ApplyReading,
    DropAttempt,
    LedgerLoaded,
    Lineage,
    NoteAttempt,
)
from unrip.services.trade_executor.offers.ledger_writes import LedgerWrites
from unrip.services.trade_executor.offers.nonce import Interest, LiveNonce, LiveOffer
from unrip.services.trade_executor.offers.revocation import Revocation, RevocationReport
from unrip.services.trade_executor.offers.withdrawals import Withdrawals
from unrip.services.trade_executor.relay.acknowledgements import Acknowledgements
from unrip.services.trade_executor.relay.client import RelayClient
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import stamped

#: How many settlements are remembered to explain a fall of the balance since a snapshot.
SETTLED_KEPT = 1_000
#: Offers that were taken and are remembered, since they may have moved balances in the block of another's use.
_TAKEN_KEPT = 100


class Book:
    """The open offers by nonce, and what those that ended have taken lately."""

    def __init__(self, *, account: str, client: RelayClient, report: ExecutionReport) -> None:
        self.account = account
        self.nonces: dict[str, LiveNonce] = {}
        self.writes = LedgerWrites()
        self.revoked = RevocationReport()
        #: What the owner took out, as far as the bridge has reported.
        self.withdrawals = Withdrawals(account)
        self.acknowledgements = Acknowledgements(client)
        #: Nonces of which the ledger may have one more offer than we know.
        self.claiming: set[str] = set()
        #: Whether the ledger has answered what is open.
        self.loaded = False
        #: Whether every offer on a nonce is known, so that evidence about the nonce ends them.
        self.complete = True
        self._report = report
        #: (height, asset, amount) of settlements since the start.
        self._settled: deque[tuple[int, str, int]] = deque(maxlen=SETTLED_KEPT)
        self._taken: deque[Offer] = deque(maxlen=_TAKEN_KEPT)

    # --- the offers ------------------------------------------------------------------------------------------------

    def follow(self, offer: Offer, lineage: Lineage) -> LiveOffer:
        """Follow an offer to its end; one that is known already stays as it is known."""
        live = self.nonces.setdefault(offer.nonce, LiveNonce(nonce=offer.nonce))
        return live.offers.setdefault(offer.command_id, LiveOffer(offer=offer, lineage=lineage))

    def offers(self) -> Iterator[LiveOffer]:
        """Every open offer that the ledger has."""
        return (each for live in self.nonces.values() for each in live.offers.values())

    def everything(self) -> list[LiveOffer]:
        """What may still settle, whether or not the ledger knows it."""
        return [*self.offers(), *(each for live in self.nonces.values() for each in live.forgotten.values())]

    def offer(self, command_id: str) -> LiveOffer | None:
        """The open offer of a command."""
        return next((each for each in self.offers() if each.offer.command_id == command_id), None)

    def by_quote_hash(self, quote_hash: str) -> LiveOffer | None:
        """The open offer with this hash."""
        return next((each for each in self.offers() if each.offer.quote_hash == quote_hash), None)

    def live_nonces(self, asset_id: str) -> set[str]:
        """The nonces that open offers of this asset carry and that nothing speaks against: no block, and no notice."""
        return {
            live.nonce
            for live in self.nonces.values()
            if live.interest is not Interest.UNTIL_ENDED and any(each.offer.asset_out == asset_id for each in live.open)
        }

    def promised_on(self, nonce: str) -> int:
        """The most that an open offer of a nonce may take."""
        offers = self.nonces[nonce].offers.values() if nonce in self.nonces else ()
        return max((each.offer.amount_out for each in offers), default=0)

    def explained_fall(self, asset_id: str, since_height: int) -> int:
        """What open offers and settlements after a height may have taken of an asset."""
        largest: dict[str, int] = {}
        for offer in (each.offer for each in self.offers() if each.offer.asset_out == asset_id):
            largest[offer.nonce] = max(offer.amount_out, largest.get(offer.nonce, 0))
        taken = sum(amount for height, asset, amount in self._settled if asset == asset_id and height > since_height)
        return sum(largest.values()) + taken

    def may_have_moved(self) -> tuple[Offer, ...]:
        """Everything of ours that is open or was taken lately: in a block of the past any of it may have moved."""
        return (*(each.offer for each in self.offers()), *self._taken)

    # --- what the ledger has, and what it lacks --------------------------------------------------------------------

    def load(self, event: LedgerLoaded) -> None:
        """Follow what the ledger has open: offers of an earlier life, or our own claim that was never confirmed."""
        self._load(event, earlier=not self.loaded)
        self.loaded = True

    def _load(self, event: LedgerLoaded, *, earlier: bool) -> None:
        for offer in event.open_offers:
            new = offer.nonce not in self.nonces or offer.command_id not in self.nonces[offer.nonce].offers
            self.follow(offer, Lineage(correlation_id=offer.correlation_id, causation_id=offer.command_id, stages={}))
            live = self.nonces[offer.nonce]
            if new:
                # What an earlier life revoked, or may have before it could record that, is asked about until a block
                # shows it, and no new offer shares its nonce.
                perhaps_revoked = earlier or offer.nonce in event.revocations
                live.ask(Interest.UNTIL_ENDED if perhaps_revoked else Interest.ONCE)
                live.unasked = live.unasked or earlier
            if earlier or offer.nonce in event.revocations:
                live.revocation = live.revocation or Revocation(payload=event.revocations.get(offer.nonce))

    def fall_back(self, event: LedgerLoaded) -> None:
        """The ledger is another one than we wrote to: what it does not know waits until it is adopted.

        Of the writes that wait those are made all the same which are about what it knows.
        """
        known = {offer.command_id for offer in event.open_offers}
        for live in self.nonces.values():
            live.ask(Interest.ONCE)
            for command_id, each in list(live.offers.items()):
                each.closing = False
                if command_id not in known:
                    live.forgotten[command_id] = live.offers.pop(command_id)
                    each.awaits_reply = False
            live.doubt = live.doubt if live.offers else None
        self._load(event, earlier=True)
        for write in self.writes.give_up():
            if isinstance(write, NoteAttempt | DropAttempt) and write.result.command_id in known:
                self.writes.push(write)  # they are held, so none begins yet

    def adopt(self, offer: Offer, lineage: Lineage, *, told: TradeResult | None) -> None:
        """Follow what is claimed as perhaps sent; a transaction that was named before is a place to look at."""
        live = self.nonces.setdefault(offer.nonce, LiveNonce(nonce=offer.nonce))
        known = live.forgotten.pop(offer.command_id, None) or LiveOffer(offer=offer, lineage=lineage)
        known = live.offers.setdefault(offer.command_id, known)
        if told is not None and told.evidence is not None and told.evidence.tx_hash is not None:
            known.name(told.evidence.tx_hash)
        live.ask(Interest.UNTIL_ENDED)
        live.revocation = live.revocation or Revocation(payload=None)

    def forget_what_it_lacks(self) -> None:
        """Forget what was not adopted until the quarantine's end: it can never settle."""
        for live in list(self.nonces.values()):
            live.forgotten.clear()
            self._tidy(live)

    def unasked(self) -> bool:
        """Whether no final block was asked yet about an offer of an earlier life or connection."""
        return any(live.unasked and live.open for live in self.nonces.values())

    # --- judging ---------------------------------------------------------------------------------------------------

    def take_fill(self, fill: VerifierFill) -> None:
        """Keep what a final transaction shows of a nonce with open offers."""
        offer = self.by_quote_hash(fill.quote_hash)
        nonce = fill.nonce or (offer.offer.nonce if offer is not None else "")
        live = self.nonces.get(nonce)
        if live is not None and live.offers and (offer is None or offer.offer.nonce == nonce):
            live.fill = fill

    def judged(self, reading: VerifierReading) -> dict[str, Verdict]:
        """What this block says about the nonces asked about.

        A nonce that is just being claimed once more is asked about again: its end must tell of all its offers.
        """
        verdicts: dict[str, Verdict] = {}
        for live in self.nonces.values():
            offers = live.open if live.nonce in reading.nonces else []
            if offers and live.nonce in self.claiming:
                live.ask(Interest.ONCE)
            elif offers:
                verdict = judge(self._promise(live, offers), reading, newest=reading.block_time)
                verdicts[live.nonce] = _noted(live, verdict)
        return verdicts

    def judged_by_past(
        self, live: LiveNonce, blocks: Sequence[VerifierReading], *, newest: datetime, no_fill: bool
    ) -> Verdict:
        """What older blocks say about one nonce, see `judge_past`."""
        return _noted(live, judge_past(self._promise(live, live.open), blocks, newest=newest, no_fill=no_fill))

    def _promise(self, live: LiveNonce, offers: Sequence[LiveOffer]) -> Promise:
        """What is known of a nonce beside the blocks."""
        before, trace = offers[0].before, live.trace
        comparable = before is not None and not self._anything_else(live.nonce, since_height=before.height)
        others: tuple[tuple[Offer, ...], ...] = ()
        if live.use is not None:
            # While it may have been our revocation that used it, another's fill that was forgotten may have moved this.
            forgotten = trace is Trace.UNTRACED
            others = used_beside(live.nonce, self.may_have_moved(), *live.use, forgotten=forgotten)
        return Promise(
            offers=tuple(each.offer for each in offers),
            executed=None if live.fill is None else live.fill.quote_hash,
            search=live.search,
            trace=trace,
            before=before if comparable else None,
            use=live.use,
            others=others,
            withdrawals=tuple(self.withdrawals),
        )

    def _anything_else(self, nonce: str, *, since_height: int) -> bool:
        """Whether another offer may have moved a balance since a height."""
        others = any(live.nonce != nonce and live.offers for live in self.nonces.values())
        return others or any(height > since_height for height, _asset, _amount in self._settled)

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(
        self, ends: Mapping[str, Ended], now: datetime, write: ApplyReading, *, reason: str | None = None
    ) -> list[Effect]:
        """End these nonces, as evidence shows: the ledger releases them with this write, and the report follows."""
        endings = tuple(self.nonces[nonce].close(end, now, reason) for nonce, end in ends.items())
        for ending in endings:
            self.revoked.ended((result for result, _chain in ending.results), recorded=False)
        return self.writes.push(msgspec.structs.replace(write, endings=endings))

    def drop(self, live: LiveOffer, result: TradeResult, now: datetime) -> list[Effect]:
        """Drop an offer of which no byte has left, as this process knows."""
        live.closing, live.awaits_reply = True, False
        return self.writes.push(DropAttempt(result=result, lineage=stamped(live.lineage, result.state, now)))

    def on_noted(self, now: datetime) -> list[Effect]:
        """Follow a committed write: what it ended is forgotten and reported, and its notices are acknowledged."""
        write, following = self.writes.committed()
        effects: list[Effect] = []
        if isinstance(write, DropAttempt):
            effects += self._ended([write.result], now)
        elif isinstance(write, ApplyReading):
            for ending in write.endings:
                effects += self._ended([result for result, _chain in ending.results], now, height=write.height)
        return [*effects, *following]

    def _ended(self, results: Sequence[TradeResult], now: datetime, *, height: int = 0) -> list[Effect]:
        self.revoked.ended(results, recorded=True)
        effects: list[Effect] = []
        took: list[Offer] = []
        for result in results:
            live = self._forget(result.command_id)
            took += [live.offer] if live is not None and result.state.moved else []
            effects += self._report.ended(result, now)
            effects += self.acknowledgements.ended(live.notices) if live is not None else []
        if took:
            largest = max(took, key=lambda offer: offer.amount_out)
            self._settled.append((height, largest.asset_out, largest.amount_out))
            self._taken.extend(took)
        return effects

    def _forget(self, command_id: str) -> LiveOffer | None:
        live = next((live for live in self.nonces.values() if command_id in live.offers), None)
        if live is None:
            return None
        gone = live.offers.pop(command_id)
        self._tidy(live)
        return gone

    def _tidy(self, live: LiveNonce) -> None:
        if not live.offers and not live.forgotten:
            del self.nonces[live.nonce]


def _noted(live: LiveNonce, verdict: Verdict) -> Verdict:
    """Ask at every read about what a write should have ended and did not."""
    if not isinstance(verdict, Ended | Alive):
        live.ask(Interest.UNTIL_ENDED)
    return verdict
