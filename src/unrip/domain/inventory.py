"""What the verifier's ledger credits to us, and what the bridge still owes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from unrip.domain.values import Amount, Value


class Reconciliation(StrEnum):
    """Whether the change of an asset since the previous snapshot is explained."""

    FIRST = "first"
    """No snapshot to compare with."""
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    """The credited amount moved; the evidence is named in the history."""


class PendingMovements(Value):
    """What the bridge has not finished. None of it is ever spendable (R4)."""

    #: Ledger id to amount on its way in.
    deposits: dict[str, Amount]
    #: Ledger id to amount on its way out.
    withdrawals: dict[str, Amount]
    observed_at: datetime


class IntentInventory(Value):
    """One consistent reading of the verifier at one final block, with the bridge's pending movements beside it."""

    account: str
    #: Height of the final block that every field but `pending` was read at.
    height: int
    block_time: datetime
    #: Ledger id to credited amount.
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
