"""Mistakes about the bridge that only a plan shows: what it tells in steps, and how what it took over ends."""

from __future__ import annotations

from typing import Any

import msgspec

from simulation.planted import Patches, Planted, patched
from unrip.domain.treasury import BridgeWithdrawal, DepositState, DepositStep, LiquidityAction, WithdrawalState
from unrip.frame.contract import RecordReceived
from unrip.services.inventory_sync.reconciling import Reconciler
from unrip.services.liquidity_manager import steps

_CREDITS = frozenset({DepositState.CREDITED, DepositState.COMPLETED})


def _each_step_credits() -> Patches:
    def make(original: Any) -> Any:
        def take_action(self: Reconciler, record: RecordReceived) -> None:
            action: LiquidityAction = record.message.payload
            step = action.step
            if isinstance(step, DepositStep):
                mint = f"{step.mint_tx_hash} {step.name}" if step.state in _CREDITS else None
                action = msgspec.structs.replace(action, step=msgspec.structs.replace(step, mint_tx_hash=mint))
            message = msgspec.structs.replace(record.message, payload=action)
            original(self, msgspec.structs.replace(record, message=message))

        return take_action

    return [patched(Reconciler, "take_action", make)]


def _ended_is_paid() -> Patches:
    def make(original: Any) -> Any:
        def state_of(withdrawal: BridgeWithdrawal) -> WithdrawalState:
            state: WithdrawalState = original(withdrawal)
            return WithdrawalState.FINISHED if state is WithdrawalState.FAILED else state

        return state_of

    return [patched(steps, "_withdrawal_state", make)]


#: By a short name, in the order of docs/simulation.md.
ON_THE_BRIDGE = {
    "each-step": Planted(
        mistake="each step that tells of a credit is a credit",
        patches=_each_step_credits,
        under={"bridge/credit_in_steps": 1},
        beside=("deposit",),
        breaks=("moved",),
    ),
    "ended-is-paid": Planted(
        mistake="a withdrawal that has ended was paid out",
        patches=_ended_is_paid,
        under={"bridge/end_withdrawals": 1},
        beside=("bridge_withdrawal",),
        breaks=("moved",),
    ),
}
