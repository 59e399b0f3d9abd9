"""Kafka as the services meet it: the broker's twin behind links that delay, lose acknowledgements and deliver twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import copy_context
from random import Random

from simulation.clock import Pipe, VirtualLoop
from simulation.faults import Faults
from simulation.stores import done
from unrip.bus.memory import MemoryBroker, MemoryConsumer, MemoryProducer
from unrip.bus.ports import Assignment, OnDelivery, OnRecords, OnTopicLost, Record, Start

_UNACKNOWLEDGED = "the broker did not acknowledge in time"
_REFUSED = "the broker has not enough replicas that are in sync"
#: Between two looks at what is still under way.
_LOOK_S = 0.01


class Producer:
    """A producer of one process; what it did not hand over yet dies with it."""

    def __init__(
        self, loop: VirtualLoop, broker: MemoryBroker, faults: Faults, *, chance: Random, delivery_timeout_ms: int
    ) -> None:
        self._twin = MemoryProducer(broker, delivery_timeout_ms=delivery_timeout_ms)
        self._faults = faults
        self._out = Pipe(loop, lambda: chance.uniform(0.0002, 0.003))
        self._back = Pipe(loop, lambda: chance.uniform(0.0002, 0.003), to=copy_context())
        self._loop = loop
        self._timeout_s = delivery_timeout_ms / 1_000
        self._alive = True
        #: Records whose fate nobody was told yet.
        self._outstanding = 0

    def produce(self, topic: str, key: str, value: bytes, on_delivery: OnDelivery) -> None:
        """Queue one record; its acknowledgement may be lost, then its fate is unknown."""

        def delivered(offset: int | None, why: str | None) -> None:
            if offset is not None and self._faults.strikes("lost_ack"):
                self._loop.call_later(self._timeout_s, self._back.put, self._report, on_delivery, None, _UNACKNOWLEDGED)
            else:
                self._back.put(self._report, on_delivery, offset, why)

        def arrived() -> None:
            if self._faults.strikes("refused_record"):
                delivered(None, _REFUSED)
            else:
                self._twin.produce(topic, key, value, delivered)

        self._outstanding += 1
        self._out.put(arrived)

    async def flush(self, timeout_s: float) -> int:
        """Wait until the fate of every record was told; say of how many it was not."""
        latest_s = self._loop.time() + timeout_s
        while self._outstanding and self._loop.time() < latest_s:  # noqa: ASYNC110 - a stop may be late by this
            await asyncio.sleep(_LOOK_S)
        return self._outstanding

    async def close(self, timeout_s: float) -> None:
        """Flush, and end."""
        await self.flush(timeout_s)
        self.die()

    def die(self) -> None:
        """The process is gone; nothing of it reaches the broker any more, and nothing reaches it."""
        if self._alive:
            self._alive = False
            self._out.close()
            self._back.close()
            done(self._twin.close(0))

    def _report(self, on_delivery: OnDelivery, offset: int | None, why: str | None) -> None:
        if self._alive:
            self._outstanding -= 1
            on_delivery(offset, why)


class Consumer:
    """A reader of one process, see `bus.ports.Consumer`: one batch at a time, late, and from a topic of chance.

    With `apart`, topics overtake each other freely and a batch may come twice, as for a handler that waits for nothing.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        broker: MemoryBroker,
        faults: Faults,
        *,
        chance: Random,
        on_records: OnRecords,
        on_topic_lost: OnTopicLost,
        batch_max: int,
        apart: bool,
    ) -> None:
        self._loop = loop
        self._faults = faults
        self._chance = chance
        self._on_records = on_records
        self._apart = apart
        self._pipes: dict[str, Pipe] = {}
        self._twin = MemoryConsumer(broker, on_records=self._take, on_topic_lost=on_topic_lost, batch_max=batch_max)

    async def start(self) -> None:
        """Begin; call once."""
        await self._twin.start()

    async def subscribe(self, topic: str, start: Start) -> Assignment:
        """Read a topic too."""
        await asyncio.sleep(self._chance.uniform(0.001, 0.02))
        return await self._twin.subscribe(topic, start)

    async def end_offsets(self) -> dict[str, int]:
        """The offset that the next record of each topic will get."""
        await asyncio.sleep(self._chance.uniform(0.001, 0.02))
        return await self._twin.end_offsets()

    def troubles(self) -> dict[str, str]:
        """Topics that cannot be read now."""
        return self._twin.troubles()

    async def stop(self) -> None:
        """Read nothing more."""
        await self._twin.stop()

    async def _take(self, records: Sequence[Record]) -> None:
        if not self._apart:
            await asyncio.sleep(self._latency_s(records[0].topic)())
            await self._on_records(records)
            return
        topic = records[0].topic
        if topic not in self._pipes:
            self._pipes[topic] = Pipe(self._loop, self._latency_s(topic), to=copy_context())
        self._pipes[topic].put(self._deliver, records)
        if self._faults.strikes("deliver_twice"):
            self._pipes[topic].put(self._deliver, records)

    def _latency_s(self, topic: str) -> Callable[[], float]:
        def latency_s() -> float:
            stalled_s = self._faults.parameter("stall_topic", topic)
            return self._chance.uniform(0.0002, 0.003) + self._chance.uniform(0, stalled_s)

        return latency_s

    def _deliver(self, records: Sequence[Record]) -> None:
        self._loop.create_task(self._hand_on(records))

    async def _hand_on(self, records: Sequence[Record]) -> None:
        await self._on_records(records)
