"""What the real broker does to us: killed with -9 under load, gone for longer, and plain for other clients."""

import asyncio
import shutil

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them by importing them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from support.buses import Received, eventually, fresh_topic, kill_broker
from support.servers import Servers
from unrip.bus.kafka_admin import KafkaAdmin
from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.kafka_producer import KafkaProducer
from unrip.bus.kafka_watch import BrokerWatch
from unrip.bus.ports import BusUnavailable, ReadingFailed, Start, TopicRecreated
from unrip.bus.settings import client_settings
from unrip.local.stack import ServerStack

pytestmark = pytest.mark.servers


async def test_kill_under_load_loses_nothing_and_needs_no_help(own_broker: tuple[ServerStack, str]) -> None:
    stack, bootstrap = own_broker
    topic = fresh_topic()
    await KafkaAdmin(bootstrap).ensure_topics([topic])
    states: list[bool] = []
    watch = BrokerWatch(bootstrap, lambda up, _: states.append(up))
    producer = KafkaProducer(bootstrap, delivery_timeout_ms=60_000)
    received = Received()
    consumer = KafkaConsumer(bootstrap, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())

    offsets: list[int | None] = []
    for number in range(1_000):
        producer.produce(topic.name, "k", b"%d" % number, lambda offset, _: offsets.append(offset))
        if number == 300:
            await eventually(lambda: len(offsets) > 100)
            kill_broker(stack)
        await asyncio.sleep(0.001)
    assert await producer.flush(60) == 0
    await eventually(lambda: len(received.records) >= 1_000, within_s=30)
    await eventually(lambda: states == [True, False, True], within_s=30)

    assert offsets == list(range(1_000))
    assert received.values == [b"%d" % number for number in range(1_000)]
    assert [record.offset for record in received.records] == list(range(1_000))
    assert received.lost == {}
    await consumer.stop()
    await producer.close(5)
    await watch.stop()


async def test_while_it_is_away_nothing_hangs_and_everything_is_reported(own_broker: tuple[ServerStack, str]) -> None:
    stack, bootstrap = own_broker
    topic = fresh_topic()
    await KafkaAdmin(bootstrap).ensure_topics([topic])
    states: list[bool] = []
    watch = BrokerWatch(bootstrap, lambda up, _: states.append(up))
    producer = KafkaProducer(bootstrap, delivery_timeout_ms=1_500)
    await eventually(lambda: states == [True])

    await asyncio.to_thread(stack.supervisor.stop, "kafka")
    await eventually(lambda: states == [True, False], within_s=2)
    reports: list[tuple[int | None, str | None]] = []
    producer.produce(topic.name, "k", b"lost", lambda *report: reports.append(report))
    await eventually(lambda: len(reports) == 1, within_s=5)
    offset, reason = reports[0]
    assert offset is None
    assert reason
    with pytest.raises(BusUnavailable):
        await KafkaAdmin(bootstrap, timeout_s=1.0).topic_ids([topic.name])
    consumer = KafkaConsumer(bootstrap, on_records=Received().take, on_topic_lost=Received().lose)
    await consumer.start()
    with pytest.raises(BusUnavailable):
        await consumer.subscribe(topic.name, Start())
    await consumer.stop()

    await asyncio.to_thread(stack.supervisor.start, "kafka")
    await eventually(lambda: states == [True, False, True], within_s=30)
    for _ in range(10):  # the producer's own connection may need longer than its short delivery bound
        producer.produce(topic.name, "k", b"kept", lambda *report: reports.append(report))
        assert await producer.flush(30) == 0
        if reports[-1] == (0, None):
            break
    assert reports[-1] == (0, None)
    await producer.close(5)
    await watch.stop()


async def test_another_client_reads_and_writes_our_topics(servers: Servers) -> None:
    topic = fresh_topic()
    await KafkaAdmin(servers.kafka_bootstrap).ensure_topics([topic])
    ours = KafkaProducer(servers.kafka_bootstrap)
    ours.produce(topic.name, "BTC/EURe", b"from us", lambda *_: None)
    await ours.close(10)
    async with AIOKafkaProducer(bootstrap_servers=servers.kafka_bootstrap) as theirs:
        await theirs.send_and_wait(topic.name, b"from them", key=b"BTC/EURe")
    async with AIOKafkaConsumer(bootstrap_servers=servers.kafka_bootstrap, enable_auto_commit=False) as reader:
        reader.assign([TopicPartition(topic.name, 0)])
        await reader.seek_to_beginning()
        theirs_read = [await asyncio.wait_for(reader.getone(), 10) for _ in range(2)]
    received = Received()
    consumer = KafkaConsumer(servers.kafka_bootstrap, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    await eventually(lambda: len(received.records) == 2)
    await consumer.stop()
    assert [(m.key, m.value, m.offset) for m in theirs_read] == [
        (b"BTC/EURe", b"from us", 0),
        (b"BTC/EURe", b"from them", 1),
    ]
    assert received.values == [b"from us", b"from them"]


async def test_a_broker_that_comes_back_empty_is_named_and_served(own_broker: tuple[ServerStack, str]) -> None:
    stack, bootstrap = own_broker
    topic = fresh_topic()
    await KafkaAdmin(bootstrap).ensure_topics([topic])
    producer = KafkaProducer(bootstrap, delivery_timeout_ms=5_000)
    reports: list[tuple[int | None, str | None]] = []
    received = Received()
    consumer = KafkaConsumer(bootstrap, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    for _ in range(3):
        producer.produce(topic.name, "k", b"old", lambda *report: reports.append(report))
    await eventually(lambda: len(received.records) == 3)

    await asyncio.to_thread(stack.supervisor.stop, "kafka")
    shutil.rmtree(stack.home.kafka / "data")
    await asyncio.to_thread(stack._kafka.prepare, lambda _: None)
    await asyncio.to_thread(stack.supervisor.start, "kafka")
    admin = KafkaAdmin(bootstrap)
    while True:
        try:
            await admin.ensure_topics([topic])
            break
        except BusUnavailable:
            await asyncio.sleep(0.2)

    await eventually(lambda: topic.name in received.lost)
    assert isinstance(received.lost[topic.name], TopicRecreated)

    async def delivered() -> bool:
        before = len(reports)
        producer.produce(topic.name, "k", b"new", lambda *report: reports.append(report))
        await eventually(lambda: len(reports) > before)
        return reports[-1][0] is not None

    attempts = [await delivered() or await delivered()]  # the loss of the old log may be reported as a failure first
    assert attempts == [True]
    await consumer.subscribe(topic.name, Start())
    await eventually(lambda: received.values[3:4] == [b"new"])
    await consumer.stop()
    await producer.close(5)


async def test_a_record_of_no_instant_is_read_like_any_other(servers: Servers) -> None:
    """The time stamp is the producer's word: whoever can write the topic may write any number."""
    topic = fresh_topic()
    await KafkaAdmin(servers.kafka_bootstrap).ensure_topics([topic])
    admin = AdminClient(client_settings(servers.kafka_bootstrap))
    (change,) = admin.incremental_alter_configs([_any_time_stamp(topic.name)]).values()
    await asyncio.wrap_future(change)
    client = Producer(client_settings(servers.kafka_bootstrap))
    refused: list[object] = []
    for timestamp in (2**60, 1):
        refused.append(True)
        while refused.pop() is not None:  # the broker learns of the setting a moment later
            client.produce(topic.name, b"v", timestamp=timestamp, on_delivery=lambda error, _: refused.append(error))
            assert client.flush(10) == 0
    received = Received()
    consumer = KafkaConsumer(servers.kafka_bootstrap, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    await eventually(lambda: len(received.records) == 2 or bool(received.lost))
    await consumer.stop()
    assert received.lost == {}
    assert [record.timestamp.year for record in received.records] == [9900, 1970]


def _any_time_stamp(topic: str) -> ConfigResource:
    """What older brokers allow anyway, and newer ones when told so: a time stamp that lies ahead."""
    allowed = ConfigEntry("message.timestamp.after.max.ms", str(2**63 - 1), incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[allowed])


@pytest.mark.parametrize("call", ["poll", "consume", "incremental_assign"])
async def test_whatever_ends_the_poll_thread_is_told(servers: Servers, call: str) -> None:
    """A service that hears nothing more must not look ready."""
    one, other = fresh_topic(), fresh_topic()
    await KafkaAdmin(servers.kafka_bootstrap).ensure_topics([one, other])
    received = Received()
    consumer = KafkaConsumer(servers.kafka_bootstrap, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(one.name, Start())
    consumer._client = _Broken(consumer._client, call)  # type: ignore[assignment]
    producer = KafkaProducer(servers.kafka_bootstrap)
    producer.produce(one.name, "k", b"value", lambda *_: None)
    await producer.close(10)

    async def subscribe_again_and_again() -> None:
        while True:
            await consumer.subscribe(other.name, Start())
            await asyncio.sleep(0.01)

    with pytest.raises(ReadingFailed, match="of librdkafka"):
        await asyncio.wait_for(subscribe_again_and_again(), 10)
    await eventually(lambda: one.name in received.lost)
    assert isinstance(received.lost[one.name], ReadingFailed)
    await consumer.stop()


class _Broken:
    """A client of which one call raises."""

    def __init__(self, client: object, call: str) -> None:
        self._client = client
        self._call = call

    def __getattr__(self, name: str) -> object:
        if name == self._call:
            raise KafkaException(KafkaError(KafkaError._FATAL, "a fault of librdkafka"))
        return getattr(self._client, name)
