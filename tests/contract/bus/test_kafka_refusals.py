"""What a broker that answers refuses: the right to read or write, a topic, a size. Its words are told until it ends."""

import asyncio
import contextlib
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them by importing them
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from support.buses import Received, eventually, fresh_topic, kill_broker
from support.servers import Servers
from unrip.bus.kafka_admin import KafkaAdmin
from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.kafka_producer import KafkaProducer
from unrip.bus.ports import BusError, BusUnavailable, Start
from unrip.bus.settings import client_settings
from unrip.local.stack import ServerStack
from unrip.messages.topics import Topic

pytestmark = pytest.mark.servers

_RIGHTS = """
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
"""


@pytest.fixture(scope="module")
def strict_broker(own_broker: tuple[ServerStack, str]) -> str:
    """A broker that judges rights: everybody has every one that was not taken away."""
    stack, bootstrap = own_broker
    with (stack.home.kafka / "server.properties").open("a") as properties:
        properties.write(_RIGHTS)
    kill_broker(stack)  # its supervisor starts it again, with what was added
    asyncio.run(_answers(bootstrap))
    return bootstrap


async def _answers(bootstrap: str) -> None:
    while True:
        with contextlib.suppress(BusError):
            await made(bootstrap)
            return
        await asyncio.sleep(0.1)


async def made(bootstrap: str) -> Topic:
    """A topic that the broker knows of by now."""
    topic, admin = fresh_topic(), KafkaAdmin(bootstrap, timeout_s=1)
    await admin.ensure_topics([topic])
    while not await admin.topic_ids([topic.name]):  # noqa: ASYNC110 - the broker tells no event of ours
        await asyncio.sleep(0.05)
    return topic


async def take_away(bootstrap: str, topic: Topic, operation: AclOperation) -> None:
    """Everything but this stays allowed."""
    admin = AdminClient(client_settings(bootstrap))
    allowed = _rule(topic, AclOperation.ALL, AclPermissionType.ALLOW)
    for future in admin.create_acls([allowed, _rule(topic, operation, AclPermissionType.DENY)]).values():
        await asyncio.wrap_future(future)


async def give_back(bootstrap: str, topic: Topic) -> None:
    admin = AdminClient(client_settings(bootstrap))
    anybody: Any = None
    place = (ResourceType.TOPIC, topic.name, ResourcePatternType.LITERAL, anybody, anybody)
    for future in admin.delete_acls([AclBindingFilter(*place, AclOperation.ANY, AclPermissionType.DENY)]).values():
        await asyncio.wrap_future(future)


def _rule(topic: Topic, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(ResourceType.TOPIC, topic.name, ResourcePatternType.LITERAL, "User:*", "*", operation, permission)


async def produced(producer: KafkaProducer, topic: Topic, value: bytes) -> tuple[int | None, str | None]:
    report: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()
    producer.produce(topic.name, "k", value, lambda *told: report.set_result(told))
    return await report


async def test_a_right_to_read_that_is_taken_away_is_told_until_it_is_given_back(strict_broker: str) -> None:
    topic = await made(strict_broker)
    producer, received = KafkaProducer(strict_broker), Received()
    consumer = KafkaConsumer(strict_broker, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    await produced(producer, topic, b"one")
    await eventually(lambda: received.values == [b"one"])
    assert consumer.troubles() == {}
    await take_away(strict_broker, topic, AclOperation.READ)
    await eventually(lambda: topic.name in consumer.troubles(), within_s=5)
    await produced(producer, topic, b"two")
    assert received.lost == {}
    await give_back(strict_broker, topic)
    await eventually(lambda: received.values == [b"one", b"two"])
    assert consumer.troubles() == {}
    await consumer.stop()
    await producer.close(5)


async def test_a_topic_that_may_not_even_be_named_is_refused_with_the_brokers_words(strict_broker: str) -> None:
    topic = await made(strict_broker)
    received = Received()
    consumer = KafkaConsumer(strict_broker, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    await take_away(strict_broker, topic, AclOperation.ALL)
    await eventually(lambda: "authorization failed" in consumer.troubles().get(topic.name, ""), within_s=5)
    other = KafkaConsumer(strict_broker, on_records=received.take, on_topic_lost=received.lose)
    await other.start()
    with pytest.raises(BusError, match="authorization failed") as refused:
        await other.subscribe(topic.name, Start())
    assert not isinstance(refused.value, BusUnavailable)
    producer = KafkaProducer(strict_broker)
    assert "authorization failed" in str((await produced(producer, topic, b"one"))[1])
    await give_back(strict_broker, topic)
    await eventually(lambda: consumer.troubles() == {}, within_s=5)
    for each in (consumer, other):
        await each.stop()
    await producer.close(5)


async def test_a_topic_that_is_deleted_is_told_and_read_again_once_it_is_made(servers: Servers) -> None:
    bootstrap = servers.kafka_bootstrap
    topic = await made(bootstrap)
    received = Received()
    consumer = KafkaConsumer(bootstrap, on_records=received.take, on_topic_lost=received.lose)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    admin = AdminClient(client_settings(bootstrap))
    await asyncio.wrap_future(admin.delete_topics([topic.name])[topic.name])
    await eventually(lambda: "create the topics" in consumer.troubles().get(topic.name, ""), within_s=5)
    await KafkaAdmin(bootstrap).ensure_topics([topic])
    await eventually(lambda: topic.name in received.lost)
    assert consumer.troubles() == {}
    await consumer.stop()


async def test_a_record_above_the_brokers_limit_is_refused_with_its_words_and_the_next_goes_on(
    servers: Servers,
) -> None:
    bootstrap = servers.kafka_bootstrap
    topic = await made(bootstrap)
    limit = ConfigEntry("max.message.bytes", "500", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=[limit])
    admin = AdminClient(client_settings(bootstrap))
    (change,) = admin.incremental_alter_configs([resource]).values()
    await asyncio.wrap_future(change)
    producer = KafkaProducer(bootstrap)
    while (refused := await produced(producer, topic, b"x" * 2_000))[0] is not None:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.05)  # the broker learns of the setting a moment later
    assert "too large" in str(refused[1])
    assert (await produced(producer, topic, b"small"))[0] is not None
    await producer.close(5)
