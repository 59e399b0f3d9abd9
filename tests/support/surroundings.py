"""Everything that a host reaches, in one process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from unrip.bus.memory import MemoryBroker, MemoryConsumer, MemoryProducer, MemoryWatch
from unrip.bus.ports import OnRecords, OnState, OnTopicLost
from unrip.frame.contract import Log
from unrip.store.locks import OnRole, OnWhyNot


@dataclass
class Surroundings:
    """Everything that a host reaches, in one process."""

    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(clock=lambda: datetime.now(UTC)))
    lines: list[Log] = field(default_factory=list)
    stays_out_s: float | None = None
    producer_closed: bool = False

    def log(self, line: Log) -> None:
        self.lines.append(line)

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self.broker)

    def reader(self, on_records: OnRecords, on_topic_lost: OnTopicLost) -> MemoryConsumer:
        return MemoryConsumer(self.broker, on_records=on_records, on_topic_lost=on_topic_lost)

    def watch_broker(self, on_state: OnState) -> MemoryWatch:
        return MemoryWatch(self.broker, on_state)

    async def watch_database(self, service: str, schema: str, on_state: OnState) -> None:
        del service, schema
        on_state(True, "it takes writes")
        await asyncio.Event().wait()

    def role(self, name: str, instance: str, on_role: OnRole, on_why_not: OnWhyNot) -> Surroundings:
        del name, instance, on_why_not
        self.on_role = on_role
        return self

    async def run(self) -> None:
        while True:
            self.on_role(True, 1)
            await asyncio.sleep(0.1)

    def leave(self, *, for_s: float) -> None:
        self.stays_out_s = for_s

    @property
    def said(self) -> list[str]:
        return [line.event for line in self.lines]
