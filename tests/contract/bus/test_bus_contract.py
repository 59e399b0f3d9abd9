"""What every bus promises; run against the real broker and against its twin."""

import asyncio

import msgspec
import pytest

from support.buses import Bus, KafkaBus, MemoryBus, Received, eventually, fresh_topic
from unrip.bus.ports import Consumer, OffsetOutOfRange, Producer, Start, TopicMissing, TopicRecreated, Where
from unrip.messages.topics import DAY_MS, TOPICS, Topic


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def bus(request: pytest.FixtureRequest) -> Bus:
    if request.param == "memory":
        return MemoryBus()
    return KafkaBus(request.getfixturevalue("servers").kafka_bootstrap)


async def a_topic(bus: Bus) -> Topic:
    topic = fresh_topic()
    await bus.admin().ensure_topics([topic])
    return topic


async def publish(producer: Producer, topic: Topic, *values: str) -> list[int | None]:
    """Produce and wait until every delivery was reported; return the offsets."""
    offsets: list[int | None] = []
    for value in values:
        producer.produce(topic.name, f"key of {value}", value.encode(), lambda offset, _: offsets.append(offset))
    assert await producer.flush(10) == 0
    return offsets


async def produced(bus: Bus, topic: Topic, *values: str) -> list[int | None]:
    producer = bus.producer()
    try:
        return await publish(producer, topic, *values)
    finally:
        await producer.close(5)


async def reading(bus: Bus, topic: Topic, start: Start, **options: int) -> tuple[Consumer, Received]:
    received = Received()
    consumer = bus.consumer(received, **options)
    await consumer.start()
    await consumer.subscribe(topic.name, start)
    return consumer, received


async def test_deliveries_are_reported_once_in_order_with_their_offsets(bus: Bus) -> None:
    topic = await a_topic(bus)
    assert await produced(bus, topic, *"abcde") == [0, 1, 2, 3, 4]


async def test_a_record_comes_out_as_it_went_in(bus: Bus) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, "first")
    consumer, received = await reading(bus, topic, Start())
    await eventually(lambda: len(received.records) == 1)
    await consumer.stop()
    (record,) = received.records
    assert (record.topic, record.partition, record.offset) == (topic.name, 0, 0)
    assert (record.key, record.value) == ("key of first", b"first")
    assert {topic.name: record.topic_id} == await bus.admin().topic_ids([topic.name])
    assert record.timestamp.tzinfo is not None


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Start(where=Where.BEGINNING), [b"a", b"b", b"c", b"d"]),
        (Start(tail=2), [b"b", b"c", b"d"]),
        (Start(tail=9), [b"a", b"b", b"c", b"d"]),
        (Start(where=Where.END), [b"d"]),
    ],
)
async def test_reading_starts_where_it_was_told(bus: Bus, start: Start, expected: list[bytes]) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, *"abc")
    consumer, received = await reading(bus, topic, start)
    await produced(bus, topic, "d")
    await eventually(lambda: received.values[-1:] == [b"d"])
    await consumer.stop()
    assert received.values == expected


async def test_last_of_an_empty_topic_is_its_next_record(bus: Bus) -> None:
    topic = await a_topic(bus)
    consumer, received = await reading(bus, topic, Start(tail=1))
    await produced(bus, topic, "a")
    await eventually(lambda: received.values == [b"a"])
    await consumer.stop()


async def test_reading_goes_on_at_an_offset_of_the_same_topic(bus: Bus) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, *"abc")
    topic_id = (await bus.admin().topic_ids([topic.name]))[topic.name]
    received = Received()
    consumer = bus.consumer(received)
    await consumer.start()
    assignment = await consumer.subscribe(topic.name, Start(topic_id=topic_id, offset=2))
    assert (assignment.offset, assignment.other_topic, assignment.lost) == (2, False, 0)
    await eventually(lambda: received.values == [b"c"])
    await consumer.stop()


async def test_a_topic_that_is_read_already_is_read_again_from_another_place(bus: Bus) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, *"abc")
    topic_id = (await bus.admin().topic_ids([topic.name]))[topic.name]
    consumer, received = await reading(bus, topic, Start())
    await eventually(lambda: received.values == [b"a", b"b", b"c"])
    assignment = await consumer.subscribe(topic.name, Start(topic_id=topic_id, offset=1))
    assert (assignment.offset, assignment.end) == (1, 3)
    await produced(bus, topic, "d")
    await eventually(lambda: received.values == [b"a", b"b", b"c", b"b", b"c", b"d"])
    await consumer.stop()


async def test_an_offset_of_another_topic_means_the_beginning_and_is_said(bus: Bus) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, *"abc")
    received = Received()
    consumer = bus.consumer(received)
    await consumer.start()
    assignment = await consumer.subscribe(topic.name, Start(topic_id="of a lost broker", offset=2))
    assert (assignment.offset, assignment.other_topic) == (0, True)
    await eventually(lambda: received.values == [b"a", b"b", b"c"])
    await consumer.stop()


async def test_an_offset_beyond_the_end_is_a_named_error(bus: Bus) -> None:
    topic = await a_topic(bus)
    topic_id = (await bus.admin().topic_ids([topic.name]))[topic.name]
    consumer = bus.consumer(Received())
    await consumer.start()
    with pytest.raises(OffsetOutOfRange, match="ends at offset 0, before 7"):
        await consumer.subscribe(topic.name, Start(topic_id=topic_id, offset=7))
    await consumer.stop()


async def test_a_missing_topic_is_a_named_error(bus: Bus) -> None:
    consumer = bus.consumer(Received())
    await consumer.start()
    with pytest.raises(TopicMissing, match="create the topics first"):
        await consumer.subscribe("test.nobody_made_it", Start())
    await consumer.stop()


async def test_nothing_is_read_while_a_batch_is_being_handled(bus: Bus) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, *"abcdefgh")
    received, free, entered = Received(), asyncio.Event(), asyncio.Event()

    async def slow(records: object) -> None:
        entered.set()
        await free.wait()
        await Received.take(received, records)

    received.take = slow  # type: ignore[method-assign]
    consumer = bus.consumer(received, batch_max=3)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    await entered.wait()
    await asyncio.sleep(0.3)  # time enough for a consumer without backpressure to hand over more
    assert received.batches == []
    free.set()
    await eventually(lambda: len(received.records) == 8)
    await consumer.stop()
    assert received.values == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]
    assert max(received.batches) <= 3


async def test_several_topics_are_read_at_once_and_their_ends_are_known(bus: Bus) -> None:
    one, other = await a_topic(bus), await a_topic(bus)
    await produced(bus, one, *"ab")
    consumer, received = await reading(bus, one, Start())
    await eventually(lambda: len(received.records) == 2)
    await consumer.subscribe(other.name, Start())
    await produced(bus, other, *"xyz")
    await eventually(lambda: len(received.records) == 5)
    assert await consumer.end_offsets() == {one.name: 2, other.name: 3}
    await consumer.stop()
    assert [r.value for r in received.records if r.topic == other.name] == [b"x", b"y", b"z"]


async def test_a_recreated_topic_is_named_and_not_read_on(bus: Bus) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, *"abc")
    consumer, received = await reading(bus, topic, Start())
    await eventually(lambda: len(received.records) == 3)
    await bus.recreate(topic)
    await eventually(lambda: topic.name in received.lost)
    assert isinstance(received.lost[topic.name], TopicRecreated)
    await produced(bus, topic, "of the new one")
    consumer_of_new, fresh = await reading(bus, topic, Start())
    await eventually(lambda: fresh.values == [b"of the new one"])
    await consumer_of_new.stop()
    await consumer.stop()
    assert received.values == [b"a", b"b", b"c"]


async def test_the_same_producer_serves_a_recreated_topic(bus: Bus) -> None:
    topic = await a_topic(bus)
    producer = bus.producer()
    assert await publish(producer, topic, *"abc") == [0, 1, 2]
    await bus.recreate(topic)
    offsets = await publish(producer, topic, "d")
    if offsets == [None]:  # the loss may be reported once
        offsets = await publish(producer, topic, "d")
    await producer.close(5)
    assert offsets == [0]


async def test_a_producer_that_was_closed_reports_failure(bus: Bus) -> None:
    topic = await a_topic(bus)
    producer = bus.producer()
    await producer.close(5)
    reports: list[tuple[int | None, str | None]] = []
    producer.produce(topic.name, "k", b"v", lambda *report: reports.append(report))
    await eventually(lambda: reports == [(None, "the producer is closed")])


async def test_topics_are_created_once_and_differences_are_told(bus: Bus) -> None:
    topic = fresh_topic()
    assert (await bus.admin().ensure_topics([topic])).created == (topic.name,)
    again = await bus.admin().ensure_topics([topic])
    assert (again.created, again.differences) == ((), ())
    longer = msgspec.structs.replace(topic, retention_ms=9 * DAY_MS)
    (difference,) = (await bus.admin().ensure_topics([longer])).differences
    assert (difference.topic, difference.setting) == (topic.name, "retention.ms")
    assert (difference.wanted, difference.found) == (str(9 * DAY_MS), str(DAY_MS))


async def test_the_house_topics_are_what_the_table_says(bus: Bus) -> None:
    await bus.admin().ensure_topics(TOPICS.values())
    again = await bus.admin().ensure_topics(TOPICS.values())
    assert (again.created, again.differences) == ((), ())
    assert (await bus.admin().topic_ids(TOPICS)).keys() == TOPICS.keys()
    assert await bus.admin().topic_ids(["test.nobody_made_it"]) == {}


async def test_the_watch_says_first_how_it_is(bus: Bus) -> None:
    states: list[bool] = []
    watch = bus.watch(lambda up, _: states.append(up))
    await eventually(lambda: states == [True])
    await watch.stop()


async def test_a_handler_that_raises_ends_the_reading_by_name(bus: Bus) -> None:
    topic = await a_topic(bus)
    await produced(bus, topic, "a")
    received = Received()

    async def broken(records: object) -> None:
        raise RuntimeError("a bug of ours")

    received.take = broken  # type: ignore[method-assign]
    consumer = bus.consumer(received)
    await consumer.start()
    await consumer.subscribe(topic.name, Start())
    await eventually(lambda: topic.name in received.lost)
    await consumer.stop()
    assert "a bug of ours" in str(received.lost[topic.name])
