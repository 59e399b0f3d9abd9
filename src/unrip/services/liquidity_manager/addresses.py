"""Deposit addresses: one per chain, compared with the known one each time; two different ones stop its use.

The bridge names one address for a chain, whichever of our assets comes from it. That it never changes is not promised
(protocol/bridge section 3.2), and coins sent to a wrong one are lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from unrip.domain.treasury import DepositAddress
from unrip.domain.values import Value
from unrip.services.liquidity_manager.state import AddressState


class ChainAddress(Value):
    """An address that the bridge named for a chain."""

    chain: str
    address: str
    observed_at: datetime


class Addresses:
    """The addresses the owner may send to."""

    def __init__(self, assets: Mapping[str, tuple[str, ...]]) -> None:
        #: Chain to the ledger ids of our assets that come from it.
        self._assets = assets
        self._known: dict[str, ChainAddress] = {}
        #: Chain to the other address that was named for it.
        self._doubts: dict[str, ChainAddress] = {}

    def learn(self, address: ChainAddress, other: ChainAddress | None = None) -> None:
        """Take what an earlier life of this service knew, oldest first: an accepted address ends an older doubt."""
        self._known[address.chain] = address
        if other is None:
            self._doubts.pop(address.chain, None)
        else:
            self._doubts[address.chain] = other

    def told(self, address: ChainAddress) -> None:
        """Compare what the bridge names now; once another address was named, only an operator ends the doubt."""
        known = self._known.setdefault(address.chain, address)
        if known.address != address.address:
            self._doubts[address.chain] = address
        elif address.chain not in self._doubts:
            self._known[address.chain] = address

    def known(self, chain: str) -> ChainAddress | None:
        """The address that was known first, in doubt or not."""
        return self._known.get(chain)

    def doubt(self, chain: str) -> ChainAddress | None:
        """The other address that was named for a chain."""
        return self._doubts.get(chain)

    def named(self, chain: str) -> tuple[ChainAddress, ...]:
        """The addresses that stand against each other, none without a doubt."""
        return (self._known[chain], self._doubts[chain]) if chain in self._doubts else ()

    def accept(self, address: ChainAddress) -> None:
        """Take the address that an operator found right: from now on it is the known one."""
        self._known[address.chain] = address
        del self._doubts[address.chain]

    def usable(self) -> tuple[DepositAddress, ...]:
        """Addresses without a doubt, one for each of our assets."""
        return tuple(
            DepositAddress(chain=chain, asset_id=asset_id, address=known.address, observed_at=known.observed_at)
            for chain, known in self._known.items()
            if chain not in self._doubts
            for asset_id in self._assets.get(chain, ())
        )

    def state(self) -> dict[str, AddressState]:
        """For `GET /state`."""
        return {
            chain: AddressState(
                address=known.address,
                asset_ids=self._assets.get(chain, ()),
                observed_at=known.observed_at,
                usable=chain not in self._doubts,
                also_named=self._doubts[chain].address if chain in self._doubts else None,
            )
            for chain, known in self._known.items()
        }
