"""The `Subscribe` effect: records of a topic, decoded, as events; what cannot be decoded becomes a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from unrip.bus.ports import (
    Assignment,
    BusError,
    BusUnavailable,
    Consumer,
    HandlerFailed,
    OnRecords,
    OnTopicLost,
    Record,
    Start,
    TopicMissing,
)
from unrip.messages.codec import decode_event
from unrip.messages.envelope import InvalidMessage
from unrip.service.contract import CaughtUp, Count, Effect, Emit, Log, RecordReceived, Subscribe
from unrip.service.dead_letters import dead_letter_of_record

#: Between two attempts to subscribe while the broker is away.
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
    ) -> None:
        self._emit = emit
        self._perform = perform
        self._on_fault = on_fault
        self._consumer = make_consumer(self._on_records, self._on_topic_lost)
        self._subscribed: dict[str, Subscribe] = {}
        #: Topic to the end at its subscription, while that end is not reached.
        self._ends: dict[str, int] = {}
        #: Topics that are read back and no longer followed.
        self._finished: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin reading."""
        await self._consumer.start()

    async def stop(self) -> None:
        """Read nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.stop()

    def subscribe(self, effect: Subscribe) -> None:
        """Read a topic from a place on, as soon as the broker allows."""
        if effect.topic.name in self._subscribed:
            raise AssertionError(f"{effect.topic.name} is subscribed twice")
        self._subscribed[effect.topic.name] = effect
        self._begin(effect.topic.name, Start(topic_id=effect.topic_id, offset=effect.offset, tail=effect.tail))

    def _begin(self, topic: str, start: Start) -> None:
        task = asyncio.get_running_loop().create_task(self._subscribe(topic, start))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(fault)

    async def _subscribe(self, topic: str, start: Start) -> None:
        while True:
            try:
                assignment = await self._consumer.subscribe(topic, start)
            except (BusUnavailable, TopicMissing) as error:
                self._perform(Count(name="subscribe_attempts", labels={"outcome": type(error).__name__}))
                await asyncio.sleep(_AGAIN_S)
                continue
            self._assigned(assignment)
            return

    def _assigned(self, assignment: Assignment) -> None:
        topic = assignment.topic
        if assignment.other_topic:
            self._perform(Log(event="topic_recreated", level="warning", component="reader", topic=topic))
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
        body = {"offset": record.offset, "reason": reason}
        self._perform(Count(name="records_invalid", labels={"topic": record.topic}))
        self._perform(Log(event="invalid_message", level="warning", component="reader", topic=record.topic, body=body))
        self._perform(dead_letter_of_record(record, reason))

    def _on_topic_lost(self, topic: str, why: BusError) -> None:
        """A topic that was made anew is read from its beginning: a lost broker starts empty (blueprint, section 4)."""
        if isinstance(why, HandlerFailed):
            self._on_fault(why)
            return
        self._perform(
            Log(event="topic_recreated", level="error", component="reader", topic=topic, body={"reason": str(why)})
        )
        self._begin(topic, Start())
