"""A broker that is stopping may say that there are no brokers: no client may believe it for longer than seconds."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from support.buses import Received, eventually, fresh_topic
from support.servers import Servers
from support.stopping_broker import stopping_broker
from unrip.bus.kafka_admin import KafkaAdmin
from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.kafka_producer import KafkaProducer
from unrip.bus.kafka_topic_check import TopicCheck
from unrip.bus.kafka_watch import BrokerWatch
from unrip.bus.ports import BusUnavailable, Start

pytestmark = pytest.mark.servers


async def answered(question: Callable[[], Awaitable[dict[str, str]]]) -> dict[str, str]:
    """The first answer, asked again and again as the frame does."""
    for _ in range(10):
        with suppress(BusUnavailable):
            return await question()
    return {}


async def test_every_client_asks_again_after_the_answer_that_there_are_no_brokers(servers: Servers) -> None:
    """librdkafka believes it: an admin client waits for a controller, and nobody is asked for minutes."""
    topic = fresh_topic()
    await KafkaAdmin(servers.kafka_bootstrap).ensure_topics([topic])
    states: list[tuple[bool, str]] = []
    received = Received()
    delivered: list[int | None] = []
    with stopping_broker() as (broker, bootstrap):
        watch = BrokerWatch(bootstrap, lambda up, reason: states.append((up, reason)))
        check, admin = TopicCheck(bootstrap), KafkaAdmin(bootstrap, timeout_s=1.0)
        producer = KafkaProducer(bootstrap, delivery_timeout_ms=60_000)
        consumer = KafkaConsumer(bootstrap, on_records=received.take, on_topic_lost=received.lose)
        await consumer.start()
        producer.produce(topic.name, "k", b"waits", lambda offset, _: delivered.append(offset))
        with pytest.raises(BusUnavailable):
            await admin.topic_ids([topic.name])
        assert check.ask(topic.name) is None
        assert (delivered, states) == ([], [(False, "no broker is left")])
        assert broker.named_nobody > 0

        broker.named = servers.kafka_bootstrap
        assert topic.name in await answered(lambda: admin.topic_ids([topic.name]))
        await eventually(lambda: check.ask(topic.name) is not None)
        await consumer.subscribe(topic.name, Start())
        await eventually(lambda: delivered == [0] and states[-1][0] and received.values == [b"waits"])
        await consumer.stop()
        await producer.close(5)
        await watch.stop()
