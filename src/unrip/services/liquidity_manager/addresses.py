"""Deposit addresses: one per chain, compared with the known one each time; two different ones stop its use.

That an address never changes is not promised (protocol/bridge section 3.2), and coins sent to a wrong one are lost.
"""

from __future__ import annotations

from typing import Any

from unrip.domain.treasury import DepositAddress


class Addresses:
    """The addresses the owner may send to."""

    def __init__(self) -> None:
        self._known: dict[str, DepositAddress] = {}
        #: Chain to the other address that was named for it.
        self._doubts: dict[str, DepositAddress] = {}

    def learn(self, address: DepositAddress, other: DepositAddress | None = None) -> None:
        """Take what an earlier life of this service knew, oldest first: an accepted address ends an older doubt."""
        self._known[address.chain] = address
        if other is None:
            self._doubts.pop(address.chain, None)
        else:
            self._doubts[address.chain] = other

    def told(self, address: DepositAddress) -> None:
        """Compare what the bridge says now; once another address was named, only an operator ends the doubt."""
        known = self._known.setdefault(address.chain, address)
        if known.address != address.address:
            self._doubts[address.chain] = address
        elif address.chain not in self._doubts:
            self._known[address.chain] = address

    def known(self, chain: str) -> DepositAddress | None:
        """The address that was known first, in doubt or not."""
        return self._known.get(chain)

    def doubt(self, chain: str) -> DepositAddress | None:
        """The other address that was named for a chain."""
        return self._doubts.get(chain)

    def named(self, chain: str) -> tuple[DepositAddress, ...]:
        """The addresses that stand against each other, none without a doubt."""
        return (self._known[chain], self._doubts[chain]) if chain in self._doubts else ()

    def accept(self, address: DepositAddress) -> None:
        """An operator has checked which of them is right: from now on it is the known one."""
        self._known[address.chain] = address
        del self._doubts[address.chain]

    def usable(self) -> tuple[DepositAddress, ...]:
        """Addresses without a doubt."""
        return tuple(address for chain, address in self._known.items() if chain not in self._doubts)

    def state(self) -> dict[str, Any]:
        """For `GET /state`."""
        return {
            chain: {
                "address": address.address,
                "asset_id": address.asset_id,
                "observed_at": address.observed_at,
                "usable": chain not in self._doubts,
                "also_named": self._doubts[chain].address if chain in self._doubts else None,
            }
            for chain, address in self._known.items()
        }
