"""The record of every topic: rows and the reader's offsets in one transaction; the first record of an id stays.

Errors of the history, both for the end of this writer's life:

* AnotherWriter     an offset is not where this writer left it: somebody else writes, too
* TopicReplaced     a topic has another id than the stored one: its offsets mean other records
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import asyncpg

from unrip.domain.values import Value
from unrip.store.connection import Database, Sessions
from unrip.store.errors import StoreError, StoreRefused
from unrip.store.history_tables import INSERTS, TABLES, HistoryRow, insert_arguments
from unrip.store.nul import without_nul

#: What PostgreSQL raises when it cannot hold a row: a number, text or index entry beyond its limits. The driver raises
#: a `ValueError` where it notices first.
_UNSTORABLE = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError)


class AnotherWriter(StoreError):  # noqa: N818 - it states what is the case
    """Nothing of the batch was written; the offsets must be loaded again before the next one."""


class TopicReplaced(StoreError):  # noqa: N818 - it states what is the case
    """Nothing of the batch was written; an operator must decide about the topic."""


class Position(Value):
    """Where reading a topic goes on."""

    topic_id: str
    next_offset: int


class InvalidRecord(Value):
    """A record that is no event of its topic, byte for byte."""

    offset: int
    reason: str
    data: bytes


class TopicBatch(Value):
    """What was read of one topic. Some of it becomes rows; all of it moves the offset."""

    topic: str
    topic_id: str
    #: Where this writer left the topic; None when the topic never stood in the history.
    expected_offset: int | None
    next_offset: int
    rows: tuple[HistoryRow, ...]
    invalid: tuple[InvalidRecord, ...] = ()


class WriteReport(Value):
    """The outcome of writing a batch."""

    written: int = 0
    #: Ids that had their row already, conflicts among them.
    duplicates: int = 0
    #: Ids that came again with another payload; kept aside.
    conflicts: tuple[str, ...] = ()
    #: Why PostgreSQL could not hold a row, by its id; the row is kept aside byte for byte.
    unstorable: dict[str, str] = {}

    def plus(self, other: WriteReport) -> WriteReport:
        """The sum of both."""
        return WriteReport(
            written=self.written + other.written,
            duplicates=self.duplicates + other.duplicates,
            conflicts=self.conflicts + other.conflicts,
            unstorable=self.unstorable | other.unstorable,
        )


class HistorySink(Protocol):
    """What the history writer uses of the store. Every call may be made again after an unknown outcome."""

    async def offsets(self) -> dict[str, Position]:
        """Where each topic was left; topics that were never read are missing.

        Raises:
            StoreUnavailable: nobody answered.

        """
        ...

    async def last_write_at(self) -> datetime | None:
        """When any writer last moved an offset; None where that is not recorded. Raises as `offsets`."""
        ...

    async def write(self, batches: Sequence[TopicBatch]) -> WriteReport:
        """Write rows and offsets in one transaction; the same call twice leaves what one call leaves.

        Raises:
            StoreUnavailable: the outcome is unknown.
            AnotherWriter: an offset was moved by somebody else.
            TopicReplaced: a topic has another id than the stored one.

        """
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


class PostgresHistory:
    """The history in PostgreSQL; see `HistorySink`. `writer` names the instance."""

    def __init__(self, place: Database | str, *, writer: str, statement_timeout_ms: int = 5_000) -> None:
        self._sessions = Sessions(
            place, application="history writer", size=1, statement_timeout_ms=statement_timeout_ms
        )
        self._writer = writer

    async def offsets(self) -> dict[str, Position]:
        """Where each topic was left."""
        rows = await self._sessions.fetch("loading offsets", self._sessions.statements("history")["offsets"])
        return {row["topic"]: Position(topic_id=row["topic_id"], next_offset=row["next_offset"]) for row in rows}

    async def last_write_at(self) -> datetime | None:
        """When an offset was moved last."""
        statement = self._sessions.statements("history")["last_write_at"]
        (row,) = await self._sessions.fetch("loading the last write", statement)
        moved_at: datetime | None = row["moved_at"]
        return moved_at

    async def write(self, batches: Sequence[TopicBatch]) -> WriteReport:
        """Write rows and offsets in one transaction.

        A row that PostgreSQL cannot hold would keep every other from being written for ever. So the batch is then
        written row by row, and that row goes where invalid records go.
        """
        try:
            return await self._write(batches, one_by_one=False)
        except StoreRefused as refused:
            if not isinstance(refused.__cause__, _UNSTORABLE):
                raise
            return await self._write(batches, one_by_one=True)

    async def close(self) -> None:
        """Give the connection back."""
        self._sessions.give_back()

    async def _write(self, batches: Sequence[TopicBatch], *, one_by_one: bool) -> WriteReport:
        report = WriteReport()
        async with self._sessions.transaction("writing history") as connection:
            for batch in batches:
                await self._advance(connection, batch)
                await self._set_aside(connection, batch, batch.invalid)
                insert = self._insert_one_by_one if one_by_one else self._insert
                report = report.plus(await insert(connection, batch, batch.rows))
        return report

    async def _advance(self, connection: asyncpg.Connection, batch: TopicBatch) -> None:
        """Move the offset if it is where we left it, or already where we want it: then the same write was committed."""
        arguments = (batch.topic, batch.topic_id, batch.expected_offset, batch.next_offset, self._writer)
        if await connection.fetchval(self._sessions.statements("history")["advance"], *arguments):
            return
        stored = await connection.fetchrow(self._sessions.statements("history")["offset_of"], batch.topic)
        found = (stored["topic_id"], stored["next_offset"], stored["writer"]) if stored else None
        if found != (batch.topic_id, batch.next_offset, self._writer):
            raise not_as_left(batch, found)

    async def _insert(
        self, connection: asyncpg.Connection, batch: TopicBatch, rows: tuple[HistoryRow, ...]
    ) -> WriteReport:
        if not rows:
            return WriteReport()
        done: str = await connection.execute(
            self._sessions.of_desk(INSERTS[batch.topic]), *insert_arguments(batch.topic_id, rows)
        )
        written = int(done.rpartition(" ")[2])
        conflicts: tuple[str, ...] = ()
        if written < len(rows):
            found = await connection.fetch(
                self._sessions.statements("history")["keep_conflicts"].format(table=TABLES[batch.topic].name),
                batch.topic,
                batch.topic_id,
                [row.event_id for row in rows],
                [row.offset for row in rows],
                [row.payload_digest for row in rows],
                [row.event for row in rows],
            )
            conflicts = tuple(row["event_id"] for row in found)
        return WriteReport(written=written, duplicates=len(rows) - written, conflicts=conflicts)

    async def _insert_one_by_one(
        self, connection: asyncpg.Connection, batch: TopicBatch, rows: tuple[HistoryRow, ...]
    ) -> WriteReport:
        report = WriteReport()
        for row in rows:
            try:
                async with connection.transaction():
                    report = report.plus(await self._insert(connection, batch, (row,)))
            except _UNSTORABLE as error:
                reason = f"PostgreSQL cannot hold it: {error}"
                record = InvalidRecord(offset=row.offset, reason=reason, data=row.event.encode())
                await self._set_aside(connection, batch, (record,))
                report = report.plus(WriteReport(unstorable={row.event_id: reason}))
        return report

    async def _set_aside(
        self, connection: asyncpg.Connection, batch: TopicBatch, records: tuple[InvalidRecord, ...]
    ) -> None:
        if records:
            await connection.execute(
                self._sessions.statements("history")["set_aside"],
                batch.topic,
                batch.topic_id,
                [record.offset for record in records],
                [without_nul(record.reason) for record in records],
                [record.data for record in records],
            )


def not_as_left(batch: TopicBatch, found: tuple[str, int, str] | None) -> StoreError:
    """Name what is wrong with the stored topic id, offset and writer."""
    if found is not None and found[0] != batch.topic_id:
        return TopicReplaced(f"{batch.topic} has the id {batch.topic_id}, the history was written from {found[0]}")
    where = "nowhere" if found is None else f"at offset {found[1]}, moved by {found[2]}"
    return AnotherWriter(f"{batch.topic} was left at offset {batch.expected_offset}, it stands {where}")
