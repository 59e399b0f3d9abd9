"""What the verifier credits to us, and what the bridge still owes."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

from unrip.domain.command import Exchange
from unrip.domain.desk_state import CommandPosition
from unrip.domain.values import Amount, Delta, StoredInt, Value

_SALT = re.compile(r"[0-9a-f]{8}")


class Reconciliation(StrEnum):
    """Whether the change of an asset since the previous snapshot is explained."""

    FIRST = "first"
    """No snapshot to compare with."""
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    """The credited amount moved, and evidence explains all of it."""
    AWAITED = "awaited"
    """Open offers, or evidence that the next blocks will show, can explain what is still unexplained."""
    UNEXPLAINED_RISE = "unexplained_rise"
    """More is credited than evidence explains; the rise is not spendable. Anyone can send one satoshi."""
    UNEXPLAINED_FALL = "unexplained_fall"
    """Less is credited than evidence and open offers explain; nothing spends this asset."""


class ChangeKind(StrEnum):
    """The kind of the evidence of a change."""

    FILL = "fill"
    """An offer of ours whose nonce is used at a final block."""
    CREDIT = "credit"
    """A deposit that the bridge has minted, or a withdrawal that it gave back."""
    WITHDRAWAL = "withdrawal"
    """A withdrawal that the bridge has taken over."""
    ACCEPTED = "accepted"
    """An operator accepted what is credited, with a reason."""


class EvidenceKey(Value):
    """The key under which evidence is remembered."""

    kind: ChangeKind
    asset_id: str
    evidence: str
    part: str = ""


class BalanceChange(Value):
    """Evidence of a change of one asset."""

    kind: ChangeKind
    asset_id: str
    change: Delta
    #: The command of a fill, the mint transaction of a credit, the id of a withdrawal, or the name of an operator.
    evidence: str
    #: Every final block of this time or later contains it.
    seen_by: datetime
    #: When it began outside, where the outside reports it.
    began_at: datetime | None = None
    #: Which of the movements that this evidence may be of: a deposit's id, since one transaction can mint several.
    part: str = ""

    @property
    def key(self) -> EvidenceKey:
        """What makes it this evidence and no other, in however many records and steps it comes."""
        own = f"{self.evidence} {self.seen_by.isoformat()}" if self.kind is ChangeKind.ACCEPTED else self.evidence
        return EvidenceKey(kind=self.kind, asset_id=self.asset_id, evidence=own, part=self.part)


class Judged(Value):
    """Evidence that is never looked at again: counted, or shown by a final block to be no part of the balance."""

    change: BalanceChange
    counted: bool


class Books(Value):
    """All that reconciliation knows; the next life of inventory-sync goes on from here."""

    #: Asset id to the sum of all its evidence.
    explained: dict[str, Delta]
    #: Evidence that is counted as soon as a block is new enough to contain it.
    waiting: tuple[BalanceChange, ...]
    #: Asset id to what came or went by credits, withdrawals and acceptances since the books were begun.
    transferred: dict[str, Delta]
    #: How far `exec.trade_result` and `ops.liquidity_action` were read; None before their first record.
    results_read: CommandPosition | None
    actions_read: CommandPosition | None
    #: The block that they began with; what began later is in them only by its evidence. None in older records.
    begun_at: datetime | None = None


class KeptBooks(Value):
    """What PostgreSQL keeps for the next life: the books, and what was open when the topics were read that far."""

    books: Books
    #: Asset id to what was credited.
    credited: dict[str, Amount]
    #: Command to what it may move.
    open: dict[str, Exchange]
    #: Asset id to what open offers hold.
    held: dict[str, Amount]
    #: Evidence that was counted and perhaps stands in no record yet.
    untold: tuple[BalanceChange, ...]


class PendingMovements(Value):
    """What the bridge has not finished. None of it is ever spendable (R4)."""

    #: Asset id to the amount on its way in.
    deposits: dict[str, Amount]
    #: Asset id to the amount on its way out.
    withdrawals: dict[str, Amount]
    observed_at: datetime


class IntentInventory(Value):
    """One consistent reading of the verifier at one final block, with the bridge's pending movements beside it."""

    account: str
    #: Height of the final block that every field but `pending` was read at.
    height: StoredInt
    block_time: datetime
    #: Asset id to the credited amount.
    credited: dict[str, Amount]
    #: None while the bridge has not been read: unknown, which is not the same as none.
    pending: PendingMovements | None
    reconciliation: dict[str, Reconciliation]
    #: The salt that new nonces must carry, 8 hex digits.
    salt: str
    fee_pips: int
    key_registered: bool
    account_locked: bool
    contract_paused: bool
    #: The evidence that was counted since the last snapshot that the broker acknowledged; it may be published twice.
    changes: tuple[BalanceChange, ...] = ()
    #: None in records older than these books.
    books: Books | None = None

    @property
    def salt_known(self) -> bool:
        """Whether a nonce can be made of it."""
        return _SALT.fullmatch(self.salt) is not None

    def unexplained(self, asset_id: str) -> Delta | None:
        """Credited less explained; None where that is not known."""
        if self.books is None or asset_id not in self.books.explained:
            return None
        return Delta(self.credited.get(asset_id, 0) - self.books.explained[asset_id])

    def trusted(self, asset_id: str) -> Amount:
        """What is credited without an unexplained rise; 0 where that is not known."""
        unexplained = self.unexplained(asset_id)
        return Amount(0 if unexplained is None else self.credited.get(asset_id, 0) - max(0, unexplained))
