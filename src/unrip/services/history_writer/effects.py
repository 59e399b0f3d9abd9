"""Effects and events that only the history writer knows."""

from __future__ import annotations

from datetime import datetime

from unrip.bus.ports import Record
from unrip.domain.values import Value
from unrip.store.history import Position, TopicBatch, WriteReport

# --- effects ------------------------------------------------------------------------------------------------------


class LoadOffsets(Value):
    """Effect: ask where each topic was left; `OffsetsLoaded` or `OffsetsNotLoaded` follows."""


class StartReading(Value):
    """Effect: read every topic from its offset on, and no longer from where it was read until now.

    `BatchRead` follows again and again, one at a time.
    """

    offsets: dict[str, Position]


class WriteBatch(Value):
    """Effect: write rows and offsets in one transaction; `BatchWritten` or `BatchNotWritten` follows."""

    batches: tuple[TopicBatch, ...]


class ReadOn(Value):
    """Effect: the last batch is finished; the next one may come."""


# --- events -------------------------------------------------------------------------------------------------------


class OffsetsLoaded(Value):
    """Where each topic was left, and when that was; topics that were never read are missing."""

    offsets: dict[str, Position]
    last_write_at: datetime | None = None


class OffsetsNotLoaded(Value):
    """PostgreSQL did not answer where the topics were left."""

    reason: str


class BatchRead(Value):
    """Records as they stand on their topics. Nothing more is read before `ReadOn`."""

    records: tuple[Record, ...]


class BatchWritten(Value):
    """The batch in flight is committed."""

    report: WriteReport


class BatchNotWritten(Value):
    """The batch in flight is not known to be committed.

    `unknown`: nobody answered, so it may be. Otherwise PostgreSQL refused it as a whole. `moved`: a topic is not where
    this life has left it there, so what was read is of no use.
    """

    reason: str
    unknown: bool = False
    moved: bool = False


class ReadingFrom(Value):
    """A topic is read from this offset on; retention deleted `lost` records before it unread."""

    topic: str
    topic_id: str
    offset: int
    lost: int


class TopicStopped(Value):
    """A topic is not the one that was read, and is read no further; the others go on."""

    topic: str
    reason: str


class EndOffsets(Value):
    """For each topic that is read the offset its next record will get."""

    ends: dict[str, int]
