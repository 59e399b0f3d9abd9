"""The in-memory twin of the executor's ledger: the same promises, kept in dicts. For tests and one-process desks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

import msgspec

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, Rejection, TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.desk import CommandPosition, LedgerView
from unrip.domain.doubt import Seen
from unrip.domain.evidence import proves_death, shows_movement
from unrip.domain.sharing import most_by_asset
from unrip.domain.spending import Claimed, claimed_of
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import (
    ClaimKind,
    ClaimOutcome,
    DatabaseIdentity,
    HeldDifference,
    LedgerState,
    NonceEnding,
    OutboxEvent,
    OutboxRow,
    Surroundings,
    rejection_of,
)

#: How far an open attempt has come; a late reply still counts, a contradictory one does not move the state.
_PROGRESS = {
    AttemptState.CLAIMED: 0,
    AttemptState.SENT: 1,
    AttemptState.UNANSWERED: 2,
    AttemptState.ACCEPTED: 3,
    AttemptState.REFUSED: 3,
    AttemptState.UNPROVEN: 4,
}
#: The relay has neither accepted nor refused, or no block says how it ended: whether the offer counts is unknown.
_WITHOUT_ANSWER = frozenset({AttemptState.CLAIMED, AttemptState.SENT, AttemptState.UNANSWERED, AttemptState.UNPROVEN})


@dataclass
class _Asset:
    credited: int
    height: int
    held: int = 0


@dataclass
class _Hold:
    asset: str
    amount: int
    last_deadline: datetime
    nonce_deadline: datetime
    #: None while it is open.
    ended_as: AttemptState | None = None
    #: What was published to spend the nonce.
    revocation: str | None = None


@dataclass
class _Attempt:
    state: AttemptState
    generation: int
    claimed_at: datetime
    #: None for a rejected command.
    offer: Offer | None = None

    @property
    def open(self) -> bool:
        return not self.state.terminal


@dataclass
class _Account:
    assets: dict[str, _Asset] = field(default_factory=dict)
    holds: dict[str, _Hold] = field(default_factory=dict)
    attempts: dict[str, _Attempt] = field(default_factory=dict)
    position: CommandPosition | None = None
    surroundings: Surroundings | None = None
    believed: Seen | None = None

    def believe(self, seen: Seen, *, replaces: bool) -> None:
        """Note the block of a reading; one that replaces what was believed goes before greater heights."""
        if replaces:
            for asset in self.assets.values():
                asset.height = min(asset.height, seen.height - 1)
        if replaces or self.believed is None or self.believed.height < seen.height:
            self.believed = seen

    def open_on(self, nonce: str) -> list[_Attempt]:
        return [a for a in self.attempts.values() if a.open and a.offer is not None and a.offer.nonce == nonce]

    def newest_generation(self, given: int | None) -> int:
        claimed = (a.generation for a in self.attempts.values() if a.offer is not None)
        return max((number for number in claimed if given is None or number <= given), default=0)

    def view(self) -> LedgerView:
        return LedgerView(
            height=min((asset.height for asset in self.assets.values()), default=0),
            credited={name: Amount(asset.credited) for name, asset in self.assets.items()},
            held={name: Amount(asset.held) for name, asset in self.assets.items()},
            incoming=most_by_asset(
                (attempt.offer.nonce, attempt.offer.asset_in, attempt.offer.amount_in)
                for attempt in self.attempts.values()
                if attempt.open and attempt.offer is not None
            ),
            without_answer=sum(attempt.state in _WITHOUT_ANSWER for attempt in self.attempts.values()),
            position=self.position,
        )

    def advance(self, to: CommandPosition) -> None:
        here = self.position
        if here is None or here.topic_id != to.topic_id or here.next_offset < to.next_offset:
            self.position = to

    def shrink(self, nonce: str, rest: Sequence[Offer]) -> None:
        """Hold no more than the offers that are left."""
        hold, largest = self.holds[nonce], max(offer.amount_out for offer in rest)
        self.assets[hold.asset].held -= hold.amount - largest
        hold.amount, hold.last_deadline = largest, max(offer.offer_deadline for offer in rest)

    def release(self, nonce: str, ended_as: AttemptState) -> None:
        hold = self.holds[nonce]
        hold.ended_as = ended_as
        self.assets[hold.asset].held -= hold.amount


class MemoryLedger:
    """See `ledger.Ledger`."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        #: Of the process: a test may move the ledger elsewhere.
        self.database = DatabaseIdentity(system_identifier="memory", timeline=1)
        #: The newest strategy's number by the count of take-overs; None before the first one.
        self.given_generation: int | None = None
        self._accounts: dict[str, _Account] = {}
        #: Results that wait to be published, by their number.
        self._outbox: dict[int, OutboxRow] = {}
        #: Ids of all results ever written, and hashes of all offers ever claimed.
        self._written: set[str] = set()
        self._signed: set[str] = set()

    async def load(self, account: str) -> LedgerState:
        """Everything a start needs."""
        book = self._book(account)
        return LedgerState(
            view=book.view(),
            newest_generation=book.newest_generation(self.given_generation),
            open_offers=tuple(
                msgspec.structs.replace(a.offer, state=a.state)
                for a in book.attempts.values()
                if a.open and a.offer is not None
            ),
            revocations={
                nonce: hold.revocation
                for nonce, hold in book.holds.items()
                if hold.ended_as is None and hold.revocation is not None
            },
            database=self.database,
            surroundings=book.surroundings,
            last_claimed_at=max((a.claimed_at for a in book.attempts.values()), default=None),
            believed=book.believed,
        )

    async def claim(
        self,
        offer: Offer,
        *,
        position: CommandPosition,
        generation: int,
        event: OutboxEvent,
        perhaps_sent: bool = False,
    ) -> ClaimOutcome:
        """Claim, hold, signed payload, result and position; or a rejection in their place."""
        book = self._book(offer.account)
        if offer.command_id in book.attempts:
            book.advance(position)
            return ClaimOutcome(kind=ClaimKind.DUPLICATE, view=book.view())
        given = self.given_generation
        refusal = _never_given(generation, given, perhaps_sent=perhaps_sent) or _refusal(
            book, offer, generation, self._signed, newest=book.newest_generation(given), perhaps_sent=perhaps_sent
        )
        generation = generation if given is None else min(generation, given)
        if refusal is not None:
            kind, numbers = refusal
            self._reject(book, offer.command_id, generation, position, _with_reason(event, kind, numbers))
            return ClaimOutcome(kind=kind, view=book.view())
        hold = book.holds.get(offer.nonce)
        if hold is not None and hold.asset != offer.asset_out:
            raise StoreRefused(f"nonce {offer.nonce} of command {offer.command_id} holds another asset")
        _grow_hold(book, offer)
        self._signed.add(offer.quote_hash)
        book.attempts[offer.command_id] = _Attempt(
            state=AttemptState.CLAIMED, generation=generation, claimed_at=self._clock(), offer=offer
        )
        book.advance(position)
        self._write(event)
        return ClaimOutcome(kind=ClaimKind.CLAIMED, view=book.view())

    async def reject(self, command: TradeCommand, *, position: CommandPosition, event: OutboxEvent) -> ClaimOutcome:
        """Record a command that is not claimed, with its one result, and the position."""
        book = self._book(event.result.account)
        if command.command_id in book.attempts:
            book.advance(position)
            return ClaimOutcome(kind=ClaimKind.DUPLICATE, view=book.view())
        self._reject(book, command.command_id, command.generation, position, event)
        return ClaimOutcome(kind=ClaimKind.REJECTED, view=book.view())

    async def note(self, event: OutboxEvent) -> LedgerView:
        """Record a state of an open attempt; it moves forward only."""
        result = event.result
        if result.state not in _PROGRESS:
            raise StoreRefused(f"state {result.state} of command {result.command_id} is not one of an open attempt")
        book = self._book(result.account)
        attempt = book.attempts.get(result.command_id)
        if attempt is not None and attempt.open:
            attempt.state = max(attempt.state, result.state, key=lambda state: _PROGRESS[state])
            self._write(event)
        return book.view()

    async def drop(self, event: OutboxEvent) -> LedgerView:
        """End an attempt of which no byte has left, its hold with it."""
        result = event.result
        book = self._book(result.account)
        attempt = book.attempts.get(result.command_id)
        if attempt is None or attempt.offer is None or not attempt.open:
            return book.view()
        if attempt.state is not AttemptState.CLAIMED:
            raise StoreRefused(f"command {result.command_id} was sent: only the chain may end it")
        attempt.state = AttemptState.DROPPED
        if rest := [each.offer for each in book.open_on(attempt.offer.nonce) if each.offer is not None]:
            book.shrink(attempt.offer.nonce, rest)
        else:
            book.release(attempt.offer.nonce, AttemptState.DROPPED)
        self._write(event)
        return book.view()

    async def note_revocation(self, account: str, *, nonce: str, revocation: str) -> LedgerView:
        """Keep what was published to spend a nonce of ours."""
        book = self._book(account)
        if nonce not in book.holds:
            raise StoreRefused(f"nonce {nonce} has no hold")
        book.holds[nonce].revocation = revocation
        return book.view()

    async def note_surroundings(self, account: str, *, reason: str, quarantined_until: datetime | None) -> LedgerView:
        """Record a quarantine; or, without an end, that this database has the newest ledger."""
        book = self._book(account)
        known = book.surroundings.database if book.surroundings is not None else None
        book.surroundings = Surroundings(
            database=self.database if quarantined_until is None else known,
            quarantined_until=quarantined_until,
            reason=reason,
        )
        return book.view()

    async def apply_reading(
        self,
        account: str,
        *,
        height: int,
        credited: dict[str, Amount],
        endings: Sequence[NonceEnding],
        block_time: datetime | None = None,
        replaces: str | None = None,
    ) -> LedgerView:
        """Take over the balances of a final block, if it is a newer one, and release what it justifies."""
        book = self._book(account)
        fresh = [ending for ending in endings if _still_open(book, ending)]
        for ending in fresh:
            self._require_proof(book, ending, height, credited, replaces)
        if block_time is not None:
            book.believe(Seen(height=height, block_time=block_time), replaces=replaces is not None)
        for name, amount in credited.items():
            asset = book.assets.setdefault(name, _Asset(credited=amount, height=height))
            if asset.height < height:
                asset.credited, asset.height = amount, height
        for ending in fresh:
            for event in ending.events:
                book.attempts[event.result.command_id].state = event.result.state
            book.release(ending.nonce, ending.state)
            for event in ending.events:
                self._write(event)
        return book.view()

    async def claimed_lately(self, account: str) -> list[Claimed]:
        """What was claimed within the last minute."""
        since = self._clock() - timedelta(seconds=60)
        claimed = (a for a in self._book(account).attempts.values() if a.claimed_at > since)
        return [claimed_of(a.offer, a.claimed_at) for a in claimed if a.offer is not None]

    async def find(self, account: str, quote_hash: str) -> Offer | None:
        """The account's offer with this hash in the state it has come to."""
        found = (a for a in self._book(account).attempts.values() if a.offer and a.offer.quote_hash == quote_hash)
        return next((msgspec.structs.replace(a.offer, state=a.state) for a in found if a.offer), None)

    async def unpublished(self, limit: int, *, after: int = 0) -> list[OutboxRow]:
        """Results that wait to be published, oldest first."""
        return list(islice((row for seq, row in self._outbox.items() if seq > after), limit))

    async def unreadable(self) -> dict[int, str]:
        """Rows in memory can be read."""
        return {}

    async def mark_published(self, seqs: Sequence[int]) -> None:
        """These have reached Kafka."""
        for seq in seqs:
            self._outbox.pop(seq, None)

    async def check_held(self) -> list[HeldDifference]:
        """Recompute what is held from the open holds."""
        differences = []
        for name, book in sorted(self._accounts.items()):
            for asset, counters in sorted(book.assets.items()):
                open_holds = sum(h.amount for h in book.holds.values() if h.asset == asset and h.ended_as is None)
                if open_holds != counters.held:
                    differences.append(
                        HeldDifference(
                            account=name, asset=asset, held=Amount(counters.held), open_holds=Amount(open_holds)
                        )
                    )
        return differences

    async def close(self) -> None:
        """There is nothing to give back."""

    def _book(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())

    def _reject(
        self, book: _Account, command_id: str, generation: int, position: CommandPosition, event: OutboxEvent
    ) -> None:
        book.attempts[command_id] = _Attempt(
            state=AttemptState.REJECTED, generation=generation, claimed_at=self._clock()
        )
        book.advance(position)
        self._write(event)

    def _write(self, event: OutboxEvent) -> None:
        """The same state again is the same row."""
        if event.event_id in self._written:
            return
        self._written.add(event.event_id)
        view = self._book(event.result.account).view()
        result = msgspec.structs.replace(event.result, ledger=view)
        seq = len(self._written)
        self._outbox[seq] = OutboxRow(seq=seq, event=msgspec.structs.replace(event, result=result))

    @staticmethod
    def _require_proof(
        book: _Account, ending: NonceEnding, height: int, credited: dict[str, Amount], replaces: str | None
    ) -> None:
        hold = book.holds[ending.nonce]
        evidence = ending.events[0].result.evidence if ending.events else None
        here = book.assets[hold.asset].height
        newest = height if hold.asset in credited and (replaces or height > here) else here
        if evidence is None or evidence.height > newest:
            raise StoreRefused(f"the ledger is older than the evidence that nonce {ending.nonce} has ended")
        if not _proves(ending, evidence, hold, book):
            raise StoreRefused(f"the evidence does not show that nonce {ending.nonce} has {ending.state}")
        if not _fit(ending):
            raise StoreRefused(f"the offers of nonce {ending.nonce} cannot end like this")
        told = sorted(event.result.command_id for event in ending.events)
        if told != sorted(a.offer.command_id for a in book.open_on(ending.nonce) if a.offer is not None):
            raise StoreRefused(f"nonce {ending.nonce} has other open offers than those whose end is told")


def _never_given(generation: int, given: int | None, *, perhaps_sent: bool) -> tuple[ClaimKind, dict[str, str]] | None:
    if perhaps_sent or given is None or generation <= given:
        return None
    return ClaimKind.COMMAND_INVALID, {
        "fault": "no strategy of this generation ever took over",
        "generation": str(generation),
        "newest_generation": str(given),
    }


def _refusal(
    book: _Account, offer: Offer, generation: int, signed: set[str], *, newest: int, perhaps_sent: bool
) -> tuple[ClaimKind, dict[str, str]] | None:
    if generation < newest and not perhaps_sent:
        return ClaimKind.SUPERSEDED, {"generation": str(generation), "newest_generation": str(newest)}
    if (hold := book.holds.get(offer.nonce)) and hold.ended_as not in {None, AttemptState.DROPPED}:
        return ClaimKind.NONCE_ENDED, {}
    if offer.quote_hash in signed:
        return ClaimKind.SAME_OFFER, {}
    asset = book.assets.get(offer.asset_out, _Asset(credited=0, height=0))
    required = _growth(book, offer)
    covered = perhaps_sent or asset.credited - asset.held >= required
    if offer.asset_out not in book.assets or not covered:
        numbers = {"credited": str(asset.credited), "held": str(asset.held), "required": str(required)}
        return ClaimKind.INSUFFICIENT_INVENTORY, numbers
    return None


def _growth(book: _Account, offer: Offer) -> int:
    hold = book.holds.get(offer.nonce)
    return max(0, offer.amount_out - (hold.amount if hold is not None and hold.ended_as is None else 0))


def _grow_hold(book: _Account, offer: Offer) -> None:
    book.assets[offer.asset_out].held += _growth(book, offer)
    hold = book.holds.get(offer.nonce)
    if hold is None:
        book.holds[offer.nonce] = _Hold(
            asset=offer.asset_out,
            amount=offer.amount_out,
            last_deadline=offer.offer_deadline,
            nonce_deadline=offer.nonce_deadline,
        )
        return
    hold.amount = max(hold.amount, offer.amount_out) if hold.ended_as is None else offer.amount_out
    hold.last_deadline = max(hold.last_deadline, offer.offer_deadline)
    hold.ended_as = None


def _still_open(book: _Account, ending: NonceEnding) -> bool:
    hold = book.holds.get(ending.nonce)
    if hold is None:
        raise StoreRefused(f"nonce {ending.nonce} has no hold")
    return hold.ended_as is None


def _proves(ending: NonceEnding, evidence: ChainEvidence, hold: _Hold, book: _Account) -> bool:
    """Whether the evidence shows this state; as `ledger.proves` says it in SQL."""
    state, used = ending.state, evidence.nonce_used
    if evidence.operator is not None:
        over = used or evidence.block_time > hold.last_deadline
        return over and all(attempt.state is AttemptState.UNPROVEN for attempt in book.open_on(ending.nonce))
    if state is AttemptState.SETTLED:
        return used and any(
            shows_movement(evidence) or _executed(event.result)
            for event in ending.events
            if event.result.state is AttemptState.SETTLED
        )
    if state is AttemptState.SPENT:
        return used and shows_movement(evidence)
    if state in {AttemptState.VOIDED, AttemptState.REVOKED}:
        own = {a.offer.quote_hash for a in book.attempts.values() if a.offer and a.offer.nonce == ending.nonce}
        compared = evidence.compared_with is not None and evidence.compared_with < evidence.height
        by_another = evidence.executed is not None or (state is AttemptState.VOIDED and compared)
        return used and evidence.executed not in own and by_another
    return state is AttemptState.LAPSED and proves_death(
        evidence, last_deadline=hold.last_deadline, nonce_deadline=hold.nonce_deadline
    )


def _executed(result: TradeResult) -> bool:
    return result.evidence is not None and result.evidence.executed == result.quote_hash is not None


def _fit(ending: NonceEnding) -> bool:
    """A nonce is used once: of the offers of a settled one, one settled and the others can do so no more."""
    rest = AttemptState.LAPSED if ending.state is AttemptState.SETTLED else ending.state
    states = sorted(event.result.state for event in ending.events)
    return states == sorted([ending.state, *[rest] * (len(states) - 1)])


def _with_reason(claimed: OutboxEvent, kind: ClaimKind, numbers: dict[str, str]) -> OutboxEvent:
    event = rejection_of(claimed)
    result = msgspec.structs.replace(event.result, reason=Rejection(kind), numbers=numbers)
    return msgspec.structs.replace(event, result=result)
