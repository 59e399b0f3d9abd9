"""Kafka as one desk sees it: the only place that knows which prefix the desk's topics have at the broker.

Everybody else names a topic as the table of topics does. So does the prefixed twin of any other bus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from unrip.bus.kafka_admin import KafkaAdmin
from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.kafka_producer import KafkaProducer
from unrip.bus.kafka_watch import BrokerWatch
from unrip.bus.ports import (
    Assignment,
    BusError,
    Consumer,
    OnDelivery,
    OnRecords,
    OnState,
    OnTopicLost,
    Producer,
    Record,
    Start,
    TopicReport,
)
from unrip.bus.settings import CLIENT_ID
from unrip.messages.topics import Topic

#: Makes a consumer of the broker's own topics.
MakeConsumer = Callable[[OnRecords, OnTopicLost], Consumer]


@dataclass(frozen=True)
class DeskBus:
    """The topics of one desk on a Kafka that it may share with others."""

    bootstrap: str
    topic_prefix: str = ""
    client_id: str = CLIENT_ID

    def producer(self, *, delivery_timeout_ms: int) -> Producer:
        """A writer of the desk's topics."""
        producer = KafkaProducer(self.bootstrap, delivery_timeout_ms=delivery_timeout_ms, client_id=self.client_id)
        return prefixed_producer(producer, self.topic_prefix)

    def consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int) -> Consumer:
        """A reader of the desk's topics."""

        def make(on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
            return KafkaConsumer(
                self.bootstrap,
                on_records=on_records,
                on_topic_lost=on_topic_lost,
                batch_max=batch_max,
                client_id=self.client_id,
            )

        return prefixed_consumer(make, self.topic_prefix, on_records, on_topic_lost)

    def watch(self, on_answer: OnState) -> BrokerWatch:
        """Tells how the broker is, again and again."""
        return BrokerWatch(self.bootstrap, on_answer=on_answer, client_id=self.client_id)

    async def ensure_topics(self, topics: Iterable[Topic], *, replication_factor: int) -> TopicReport:
        """Create what is missing of the desk's topics; the report names them as the broker does. Raises BusError."""
        return await self._admin().ensure_topics(
            [prefixed_topic(topic, self.topic_prefix) for topic in topics], replication_factor=replication_factor
        )

    async def retention_ms(self, topics: Iterable[str]) -> dict[str, int]:
        """How long each of the desk's topics that exist keeps its records; -1 is for ever. Raises BusError."""
        found = await self._admin().retention_ms([self.topic_prefix + topic for topic in topics])
        return {name.removeprefix(self.topic_prefix): kept for name, kept in found.items()}

    def _admin(self) -> KafkaAdmin:
        return KafkaAdmin(self.bootstrap, client_id=self.client_id)


def prefixed_topic(topic: Topic, prefix: str) -> Topic:
    """A topic as the broker calls it."""
    return replace(topic, name=prefix + topic.name)


def prefixed_producer(producer: Producer, prefix: str) -> Producer:
    """A producer of the topics that have this prefix at the broker."""
    return _PrefixedProducer(producer, prefix) if prefix else producer


def prefixed_consumer(make: MakeConsumer, prefix: str, on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
    """A consumer of the topics that have this prefix at the broker; its records name them without it."""
    return _PrefixedConsumer(make, prefix, on_records, on_topic_lost) if prefix else make(on_records, on_topic_lost)


class _PrefixedProducer:
    """See `ports.Producer`."""

    def __init__(self, producer: Producer, prefix: str) -> None:
        self._producer, self._prefix = producer, prefix

    def produce(self, topic: str, key: str, value: bytes, on_delivery: OnDelivery) -> None:
        """Queue one record."""
        self._producer.produce(self._prefix + topic, key, value, on_delivery)

    async def flush(self, timeout_s: float) -> int:
        """Wait until every delivery has been reported."""
        return await self._producer.flush(timeout_s)

    async def close(self, timeout_s: float) -> None:
        """Flush, and release everything."""
        await self._producer.close(timeout_s)


class _PrefixedConsumer:
    """See `ports.Consumer`."""

    def __init__(self, make: MakeConsumer, prefix: str, on_records: OnRecords, on_topic_lost: OnTopicLost) -> None:
        self._prefix = prefix
        self._on_records, self._on_topic_lost = on_records, on_topic_lost
        self._consumer = make(self._take, self._lose)

    async def start(self) -> None:
        """Begin."""
        await self._consumer.start()

    async def subscribe(self, topic: str, start: Start) -> Assignment:
        """Read a topic too."""
        found = await self._consumer.subscribe(self._prefix + topic, start)
        return replace(found, topic=topic)

    async def end_offsets(self) -> dict[str, int]:
        """The end of each subscribed topic."""
        return {self._without(topic): end for topic, end in (await self._consumer.end_offsets()).items()}

    def troubles(self) -> dict[str, str]:
        """Subscribed topics that cannot be read now."""
        return {self._without(topic): why for topic, why in self._consumer.troubles().items()}

    async def stop(self) -> None:
        """Read nothing more."""
        await self._consumer.stop()

    async def _take(self, records: Sequence[Record]) -> None:
        await self._on_records([replace(each, topic=self._without(each.topic)) for each in records])

    def _lose(self, topic: str, why: BusError) -> None:
        self._on_topic_lost(self._without(topic), why)

    def _without(self, topic: str) -> str:
        return topic.removeprefix(self._prefix)
