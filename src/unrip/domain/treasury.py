"""The owner's money on its way: deposit addresses, deposits, withdrawals, as the bridge reports them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from unrip.domain.values import Amount, Value


class DepositState(StrEnum):
    """How far a deposit is, by the bridge. What is credited is read from the verifier (protocol/bridge section 4)."""

    PENDING = "pending"
    CREDITED = "credited"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """A status that this version does not know: it is kept as it is, never read as one of the others."""


class BridgeDeposit(Value):
    """A deposit on its way to credit."""

    deposit_id: str
    chain: str
    asset_id: str
    amount: Amount
    address: str
    state: DepositState
    #: The status as the bridge spells it.
    status_text: str
    created_at: datetime | None
    tx_hash: str | None
    mint_tx_hash: str | None


class BridgeWithdrawal(Value):
    """A withdrawal after its burn; amounts in it are in no balance."""

    withdrawal_id: str
    chain: str
    asset_id: str
    amount: Amount
    address: str
    status_text: str
    finished: bool
    transfer_tx_hash: str | None
    #: When the bridge took it over, which is after its burn.
    created_at: datetime | None = None


class DepositAddress(Value):
    """The address to which the owner may send an asset. An address that was never funded is not liquidity (R54)."""

    chain: str
    asset_id: str
    address: str
    observed_at: datetime


class BridgeToken(Value):
    """The bridge's terms for an asset; read each time, never hard-coded."""

    asset_id: str
    chain: str
    min_deposit: Amount
    min_withdrawal: Amount
    withdrawal_fee: Amount


class WithdrawalEstimate(Value):
    """What the bridge would keep of a withdrawal now, in smallest units of the token."""

    fee: Amount
    #: In how many decimals the bridge counts the token.
    fee_decimals: int


class Treasury(Value):
    """The state of the owner's money outside the verifier."""

    account: str
    addresses: tuple[DepositAddress, ...]
    tokens: tuple[BridgeToken, ...]
    deposits: tuple[BridgeDeposit, ...]
    withdrawals: tuple[BridgeWithdrawal, ...]
    #: None until the bridge has answered once.
    bridge_observed_at: datetime | None
    withdrawals_enabled: bool
    rebalances_enabled: bool
    trackers_paused: bool


class WithdrawalState(StrEnum):
    """How far a withdrawal has come after its burn."""

    SEEN = "seen"
    FINISHED = "finished"
    FAILED = "failed"


class DepositStep(Value, tag="deposit", tag_field="kind"):
    """The bridge reported something new of a deposit."""

    state: DepositState
    chain: str
    asset_id: str
    amount: Amount
    address: str
    #: The status as the bridge spells it.
    status: str
    tx_hash: str | None
    mint_tx_hash: str | None

    @property
    def name(self) -> str:
        """The step's name for people and for queries of the history."""
        return f"deposit_{self.state}"


class WithdrawalStep(Value, tag="withdrawal", tag_field="kind"):
    """The bridge reported something new of a withdrawal, which has left the balance before its first step."""

    state: WithdrawalState
    chain: str
    asset_id: str
    amount: Amount
    address: str
    #: The status as the bridge spells it.
    status: str
    transfer_tx_hash: str | None

    @property
    def name(self) -> str:
        """The step's name for people and for queries of the history."""
        return f"withdrawal_{self.state}"


class AddressIssued(Value, tag="address_issued", tag_field="kind"):
    """The bridge named a deposit address."""

    chain: str
    asset_id: str
    address: str
    name: ClassVar[str] = "address_issued"


class AddressChanged(Value, tag="address_changed", tag_field="kind"):
    """The bridge named another address than the known one: neither is used."""

    chain: str
    asset_id: str
    address: str
    other: str
    name: ClassVar[str] = "address_changed"


class AddressAccepted(Value, tag="address_accepted", tag_field="kind"):
    """An operator decided which of two addresses is the right one."""

    chain: str
    asset_id: str
    address: str
    actor: str
    name: ClassVar[str] = "address_accepted"


class Refresh(Value, tag="refresh", tag_field="kind"):
    """An operator had the bridge asked at once."""

    actor: str
    name: ClassVar[str] = "refresh"


class OtherStep(Value, tag="other", tag_field="kind"):
    """A step of a kind or state that this version does not know: it is kept, and explains no money."""

    name: str
    #: The whole step as it stood, in JSON.
    text: str


Step = DepositStep | WithdrawalStep | AddressIssued | AddressChanged | AddressAccepted | Refresh | OtherStep


class LiquidityAction(Value):
    """One step of a funding operation."""

    action_id: str
    account: str
    step: Step
