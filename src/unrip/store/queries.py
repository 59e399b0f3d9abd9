"""Questions that operators ask the history. Nothing here can write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from unrip.domain.pairs import Direction
from unrip.domain.values import Value
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope, InvalidMessage
from unrip.messages.topics import (
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    MARKET_PRICE,
    RAW_QUOTE,
    SWAP_DEMAND,
    TRADE_DECISION,
    TRADE_RESULT,
    Topic,
)
from unrip.store.connection import Database, connect, database_of
from unrip.store.driver_errors import named_errors
from unrip.store.errors import StoreRefused
from unrip.store.quote_history import QuoteHistory

_PARTS: dict[str, Topic] = {
    "quote": RAW_QUOTE,
    "demand": SWAP_DEMAND,
    "price": MARKET_PRICE,
    "inventory": INTENT_INVENTORY,
    "decision": TRADE_DECISION,
    "command": EXECUTE_TRADE,
    "result": TRADE_RESULT,
}
#: How many ids `find` returns: a prefix that fits more is of no use.
FOUND_MAX = 10
_STATEMENT_TIMEOUT_MS = 30_000
_POLL_S = 0.2


class QuoteLine(Value):
    """One decided quote and its outcome; see the view `history.loss_ledger`."""

    quote_id: str
    direction: str
    decided_at: datetime
    outcome: str
    refused_by: str | None
    reason: str | None


class Queries:
    """One read-only connection; `async with Queries.connect(url) as queries`."""

    def __init__(self, connection: asyncpg.Connection, statements: dict[str, str]) -> None:
        self._connection = connection
        self._statements = statements

    @classmethod
    @asynccontextmanager
    async def connect(cls, place: Database | str) -> AsyncIterator[Queries]:
        """Open a connection for as long as the context lasts.

        Raises:
            StoreUnavailable: nobody answers, or we are not let in.
            StoreRefused: the URL cannot be used.

        """
        connection = await connect(place, application="queries", statement_timeout_ms=_STATEMENT_TIMEOUT_MS)
        try:
            with named_errors("connecting"):
                await connection.execute("SET default_transaction_read_only = on")
            yield cls(connection, database_of(place).statements("queries"))
        finally:
            connection.terminate()

    async def find(self, prefix: str) -> tuple[str, ...]:
        """Ids of quotes that begin with a prefix, at most `FOUND_MAX`."""
        escaped = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return tuple(row["quote_id"] for row in await self._fetch("find_quotes", escaped, FOUND_MAX))

    async def of_quote(self, quote_id: str) -> QuoteHistory | None:
        """Everything of one quote as of one instant, None when there is nothing.

        Raises:
            StoreRefused: a stored event cannot be read by this version.

        """
        parts: dict[str, list[Envelope[Any]]] = {part: [] for part in _PARTS}
        rows = await self._fetch("chain_of", quote_id)
        for row in rows:
            parts[row["part"]].append(_event(_PARTS[row["part"]], row["event"]))
        results = tuple(parts.pop("result"))
        single = {part: found[0] for part, found in parts.items() if found}
        return QuoteHistory(quote_id=quote_id, results=results, **single) if rows else None

    async def until_complete(self, quote_id: str, *, bound_s: float) -> QuoteHistory:
        """The history of a quote once it has ended and lacks nothing, or as it is when the bound is over."""
        deadline = time.monotonic() + bound_s
        while True:
            history = await self.of_quote(quote_id) or QuoteHistory(quote_id=quote_id)
            if (history.ended and not history.missing) or time.monotonic() >= deadline:
                return history
            await asyncio.sleep(_POLL_S)

    async def latest_quotes(self, limit: int) -> tuple[QuoteLine, ...]:
        """The quotes that were decided last, newest first."""
        return tuple(QuoteLine(**dict(row)) for row in await self._fetch("latest_quotes", limit))

    async def trade_rows(self, quote_ids: Sequence[str]) -> list[dict[str, Any]]:
        """The joined rows of the view `history.trade_chain`, in the order asked for."""
        rows = {row["quote_id"]: _json(row["row"]) for row in await self._fetch("trade_rows", list(quote_ids))}
        return [rows[quote_id] for quote_id in quote_ids if quote_id in rows]

    async def newest_settled(self) -> tuple[str, ...]:
        """The quote that settled last, per direction."""
        return tuple(row["quote_id"] for row in await self._fetch("newest_settled", list(Direction)))

    async def newest_refusal(self) -> dict[str, Any] | None:
        """The event of the decision that refused last."""
        rows = await self._fetch("newest_refusal")
        return _json(rows[0]["event"]) if rows else None

    async def newest_prices(self, pair: str, limit: int) -> list[dict[str, Any]]:
        """The newest price events of a pair, newest first."""
        return [_json(row["event"]) for row in await self._fetch("newest_prices", pair, limit)]

    async def _fetch(self, name: str, *arguments: object) -> list[Any]:
        with named_errors(name.replace("_", " ")):
            return list(await self._connection.fetch(self._statements[name], *arguments))


def _event(topic: Topic, event: str) -> Envelope[Any]:
    try:
        return decode_event(topic.name, event.encode())
    except InvalidMessage as error:
        raise StoreRefused(f"an event of {topic.name} in PostgreSQL cannot be read by this version: {error}") from None


def _json(document: str) -> dict[str, Any]:
    return msgspec.json.decode(document, type=dict[str, Any])
