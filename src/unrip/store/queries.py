"""Questions that operators ask of the record; nothing here writes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import asyncpg

from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.values import Value
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope
from unrip.messages.payloads import RawQuote
from unrip.messages.topics import (
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    MARKET_PRICE,
    RAW_QUOTE,
    SWAP_DEMAND,
    TRADE_DECISION,
    TRADE_RESULT,
)
from unrip.store.connection import connect
from unrip.store.errors import named_errors
from unrip.store.sql import statements

_TOPIC_OF = {
    "quote": RAW_QUOTE,
    "demand": SWAP_DEMAND,
    "price": MARKET_PRICE,
    "inventory": INTENT_INVENTORY,
    "decision": TRADE_DECISION,
    "command": EXECUTE_TRADE,
    "result": TRADE_RESULT,
}
_POLL_S = 0.2


class Chain(Value):
    """Everything PostgreSQL has of one quote, in the order of its causes."""

    quote_id: str
    quote: Envelope[RawQuote] | None
    demand: Envelope[SwapDemand] | None
    price: Envelope[MarketPrice] | None
    inventory: Envelope[IntentInventory] | None
    decision: Envelope[Decision] | None
    command: Envelope[TradeCommand] | None
    results: tuple[Envelope[TradeResult], ...]

    @property
    def outcome(self) -> str:
        """How it ended, or `open`."""
        if self.decision is None:
            return "not decided"
        if not self.decision.payload.accepted:
            return f"refused: {self.decision.payload.reason}"
        for result in self.results:
            if result.payload.state.terminal:
                reason = f": {result.payload.reason}" if result.payload.reason else ""
                return f"{result.payload.state}{reason}"
        return "open"

    @property
    def missing(self) -> tuple[str, ...]:
        """Records that must exist, given those that do. An open attempt lacks nothing."""
        missing = [part for part in ("quote", "demand", "decision") if getattr(self, part) is None]
        if self.decision is None:
            return tuple(missing)
        decision = self.decision.payload
        if decision.price_id is not None and self.price is None:
            missing.append("price")
        if decision.inventory_id is not None and self.inventory is None:
            missing.append("inventory")
        if decision.accepted and self.command is None:
            missing.append("command")
        if self.command is not None and not self.results:
            missing.append("result")
        return tuple(missing)

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.outcome not in {"open", "not decided"}

    @property
    def stages_ms(self) -> dict[str, float]:
        """Stage to the milliseconds since the one before it, from the stamps that every event carries."""
        stamps = dict(self.results[-1].stages if self.results else self.decision.stages if self.decision else {})
        ordered = sorted(stamps.items(), key=lambda item: item[1])
        return {name: (at - before).total_seconds() * 1_000 for (_, before), (name, at) in pairwise(ordered)}


class Queries:
    """One read-only connection."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator[Queries]:
        """Open a connection for as long as the context lasts.

        Raises:
            StoreUnavailable: nobody answers.

        """
        connection = await connect(url, application="queries", statement_timeout_ms=30_000)
        try:
            await connection.execute("SET default_transaction_read_only = on")
            yield cls(connection)
        finally:
            await connection.close()

    async def find(self, prefix: str) -> list[str]:
        """Ids of quotes that begin with a prefix: none, the one, or two as a sign of many."""
        escaped = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return [row["quote_id"] for row in await self._fetch("find_quotes", escaped)]

    async def chain(self, quote_id: str) -> Chain:
        """Everything of one quote; empty where nothing is known of it."""
        parts: dict[str, list[Envelope[Any]]] = {name: [] for name in _TOPIC_OF}
        for row in await self._fetch("chain_of", quote_id):
            parts[row["part"]].append(decode_event(_TOPIC_OF[row["part"]].name, row["event"].encode()))
        single = {name: (found[0] if found else None) for name, found in parts.items() if name != "result"}
        return Chain(quote_id=quote_id, results=tuple(parts["result"]), **single)

    async def until_complete(self, quote_id: str, *, bound_s: float) -> Chain:
        """The chain once it has ended and lacks nothing, or as it is when the bound is over."""
        deadline = time.monotonic() + bound_s
        while True:
            chain = await self.chain(quote_id)
            if (chain.ended and not chain.missing) or time.monotonic() > deadline:
                return chain
            await asyncio.sleep(_POLL_S)

    async def policy(self, policy_hash: str) -> dict[str, Any] | None:
        """The limits that a decision was made under."""
        rows = await self._fetch("policy_of", policy_hash)
        return json.loads(rows[0]["body"]) if rows else None

    async def trade_rows(self, quote_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The joined rows of `history.trade_chain`."""
        return [json.loads(row["row"]) for row in await self._fetch("trade_rows", list(quote_ids))]

    async def newest_settled(self) -> list[str]:
        """The quote that settled last, per direction."""
        return [row["quote_id"] for row in await self._fetch("newest_settled")]

    async def newest_refusal(self) -> dict[str, Any] | None:
        """The decision event that refused last."""
        rows = await self._fetch("newest_refusal")
        return json.loads(rows[0]["event"]) if rows else None

    async def newest_prices(self, limit: int) -> list[dict[str, Any]]:
        """The newest price events."""
        return [json.loads(row["event"]) for row in await self._fetch("newest_prices", limit)]

    async def _fetch(self, name: str, *arguments: object) -> list[Any]:
        with named_errors(name.replace("_", " ")):
            return list(await self._connection.fetch(statements("queries")[name], *arguments))
