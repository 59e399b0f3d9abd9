"""Mistakes about the chain that only a plan shows: which block is read, and for how long what it says is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import msgspec

from simulation.planted import Patches, Planted, Trusting, passes, patched
from simulation.planted_scenes import one_node_is_believed
from unrip.domain.decision import Refusal
from unrip.domain.verifier import VerifierReading
from unrip.venues.near_intents.rpc import Block, NearRpc
from unrip.venues.near_intents.verifier import Verifier


def _final_by_height() -> Patches:
    """The newest block is read, and believed once its height is final: by then another block may have that height."""

    async def read(
        self: Verifier, *, nonces: Collection[str] = (), salts: Collection[str] = (), elsewhere: bool = False
    ) -> VerifierReading:
        del elsewhere
        kept: dict[int, VerifierReading] = self.__dict__.setdefault("kept", {})

        async def ask(rpc: NearRpc) -> VerifierReading:
            observed_at = self._clock()

            async def read_at(block: Block) -> VerifierReading:
                return await self._read_at(rpc, block, nonces=nonces, salts=salts, observed_at=observed_at)

            newest = await rpc._block({"finality": "optimistic"})  # noqa: SLF001 - no other way to ask for it
            kept[newest.height] = await read_at(newest)
            final = await rpc.final_block()
            seen = max((height for height in kept if height <= final.height), default=None)
            reading = await read_at(final) if seen is None else kept[seen]
            return msgspec.structs.replace(reading, observed_at=observed_at, node=rpc.name)

        return await self._endpoints.ask(ask)

    return [patch.object(Verifier, "read", read)]


def _any_outcome_is_final() -> Patches:
    async def transaction(self: NearRpc, tx_hash: str, *, sender: str) -> dict[str, Any]:
        query = {"tx_hash": tx_hash, "sender_account_id": sender, "wait_until": "FINAL"}
        outcome: dict[str, Any] = await self._call("EXPERIMENTAL_tx_status", query)
        return outcome

    return [patch.object(NearRpc, "transaction", transaction)]


def _fee_is_read_once() -> Patches:
    def make(original: Any) -> Any:
        async def read_at(self: Verifier, *arguments: Any, **named: Any) -> VerifierReading:
            reading: VerifierReading = await original(self, *arguments, **named)
            fee: int = self.__dict__.setdefault("fee", reading.fee_pips)
            return msgspec.structs.replace(reading, fee_pips=fee)

        return read_at

    return [patched(Verifier, "_read_at", make)]


def _a_second_is_enough() -> Patches:
    def make(original: Any) -> Any:
        async def view(self: Verifier, rpc: NearRpc, method: str, arguments: dict[str, Any], *, height: int) -> Any:
            known: dict[str, Any] = self.__dict__.setdefault("known", {})
            place = f"{method}/{sorted(arguments.items())}"
            asked = original(self, rpc, method, arguments, height=height)
            with suppress(TimeoutError):
                known[place] = await (asyncio.wait_for(asked, 1) if place in known else asked)
            return known[place]

        return view

    return [patched(Verifier, "_view", make)]


def _any_age_of_balances() -> Patches:
    return [passes(Refusal.INVENTORY_STALE)]


#: By a short name, in the order of docs/simulation.md.
ON_THE_CHAIN = {
    "by-height": Planted(
        mistake="the newest block is read, and is final once its height is",
        patches=_final_by_height,
        make_ledger=Trusting,
        under={"chain/reorg": 1},
        breaks=("credited", "evidence", "moved"),
    ),
    "any-outcome": Planted(
        mistake="a transaction's outcome counts as soon as one node tells it",
        patches=lambda: [*one_node_is_believed(), *_any_outcome_is_final()],
        under={"rpc/hasty": 2},
        breaks=("evidence", "moved"),
    ),
    "one-fee": Planted(
        mistake="the contract's fee is read once",
        patches=_fee_is_read_once,
        under={"verifier/set_fee": 1},
        breaks=("moved",),
    ),
    "old-balances": Planted(
        mistake="nobody asks how old a snapshot of the balances is",
        patches=_any_age_of_balances,
        under={"erase_nonces": 1},
        breaks=("fresh",),
    ),
    "a-second-old": Planted(
        mistake="a view that takes more than a second is answered as it was before",
        patches=_a_second_is_enough,
        under={"rpc/slow_ms": 1},
        breaks=("credited", "evidence", "moved"),
    ),
}
