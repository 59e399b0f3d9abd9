"""The consumer: manual assignment, one poll thread, and a loop that decides when the next batch may come."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Consumer as ConfluentConsumer
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from unrip.bus.kafka_admin import KafkaAdmin
from unrip.bus.kafka_errors import OFFSET_NOT_THERE
from unrip.bus.kafka_topic_check import TopicCheck
from unrip.bus.ports import (
    Assignment,
    BusError,
    HandlerFailed,
    OffsetOutOfRange,
    OnRecords,
    OnTopicLost,
    ReadingFailed,
    Record,
    Start,
    TopicMissing,
    TopicRecreated,
    starting_offset,
)
from unrip.bus.settings import CLIENT_ID, consumer_settings
from unrip.domain.values import LAST_INSTANT

#: How long one poll waits for a first record; so soon a new subscription or a stop is noticed.
_POLL_S = 0.05
#: How long a new subscription may wait until the broker has named the topic's leader.
_LEADER_TIMEOUT_S = 1.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (LAST_INSTANT - _EPOCH) // timedelta(milliseconds=1)


@dataclass(frozen=True)
class _Subscription:
    assignment: Assignment
    done: asyncio.Future[None]


@dataclass
class _Place:
    """The id a topic had when reading began, and the offset that is read next."""

    topic_id: str
    next_offset: int


class KafkaConsumer:
    """Reads topics in one thread and hands batches to the loop; see `ports.Consumer`.

    The thread waits until the loop has taken a batch before it reads the next one, so nothing piles up in the process
    but what librdkafka prefetches, which is bounded.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        on_records: OnRecords,
        on_topic_lost: OnTopicLost,
        batch_max: int = 500,
        client_id: str = CLIENT_ID,
    ) -> None:
        self._on_records = on_records
        self._on_topic_lost = on_topic_lost
        self._batch_max = batch_max
        self._admin = KafkaAdmin(bootstrap, client_id=client_id)
        self._check = TopicCheck(bootstrap, client_id=client_id)
        self._settings = consumer_settings(bootstrap, client_id=client_id)
        self._client = ConfluentConsumer(self._settings)
        self._subscriptions: queue.SimpleQueue[_Subscription] = queue.SimpleQueue()
        #: What is being read, and why some of it cannot be; written by the poll thread only.
        self._topics: dict[str, _Place] = {}
        self._troubles: dict[str, str] = {}
        self._renew_client = False
        #: Why nothing more is read, once that is so.
        self._failed: ReadingFailed | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-consumer", daemon=True)

    async def start(self) -> None:
        """Begin; call once, in the loop that handles the records."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def subscribe(self, topic: str, start: Start) -> Assignment:
        """Read a topic too; return where reading starts."""
        topic_id = (await self._admin.topic_ids([topic])).get(topic)
        if topic_id is None:
            raise TopicMissing(f"there is no topic {topic!r}: create the topics first")
        first = await self._admin.first_offsets([topic])
        end = await self._admin.end_offsets([topic])
        assignment = starting_offset(topic, topic_id, start, first=first[topic], end=end[topic])
        done: asyncio.Future[None] = self._loop.create_future()
        self._subscriptions.put(_Subscription(assignment, done))
        if self._failed is not None:  # the thread may have ended before it saw this one
            raise self._failed
        await done
        return assignment

    async def end_offsets(self) -> dict[str, int]:
        """For each subscribed topic the offset its next record will get."""
        return await self._admin.end_offsets(list(self._topics))

    def troubles(self) -> dict[str, str]:
        """Subscribed topics that cannot be read now, and the broker's error texts."""
        return dict(self._troubles)

    async def stop(self) -> None:
        """Read nothing more; return when the thread has ended."""
        self._stopping.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    # --- below here everything runs in the poll thread ---

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._check_topics()
                self._renew()
                self._assign_new()
                first = self._client.poll(_POLL_S)
                if first is None:
                    continue
                batch = [first, *self._client.consume(self._batch_max - 1, timeout=0)]
                records = [record for message in batch if (record := self._record(message)) is not None]
                if records:
                    self._hand_over(records)
        except ReadingFailed as why:
            self._fail(why)
        except Exception as error:  # whatever it is, a service that reads nothing more must not look ready
            self._fail(ReadingFailed(f"reading raised {error!r}"))
        finally:
            self._client.close()

    def _fail(self, why: ReadingFailed) -> None:
        """Inform everybody who waits for records, or for a subscription, that none will come."""
        self._failed = why
        for topic in list(self._topics):
            self._lose(topic, why)
        while not self._subscriptions.empty():
            self._call(_refuse, self._subscriptions.get_nowait().done, why)

    def _assign_new(self) -> None:
        while not self._subscriptions.empty():
            new = self._subscriptions.get_nowait()
            try:
                self._assign(new.assignment)
            except Exception:
                self._subscriptions.put(new)  # it is refused with the others
                raise
            self._call(_finish, new.done)

    def _assign(self, place: Assignment) -> None:
        self._find_leaders([place.topic])
        if place.topic in self._topics:  # it is read from another place from now on
            self._client.incremental_unassign([TopicPartition(place.topic, 0)])
        self._client.incremental_assign([TopicPartition(place.topic, 0, place.offset)])
        self._topics[place.topic] = _Place(place.topic_id, place.offset)

    def _find_leaders(self, topics: Sequence[str]) -> None:
        """Let the client learn who leads these topics before it reads them.

        Otherwise it asks in its next turn of housekeeping, which comes once a second: a service would be ready and deaf
        for that long (librdkafka, `rd_kafka_topic_scan_all`).
        """
        with contextlib.suppress(KafkaException):  # the broker is away: the housekeeping will ask
            for topic in topics:
                self._client.list_topics(topic, timeout=_LEADER_TIMEOUT_S)

    def _check_topics(self) -> None:
        seen = self._check.poll(self._topics)
        for topic, trouble in seen.troubles.items():
            self._note(topic, trouble)
        for topic, found in seen.ids.items():
            place = self._topics.get(topic)
            if place is not None and found != place.topic_id:
                self._lose(topic, TopicRecreated(_recreated(topic, place.topic_id, found)))

    def _note(self, topic: str, trouble: str) -> None:
        """Remember why a topic cannot be read, or with an empty text that it can be."""
        if topic not in self._topics or not trouble:
            self._troubles.pop(topic, None)
        else:
            self._troubles.setdefault(topic, trouble)

    def _record(self, message: Message) -> Record | None:
        """The record, or None for an error (which may end the topic) and for what a dropped topic still had queued."""
        topic, error = message.topic(), message.error()
        if error is not None:
            if error.code() == OFFSET_NOT_THERE and topic in self._topics:
                self._lose(topic, self._why_out_of_range(topic, error))
            elif topic is not None and not error.retriable():  # else a state of the connection: the watch reports it
                self._note(topic, error.str())
            return None
        if topic is None or topic not in self._topics:
            return None
        place = self._topics[topic]
        record = _as_record(message, topic, place.topic_id)
        place.next_offset = record.offset + 1
        self._troubles.pop(topic, None)
        return record

    def _why_out_of_range(self, topic: str, error: KafkaError) -> BusError:
        """An offset is gone because the topic is another one, or because retention was faster than we."""
        found = self._check.ask(topic)
        was = self._topics[topic].topic_id
        if found is not None and found != was:
            return TopicRecreated(_recreated(topic, was, found))
        return OffsetOutOfRange(f"{topic}: {error.str()}")

    def _lose(self, topic: str, why: BusError) -> None:
        del self._topics[topic]
        self._troubles.pop(topic, None)
        self._renew_client = True
        self._call(self._on_topic_lost, topic, why)

    def _renew(self) -> None:
        """Go on with a new client after a loss.

        The old one remembers the lost topic's leader epochs and would never read a topic of the same name again.
        """
        if self._renew_client:
            self._renew_client = False
            self._client.close()
            self._client = ConfluentConsumer(self._settings)
            self._find_leaders(list(self._topics))
            self._client.assign([TopicPartition(t, 0, place.next_offset) for t, place in self._topics.items()])

    def _hand_over(self, records: Sequence[Record]) -> None:
        """Wait until the loop has taken the batch, or reading is to stop.

        Raises:
            HandlerFailed: whatever our own handler raised.

        """
        taken = asyncio.run_coroutine_threadsafe(_take(self._on_records, records), self._loop)
        while not self._stopping.is_set():
            try:
                taken.result(timeout=_POLL_S)
            except TimeoutError:
                continue
            except Exception as error:
                raise HandlerFailed(f"handling records raised {error!r}") from error
            return
        taken.cancel()

    def _call(self, function: Any, *arguments: Any) -> None:
        # The loop is closed: nobody is left to be informed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def _recreated(topic: str, was: str, found: str) -> str:
    return f"{topic} is another topic now (id {found}, read so far {was}): its offsets mean other records"


def _as_record(message: Message, topic: str, topic_id: str) -> Record:
    key, value = message.key(), message.value()
    # The producer's word, and any number: one that is no instant is cut to the nearest, since nothing is decided by it.
    milliseconds = min(max(message.timestamp()[1], 0), _LAST_MS)
    return Record(
        topic=topic,
        topic_id=topic_id,
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=None if key is None else key.decode(errors="replace"),
        value=value or b"",
        timestamp=_EPOCH + timedelta(milliseconds=milliseconds),
    )


async def _take(on_records: OnRecords, records: Sequence[Record]) -> None:
    await on_records(records)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _refuse(done: asyncio.Future[None], why: BusError) -> None:
    if not done.done():
        done.set_exception(why)
