"""A bus for a contract test: the real broker or the in-memory twin behind the same handful of factories."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from unrip.bus.kafka_admin import KafkaAdmin
from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.kafka_producer import KafkaProducer
from unrip.bus.kafka_watch import BrokerWatch
from unrip.bus.memory import MemoryBroker, MemoryConsumer, MemoryProducer, MemoryWatch
from unrip.bus.ports import BusError, Consumer, OnState, Producer, Record, SettingDifference, TopicMissing, TopicReport
from unrip.local.stack import ServerStack
from unrip.messages.topics import DAY_MS, Topic


def fresh_topic(**changes: object) -> Topic:
    """A topic that nobody else uses."""
    settings = {
        "name": f"test.{uuid.uuid4().hex}",
        "payload": dict,
        "key": str,
        "retention_ms": DAY_MS,
        "table": "test",
        "columns": (),
    }
    return Topic(**(settings | changes))  # type: ignore[arg-type]


async def eventually(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        await asyncio.sleep(0.005)


def kill_broker(stack: ServerStack) -> None:
    """As a machine would: no handler runs, nothing is flushed. Its supervisor starts it again."""
    pid = stack.supervisor.status()["kafka"].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@dataclass
class Received:
    """What a consumer handed over."""

    records: list[Record] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    lost: dict[str, BusError] = field(default_factory=dict)

    async def take(self, records: object) -> None:
        batch: list[Record] = list(records)  # type: ignore[call-overload]
        self.batches.append(len(batch))
        self.records += batch

    def lose(self, topic: str, why: BusError) -> None:
        self.lost[topic] = why

    @property
    def values(self) -> list[bytes]:
        return [record.value for record in self.records]


@dataclass
class KafkaBus:
    bootstrap: str

    def producer(self, **options: Any) -> Producer:
        return KafkaProducer(self.bootstrap, **options)

    def consumer(self, received: Received, **options: Any) -> Consumer:
        return KafkaConsumer(self.bootstrap, on_records=received.take, on_topic_lost=received.lose, **options)

    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(self.bootstrap)

    def watch(self, on_state: OnState) -> BrokerWatch:
        return BrokerWatch(self.bootstrap, on_state)

    async def recreate(self, topic: Topic) -> None:
        """Delete a topic and create it again once it is really gone."""
        admin = KafkaAdmin(self.bootstrap)
        (deletion,) = admin._asking.client().delete_topics([topic.name]).values()
        await asyncio.wrap_future(deletion)
        for _ in range(1_000):
            # Between our two questions the broker may forget it: then it is missing, and our next turn creates it.
            with suppress(TopicMissing):
                if (await admin.ensure_topics([topic])).created:
                    return
            await asyncio.sleep(0.02)
        raise AssertionError("the broker does not forget the topic")


class MemoryAdmin:
    """Does for the twin of the broker what KafkaAdmin does for a real one."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def ensure_topics(self, topics: Iterable[Topic], *, replication_factor: int = 1) -> TopicReport:
        """Create what is missing; report, and leave alone, what has other settings."""
        del replication_factor
        self._broker.require_up()
        created, differences = [], []
        for topic in topics:
            log = self._broker.log(topic.name)
            if log is None:
                self._broker.create_topic(topic)
                created.append(topic.name)
            elif log.settings.retention_ms != topic.retention_ms:
                differences.append(
                    SettingDifference(
                        topic=topic.name,
                        setting="retention.ms",
                        wanted=str(topic.retention_ms),
                        found=str(log.settings.retention_ms),
                    )
                )
        return TopicReport(created=tuple(sorted(created)), differences=tuple(differences))

    async def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """The ids of those topics that exist."""
        self._broker.require_up()
        return {name: log.topic_id for name in topics if (log := self._broker.log(name))}


@dataclass
class MemoryBus:
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(clock=lambda: datetime.now(UTC)))

    def producer(self, **options: Any) -> Producer:
        return MemoryProducer(self.broker, **options)

    def consumer(self, received: Received, **options: Any) -> Consumer:
        return MemoryConsumer(self.broker, on_records=received.take, on_topic_lost=received.lose, **options)

    def admin(self) -> MemoryAdmin:
        return MemoryAdmin(self.broker)

    def watch(self, on_state: OnState) -> MemoryWatch:
        return MemoryWatch(self.broker, on_state)

    async def recreate(self, topic: Topic) -> None:
        self.broker.delete_topic(topic.name)
        self.broker.create_topic(topic)


Bus = KafkaBus | MemoryBus
