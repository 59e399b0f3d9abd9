"""The in-memory twin of the history: the same promises, kept in dicts. For tests and for desks in one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from unrip.store.history import InvalidRecord, Position, TopicBatch, WriteReport, not_as_left
from unrip.store.history_tables import HistoryRow


@dataclass
class MemoryRecord:
    """What several writers of one test share."""

    #: Topic to id to row.
    rows: dict[str, dict[str, HistoryRow]] = field(default_factory=dict)
    #: By topic, topic id and offset.
    conflicts: dict[tuple[str, str, int], HistoryRow] = field(default_factory=dict)
    invalid: dict[tuple[str, str, int], InvalidRecord] = field(default_factory=dict)
    #: Topic to topic id, next offset and writer.
    offsets: dict[str, tuple[str, int, str]] = field(default_factory=dict)


class MemoryHistory:
    """See `history.HistorySink`."""

    def __init__(self, record: MemoryRecord, *, writer: str) -> None:
        self._record = record
        self._writer = writer

    async def offsets(self) -> dict[str, Position]:
        """Where each topic was left."""
        return {
            topic: Position(topic_id=topic_id, next_offset=next_offset)
            for topic, (topic_id, next_offset, _writer) in self._record.offsets.items()
        }

    async def last_write_at(self) -> datetime | None:
        """None: it keeps no instants."""
        return None

    async def write(self, batches: Sequence[TopicBatch]) -> WriteReport:
        """Write rows and offsets: all of them, or none when an offset is not where this writer left it."""
        for batch in batches:
            self._compare(batch)
        report = WriteReport()
        for batch in batches:
            self._record.offsets[batch.topic] = (batch.topic_id, batch.next_offset, self._writer)
            for record in batch.invalid:
                self._record.invalid.setdefault((batch.topic, batch.topic_id, record.offset), record)
            for row in batch.rows:
                report = report.plus(self._insert(batch, row))
        return report

    async def close(self) -> None:
        """There is nothing to give back."""

    def _compare(self, batch: TopicBatch) -> None:
        found = self._record.offsets.get(batch.topic)
        left = None if found is None else found[:2]
        expected = None if batch.expected_offset is None else (batch.topic_id, batch.expected_offset)
        if left != expected and found != (batch.topic_id, batch.next_offset, self._writer):
            raise not_as_left(batch, found)

    def _insert(self, batch: TopicBatch, row: HistoryRow) -> WriteReport:
        rows = self._record.rows.setdefault(batch.topic, {})
        if row.event_id not in rows:
            rows[row.event_id] = row
            return WriteReport(written=1)
        if rows[row.event_id].payload_digest == row.payload_digest:
            return WriteReport(duplicates=1)
        self._record.conflicts.setdefault((batch.topic, batch.topic_id, row.offset), row)
        return WriteReport(duplicates=1, conflicts=(row.event_id,))
