"""What the rest of the house may ask of a message bus.

Errors of the bus:

* BusError
  x BusUnavailable      the broker did not answer in time; ask again
  x TopicMissing        the topic is not there: create the topics
  x TopicRecreated      the topic is another one than the one that was being read
  x OffsetOutOfRange    the records that should be read next are not there
  x ReadingFailed       the consumer itself has ended: nothing more is read, of any topic
    + HandlerFailed     because our own handler of records raised: a programming error
"""

# ruff: noqa: N818 - each name states what is the case

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from unrip.domain.values import Value


class BusError(Exception):
    """The message bus could not be used."""


class BusUnavailable(BusError):
    """The broker did not answer in time."""


class TopicMissing(BusError):
    """There is no topic of this name."""


class TopicRecreated(BusError):
    """A topic of this name exists, but it is not the one that was being read: its offsets mean other records."""


class OffsetOutOfRange(BusError):
    """The next record to read is not in the topic: deleted by retention, or the log is shorter than it was."""


class ReadingFailed(BusError):
    """The consumer has ended with a fault; nothing more is read, of any topic."""


class HandlerFailed(ReadingFailed):
    """The handler of a batch raised; nothing more is read."""


class Record(Value):
    """One record as stored. `topic_id` names the incarnation of the topic that `offset` counts in."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    key: str | None
    #: Empty for a tombstone.
    value: bytes
    #: The producer's time stamp, UTC.
    timestamp: datetime


class Where(StrEnum):
    """Where reading starts when no offset is known."""

    BEGINNING = "beginning"
    END = "end"
    """Only what is produced from now on."""


class Start(Value):
    """Where to start reading.

    With `topic_id` and `offset`: at that offset, or at the beginning where the topic has another id by now (a lost
    broker starts empty). Otherwise at `where`, or `tail` records before the end.
    """

    where: Where = Where.BEGINNING
    topic_id: str | None = None
    offset: int | None = None
    tail: int | None = None


class Assignment(Value):
    """Where reading really started, and how that compares with the offset that was asked for."""

    topic: str
    topic_id: str
    offset: int
    #: The offset that the next record will get, as of the subscription: from there on records are new.
    end: int
    #: Whether the topic has another id than the start named, so that it is read from its beginning.
    other_topic: bool = False
    #: How many records retention deleted between the offset that was asked for and the first one that is left.
    lost: int = 0


#: Called with `(offset, None)` when the broker has acknowledged, `(None, why)` when it refused or did not answer in
#: time.
OnDelivery = Callable[[int | None, str | None], None]
#: Takes one batch. Nothing more is read before it returns: this is the backpressure.
OnRecords = Callable[[Sequence[Record]], Awaitable[None]]
#: Called when a topic can no longer be read, with the reason; the other topics go on.
OnTopicLost = Callable[[str, BusError], None]
#: Called when the broker begins or ceases to answer, with the reason.
OnState = Callable[[bool, str], None]


class Producer(Protocol):
    """Sends records, in order, each acknowledged by all replicas."""

    def produce(self, topic: str, key: str, value: bytes, on_delivery: OnDelivery) -> None:
        """Queue one record and return at once; call from the loop's thread.

        `on_delivery` is called exactly once, in the loop, in the order of the acknowledgements. Never raises: a full
        queue is a failed delivery.
        """
        ...

    async def flush(self, timeout_s: float) -> int:
        """Wait until every delivery has been reported; return how many have not when the time is over."""
        ...

    async def close(self, timeout_s: float) -> None:
        """Flush, report what is left as failed, and release everything."""
        ...


class Watch(Protocol):
    """Looks at the broker from its making on, and calls its `OnState` at the first answer and at every change."""

    async def stop(self) -> None:
        """Look no more."""
        ...


class Consumer(Protocol):
    """Reads topics from given places on, without a consumer group."""

    async def start(self) -> None:
        """Begin; call once, in the loop that handles the records."""
        ...

    async def subscribe(self, topic: str, start: Start) -> Assignment:
        """Read a topic too, or one that is read already from another place.

        Raises:
            BusUnavailable: nothing has changed; ask again.
            TopicMissing: create the topics first.
            OffsetOutOfRange: the offset lies beyond the end of the topic it names.
            ReadingFailed: the consumer has ended.

        """
        ...

    async def end_offsets(self) -> dict[str, int]:
        """For each subscribed topic the offset its next record will get: lag is this less what was handled.

        Raises:
            BusUnavailable: the broker did not say.

        """
        ...

    def troubles(self) -> dict[str, str]:
        """Subscribed topics that cannot be read now, and the broker's error texts; what heals is no longer named."""
        ...

    async def stop(self) -> None:
        """Read nothing more; return when no handler is running. A batch not yet taken is given up."""
        ...


class SettingDifference(Value):
    """A topic's setting that differs from the table of topics."""

    topic: str
    setting: str
    wanted: str
    found: str


class TopicReport(Value):
    """What `ensure_topics` did and found."""

    created: tuple[str, ...]
    differences: tuple[SettingDifference, ...]


def starting_offset(topic: str, topic_id: str, start: Start, *, first: int, end: int) -> Assignment:
    """Work out where reading starts in a topic that holds the offsets `first` to `end - 1`.

    Raises:
        OffsetOutOfRange: the offset lies beyond the end.

    """
    if start.offset is not None and start.topic_id == topic_id:
        if start.offset > end:
            raise OffsetOutOfRange(
                f"{topic} ends at offset {end}, before {start.offset}: the broker has lost records of this topic"
            )
        offset = max(start.offset, first)
        return Assignment(topic=topic, topic_id=topic_id, offset=offset, end=end, lost=offset - start.offset)
    if start.offset is not None:
        return Assignment(topic=topic, topic_id=topic_id, offset=first, end=end, other_topic=True)
    if start.tail is not None:
        return Assignment(topic=topic, topic_id=topic_id, offset=max(first, end - start.tail), end=end)
    offset = first if start.where is Where.BEGINNING else end
    return Assignment(topic=topic, topic_id=topic_id, offset=offset, end=end)
