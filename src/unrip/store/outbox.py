"""The outbox: events of any topic on their way to Kafka, committed together with what they report.

Each owner has a table of its own for it, beside what it commits in the same transaction; all of them have one form.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import asyncpg

from unrip.domain.values import Value
from unrip.messages.envelope import InvalidMessage, decode
from unrip.messages.topics import TOPICS
from unrip.store.connection import Sessions
from unrip.store.sql import statements


class OutboxRecord(Value):
    """An event as its owner has committed it; the publisher fills in producer and time of publishing."""

    topic: str
    event_id: str
    correlation_id: str
    causation_id: str | None
    occurred_at: datetime | None
    observed_at: datetime
    venue: str | None
    pair: str | None
    stages: dict[str, datetime]
    payload: Any


class OutboxRow(Value):
    """A committed event that waits to be published; the numbers follow the order of the commits."""

    seq: int
    event: OutboxRecord


class Outbox(Protocol):
    """What the publisher uses of whoever commits events."""

    async def unpublished(self, limit: int, *, after: int = 0) -> list[OutboxRow]:
        """Events that wait to be published, oldest first, from after a sequence number on."""
        ...

    async def unreadable(self) -> dict[int, str]:
        """The waiting rows that this version cannot read, by their sequence number, with the reason."""
        ...

    async def mark_published(self, seqs: Sequence[int]) -> None:
        """Note that these have reached Kafka."""
        ...


class PostgresOutbox:
    """The outbox in a table of its owner, of the form of `ledger.outbox` (`migrations/0030.outbox.sql`)."""

    def __init__(self, sessions: Sessions, *, table: str) -> None:
        self._sessions = sessions
        self._table = table
        self._unreadable: dict[int, str] = {}

    async def unpublished(self, limit: int, *, after: int = 0) -> list[OutboxRow]:
        """Events that wait to be published, oldest first; a row that cannot be read is skipped."""
        if after == 0:
            self._unreadable = {}
        while found := await self._ask("unpublished", limit, after):
            if rows := [row for each in found if (row := self._readable(each)) is not None]:
                return rows
            after = found[-1]["seq"]
        return []

    async def unreadable(self) -> dict[int, str]:
        """What was skipped since the outbox was last read from its beginning."""
        return dict(self._unreadable)

    async def mark_published(self, seqs: Sequence[int]) -> None:
        """Note that these have reached Kafka."""
        await self._ask("mark_published", list(seqs))

    def _readable(self, row: asyncpg.Record) -> OutboxRow | None:
        try:
            return OutboxRow(seq=row["seq"], event=_record(row))
        except InvalidMessage as error:
            self._unreadable[row["seq"]] = str(error)
            return None

    async def _ask(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        sql = self._sessions.of_desk(statements("outbox")[statement].format(table=self._table))
        return await self._sessions.fetch(f"{self._table} {statement}", sql, *arguments)


def _record(row: asyncpg.Record) -> OutboxRecord:
    topic = TOPICS.get(row["topic"])
    if topic is None:
        raise InvalidMessage(f"there is no topic {row['topic']!r}; a newer version may know it")
    return OutboxRecord(
        topic=topic.name,
        event_id=row["event_id"],
        correlation_id=row["correlation_id"],
        causation_id=row["causation_id"],
        occurred_at=row["occurred_at"],
        observed_at=row["observed_at"],
        venue=row["venue"],
        pair=row["pair"],
        stages=decode(row["stages"], dict[str, datetime]),
        payload=decode(row["payload"], topic.payload),
    )
