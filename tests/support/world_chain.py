"""What the executor's questions to the chain get from a world in this process, by the same calls as a node answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from simulation.stores import done
from support.virtual_world import DESK, at
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierFill, VerifierReading
from unrip.services.trade_executor.effects import (
    FillsRead,
    FillsUnread,
    PastRead,
    ReadFills,
    ReadPast,
    ReadUse,
    ReadVerifier,
    UseRead,
    VerifierRead,
)
from unrip.venues.near_intents.contract_events import read_events, successful_logs
from unrip.venues.near_intents.past import Past, Search
from unrip.venues.near_intents.rpc import Block
from unrip_world.assets import BTC, EURE
from unrip_world.rpc.core import RpcError
from unrip_world.world import World

ACCOUNT, CONTRACT = DESK.account_id, "intents.near"


class WorldChain:
    """The world's contract, read at any block."""

    def __init__(self, world: World, *, clock: Callable[[], datetime]) -> None:
        self._world, self._clock = world, clock

    def verifier(self, effect: ReadVerifier) -> VerifierRead:
        return VerifierRead(reading=self.reading(effect.nonces, effect.salts))

    def _view(self, method: str, arguments: dict[str, Any], height: int) -> Any:
        parameters = {
            "request_type": "call_function",
            "account_id": CONTRACT,
            "method_name": method,
            "args_base64": base64.b64encode(json.dumps(arguments).encode()).decode(),
            "block_id": height,
        }
        return json.loads(bytes(self._world.near_rpc.call("query", parameters)["result"]))

    def reading(
        self, nonces: Sequence[str], salts: Sequence[str], *, which: dict[str, Any] | None = None
    ) -> VerifierReading:
        header = self._world.near_rpc.call("block", which or {"finality": "final"})["header"]
        height = header["height"]
        account = {"account_id": ACCOUNT}
        balances = self._view("mt_batch_balance_of", {**account, "token_ids": [BTC, EURE]}, height)
        return VerifierReading(
            height=height,
            block_time=at(header["timestamp"]),
            observed_at=self._clock(),
            credited={token: Amount.parse(text) for token, text in zip((BTC, EURE), balances, strict=True)},
            salt=self._view("current_salt", {}, height),
            fee_pips=self._view("fee", {}, height),
            key_registered=self._view("has_public_key", {**account, "public_key": DESK.public_key}, height),
            account_locked=self._view("is_account_locked", account, height),
            contract_paused=False,
            nonces={nonce: self._view("is_nonce_used", {**account, "nonce": nonce}, height) for nonce in nonces},
            salts={salt: self._view("is_valid_salt", {"salt": salt}, height) for salt in salts},
        )

    def past(self, effect: ReadPast) -> PastRead:
        async def salt_valid(height: int) -> bool:
            return bool(self._view("is_valid_salt", {"salt": effect.span.salt}, height))

        nonces = list(dict.fromkeys([*effect.nonces, *(offer.nonce for offer in effect.offers)]))
        blocks = done(Past(block_at=self._block_at, salt_valid=salt_valid).deciding(effect.span))
        readings = [self.reading(nonces, [effect.span.salt], which={"block_id": block.height}) for block in blocks]
        return PastRead(readings=tuple(readings))

    def use(self, effect: ReadUse) -> UseRead:
        async def unused(height: int) -> bool:
            arguments = {"account_id": ACCOUNT, "nonce": effect.span.nonce}
            return not self._view("is_nonce_used", arguments, height)

        end = done(self._block_at(effect.span.used_at))
        blocks = done(Search(block_at=self._block_at).turn(effect.span.unused_at, end, unused, ended="used"))
        nonces = list(dict.fromkeys([effect.span.nonce, *(offer.nonce for offer in effect.offers)]))
        before, after = (self.reading(nonces, effect.salts, which={"block_id": block.height}) for block in blocks)
        return UseRead(before=before, after=after)

    async def _block_at(self, height: int) -> Block:
        header = self._world.near_rpc.call("block", {"block_id": height})["header"]
        hashes = {"hash": header["hash"], "previous_hash": header["prev_hash"]}
        return Block(height=header["height"], time=at(header["timestamp"]), **hashes)

    def fills(self, effect: ReadFills) -> FillsRead | FillsUnread:
        try:
            transaction = self._world.near_rpc.call("tx", {"tx_hash": effect.tx_hash})
        except RpcError:  # a notice may name what is on no chain
            return FillsUnread(tx_hash=effect.tx_hash, reason="unknown transaction")
        events = read_events(successful_logs(transaction, contract=CONTRACT), account=ACCOUNT)
        fills = tuple(
            VerifierFill(quote_hash=fill.intent_hash, tx_hash=effect.tx_hash, diff=fill.diff, nonce=fill.nonce)
            for fill in events.fills
        )
        return FillsRead(tx_hash=effect.tx_hash, fills=fills)
