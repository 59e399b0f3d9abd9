"""The in-memory twin of the executor's ledger: the same promises, kept in dicts. For tests and one-process desks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from unrip.domain.attempt import AttemptState, Offer, Rejection
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.doubt import Seen
from unrip.domain.evidence import may_end_so, proves
from unrip.domain.spending import Claimed, claimed_of
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import (
    ClaimKind,
    ClaimOutcome,
    DatabaseIdentity,
    HeldDifference,
    HoldKind,
    LedgerState,
    NonceEnding,
    NotInLedger,
    OutboxEvent,
    Surroundings,
    record_of,
    rejection_of,
)
from unrip.store.memory_account import Account, Asset, Attempt, Hold
from unrip.store.memory_outbox import MemoryOutbox

#: The rank of each open state; a late reply still counts, a contradictory one does not move the state.
_PROGRESS = {
    AttemptState.CLAIMED: 0,
    AttemptState.SENT: 1,
    AttemptState.UNANSWERED: 2,
    AttemptState.ACCEPTED: 3,
    AttemptState.REFUSED: 3,
    AttemptState.UNPROVEN: 4,
}
#: How many numbers each quarantine skips, so that no number of a branch that was lost comes again.
_BRANCH = 1_000_000_000_000


class MemoryLedger(MemoryOutbox):
    """See `ledger.Ledger`."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock
        #: The database that the process finds; a test may move the ledger elsewhere.
        self.database = DatabaseIdentity(system_identifier="memory", timeline=1)
        #: The newest strategy's number by the count of take-overs; None before the first one.
        self.given_generation: int | None = None
        self._accounts: dict[str, Account] = {}
        #: The hashes of all offers ever claimed.
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
        after: int = 0,
    ) -> ClaimOutcome:
        """Claim, hold, signed payload, result and position; or a rejection in their place."""
        book = self._book(offer.account)
        with book.commit(after):
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
            book.attempts[offer.command_id] = Attempt(
                state=AttemptState.CLAIMED,
                generation=0 if perhaps_sent else generation,  # an adopted offer does not show who commands now
                claimed_at=self._clock(),
                offer=offer,
            )
            book.advance(position)
            self._write(event)
            return ClaimOutcome(kind=ClaimKind.CLAIMED, view=book.view())

    async def reject(
        self, command: TradeCommand, *, position: CommandPosition, event: OutboxEvent, after: int = 0
    ) -> ClaimOutcome:
        """Record a command that is not claimed, with its one result, and the position."""
        book = self._book(event.result.account)
        with book.commit(after):
            if command.command_id in book.attempts:
                book.advance(position)
                return ClaimOutcome(kind=ClaimKind.DUPLICATE, view=book.view())
            self._reject(book, command.command_id, command.generation, position, event)
            return ClaimOutcome(kind=ClaimKind.REJECTED, view=book.view())

    async def note(self, event: OutboxEvent, *, after: int = 0) -> LedgerView:
        """Record a state of an open attempt; it moves forward only."""
        result = event.result
        if result.state not in _PROGRESS:
            raise StoreRefused(f"state {result.state} of command {result.command_id} is not one of an open attempt")
        book = self._book(result.account)
        with book.commit(after):
            attempt = book.attempt(result.command_id)
            if attempt.open:
                attempt.state = max(attempt.state, result.state, key=lambda state: _PROGRESS[state])
                self._write(event)
            return book.view()

    async def drop(self, event: OutboxEvent, *, after: int = 0) -> LedgerView:
        """End an attempt of which no byte has left, its hold with it."""
        result = event.result
        book = self._book(result.account)
        with book.commit(after):
            attempt = book.attempt(result.command_id)
            if attempt.offer is None or not attempt.open:
                return book.view()
            if attempt.state is not AttemptState.CLAIMED:
                raise StoreRefused(f"command {result.command_id} was sent: only the chain may end it")
            attempt.state = AttemptState.DROPPED
            if rest := [each.offer for each in book.open_on(attempt.offer.nonce) if each.offer is not None]:
                book.shrink(attempt.offer.nonce, rest)
            else:
                book.release(attempt.offer.nonce, AttemptState.DROPPED, used=False)
            self._write(event)
            return book.view()

    async def note_revocation(self, account: str, *, nonce: str, revocation: str, after: int = 0) -> LedgerView:
        """Keep what was published to spend a nonce of ours."""
        book = self._book(account)
        with book.commit(after):
            book.hold(nonce).revocation = revocation
            return book.view()

    async def note_surroundings(
        self, account: str, *, reason: str, quarantined_until: datetime | None, commits: int = 0
    ) -> LedgerView:
        """Record a quarantine; or, without an end, that this database has the newest ledger."""
        book = self._book(account)
        with book.commit(0):
            before = book.surroundings
            begins = before is None or before.quarantined_until is None or commits >= book.commits
            if quarantined_until is not None and begins:
                book.commits = (max(book.commits, commits) // _BRANCH + 1) * _BRANCH
                self.skip_numbers()
            known = before.database if before is not None else None
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
        after: int = 0,
    ) -> LedgerView:
        """Take over the balances of a final block, if it is a newer one, and release what it justifies."""
        book = self._book(account)
        with book.commit(after):
            fresh = [ending for ending in endings if book.hold(ending.nonce).ended_as is None]
            for ending in fresh:
                self._require_proof(book, ending, height, credited, replaces)
            if block_time is not None:
                book.believe(Seen(height=height, block_time=block_time), replaces=replaces is not None)
            for name, amount in credited.items():
                asset = book.assets.setdefault(name, Asset(credited=amount, height=height))
                if asset.height < height:
                    asset.credited, asset.height = amount, height
            for ending in fresh:
                for event in ending.events:
                    book.attempts[event.result.command_id].state = event.result.state
                evidence = ending.events[0].result.evidence
                book.release(ending.nonce, ending.state, used=evidence is not None and evidence.nonce_used)
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

    def _book(self, account: str) -> Account:
        return self._accounts.setdefault(account, Account())

    def _reject(
        self, book: Account, command_id: str, generation: int, position: CommandPosition, event: OutboxEvent
    ) -> None:
        book.attempts[command_id] = Attempt(
            state=AttemptState.REJECTED, generation=generation, claimed_at=self._clock()
        )
        book.advance(position)
        self._write(event)

    def _write(self, event: OutboxEvent) -> None:
        """A result, with the ledger as of its commit."""
        view = self._book(event.result.account).view()
        result = msgspec.structs.replace(event.result, ledger=view)
        self.write(record_of(msgspec.structs.replace(event, result=result)))

    @staticmethod
    def _require_proof(
        book: Account, ending: NonceEnding, height: int, credited: dict[str, Amount], replaces: str | None
    ) -> None:
        hold = book.holds[ending.nonce]
        told = sorted(event.result.command_id for event in ending.events)
        if told != sorted(a.offer.command_id for a in book.open_on(ending.nonce) if a.offer is not None):
            raise NotInLedger(f"nonce {ending.nonce} has other open offers than those whose end is told")
        evidence = ending.events[0].result.evidence if ending.events else None
        here = book.assets[hold.asset].height
        newest = height if hold.asset in credited and (replaces or height > here) else here
        if evidence is None or evidence.height > newest:
            raise StoreRefused(f"the ledger is older than the evidence that nonce {ending.nonce} has ended")
        results = [event.result for event in ending.events]
        if not proves(
            ending.state,
            results,
            last_deadline=hold.last_deadline,
            nonce_deadline=hold.nonce_deadline,
            own=book.signed_on(ending.nonce),
            unproven=all(attempt.state is AttemptState.UNPROVEN for attempt in book.open_on(ending.nonce)),
        ):
            raise StoreRefused(f"the evidence does not show that nonce {ending.nonce} has {ending.state}")
        if not may_end_so(ending.state, results):
            raise StoreRefused(f"the offers of nonce {ending.nonce} cannot end like this")


def _never_given(generation: int, given: int | None, *, perhaps_sent: bool) -> tuple[ClaimKind, dict[str, str]] | None:
    if perhaps_sent or given is None or generation <= given:
        return None
    return ClaimKind.COMMAND_INVALID, {
        "fault": "no strategy of this generation ever took over",
        "generation": str(generation),
        "newest_generation": str(given),
    }


def _refusal(
    book: Account, offer: Offer, generation: int, signed: set[str], *, newest: int, perhaps_sent: bool
) -> tuple[ClaimKind, dict[str, str]] | None:
    if generation < newest and not perhaps_sent:
        return ClaimKind.SUPERSEDED, {"generation": str(generation), "newest_generation": str(newest)}
    if (hold := book.holds.get(offer.nonce)) and not _may_carry(hold, offer, perhaps_sent=perhaps_sent):
        return ClaimKind.NONCE_ENDED, {}
    if offer.quote_hash in signed:
        return ClaimKind.SAME_OFFER, {}
    asset = book.assets.get(offer.asset_out, Asset(credited=0, height=0))
    required = _growth(book, offer)
    covered = perhaps_sent or asset.credited - asset.held >= required
    if offer.asset_out not in book.assets or not covered:
        numbers = {"credited": str(asset.credited), "held": str(asset.held), "required": str(required)}
        return ClaimKind.INSUFFICIENT_INVENTORY, numbers
    return None


def _may_carry(hold: Hold, offer: Offer, *, perhaps_sent: bool) -> bool:
    """Whether the offer may join: nothing does after the end, except bytes outside that can still use the nonce."""
    if hold.kind is not HoldKind.OFFER:
        return False
    if perhaps_sent:
        return hold.asset == offer.asset_out and not hold.used
    return hold.ended_as in {None, AttemptState.DROPPED}


def _growth(book: Account, offer: Offer) -> int:
    hold = book.holds.get(offer.nonce)
    return max(0, offer.amount_out - (hold.amount if hold is not None and hold.ended_as is None else 0))


def _grow_hold(book: Account, offer: Offer) -> None:
    book.assets[offer.asset_out].held += _growth(book, offer)
    hold = book.holds.get(offer.nonce)
    if hold is None:
        book.holds[offer.nonce] = Hold(
            kind=HoldKind.OFFER,
            asset=offer.asset_out,
            amount=offer.amount_out,
            last_deadline=offer.offer_deadline,
            nonce_deadline=offer.nonce_deadline,
        )
        return
    hold.amount = max(hold.amount, offer.amount_out) if hold.ended_as is None else offer.amount_out
    hold.last_deadline = max(hold.last_deadline, offer.offer_deadline)
    hold.ended_as = None


def _with_reason(claimed: OutboxEvent, kind: ClaimKind, numbers: dict[str, str]) -> OutboxEvent:
    event = rejection_of(claimed)
    result = msgspec.structs.replace(event.result, reason=Rejection(kind), numbers=numbers)
    return msgspec.structs.replace(event, result=result)
