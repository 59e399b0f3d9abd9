"""The record of every topic: rows and reading positions in one transaction, first record wins."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import asyncpg

from unrip.domain.values import Value
from unrip.store.connection import give_back, pool
from unrip.store.errors import StoreRefused, named_errors
from unrip.store.sql import statements

#: Topic to its table in the schema `history`.
TABLES = {
    "raw.near_intents.quote": "raw_quote",
    "raw.near_intents.quote_status": "raw_quote_status",
    "norm.swap_demand": "swap_demand",
    "ref.market_price": "market_price",
    "state.intent_inventory": "intent_inventory",
    "state.treasury": "treasury",
    "ops.liquidity_action": "liquidity_action",
    "decision.trade_decision": "trade_decision",
    "cmd.execute_trade": "execute_trade",
    "exec.trade_result": "trade_result",
    "ops.control_action": "control_action",
    "ops.service_status": "service_status",
    "dlq.invalid_message": "dead_letter",
}


class HistoryRow(Value):
    """One event on its way into its table."""

    event_id: str
    offset: int
    correlation_id: str
    causation_id: str | None
    observed_at: datetime
    published_at: datetime
    #: SHA-256 of the payload's canonical bytes: equal for a repeat, whatever its stamps.
    payload_digest: bytes
    #: The whole event as JSON.
    event: str


class TopicBatch(Value):
    """What was read of one topic: some of it becomes rows, all of it moves the position."""

    topic: str
    topic_id: str
    #: The offset of the first record that was read, None before the first batch ever.
    expected_offset: int | None
    next_offset: int
    rows: tuple[HistoryRow, ...]


class WriteReport(Value):
    """What a batch became."""

    written: int
    duplicates: int
    #: Ids that came again with another payload.
    conflicts: tuple[str, ...]


class Position(Value):
    """Where reading a topic goes on."""

    topic_id: str
    next_offset: int


class HistorySink(Protocol):
    """What the history writer asks of the store."""

    async def positions(self) -> dict[str, Position]:
        """Where each topic was left; topics that were never read are missing."""
        ...

    async def write(self, batches: Sequence[TopicBatch]) -> WriteReport:
        """Write rows and positions in one transaction; the same call twice leaves what one call leaves.

        Raises:
            StoreUnavailable: the outcome is unknown.
            StoreRefused: another writer has moved a position.

        """
        ...


class PostgresHistory:
    """The history in PostgreSQL; see `HistorySink`."""

    def __init__(self, url: str) -> None:
        self._pool = pool(url, application="history writer", size=2, statement_timeout_ms=10_000)

    async def positions(self) -> dict[str, Position]:
        """Where each topic was left."""
        with named_errors("reading positions"):
            await self._pool
            rows = await self._pool.fetch(statements("history")["offsets"])
        return {row["topic"]: Position(topic_id=row["topic_id"], next_offset=row["next_offset"]) for row in rows}

    async def write(self, batches: Sequence[TopicBatch]) -> WriteReport:
        """Write rows and positions in one transaction."""
        with named_errors("writing history"):
            await self._pool
            async with self._pool.acquire() as connection, connection.transaction():
                reports = [await self._write(connection, batch) for batch in batches]
        return WriteReport(
            written=sum(report.written for report in reports),
            duplicates=sum(report.duplicates for report in reports),
            conflicts=tuple(conflict for report in reports for conflict in report.conflicts),
        )

    async def close(self) -> None:
        """Give the connections back."""
        give_back(self._pool)

    async def _write(self, connection: asyncpg.Connection, batch: TopicBatch) -> WriteReport:
        await self._advance(connection, batch)
        if not batch.rows:
            return WriteReport(written=0, duplicates=0, conflicts=())
        named, table = statements("history"), TABLES[batch.topic]
        ids = [row.event_id for row in batch.rows]
        offsets = [row.offset for row in batch.rows]
        digests = [row.payload_digest for row in batch.rows]
        events = [row.event for row in batch.rows]
        written = await connection.fetch(
            named["insert"].format(table=table),
            ids,
            batch.topic_id,
            offsets,
            [row.correlation_id for row in batch.rows],
            [row.causation_id for row in batch.rows],
            [row.observed_at for row in batch.rows],
            [row.published_at for row in batch.rows],
            digests,
            events,
        )
        if len(written) == len(batch.rows):
            return WriteReport(written=len(written), duplicates=0, conflicts=())
        conflicts = await connection.fetch(
            named["insert_conflicts"].format(table=table), batch.topic, batch.topic_id, ids, offsets, digests, events
        )
        return WriteReport(
            written=len(written),
            duplicates=len(batch.rows) - len(written),
            conflicts=tuple(row["event_id"] for row in conflicts),
        )

    @staticmethod
    async def _advance(connection: asyncpg.Connection, batch: TopicBatch) -> None:
        """Compare and set: a second writer finds another position than it expects, and nothing of it is written."""
        named = statements("history")
        if batch.expected_offset is None:
            moved = await connection.fetchval(named["begin_topic"], batch.topic, batch.topic_id, batch.next_offset)
        else:
            moved = await connection.fetchval(
                named["advance_topic"], batch.topic, batch.topic_id, batch.expected_offset, batch.next_offset
            )
        if moved is None and not await PostgresHistory._stands_at(connection, batch):
            raise StoreRefused(
                f"the position of {batch.topic} is not {batch.expected_offset} of topic {batch.topic_id} any more: "
                "another history writer has moved it"
            )

    @staticmethod
    async def _stands_at(connection: asyncpg.Connection, batch: TopicBatch) -> bool:
        """The position is already behind this batch: the same write was committed without our hearing of it."""
        row = await connection.fetchrow(statements("history")["position"], batch.topic)
        return row is not None and (row["topic_id"], row["next_offset"]) == (batch.topic_id, batch.next_offset)
