"""The steps of funding operations: one record per change of state, with an id derived from all that it says.

The same step seen again, also after a restart, is the same record; anything new that it says makes it another one.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from typing import Any

from unrip.domain.treasury import BridgeDeposit, BridgeWithdrawal, DepositAddress, LiquidityAction
from unrip.domain.values import derived_id
from unrip.messages.topics import LIQUIDITY_ACTION
from unrip.service.contract import Effect, Log, Publish

VENUE = "near_intents"
#: Operations whose steps are remembered; the bridge lists fewer.
OPERATIONS_MAX = 10_000

_CREDIT_STEPS = frozenset({"deposit_credited", "deposit_completed"})
_LINES = {
    "address_issued": ("funding_requested", "info"),
    "address_changed": ("deposit_address_changed", "error"),
    "deposit_pending": ("funding_pending", "info"),
    "deposit_credited": ("funding_credited", "info"),
    "deposit_completed": ("funding_credited", "info"),
    "deposit_failed": ("funding_failed", "error"),
    "withdrawal_failed": ("funding_failed", "error"),
}
_WITHDRAWAL_FAILURES = frozenset({"FAILED", "REJECTED"})


class Steps:
    """Remembers the last step of every operation and tells only what is new."""

    def __init__(self, account: str) -> None:
        self._account = account
        #: Operation to the id of its last record.
        self._last: OrderedDict[str, str] = OrderedDict()
        #: Deposits whose credit was told: `credited` and `completed` are one piece of news.
        self._credited: set[str] = set()
        #: Records that the broker did not acknowledge; they are told again, but logged once.
        self._lost: set[str] = set()

    def learn(self, action: LiquidityAction, event_id: str) -> None:
        """Take a step as told: by ourselves just now, or by an earlier life of this service."""
        self._last[action.action_id] = event_id
        self._last.move_to_end(action.action_id)
        if action.step in _CREDIT_STEPS:
            self._credited.add(action.action_id)
        if len(self._last) > OPERATIONS_MAX:
            forgotten, _ = self._last.popitem(last=False)
            self._credited.discard(forgotten)

    def forget(self, event_id: str) -> None:
        """The broker does not acknowledge a record: its step is new again with the next reading."""
        for action_id, last in self._last.items():
            if last == event_id:
                del self._last[action_id]
                self._lost.add(event_id)
                return

    def deposit(self, deposit: BridgeDeposit, observed_at: datetime) -> list[Effect]:
        """Record and line of a deposit's state, if that is new."""
        details = {
            "status": deposit.status_text,
            "address": deposit.address,
            "tx_hash": deposit.tx_hash or "",
            "mint_tx_hash": deposit.mint_tx_hash or "",
        }
        action = LiquidityAction(
            action_id=deposit.deposit_id,
            account=self._account,
            step=f"deposit_{deposit.state}",
            asset_id=deposit.asset_id,
            chain=deposit.chain,
            amount=deposit.amount,
            details=details,
        )
        return self._tell_if_new(action, observed_at, occurred_at=deposit.created_at)

    def withdrawal(self, withdrawal: BridgeWithdrawal, observed_at: datetime) -> list[Effect]:
        """Record and line of a withdrawal's state, if that is new."""
        details = {
            "status": withdrawal.status_text,
            "address": withdrawal.address,
            "transfer_tx_hash": withdrawal.transfer_tx_hash or "",
        }
        action = LiquidityAction(
            action_id=withdrawal.withdrawal_id,
            account=self._account,
            step=_withdrawal_step(withdrawal),
            asset_id=withdrawal.asset_id,
            chain=withdrawal.chain,
            amount=withdrawal.amount,
            details=details,
        )
        return self._tell_if_new(action, observed_at, occurred_at=withdrawal.created_at)

    def address(self, known: DepositAddress, other: DepositAddress | None) -> list[Effect]:
        """Record and line of a deposit address, or of another one named for the same chain, if that is new."""
        action = LiquidityAction(
            action_id=derived_id("deposit_address", self._account, known.chain),
            account=self._account,
            step="address_issued" if other is None else "address_changed",
            asset_id=known.asset_id,
            chain=known.chain,
            amount=None,
            details={"address": known.address} if other is None else {"address": known.address, "other": other.address},
        )
        return self._tell_if_new(action, (other or known).observed_at)

    def accepted(self, event_id: str, address: DepositAddress, actor: str, now: datetime) -> list[Effect]:
        """Record of an operator's word for an address: it is told at once, since no later reading knows of it."""
        action = LiquidityAction(
            action_id=event_id,
            account=self._account,
            step="address_accepted",
            asset_id=address.asset_id,
            chain=address.chain,
            amount=None,
            details={"address": address.address, "actor": actor},
        )
        return self._tell(action, event_id, now)

    def refresh(self, event_id: str, actor: str, now: datetime) -> list[Effect]:
        """Record of an operator's refresh."""
        action = LiquidityAction(
            action_id=event_id,
            account=self._account,
            step="refresh",
            asset_id=None,
            chain=None,
            amount=None,
            details={"actor": actor},
        )
        return self._tell(action, event_id, now)

    def _tell_if_new(
        self, action: LiquidityAction, observed_at: datetime, *, occurred_at: datetime | None = None
    ) -> list[Effect]:
        event_id = _event_id(action)
        if self._last.get(action.action_id) == event_id:
            return []
        return self._tell(action, event_id, observed_at, occurred_at=occurred_at)

    def _tell(
        self, action: LiquidityAction, event_id: str, observed_at: datetime, *, occurred_at: datetime | None = None
    ) -> list[Effect]:
        said = event_id in self._lost or (action.step in _CREDIT_STEPS and action.action_id in self._credited)
        self._lost.discard(event_id)
        self.learn(action, event_id)
        record = Publish(
            topic=LIQUIDITY_ACTION,
            event_id=event_id,
            payload=action,
            observed_at=observed_at,
            occurred_at=occurred_at,
            correlation_id=action.action_id,
            venue=VENUE,
            token=event_id,
        )
        return [record] if said or action.step not in _LINES else [record, _line(action)]


def _event_id(action: LiquidityAction) -> str:
    return derived_id("liquidity_action", action.action_id, action.step, *action.details.values())


def _line(action: LiquidityAction) -> Log:
    event, level = _LINES[action.step]
    body: dict[str, Any] = {
        "action_id": action.action_id,
        "step": action.step,
        "chain": action.chain,
        "asset_id": action.asset_id,
        "amount": action.amount,
        **action.details,
    }
    return Log(event=event, level=level, component="bridge", venue=VENUE, body=body)


def _withdrawal_step(withdrawal: BridgeWithdrawal) -> str:
    if withdrawal.status_text.upper() in _WITHDRAWAL_FAILURES:
        return "withdrawal_failed"
    return "withdrawal_finished" if withdrawal.finished else "withdrawal_seen"
