"""Effects and events that only the history writer knows."""

from __future__ import annotations

from unrip.bus.ports import Record
from unrip.domain.values import Value
from unrip.store.history import Position, TopicBatch, WriteReport


class LoadPositions(Value):
    """Effect: ask where each topic was left; `PositionsLoaded` or `StoreAway("load")` follows."""


class StartReading(Value):
    """Effect: read every topic from its position on; `BatchRead` follows again and again, one at a time."""

    positions: dict[str, Position]


class WriteBatch(Value):
    """Effect: write rows and positions; `BatchWritten` or `StoreAway("write")` follows. Then the next batch is read."""

    batches: tuple[TopicBatch, ...]


class PositionsLoaded(Value):
    """Where each topic was left."""

    positions: dict[str, Position]


class BatchRead(Value):
    """Records as read; nothing more is read until what became of them is committed."""

    records: tuple[Record, ...]


class BatchWritten(Value):
    """The batch in flight is committed."""

    report: WriteReport


class StoreAway(Value):
    """PostgreSQL did not answer: the same is asked again."""

    what: str
    reason: str


class TopicStopped(Value):
    """A topic can no longer be read; the others go on."""

    topic: str
    reason: str


class RecordsLost(Value):
    """Retention has deleted records before they were read."""

    topic: str
    count: int


class EndsSeen(Value):
    """The offset that each topic's next record will get."""

    ends: dict[str, int]
