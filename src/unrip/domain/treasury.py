"""The owner's money on its way: deposit addresses, deposits, withdrawals, as the bridge reports them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from unrip.domain.values import Amount, Value


class DepositState(StrEnum):
    """The bridge's word. The truth about credit is the verifier's ledger (protocol/bridge section 4)."""

    PENDING = "pending"
    CREDITED = "credited"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """A status this version does not know: kept as it is, never read as one of the others."""


class BridgeDeposit(Value):
    """A deposit on its way to credit."""

    deposit_id: str
    chain: str
    asset_id: str
    amount: Amount
    address: str
    state: DepositState
    #: The bridge's own spelling.
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
    """Where the owner may send an asset from. An address that was never funded is not liquidity (R54)."""

    chain: str
    asset_id: str
    address: str
    observed_at: datetime


class BridgeToken(Value):
    """What the bridge asks for an asset; read each time, never hard-coded."""

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


class LiquidityAction(Value):
    """One step of a funding operation."""

    action_id: str
    account: str
    #: `address_issued`, `address_changed`, `address_accepted`, `deposit_pending`, `deposit_credited`,
    #: `deposit_completed`, `deposit_failed`, `deposit_unknown`,
    #: `withdrawal_seen`, `withdrawal_finished`, `withdrawal_failed`, `refresh`.
    step: str
    asset_id: str | None
    chain: str | None
    amount: Amount | None
    details: dict[str, str]
