"""The treasury as one record, bounded: what is unfinished, and the latest of what is done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from unrip.domain.treasury import BridgeDeposit, BridgeWithdrawal, DepositAddress, DepositState, Treasury
from unrip.services.liquidity_manager.effects import ChainRead

#: Movements of each kind in the record.
MOVEMENTS_MAX = 200

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def treasury_of(
    account: str,
    asset_of: Mapping[str, str],
    chains: Mapping[str, ChainRead],
    addresses: tuple[DepositAddress, ...],
    *,
    withdrawals_enabled: bool,
    rebalances_enabled: bool,
    trackers_paused: bool,
) -> Treasury:
    """Put together what the bridge said last about each chain."""
    read = [chains[chain] for chain in asset_of if chain in chains]
    complete = len(read) == len(asset_of)
    wanted = set(asset_of.values())
    return Treasury(
        account=account,
        addresses=addresses,
        tokens=tuple(token for chain in read for token in chain.tokens if token.asset_id in wanted),
        deposits=_latest_deposits([deposit for chain in read for deposit in chain.deposits]),
        withdrawals=_latest_withdrawals([withdrawal for chain in read for withdrawal in chain.withdrawals]),
        bridge_observed_at=min(chain.observed_at for chain in read) if complete else None,
        withdrawals_enabled=withdrawals_enabled,
        rebalances_enabled=rebalances_enabled,
        trackers_paused=trackers_paused,
    )


def _latest_deposits(deposits: list[BridgeDeposit]) -> tuple[BridgeDeposit, ...]:
    """Unfinished ones first, then by age."""
    ordered = sorted(deposits, key=lambda deposit: deposit.created_at or _LONG_AGO, reverse=True)
    ordered.sort(key=lambda deposit: deposit.state is DepositState.COMPLETED)
    return tuple(ordered[:MOVEMENTS_MAX])


def _latest_withdrawals(withdrawals: list[BridgeWithdrawal]) -> tuple[BridgeWithdrawal, ...]:
    """Unfinished ones first; the bridge gives them no order (protocol/bridge section 3.6)."""
    return tuple(sorted(withdrawals, key=lambda withdrawal: withdrawal.finished)[:MOVEMENTS_MAX])
