"""Two desks on one broker: each names its topics as everybody does, and hears nothing of the other."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import pytest

from support.buses import KafkaBus, MemoryAdmin, MemoryBus, Received, eventually, fresh_topic
from unrip.bus.desk_bus import DeskBus, prefixed_consumer, prefixed_producer, prefixed_topic
from unrip.bus.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from unrip.bus.ports import Consumer, OnRecords, OnTopicLost, Producer, Start, TopicMissing, TopicRecreated
from unrip.messages.topics import Topic


class Side(Protocol):
    """One desk's way to the broker."""

    def producer(self) -> Producer: ...

    def consumer(self, received: Received) -> Consumer: ...


@dataclass
class OnKafka:
    bus: DeskBus

    def producer(self) -> Producer:
        return self.bus.producer(delivery_timeout_ms=5_000)

    def consumer(self, received: Received) -> Consumer:
        return self.bus.consumer(received.take, received.lose, batch_max=10)


@dataclass
class InMemory:
    broker: MemoryBroker
    prefix: str

    def producer(self) -> Producer:
        return prefixed_producer(MemoryProducer(self.broker), self.prefix)

    def consumer(self, received: Received) -> Consumer:
        def make(on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
            return MemoryConsumer(self.broker, on_records=on_records, on_topic_lost=on_topic_lost)

        return prefixed_consumer(make, self.prefix, received.take, received.lose)


@dataclass
class Cluster:
    """One broker and its two desks; the first one has no prefix."""

    whole: KafkaBus | MemoryBus
    main: Side
    second: Side
    prefix: str


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    if request.param == "memory":
        broker = MemoryBroker(clock=lambda: datetime.now(UTC))
        return Cluster(MemoryBus(broker), InMemory(broker, ""), InMemory(broker, prefix), prefix)
    bootstrap = request.getfixturevalue("servers").kafka_bootstrap
    return Cluster(
        KafkaBus(bootstrap), OnKafka(DeskBus(bootstrap)), OnKafka(DeskBus(bootstrap, topic_prefix=prefix)), prefix
    )


async def a_topic_of_both(cluster: Cluster) -> Topic:
    topic = fresh_topic()
    await cluster.whole.admin().ensure_topics([topic, prefixed_topic(topic, cluster.prefix)])
    return topic


async def told(side: Side, topic: Topic, value: str) -> None:
    producer = side.producer()
    producer.produce(topic.name, "key", value.encode(), lambda _offset, why: failures.append(why) if why else None)
    failures: list[str] = []
    await producer.close(10)
    assert not failures


async def heard(side: Side, topic: Topic) -> list[tuple[str, str, bytes]]:
    """The only record of a topic, and how everything else that is said of it names it."""
    received = Received()
    consumer = side.consumer(received)
    await consumer.start()
    assignment = await consumer.subscribe(topic.name, Start())
    assert (assignment.topic, assignment.end) == (topic.name, 1)
    await eventually(lambda: bool(received.records))
    assert await consumer.end_offsets() == {topic.name: 1}
    assert consumer.troubles() == {}
    await consumer.stop()
    return [(record.topic, record.topic_id, record.value) for record in received.records]


async def test_each_hears_its_own_records_under_the_name_that_everybody_uses(cluster: Cluster) -> None:
    topic = await a_topic_of_both(cluster)
    ids = await cluster.whole.admin().topic_ids([topic.name, cluster.prefix + topic.name])
    await told(cluster.main, topic, "of main")
    await told(cluster.second, topic, "of second")
    assert await heard(cluster.main, topic) == [(topic.name, ids[topic.name], b"of main")]
    assert await heard(cluster.second, topic) == [(topic.name, ids[cluster.prefix + topic.name], b"of second")]


async def test_what_is_lost_or_missing_is_named_so_too(cluster: Cluster) -> None:
    topic = await a_topic_of_both(cluster)
    lost: dict[str, Received] = {"main": Received(), "second": Received()}
    consumers = [cluster.main.consumer(lost["main"]), cluster.second.consumer(lost["second"])]
    for consumer in consumers:
        await consumer.start()
        await consumer.subscribe(topic.name, Start())
    await cluster.whole.recreate(prefixed_topic(topic, cluster.prefix))
    await eventually(lambda: topic.name in lost["second"].lost)
    assert isinstance(lost["second"].lost[topic.name], TopicRecreated)
    assert lost["main"].lost == {}
    with pytest.raises(TopicMissing, match=rf"there is no topic '{cluster.prefix}test.nobody_made_it'"):
        await consumers[1].subscribe("test.nobody_made_it", Start())
    for consumer in consumers:
        await consumer.stop()


async def test_a_topic_that_cannot_be_read_now_is_named_so_too() -> None:
    broker = MemoryBroker(clock=lambda: datetime.now(UTC))
    topic = fresh_topic()
    await MemoryAdmin(broker).ensure_topics([prefixed_topic(topic, "second.")])
    consumer = InMemory(broker, "second.").consumer(Received())
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    broker.delete_topic(f"second.{topic.name}")
    assert list(consumer.troubles()) == [topic.name]
    await consumer.stop()


@pytest.mark.servers
async def test_a_desk_makes_and_asks_for_topics_of_its_own(request: pytest.FixtureRequest) -> None:
    bootstrap = request.getfixturevalue("servers").kafka_bootstrap
    prefix, topic = f"t{uuid.uuid4().hex[:8]}.", fresh_topic()
    desk = DeskBus(bootstrap, topic_prefix=prefix)
    assert (await desk.ensure_topics([topic], replication_factor=1)).created == (prefix + topic.name,)
    assert await desk.retention_ms([topic.name]) == {topic.name: topic.retention_ms}
    assert await KafkaBus(bootstrap).admin().topic_ids([topic.name]) == {}
