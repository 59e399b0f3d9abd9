"""What liquidity-manager shows of itself."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.treasury import Treasury
from unrip.domain.values import Value


class AddressState(Value):
    """A deposit address as it is known."""

    address: str
    #: What may be sent there.
    asset_ids: tuple[str, ...]
    observed_at: datetime
    #: Nothing stands against it.
    usable: bool
    #: What the bridge names instead.
    also_named: str | None


class LiquidityState(Value):
    """`GET /state` of liquidity-manager."""

    paused: bool
    #: By chain.
    deposit_addresses: dict[str, AddressState]
    treasury: Treasury
    #: Chain to when the bridge last answered about it.
    chains_read_at: dict[str, datetime]
    #: Chain to why it cannot be read now.
    failures: dict[str, str]
    #: The id of the last record that the broker has.
    last_acknowledged: str | None
