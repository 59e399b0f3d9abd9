"""Reading every topic and writing the history: the I/O of the history writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from unrip.bus.ports import (
    Assignment,
    BusError,
    Consumer,
    OffsetOutOfRange,
    OnRecords,
    OnTopicLost,
    ReadingFailed,
    Record,
    Start,
)
from unrip.frame.contract import Emit
from unrip.services.history_writer.effects import (
    BatchNotWritten,
    BatchRead,
    BatchWritten,
    EndOffsets,
    LoadOffsets,
    OffsetsLoaded,
    OffsetsNotLoaded,
    ReadingFrom,
    ReadOn,
    StartReading,
    TopicStopped,
    WriteBatch,
)
from unrip.store.errors import StoreError, StoreUnavailable
from unrip.store.history import AnotherWriter, HistorySink, Position, TopicReplaced
from unrip.store.history_tables import TABLES

MakeConsumer = Callable[[OnRecords, OnTopicLost], Consumer]

#: How often the ends of the topics are asked for, and topics that could not be subscribed are tried again.
LOOK_S = 1.0


class HistoryHandlers:
    """Makes the calls to PostgreSQL, one after the other; `run` is a source for the frame."""

    def __init__(self, sink: HistorySink, *, emit: Emit) -> None:
        self._sink = sink
        self._emit = emit
        self._calls: asyncio.Queue[LoadOffsets | WriteBatch] = asyncio.Queue()

    def call(self, effect: LoadOffsets | WriteBatch) -> None:
        """Handle both effects."""
        self._calls.put_nowait(effect)

    async def run(self) -> None:
        """Make the calls until cancelled."""
        while True:
            call = await self._calls.get()
            self._emit(await (self._load() if isinstance(call, LoadOffsets) else self._write(call)))

    async def _load(self) -> OffsetsLoaded | OffsetsNotLoaded:
        try:
            return OffsetsLoaded(offsets=await self._sink.offsets(), last_write_at=await self._sink.last_write_at())
        except StoreError as error:
            return OffsetsNotLoaded(reason=str(error))

    async def _write(self, call: WriteBatch) -> BatchWritten | BatchNotWritten:
        try:
            return BatchWritten(report=await self._sink.write(call.batches))
        except (AnotherWriter, TopicReplaced) as error:
            return BatchNotWritten(reason=str(error), moved=True)
        except StoreError as error:
            return BatchNotWritten(reason=str(error), unknown=isinstance(error, StoreUnavailable))


class TopicReader:
    """Reads all topics with a consumer of its own; `run` is a source for the frame.

    The consumer waits in our callback until the logic has had the batch written. This is the backpressure.
    """

    def __init__(self, make_consumer: MakeConsumer, *, emit: Emit, look_s: float = LOOK_S) -> None:
        self._make_consumer = make_consumer
        self._look_s = look_s
        self._emit = emit
        self._started = asyncio.Event()
        self._taken = asyncio.Event()
        #: Where the reading that was asked for last begins.
        self._begin: dict[str, Position] = {}
        #: Topic to the offset at which reading goes on, should it have to be subscribed again.
        self._next: dict[str, Position] = {}
        self._to_subscribe: list[str] = []
        #: Topics that could not be subscribed yet, and why.
        self._waiting: dict[str, str] = {}
        self._consumer: Consumer | None = None
        self._fault: BusError | None = None

    def start_reading(self, effect: StartReading) -> None:
        """Begin, or begin anew with another consumer: what the one until now still gives is dropped with it."""
        self._begin = dict(effect.offsets)
        self._started.set()

    def troubles(self) -> dict[str, str]:
        """Topics that cannot be read now, and the broker's error texts."""
        read = {} if self._consumer is None else self._consumer.troubles()
        return {f"topic_unreadable: {topic}": why for topic, why in {**read, **self._waiting}.items()}

    def read_on(self, _effect: ReadOn) -> None:
        """Let the next batch come."""
        self._taken.set()

    async def run(self) -> None:
        """Wait for the start, then read until cancelled; an instance that is standby has no consumer at all."""
        while self._fault is None:
            await self._started.wait()
            self._started.clear()
            self._next, self._to_subscribe, self._waiting = self._begin, list(TABLES), {}
            await self._read()
        raise self._fault

    async def _read(self) -> None:
        """Read until that fails for good, or is to begin anew."""
        consumer = self._consumer = self._make_consumer(self._on_records, self._on_topic_lost)
        await consumer.start()
        try:
            while self._fault is None and not self._started.is_set():
                await self._subscribe(consumer)
                await self._look_at_ends(consumer)
                await asyncio.sleep(self._look_s)
        finally:
            await consumer.stop()

    async def _subscribe(self, consumer: Consumer) -> None:
        """Subscribe the topics that are not; one that cannot be yet is tried again at the next look."""
        waiting, self._to_subscribe = self._to_subscribe, []
        for topic in waiting:
            left = self._next.get(topic)
            start = Start() if left is None else Start(topic_id=left.topic_id, offset=left.next_offset)
            try:
                assignment = await consumer.subscribe(topic, start)
            except OffsetOutOfRange as error:
                self._emit(TopicStopped(topic=topic, reason=str(error)))
            except ReadingFailed:
                raise
            except BusError as error:
                self._waiting[topic] = str(error)
                self._to_subscribe.append(topic)
            else:
                self._waiting.pop(topic, None)
                self._emit(_reading_from(assignment))

    async def _look_at_ends(self, consumer: Consumer) -> None:
        try:
            ends = await consumer.end_offsets()
        except BusError:
            return  # the broker's watch reports it, or the topic's trouble does; the ends stay as last seen
        self._emit(EndOffsets(ends=ends))

    async def _on_records(self, records: Sequence[Record]) -> None:
        self._taken.clear()
        self._emit(BatchRead(records=tuple(records)))
        await self._taken.wait()
        for record in records:
            self._next[record.topic] = Position(topic_id=record.topic_id, next_offset=record.offset + 1)

    def _on_topic_lost(self, topic: str, why: BusError) -> None:
        match why:
            case ReadingFailed():
                self._fault = why
            case OffsetOutOfRange():  # retention was faster: go on with the oldest record, which shows what is lost
                self._to_subscribe.append(topic)
            case _:
                self._emit(TopicStopped(topic=topic, reason=str(why)))


def _reading_from(assignment: Assignment) -> ReadingFrom:
    return ReadingFrom(
        topic=assignment.topic, topic_id=assignment.topic_id, offset=assignment.offset, lost=assignment.lost
    )
