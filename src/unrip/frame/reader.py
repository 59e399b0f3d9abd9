"""The `Subscribe` effect: records of a topic, decoded, as events; what cannot be decoded becomes a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

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
    Where,
)
from unrip.frame.contract import (
    CaughtUp,
    Count,
    Effect,
    Emit,
    Log,
    RecordReceived,
    Subscribe,
    TopicTruncated,
    Unsubscribe,
)
from unrip.frame.dead_letters import dead_letter_of_record
from unrip.frame.definition import Reads
from unrip.messages.codec import decode_event
from unrip.messages.envelope import InvalidMessage

#: How long to wait between two attempts to subscribe while the broker is away.
_AGAIN_S = 0.5


class Reader:
    """Reads the topics that a logic subscribes to."""

    def __init__(
        self,
        make_consumer: Callable[[OnRecords, OnTopicLost], Consumer],
        *,
        emit: Emit,
        perform: Callable[[Effect], None],
        on_fault: Callable[[BaseException], None],
        reads: Sequence[Reads],
    ) -> None:
        """`reads` is what the service declares to read; any other subscription is a programming error."""
        self._reads = reads
        self._emit = emit
        self._perform = perform
        self._on_fault = on_fault
        self._consumer = make_consumer(self._on_records, self._on_topic_lost)
        self._subscribed: dict[str, Subscribe] = {}
        #: The end of each topic at its subscription, while that end is not reached.
        self._ends: dict[str, int] = {}
        #: The id of each topic and the offset that is read next.
        self._places: dict[str, tuple[str, int]] = {}
        #: Topics that are read back and no longer followed.
        self._finished: set[str] = set()
        #: Topics that are read from another place than before, and that place once it is assigned: what comes before
        #: its record still belongs to the reading before.
        self._moving: dict[str, int | None] = {}
        #: Topics that could not be subscribed yet, and why.
        self._waiting: dict[str, str] = {}
        #: Where each topic is being subscribed.
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin reading."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Read nothing more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._consumer.stop()

    def troubles(self) -> dict[str, str]:
        """Topics that are to be read and cannot be now, with the broker's error text."""
        return {**self._consumer.troubles(), **self._waiting}

    def subscribe(self, effect: Subscribe) -> None:
        """Read a topic from a place on, as soon as the broker allows; one that was read back may be read once more."""
        topic = effect.topic.name
        if not any(each.allows(effect) for each in self._reads):
            raise AssertionError(f"the definition of this service does not say that it reads {topic} from there")
        if topic in self._subscribed:
            if topic not in self._finished:
                raise AssertionError(f"{topic} is subscribed twice")
            self.unsubscribe(Unsubscribe(topic=effect.topic))
        self._subscribed[topic] = effect
        self._begin(topic, Start(topic_id=effect.topic_id, offset=effect.offset, tail=effect.tail))

    def unsubscribe(self, effect: Unsubscribe) -> None:
        """Pass on nothing more of a topic; the consumer may go on reading it until it is subscribed again."""
        topic = effect.topic.name
        if self._subscribed.pop(topic, None) is not None:
            if (task := self._tasks.pop(topic, None)) is not None:
                task.cancel()
            self._moving[topic] = None
            self._finished.discard(topic)
            self._ends.pop(topic, None)

    def _begin(self, topic: str, start: Start) -> None:
        task = self._tasks[topic] = asyncio.get_running_loop().create_task(self._subscribe(topic, start))
        task.add_done_callback(partial(self._ended, topic))

    def _ended(self, topic: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(topic) is task:
            del self._tasks[topic]
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(fault)

    async def _subscribe(self, topic: str, start: Start) -> None:
        truncated = False
        while True:
            try:
                assignment = await self._consumer.subscribe(topic, start)
            except OffsetOutOfRange as error:  # what is left was handled before: only what comes from now on is new
                self._log("topic_truncated", topic, level="error", reason=str(error))
                truncated, start = True, Start(where=Where.END)
                continue
            except ReadingFailed:
                raise
            except BusError as error:
                self._waiting[topic] = str(error)
                self._perform(Count(name="subscribe_attempts", labels={"outcome": type(error).__name__}))
                await asyncio.sleep(_AGAIN_S)
                continue
            self._waiting.pop(topic, None)
            self._assigned(assignment, truncated=truncated)
            return

    def _assigned(self, assignment: Assignment, *, truncated: bool) -> None:
        topic = assignment.topic
        self._places[topic] = (assignment.topic_id, assignment.offset)
        if topic in self._moving:
            self._moving[topic] = assignment.offset
        if assignment.other_topic:
            self._log("topic_recreated", topic, level="warning")
        if assignment.lost:
            self._log("records_lost", topic, level="error", count=assignment.lost, reading_from=assignment.offset)
        if truncated:
            self._emit(TopicTruncated(topic=topic, topic_id=assignment.topic_id, offset=assignment.offset))
        if assignment.offset >= assignment.end:
            self._caught_up(topic, assignment.topic_id)
        else:
            self._ends[topic] = assignment.end

    def _caught_up(self, topic: str, topic_id: str) -> None:
        self._ends.pop(topic, None)
        if self._subscribed[topic].until_end:
            self._finished.add(topic)
        self._emit(CaughtUp(topic=topic, topic_id=topic_id))

    async def _on_records(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.topic in self._moving:
                if record.offset != self._moving[record.topic]:
                    continue
                del self._moving[record.topic]
            self._places[record.topic] = (record.topic_id, record.offset + 1)
            if record.topic not in self._finished:
                self._on_record(record)

    def _on_record(self, record: Record) -> None:
        try:
            message = decode_event(record.topic, record.value)
        except InvalidMessage as error:
            self._dead_letter(record, str(error))
        else:
            self._emit(
                RecordReceived(topic=record.topic, topic_id=record.topic_id, offset=record.offset, message=message)
            )
        if record.offset + 1 >= self._ends.get(record.topic, record.offset + 2):
            self._caught_up(record.topic, record.topic_id)

    def _dead_letter(self, record: Record, reason: str) -> None:
        self._perform(Count(name="records_invalid", labels={"topic": record.topic}))
        self._log("invalid_message", record.topic, level="warning", offset=record.offset, reason=reason)
        self._perform(dead_letter_of_record(record, reason))

    def _on_topic_lost(self, topic: str, why: BusError) -> None:
        """Read a recreated topic from its beginning: a lost broker starts empty (blueprint, section 4)."""
        if isinstance(why, ReadingFailed):
            self._on_fault(why)
        elif topic not in self._subscribed:
            return  # whoever subscribes it again names the place
        elif isinstance(why, OffsetOutOfRange):  # subscribing again shows at which of its ends the topic was cut
            topic_id, offset = self._places[topic]
            self._begin(topic, Start(topic_id=topic_id, offset=offset))
        else:
            self._log("topic_recreated", topic, level="error", reason=str(why))
            self._begin(topic, Start())

    def _log(self, event: str, topic: str, *, level: str, **body: Any) -> None:
        self._perform(Log(event=event, level=level, component="reader", topic=topic, body=body))
