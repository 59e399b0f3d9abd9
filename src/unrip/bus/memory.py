"""The in-memory twin of the bus: the same promises, kept in lists. For tests and for desks in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from unrip.bus.ports import (
    Assignment,
    BusUnavailable,
    HandlerFailed,
    OffsetOutOfRange,
    OnDelivery,
    OnRecords,
    OnState,
    OnTopicLost,
    Record,
    Start,
    TopicMissing,
    TopicRecreated,
    starting_offset,
)
from unrip.messages.topics import Topic

QUEUE_MAX = 20_000

#: Called at every change: with the topic that has a new record, or with None for the broker itself and its topics.
Listener = Callable[[str | None], None]


@dataclass
class _Log:
    """One incarnation of a topic."""

    topic_id: str
    settings: Topic
    records: list[Record] = field(default_factory=list)


class MemoryBroker:
    """What producers, consumers and admins of one test share."""

    def __init__(self, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._logs: dict[str, _Log] = {}
        self._incarnations = 0
        self._up = True
        self._listeners: list[Listener] = []

    @property
    def up(self) -> bool:
        """Whether it answers."""
        return self._up

    def go_down(self) -> None:
        """Answer nobody until `come_up`; nothing stored is lost."""
        self._up = False
        self._notify()

    def come_up(self) -> None:
        """Answer again."""
        self._up = True
        self._notify()

    def delete_topic(self, name: str) -> None:
        """Forget a topic with its records; created again it has another id."""
        del self._logs[name]

    def truncate_topic(self, name: str, end: int) -> None:
        """Lose the newest records of a topic, which stays the same one."""
        del self._logs[name].records[end:]
        self._notify(name)

    def create_topic(self, topic: Topic) -> None:
        """Make an empty topic with an id of its own."""
        self._incarnations += 1
        self._logs[topic.name] = _Log(topic_id=f"memory-{self._incarnations}", settings=topic)
        self._notify()

    def log(self, name: str) -> _Log | None:
        """The present incarnation of a topic."""
        return self._logs.get(name)

    def append(self, topic: str, key: str, value: bytes) -> int:
        """Store one record and return its offset."""
        log = self._logs[topic]
        offset = len(log.records)
        log.records.append(
            Record(
                topic=topic,
                topic_id=log.topic_id,
                partition=0,
                offset=offset,
                key=key,
                value=value,
                timestamp=self._clock(),
            )
        )
        self._notify(topic)
        return offset

    def listen(self, listener: Listener) -> None:
        """Call this after every change."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """Do not call this any more."""
        self._listeners.remove(listener)

    def require_up(self) -> None:
        """Raise `BusUnavailable` while it is down."""
        if not self._up:
            raise BusUnavailable("the broker is down")

    def _notify(self, topic: str | None = None) -> None:
        for listener in list(self._listeners):
            listener(topic)


class MemoryProducer:
    """See `ports.Producer`. While the broker is down records wait for as long as the delivery bound says."""

    def __init__(self, broker: MemoryBroker, *, delivery_timeout_ms: int = 10_000) -> None:
        self._broker = broker
        self._timeout_s = delivery_timeout_ms / 1_000
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[str, str, bytes, OnDelivery, float]] = []
        self._outstanding = 0
        self._changed = asyncio.Event()
        self._closed = False
        broker.listen(self._on_change)

    def produce(self, topic: str, key: str, value: bytes, on_delivery: OnDelivery) -> None:
        """Queue one record and return at once."""
        self._outstanding += 1
        if self._closed or len(self._waiting) >= QUEUE_MAX:
            why = "the producer is closed" if self._closed else "the queue of unsent records is full"
            self._loop.call_soon(self._report, on_delivery, None, why)
            return
        deadline = self._loop.time() + self._timeout_s
        self._waiting.append((topic, key, value, on_delivery, deadline))
        self._loop.call_at(deadline, self._expire)
        self._deliver_soon()

    async def flush(self, timeout_s: float) -> int:
        """Wait until every delivery has been reported; return how many have not."""
        deadline = self._loop.time() + timeout_s
        while self._outstanding and (left := deadline - self._loop.time()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                break
        return self._outstanding

    async def close(self, timeout_s: float) -> None:
        """Flush and report what is left as failed."""
        await self.flush(timeout_s)
        self._closed = True
        self._broker.forget(self._on_change)
        waiting, self._waiting = self._waiting, []
        for _, _, _, on_delivery, _ in waiting:
            self._report(on_delivery, None, "the producer was closed first")

    def _on_change(self, topic: str | None) -> None:
        if topic is None:
            self._deliver_soon()

    def _deliver_soon(self) -> None:
        self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._broker.up and self._waiting and self._broker.log(self._waiting[0][0]) is not None:
            topic, key, value, on_delivery, _ = self._waiting.pop(0)
            offset = self._broker.append(topic, key, value)
            self._loop.call_soon(self._report, on_delivery, offset, None)

    def _expire(self) -> None:
        now = self._loop.time()
        while self._waiting and self._waiting[0][4] <= now:
            _, _, _, on_delivery, _ = self._waiting.pop(0)
            self._report(on_delivery, None, "the broker did not acknowledge in time")

    def _report(self, on_delivery: OnDelivery, offset: int | None, reason: str | None) -> None:
        self._outstanding -= 1
        self._changed.set()
        on_delivery(offset, reason)


class MemoryConsumer:
    """See `ports.Consumer`."""

    def __init__(
        self, broker: MemoryBroker, *, on_records: OnRecords, on_topic_lost: OnTopicLost, batch_max: int = 500
    ) -> None:
        self._broker = broker
        self._on_records = on_records
        self._on_topic_lost = on_topic_lost
        self._batch_max = batch_max
        self._next: dict[str, tuple[str, int]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; call once."""
        self._broker.listen(self._on_change)
        self._task = asyncio.create_task(self._run())

    async def subscribe(self, topic: str, start: Start) -> Assignment:
        """Read a topic too; return where reading starts."""
        self._broker.require_up()
        log = self._broker.log(topic)
        if log is None:
            raise TopicMissing(f"there is no topic {topic!r}: create the topics first")
        assignment = starting_offset(topic, log.topic_id, start, first=0, end=len(log.records))
        self._next[topic] = (log.topic_id, assignment.offset)
        self._changed.set()
        return assignment

    async def end_offsets(self) -> dict[str, int]:
        """For each subscribed topic the offset its next record will get."""
        self._broker.require_up()
        return {topic: len(log.records) for topic in self._next if (log := self._broker.log(topic))}

    def troubles(self) -> dict[str, str]:
        """Subscribed topics that are not there."""
        return {topic: f"there is no topic {topic!r}" for topic in self._next if self._broker.log(topic) is None}

    async def stop(self) -> None:
        """Read nothing more."""
        if self._task is not None:
            self._broker.forget(self._on_change)
            self._task.cancel()
            await asyncio.wait([self._task])

    def _on_change(self, topic: str | None) -> None:
        if topic is None or topic in self._next:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            batch = self._batch()
            if not batch:
                await self._changed.wait()
                self._changed.clear()
                continue
            try:
                await self._on_records(batch)
            except Exception as error:  # as in the Kafka consumer: it must not end in silence
                for topic in list(self._next):
                    del self._next[topic]
                    self._on_topic_lost(topic, HandlerFailed(f"handling records raised {error!r}"))
                return

    def _batch(self) -> list[Record]:
        """The next records of the first topic that has some, and the loss of topics that are others now."""
        if not self._broker.up:
            return []
        for topic, (topic_id, offset) in list(self._next.items()):
            log = self._broker.log(topic)
            if log is None:
                continue
            if log.topic_id != topic_id:
                del self._next[topic]
                why = f"{topic} is another topic now (id {log.topic_id}, read so far {topic_id})"
                self._on_topic_lost(topic, TopicRecreated(why))
            elif offset > len(log.records):
                del self._next[topic]
                self._on_topic_lost(topic, OffsetOutOfRange(f"{topic} ends before offset {offset}"))
            elif offset < len(log.records):
                batch = log.records[offset : offset + self._batch_max]
                self._next[topic] = (topic_id, offset + len(batch))
                return batch
        return []


class MemoryWatch:
    """Says once how the broker is, and then at every change."""

    def __init__(self, broker: MemoryBroker, on_state: OnState) -> None:
        self._broker = broker
        self._on_state = on_state
        self._up: bool | None = None
        broker.listen(self._look)
        asyncio.get_running_loop().call_soon(self._look, None)

    async def stop(self) -> None:
        """End the watch."""
        self._broker.forget(self._look)

    def _look(self, _topic: str | None) -> None:
        if self._broker.up != self._up:
            self._up = self._broker.up
            self._on_state(self._up, "the broker answers" if self._up else "the broker is down")
