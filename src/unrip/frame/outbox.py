"""The outbox's publisher: events that are committed reach Kafka at least once, those of a key in their order.

A row that the broker does not take holds up the later rows of its own key, and no others; it is named until it is
taken (`troubles`), and tried again and again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from unrip.frame.contract import Publish
from unrip.frame.publisher import Delivery
from unrip.messages.codec import record_key
from unrip.messages.topics import TOPICS
from unrip.store.errors import StoreUnavailable
from unrip.store.outbox import Outbox, OutboxRow

#: How many rows are published together before they are marked.
BATCH_MAX = 100
#: How often the outbox is looked at without a wake-up: what an earlier life left, and what failed, goes out.
_LOOK_S = 1.0
_ACK_BOUND_S = 15.0
#: How many rows are named one by one; a readiness with thousands of reasons names none.
_NAMED_MAX = 3

#: What waits in one queue: the rows of a topic that have one key.
Line = tuple[str, str]


class OutboxPublisher:
    """Publishes committed events and marks them; a crash in between publishes again under the same ids."""

    def __init__(
        self,
        outbox: Outbox,
        produce: Callable[[Publish, Delivery], None],
        *,
        named: str,
        count: Callable[[str, dict[str, str]], None] = lambda _name, _labels: None,
    ) -> None:
        """`named` is the owner's name for a row that does not go out, put before its key."""
        self._outbox = outbox
        self._produce = produce
        self._named = named
        self._count = count
        self._wake = asyncio.Event()
        #: What the last look found: topic and key, or a row that cannot be read, with the reason why it stays.
        self._stuck: dict[Line, str] = {}

    def wake(self) -> None:
        """Look at the outbox: something was committed."""
        self._wake.set()

    def troubles(self) -> dict[str, str]:
        """Events that the broker does not take, by their key, with its error text."""
        named = {f"{self._named}: {which}": why for (_, which), why in list(self._stuck.items())[:_NAMED_MAX]}
        if (more := len(self._stuck) - len(named)) > 0:
            named[f"{self._named}: {more} more"] = "see the first ones"
        return named

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            await self.publish_all()

    async def publish_all(self) -> None:
        """Publish everything that waits; stop where the broker does not answer, since it takes no other row either."""
        stuck: dict[Line, str] = {}
        after = 0
        try:
            while rows := await self._outbox.unpublished(BATCH_MAX, after=after):
                began = asyncio.get_running_loop().time()
                published = await self._publish(rows, stuck)
                await self._outbox.mark_published(published)
                after = rows[-1].seq
                if not published and asyncio.get_running_loop().time() - began > _LOOK_S:
                    break
            stuck |= {("", f"row {seq}"): why for seq, why in (await self._outbox.unreadable()).items()}
        except StoreUnavailable:
            return
        self._stuck = stuck

    async def _publish(self, rows: list[OutboxRow], stuck: dict[Line, str]) -> list[int]:
        """The sequence numbers of the rows that were acknowledged; of each key only one is under way at a time."""
        waiting: dict[Line, deque[OutboxRow]] = {}
        for row in rows:
            waiting.setdefault(_line_of(row), deque()).append(row)
        published: list[int] = []
        while heads := {line: queue[0] for line, queue in waiting.items() if queue and line not in stuck}:
            answers = await asyncio.gather(*map(self._send, heads.values()))
            for (line, row), refusal in zip(heads.items(), answers, strict=True):
                self._count("outbox_rows", {"outcome": "published" if refusal is None else "refused"})
                if refusal is None:
                    published.append(row.seq)
                    waiting[line].popleft()
                else:
                    stuck[line] = refusal
        return published

    async def _send(self, row: OutboxRow) -> str | None:
        """Send a row: None when the broker has acknowledged it, else why not."""
        try:
            return await asyncio.wait_for(self._start(row), _ACK_BOUND_S)
        except TimeoutError:
            return "it was not acknowledged in time"

    def _start(self, row: OutboxRow) -> asyncio.Future[str | None]:
        acknowledged: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def delivered(offset: int | None, error: str | None) -> None:
            if not acknowledged.done():
                acknowledged.set_result(None if offset is not None else error or "it was not acknowledged")

        event = row.event
        self._produce(
            Publish(
                topic=TOPICS[event.topic],
                event_id=event.event_id,
                payload=event.payload,
                occurred_at=event.occurred_at,
                observed_at=event.observed_at,
                correlation_id=event.correlation_id,
                causation_id=event.causation_id,
                venue=event.venue,
                pair=event.pair,
                stages=event.stages,
            ),
            delivered,
        )
        return acknowledged


def _line_of(row: OutboxRow) -> Line:
    return row.event.topic, record_key(TOPICS[row.event.topic], row.event.payload)
