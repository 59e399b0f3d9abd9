"""Reading every topic and writing the history: the I/O of the history writer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.ports import BusError, BusUnavailable, OffsetOutOfRange, Record, Start, TopicMissing
from unrip.net.tasks import Tasks
from unrip.service.contract import Emit
from unrip.services.history_writer.effects import (
    BatchRead,
    BatchWritten,
    EndsSeen,
    LoadPositions,
    PositionsLoaded,
    RecordsLost,
    StartReading,
    StoreAway,
    TopicStopped,
    WriteBatch,
)
from unrip.store.errors import StoreUnavailable
from unrip.store.history import TABLES, HistorySink, Position

#: How often the ends of the topics are asked for, for the lag.
_ENDS_EVERY_S = 1.0
_AGAIN_S = 0.5
_RECREATED = (
    "the topic was made anew since its stored position: check what is missing, then delete its row of "
    "history.consumer_offset and restart the history writer to read it from its beginning"
)


class Archive:
    """Turns the writer's effects into calls; the next batch is read only after the last one is committed."""

    def __init__(self, sink: HistorySink, bootstrap: str, *, emit: Emit) -> None:
        self._sink = sink
        self._emit = emit
        self._tasks = Tasks()
        self._committed = asyncio.Event()
        #: Topics whose offsets mean other records than those that were stored.
        self._stopped: set[str] = set()
        self._consumer = KafkaConsumer(bootstrap, on_records=self._on_records, on_topic_lost=self._on_topic_lost)

    def load(self, _effect: LoadPositions) -> None:
        """Ask for the positions."""
        self._tasks.start(self._load())

    def start_reading(self, effect: StartReading) -> None:
        """Read every topic from its position on."""
        self._tasks.start(self._read(effect.positions))

    def write(self, effect: WriteBatch) -> None:
        """Write one batch."""
        self._tasks.start(self._write(effect))

    async def watch(self) -> None:
        """A source for the frame: another writer, or a broken promise of ours, stops the service."""
        await self._tasks.watch()

    async def aclose(self) -> None:
        """Read and write nothing more."""
        self._committed.set()
        await self._tasks.aclose()
        await self._consumer.stop()

    async def _load(self) -> None:
        try:
            positions = await self._sink.positions()
        except StoreUnavailable as error:
            self._emit(StoreAway(what="load", reason=str(error)))
        else:
            self._emit(PositionsLoaded(positions=positions))

    async def _write(self, effect: WriteBatch) -> None:
        try:
            report = await self._sink.write(effect.batches)
        except StoreUnavailable as error:
            self._emit(StoreAway(what="write", reason=str(error)))
        else:
            self._emit(BatchWritten(report=report))
            self._committed.set()

    async def _read(self, positions: dict[str, Position]) -> None:
        await self._consumer.start()
        for topic in TABLES:
            await self._subscribe(topic, positions.get(topic))
        while True:
            with contextlib.suppress(BusUnavailable):  # told by its own watch; the lag stays as last known
                self._emit(EndsSeen(ends=await self._consumer.end_offsets()))
            await asyncio.sleep(_ENDS_EVERY_S)

    async def _subscribe(self, topic: str, position: Position | None) -> None:
        start = Start() if position is None else Start(topic_id=position.topic_id, offset=position.next_offset)
        while True:
            try:
                assignment = await self._consumer.subscribe(topic, start)
            except (BusUnavailable, TopicMissing):
                await asyncio.sleep(_AGAIN_S)
            except OffsetOutOfRange as error:
                self._emit(TopicStopped(topic=topic, reason=str(error)))
                return
            else:
                break
        if assignment.other_topic:
            self._stopped.add(topic)
            self._emit(TopicStopped(topic=topic, reason=_RECREATED))
        elif assignment.lost:
            self._emit(RecordsLost(topic=topic, count=assignment.lost))

    async def _on_records(self, records: Sequence[Record]) -> None:
        readable = tuple(record for record in records if record.topic not in self._stopped)
        if readable:
            self._committed.clear()
            self._emit(BatchRead(records=readable))
            await self._committed.wait()

    def _on_topic_lost(self, topic: str, why: BusError) -> None:
        self._emit(TopicStopped(topic=topic, reason=str(why)))
