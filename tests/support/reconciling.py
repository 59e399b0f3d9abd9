"""What a snapshot shows of the change of either asset."""

from __future__ import annotations

from support.inventory import Sync
from support.logic import BTC, EURE
from unrip.domain.inventory import IntentInventory, Reconciliation

FIRST, UNCHANGED, CHANGED, AWAITED = (
    Reconciliation.FIRST,
    Reconciliation.UNCHANGED,
    Reconciliation.CHANGED,
    Reconciliation.AWAITED,
)
RISE, FALL = Reconciliation.UNEXPLAINED_RISE, Reconciliation.UNEXPLAINED_FALL


def begun() -> Sync:
    sync = Sync()
    assert set(sync.read().reconciliation.values()) == {FIRST}
    return sync


def states(snapshot: IntentInventory) -> tuple[Reconciliation, Reconciliation]:
    return snapshot.reconciliation[BTC], snapshot.reconciliation[EURE]
