"""The treasury as one record, bounded: what is unfinished, and the latest of what is done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from unrip.domain.pairs import Pair
from unrip.domain.treasury import BridgeDeposit, BridgeWithdrawal, DepositAddress, DepositState, Treasury
from unrip.services.liquidity_manager.effects import ChainRead

#: How many movements of each kind the record has.
MOVEMENTS_MAX = 200

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def assets_by_chain(pair: Pair) -> dict[str, tuple[str, ...]]:
    """The asset ids of our assets by the chain that they come from, which may be one chain for both."""
    chains = dict.fromkeys(asset.chain for asset in pair.assets())
    return {chain: tuple(asset.asset_id for asset in pair.assets() if asset.chain == chain) for chain in chains}


def treasury_of(
    account: str,
    assets: Mapping[str, tuple[str, ...]],
    chains: Mapping[str, ChainRead],
    addresses: tuple[DepositAddress, ...],
    *,
    withdrawals_enabled: bool,
    rebalances_enabled: bool,
    trackers_paused: bool,
) -> Treasury:
    """The treasury by the bridge's last answers about each chain."""
    read = [chains[chain] for chain in assets if chain in chains]
    complete = len(read) == len(assets)
    wanted = {asset_id for ours in assets.values() for asset_id in ours}
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
    """The unfinished deposits first, then the others by age."""
    ordered = sorted(deposits, key=lambda deposit: deposit.created_at or _LONG_AGO, reverse=True)
    ordered.sort(key=lambda deposit: deposit.state is DepositState.COMPLETED)
    return tuple(ordered[:MOVEMENTS_MAX])


def _latest_withdrawals(withdrawals: list[BridgeWithdrawal]) -> tuple[BridgeWithdrawal, ...]:
    """The unfinished withdrawals first; the bridge gives them no order (protocol/bridge section 3.6)."""
    return tuple(sorted(withdrawals, key=lambda withdrawal: withdrawal.finished)[:MOVEMENTS_MAX])
