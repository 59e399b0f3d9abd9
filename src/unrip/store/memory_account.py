"""What the twin of the executor's ledger keeps for each account, in dicts; `memory_ledger.py` has its behaviour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from unrip.domain.attempt import AttemptState, Offer
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.doubt import Seen
from unrip.domain.sharing import most_by_asset
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import HoldKind, LedgerWentBack, NotInLedger, Surroundings

#: The states in which it is unknown whether the offer counts: the relay has neither accepted nor refused it, or no
#: block shows how it ended.
_WITHOUT_ANSWER = frozenset({AttemptState.CLAIMED, AttemptState.SENT, AttemptState.UNANSWERED, AttemptState.UNPROVEN})


@dataclass
class Asset:
    """The two counters, and the block that `credited` was read at."""

    credited: int
    height: int
    held: int = 0


@dataclass
class Hold:
    """What a nonce holds."""

    kind: HoldKind
    asset: str
    amount: int
    last_deadline: datetime
    nonce_deadline: datetime
    #: None while it is open.
    ended_as: AttemptState | None = None
    #: Whether a final block showed that its nonce was used: nobody's bytes can use it any more.
    used: bool = False
    #: The signed intent that was published to spend the nonce.
    revocation: str | None = None


@dataclass
class Attempt:
    """A command that was ever handled."""

    state: AttemptState
    generation: int
    claimed_at: datetime
    #: None for a rejected command.
    offer: Offer | None = None

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return not self.state.terminal


@dataclass
class Account:
    """What the ledger keeps for one account."""

    assets: dict[str, Asset] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    position: CommandPosition | None = None
    surroundings: Surroundings | None = None
    commits: int = 0
    believed: Seen | None = None

    @contextmanager
    def commit(self, after: int) -> Iterator[None]:
        """Count one more commit, unless the writer knows of more than there were, or is refused."""
        if self.commits < after:
            raise LedgerWentBack(f"the ledger has made {self.commits} commits, and answered with {after} before")
        self.commits += 1
        try:
            yield
        except StoreRefused:
            self.commits -= 1
            raise

    def attempt(self, command_id: str) -> Attempt:
        """The attempt of a command; raises `NotInLedger`."""
        if command_id not in self.attempts:
            raise NotInLedger(f"command {command_id} is not in the ledger")
        return self.attempts[command_id]

    def hold(self, nonce: str) -> Hold:
        """The hold of a nonce; raises `NotInLedger`."""
        if nonce not in self.holds:
            raise NotInLedger(f"nonce {nonce} has no hold")
        return self.holds[nonce]

    def believe(self, seen: Seen, *, replaces: bool) -> None:
        """Note the block of a reading; one that replaces what was believed goes before greater heights."""
        if replaces:
            for asset in self.assets.values():
                asset.height = min(asset.height, seen.height - 1)
        if replaces or self.believed is None or self.believed.height < seen.height:
            self.believed = seen

    def open_on(self, nonce: str) -> list[Attempt]:
        """The open attempts that carry a nonce."""
        return [a for a in self.attempts.values() if a.open and a.offer is not None and a.offer.nonce == nonce]

    def signed_on(self, nonce: str) -> set[str]:
        """The hashes of all offers that ever carried a nonce."""
        return {a.offer.quote_hash for a in self.attempts.values() if a.offer is not None and a.offer.nonce == nonce}

    def newest_generation(self, given: int | None) -> int:
        """The newest generation of the claims, without numbers that no take-over has given."""
        claimed = (a.generation for a in self.attempts.values() if a.offer is not None)
        return max((number for number in claimed if given is None or number <= given), default=0)

    def view(self) -> LedgerView:
        """The ledger as of now."""
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
            commits=self.commits,
        )

    def advance(self, to: CommandPosition) -> None:
        """Note that every command before this position is handled."""
        here = self.position
        if here is None or here.topic_id != to.topic_id or here.next_offset < to.next_offset:
            self.position = to

    def shrink(self, nonce: str, rest: Sequence[Offer]) -> None:
        """Hold no more than the offers that are left."""
        hold, largest = self.holds[nonce], max(offer.amount_out for offer in rest)
        self.assets[hold.asset].held -= hold.amount - largest
        hold.amount, hold.last_deadline = largest, max(offer.offer_deadline for offer in rest)

    def release(self, nonce: str, ended_as: AttemptState, *, used: bool) -> None:
        """End the hold of a nonce."""
        hold = self.holds[nonce]
        hold.ended_as, hold.used = ended_as, used
        self.assets[hold.asset].held -= hold.amount
