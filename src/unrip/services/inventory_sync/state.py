"""What inventory-sync shows of itself."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.inventory import PendingMovements, Reconciliation
from unrip.domain.values import Amount, Value


class InventoryState(Value):
    """`GET /state` of inventory-sync. What comes from a reading of the verifier is null before the first."""

    paused: bool
    #: By asset id.
    credited: dict[str, Amount] | None
    pending: PendingMovements | None
    pending_age_ms: int | None
    inventory_age_ms: int | None
    height: int | None
    block_time: datetime | None
    last_attempted_at: datetime | None
    last_successful_at: datetime | None
    #: By asset id.
    reconciliation: dict[str, Reconciliation]
    #: By symbol, in smallest units.
    unexplained: dict[str, str]
    salt: str | None
    fee_pips: int | None
    key_registered: bool | None
    account_locked: bool | None
    contract_paused: bool | None
    #: What cannot be read now to why.
    failures: dict[str, str]
    #: The id of the last snapshot that the broker has.
    last_acknowledged: str | None
