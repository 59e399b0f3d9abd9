"""The frame's reader: what is wrong with a topic is named, told to the logic, and ends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from support.buses import eventually
from support.cases import NOW
from support.samples import one_of_each_topic
from unrip.bus.memory import MemoryBroker, MemoryConsumer
from unrip.bus.ports import OnRecords, OnTopicLost, Record
from unrip.frame.contract import CaughtUp, Count, Log, RecordReceived, Subscribe, TopicTruncated, Unsubscribe
from unrip.frame.definition import Reads
from unrip.frame.reader import Reader
from unrip.messages.codec import encode_event
from unrip.messages.topics import EXECUTE_TRADE, MARKET_PRICE, TRADE_RESULT

TOPIC = EXECUTE_TRADE.name
#: The places from which the tests read.
READS = (Reads(topic=EXECUTE_TRADE), Reads(topic=TRADE_RESULT, tail=2_000, until_end=True))
RECORD = encode_event(one_of_each_topic()[TOPIC])


class Heard:
    """A reader on a broker in memory, and everything that came of it."""

    def __init__(self, records: int) -> None:
        self.broker = MemoryBroker(clock=lambda: NOW)
        self.broker.create_topic(EXECUTE_TRADE)
        self.put(records)
        self.events: list[Any] = []
        self.effects: list[Any] = []
        self.faults: list[BaseException] = []
        self.reader = Reader(
            self._consumer,
            emit=self.events.append,
            perform=self.effects.append,
            on_fault=self.faults.append,
            reads=READS,
        )

    def _consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost) -> MemoryConsumer:
        return MemoryConsumer(self.broker, on_records=on_records, on_topic_lost=on_topic_lost)

    def put(self, records: int) -> None:
        for _ in range(records):
            self.broker.append(TOPIC, "key", RECORD)

    def records(self, first: int, end: int) -> list[Record]:
        log = self.broker.log(TOPIC)
        assert log is not None
        return log.records[first:end]

    @property
    def topic_id(self) -> str:
        log = self.broker.log(TOPIC)
        assert log is not None
        return log.topic_id

    @property
    def told(self) -> list[Any]:
        """Offsets of records, and the other events as they are."""
        return [event.offset if isinstance(event, RecordReceived) else event for event in self.events]

    @property
    def lines(self) -> list[tuple[str, str]]:
        return [(effect.event, effect.level) for effect in self.effects if isinstance(effect, Log)]


@asynccontextmanager
async def reading(*, records: int, offset: int) -> AsyncIterator[Heard]:
    """Follow the commands from an offset of this very topic on."""
    heard = Heard(records)
    await heard.reader.start()
    heard.reader.subscribe(Subscribe(topic=EXECUTE_TRADE, topic_id=heard.topic_id, offset=offset))
    await eventually(lambda: any(isinstance(event, CaughtUp) for event in heard.events) or bool(heard.faults))
    yield heard
    await heard.reader.stop()
    assert heard.faults == []


async def test_a_topic_that_ends_before_its_place_is_named_and_read_on_from_its_end() -> None:
    async with reading(records=3, offset=7) as heard:
        heard.put(1)
        await eventually(lambda: len(heard.events) == 3)
        truncated = TopicTruncated(topic=TOPIC, topic_id=heard.topic_id, offset=3)
        assert heard.told == [truncated, CaughtUp(topic=TOPIC, topic_id=heard.topic_id), 3]
        assert heard.lines == [("topic_truncated", "error")]


async def test_a_topic_that_is_cut_while_it_is_read_is_told_the_same_way() -> None:
    async with reading(records=3, offset=0) as heard:
        heard.broker.truncate_topic(TOPIC, 1)
        await eventually(lambda: TopicTruncated(topic=TOPIC, topic_id=heard.topic_id, offset=1) in heard.events)
        heard.put(1)
        await eventually(lambda: heard.told[-1] == 1)
        assert [told for told in heard.told if isinstance(told, int)] == [0, 1, 2, 1]
        assert heard.lines == [("topic_truncated", "error")]


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning() -> None:
    async with reading(records=3, offset=3) as heard:
        heard.broker.delete_topic(TOPIC)
        heard.broker.create_topic(EXECUTE_TRADE)
        heard.put(1)
        await eventually(lambda: heard.told[-2:] == [0, CaughtUp(topic=TOPIC, topic_id=heard.topic_id)])
        assert heard.lines == [("topic_recreated", "error")]


async def test_a_topic_is_read_again_from_an_earlier_place_and_nothing_of_before_comes_in_between() -> None:
    """Whoever finds that it knows less than it thought reads again from there, without a hole."""
    async with reading(records=5, offset=3) as heard:
        await eventually(lambda: len(heard.events) == 3)
        heard.reader.unsubscribe(Unsubscribe(topic=EXECUTE_TRADE))
        heard.put(1)
        heard.reader.subscribe(Subscribe(topic=EXECUTE_TRADE, topic_id=heard.topic_id, offset=1))
        await heard.reader._on_records(heard.records(5, 6))  # of the reading before, still on its way
        caught_up = CaughtUp(topic=TOPIC, topic_id=heard.topic_id)
        await eventually(lambda: heard.told.count(caught_up) == 2)
        await heard.reader._on_records(heard.records(6, 6))
        assert heard.told == [3, 4, caught_up, 1, 2, 3, 4, 5, caught_up]


async def test_a_topic_that_was_left_tells_nothing_and_its_loss_is_nobodys() -> None:
    async with reading(records=2, offset=0) as heard:
        await eventually(lambda: len(heard.events) == 3)
        heard.reader.unsubscribe(Unsubscribe(topic=EXECUTE_TRADE))
        heard.put(1)
        heard.broker.delete_topic(TOPIC)
        heard.broker.create_topic(EXECUTE_TRADE)
        heard.put(1)
        heard.reader.subscribe(Subscribe(topic=EXECUTE_TRADE, topic_id="another", offset=1))
        await eventually(lambda: len(heard.events) == 5)
        assert heard.told[3:] == [0, CaughtUp(topic=TOPIC, topic_id=heard.topic_id)]


async def test_a_subscription_that_waits_for_the_broker_is_replaced_by_the_next() -> None:
    heard = Heard(3)
    await heard.reader.start()
    heard.broker.go_down()
    heard.reader.subscribe(Subscribe(topic=EXECUTE_TRADE, topic_id=heard.topic_id, offset=0))
    await eventually(lambda: any(isinstance(effect, Count) for effect in heard.effects))
    heard.reader.unsubscribe(Unsubscribe(topic=EXECUTE_TRADE))
    heard.reader.subscribe(Subscribe(topic=EXECUTE_TRADE, topic_id=heard.topic_id, offset=2))
    heard.broker.come_up()
    await eventually(lambda: len(heard.events) == 2)
    assert heard.told == [2, CaughtUp(topic=TOPIC, topic_id=heard.topic_id)]
    await heard.reader.stop()
    assert heard.faults == []


async def test_what_is_no_event_is_a_dead_letter_and_the_next_record_is_read() -> None:
    async with reading(records=0, offset=0) as heard:
        heard.broker.append(TOPIC, "key", b"nonsense")
        heard.put(1)
        await eventually(lambda: heard.told[-1:] == [1])
        assert heard.lines == [("invalid_message", "warning")]


@pytest.mark.parametrize(
    "other",
    [
        Subscribe(topic=MARKET_PRICE),
        Subscribe(topic=EXECUTE_TRADE, tail=1),
        Subscribe(topic=EXECUTE_TRADE, until_end=True),
        Subscribe(topic=TRADE_RESULT),
        Subscribe(topic=TRADE_RESULT, tail=2_000),
        Subscribe(topic=TRADE_RESULT, tail=2_001, until_end=True),
        Subscribe(topic=TRADE_RESULT, tail=2_000, until_end=True, topic_id="one", offset=3),
    ],
)
async def test_nothing_is_read_that_the_service_does_not_say(other: Subscribe) -> None:
    reader = Heard(records=0).reader
    with pytest.raises(AssertionError, match=f"does not say that it reads {other.topic.name} from there"):
        reader.subscribe(other)
