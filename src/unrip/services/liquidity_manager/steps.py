"""The steps of funding operations: one record per change of state, with an id derived from all its content.

The same step seen again, also after a restart, is the same record; any new content makes it another one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from unrip.domain.pairs import Asset
from unrip.domain.treasury import (
    AddressAccepted,
    AddressChanged,
    AddressIssued,
    BridgeDeposit,
    BridgeWithdrawal,
    DepositState,
    DepositStep,
    LiquidityAction,
    Refresh,
    Step,
    WithdrawalState,
    WithdrawalStep,
)
from unrip.domain.values import derived_id
from unrip.frame.contract import Effect, Log, Publish
from unrip.messages.envelope import encode
from unrip.messages.topics import LIQUIDITY_ACTION
from unrip.services.liquidity_manager.addresses import ChainAddress

VENUE = "near_intents"
#: How many operations have their steps remembered; the bridge lists fewer.
OPERATIONS_MAX = 10_000

_CREDITS = frozenset({DepositState.CREDITED, DepositState.COMPLETED})
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
    """Remembers the last step of every operation and reports only what is new."""

    def __init__(self, account: str, other_tokens: Mapping[str, Asset]) -> None:
        self._account = account
        #: Tokens that a deposit may be credited as although its coin is that of an asset of ours.
        self._other_tokens = other_tokens
        #: The id of the last record of each operation.
        self._last: OrderedDict[str, str] = OrderedDict()
        #: Deposits whose credit was reported: `credited` and `completed` are one piece of news.
        self._credited: set[str] = set()
        #: An operator's last decision for the address of a chain and asset: what is reported after it is news.
        self._accepted: dict[tuple[str, str], str] = {}
        #: Records that the broker did not acknowledge; they are published again, but logged once.
        self._lost: set[str] = set()

    def learn(self, action: LiquidityAction) -> None:
        """Learn a step that an earlier life of this service published, whichever build that was of."""
        self._remember(action, self._event_id(action))

    def _remember(self, action: LiquidityAction, event_id: str) -> None:
        self._last[action.action_id] = event_id
        self._last.move_to_end(action.action_id)
        if _is_credit(action.step):
            self._credited.add(action.action_id)
        elif isinstance(action.step, AddressAccepted):
            self._accepted[action.step.chain, action.step.asset_id] = action.action_id
        if len(self._last) > OPERATIONS_MAX:
            forgotten, _ = self._last.popitem(last=False)
            self._credited.discard(forgotten)

    def forget(self, event_id: str) -> None:
        """Forget a record that the broker does not acknowledge: its step is new again with the next reading."""
        for action_id, last in self._last.items():
            if last == event_id:
                del self._last[action_id]
                self._lost.add(event_id)
                return

    def deposit(self, deposit: BridgeDeposit, observed_at: datetime) -> list[Effect]:
        """The record and the line of a deposit's state, if that is new."""
        step = DepositStep(
            state=deposit.state,
            chain=deposit.chain,
            asset_id=deposit.asset_id,
            amount=deposit.amount,
            address=deposit.address,
            status=deposit.status_text,
            tx_hash=deposit.tx_hash,
            mint_tx_hash=deposit.mint_tx_hash,
        )
        return self._tell_if_new(deposit.deposit_id, step, observed_at, occurred_at=deposit.created_at)

    def withdrawal(self, withdrawal: BridgeWithdrawal, observed_at: datetime) -> list[Effect]:
        """The record and the line of a withdrawal's state, if that is new."""
        step = WithdrawalStep(
            state=_withdrawal_state(withdrawal),
            chain=withdrawal.chain,
            asset_id=withdrawal.asset_id,
            amount=withdrawal.amount,
            address=withdrawal.address,
            status=withdrawal.status_text,
            transfer_tx_hash=withdrawal.transfer_tx_hash,
        )
        return self._tell_if_new(withdrawal.withdrawal_id, step, observed_at, occurred_at=withdrawal.created_at)

    def address(self, known: ChainAddress, other: ChainAddress | None, asset_id: str) -> list[Effect]:
        """The record and the line of an asset's deposit address, or of another one for its chain, if that is new."""
        action_id = derived_id("deposit_address", self._account, known.chain, asset_id)
        place = {"chain": known.chain, "asset_id": asset_id, "address": known.address}
        step = AddressIssued(**place) if other is None else AddressChanged(**place, other=other.address)
        return self._tell_if_new(action_id, step, (other or known).observed_at)

    def accepted(self, event_id: str, address: ChainAddress, asset_id: str, actor: str, now: datetime) -> list[Effect]:
        """The record of an operator's decision for an address: published at once, since no later reading shows it."""
        step = AddressAccepted(chain=address.chain, asset_id=asset_id, address=address.address, actor=actor)
        return self._tell(self._action(event_id, step), event_id, now)

    def refresh(self, event_id: str, actor: str, now: datetime) -> list[Effect]:
        """The record of an operator's refresh."""
        return self._tell(self._action(event_id, Refresh(actor=actor)), event_id, now)

    def _action(self, action_id: str, step: Step) -> LiquidityAction:
        return LiquidityAction(action_id=action_id, account=self._account, step=step)

    def _event_id(self, action: LiquidityAction) -> str:
        """The id of an event, another for each form of the payload: two records of one id are the same bytes."""
        step, since = action.step, list[str]()
        if isinstance(step, AddressIssued | AddressChanged):
            word = self._accepted.get((step.chain, step.asset_id))
            since = [] if word is None else [word]
        return derived_id("treasury_step", action.action_id, encode(step).decode(), *since)

    def _tell_if_new(
        self, action_id: str, step: Step, observed_at: datetime, *, occurred_at: datetime | None = None
    ) -> list[Effect]:
        action = self._action(action_id, step)
        event_id = self._event_id(action)
        if self._last.get(action_id) == event_id:
            return []
        return self._tell(action, event_id, observed_at, occurred_at=occurred_at)

    def _tell(
        self, action: LiquidityAction, event_id: str, observed_at: datetime, *, occurred_at: datetime | None = None
    ) -> list[Effect]:
        said = event_id in self._lost or (_is_credit(action.step) and action.action_id in self._credited)
        self._lost.discard(event_id)
        self._remember(action, event_id)
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
        return [record] if said or action.step.name not in _LINES else [record, self._line(action)]

    def _line(self, action: LiquidityAction) -> Log:
        """The line of a step; it includes that a deposit came as another token than the one that is traded."""
        event, level = _LINES[action.step.name]
        said = msgspec.structs.asdict(action.step)
        said.pop("state", None)  # it is in the step's name
        body: dict[str, Any] = {"action_id": action.action_id, "step": action.step.name, **said}
        if (asset := self._other_tokens.get(said["asset_id"])) is not None:
            level = "error" if level == "error" else "warning"
            body["other_token_of"] = f"{asset.symbol}, which is {asset.asset_id}"
        return Log(event=event, level=level, component="bridge", venue=VENUE, body=body)


def _is_credit(step: Step) -> bool:
    return isinstance(step, DepositStep) and step.state in _CREDITS


def _withdrawal_state(withdrawal: BridgeWithdrawal) -> WithdrawalState:
    if withdrawal.status_text.upper() in _WITHDRAWAL_FAILURES:
        return WithdrawalState.FAILED
    return WithdrawalState.FINISHED if withdrawal.finished else WithdrawalState.SEEN
