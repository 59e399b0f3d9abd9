"""A history for a contract test: PostgreSQL or the in-memory twin, with the same questions about what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from support.samples import NOW
from unrip.bus.ports import Record
from unrip.messages.codec import encode_event
from unrip.messages.envelope import Envelope
from unrip.store.history import HistorySink, PostgresHistory, TopicBatch
from unrip.store.history_tables import TABLES, HistoryRow, row_of
from unrip.store.memory_history import MemoryHistory, MemoryRecord


def a_record(event: Envelope[Any], offset: int, *, topic_id: str = "topic-1", at: datetime = NOW) -> Record:
    """An event as it stands on its topic."""
    return Record(
        topic=event.event_type,
        topic_id=topic_id,
        partition=0,
        offset=offset,
        key=None,
        value=encode_event(event),
        timestamp=at,
    )


def a_row(event: Envelope[Any], offset: int) -> HistoryRow:
    """The row of an event at an offset."""
    return row_of(event.event_type, offset, event, encode_event(event))


def a_batch(*events: Envelope[Any], at: int, after: int | None, **changes: Any) -> TopicBatch:
    """Events of one topic that stand at consecutive offsets from `at` on; the topic was left at `after`."""
    rows = tuple(a_row(event, offset) for offset, event in enumerate(events, start=at))
    batch = TopicBatch(
        topic=events[0].event_type,
        topic_id="topic-1",
        expected_offset=after,
        next_offset=at + len(events),
        rows=rows,
    )
    return msgspec.structs.replace(batch, **changes)


def batches_of(events: Iterable[Envelope[Any]]) -> list[TopicBatch]:
    """One batch per topic of events that are the first of their topics."""
    by_topic: dict[str, list[Envelope[Any]]] = {}
    for event in events:
        by_topic.setdefault(event.event_type, []).append(event)
    return [a_batch(*mine, at=0, after=None) for mine in by_topic.values()]


@dataclass
class MemoryStore:
    """The twin."""

    record: MemoryRecord = field(default_factory=MemoryRecord)

    def sink(self, writer: str = "writer-1") -> HistorySink:
        return MemoryHistory(self.record, writer=writer)

    async def events(self, topic: str) -> list[tuple[int, dict[str, Any]]]:
        rows = self.record.rows.get(topic, {}).values()
        return sorted(((row.offset, msgspec.json.decode(row.event)) for row in rows), key=lambda each: each[0])

    async def conflicts(self) -> list[tuple[str, str, int, dict[str, Any]]]:
        return [(*place, msgspec.json.decode(row.event)) for place, row in sorted(self.record.conflicts.items())]

    async def invalid(self) -> list[tuple[str, str, int, str, bytes]]:
        return [(*place, record.reason, record.data) for place, record in sorted(self.record.invalid.items())]

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class PostgresStore:
    """The original."""

    url: str
    _sinks: list[PostgresHistory] = field(default_factory=list)

    def sink(self, writer: str = "writer-1", **options: int) -> HistorySink:
        self._sinks.append(PostgresHistory(self.url, writer=writer, **options))
        return self._sinks[-1]

    async def events(self, topic: str) -> list[tuple[int, dict[str, Any]]]:
        query = 'SELECT "offset", event FROM history.{} ORDER BY "offset"'
        rows = await self.rows(query.format(TABLES[topic].name))
        return [(row["offset"], msgspec.json.decode(row["event"])) for row in rows]

    async def conflicts(self) -> list[tuple[str, str, int, dict[str, Any]]]:
        rows = await self.rows(
            'SELECT topic, topic_id, "offset", event FROM history.conflicting_record ORDER BY topic, "offset"'
        )
        return [(row["topic"], row["topic_id"], row["offset"], msgspec.json.decode(row["event"])) for row in rows]

    async def invalid(self) -> list[tuple[str, str, int, str, bytes]]:
        rows = await self.rows(
            'SELECT topic, topic_id, "offset", reason, data FROM history.invalid_record ORDER BY topic, "offset"'
        )
        return [tuple(row) for row in rows]

    async def rows(self, query: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self.url, timeout=5)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def close(self) -> None:
        for sink in self._sinks:
            await sink.close()


Store = MemoryStore | PostgresStore
