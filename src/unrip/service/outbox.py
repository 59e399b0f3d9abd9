"""The outbox's publisher: results that are committed reach Kafka at least once, those of a command in their order.

A row that the broker does not take holds up the later rows of its own command, and no others; it is named until it is
taken (`troubles`), and tried again and again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from unrip.messages.topics import TRADE_RESULT
from unrip.service.contract import Publish
from unrip.service.publisher import Delivery
from unrip.store.errors import StoreUnavailable
from unrip.store.ledger import Ledger, OutboxRow

#: Rows published together before they are marked.
BATCH_MAX = 100
#: Without a wake-up the outbox is looked at this often: what an earlier life left, and what failed, goes out.
_LOOK_S = 1.0
_ACK_BOUND_S = 15.0
#: Rows that are named one by one; a readiness with thousands of reasons names none.
_NAMED_MAX = 3


class OutboxPublisher:
    """Publishes committed results and marks them; a crash in between publishes again under the same ids."""

    def __init__(
        self,
        ledger: Ledger,
        produce: Callable[[Publish, Delivery], None],
        *,
        count: Callable[[str, dict[str, str]], None] = lambda _name, _labels: None,
    ) -> None:
        self._ledger = ledger
        self._produce = produce
        self._count = count
        self._wake = asyncio.Event()
        #: What the last look found: command, or row that cannot be read, to why it stays.
        self._stuck: dict[str, str] = {}

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

    def troubles(self) -> dict[str, str]:
        """Results that the broker does not take, by their command, and its words."""
        named = {f"result_not_published: {which}": why for which, why in list(self._stuck.items())[:_NAMED_MAX]}
        if (more := len(self._stuck) - len(named)) > 0:
            named[f"result_not_published: {more} more"] = "see the first ones"
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
        """Publish everything that waits; stop where the broker says nothing, since it takes no other row either."""
        stuck: dict[str, str] = {}
        after = 0
        try:
            while rows := await self._ledger.unpublished(BATCH_MAX, after=after):
                began = asyncio.get_running_loop().time()
                published = await self._publish(rows, stuck)
                await self._ledger.mark_published(published)
                after = rows[-1].seq
                if not published and asyncio.get_running_loop().time() - began > _LOOK_S:
                    break
            stuck |= {f"row {seq}": why for seq, why in (await self._ledger.unreadable()).items()}
        except StoreUnavailable:
            return
        self._stuck = stuck

    async def _publish(self, rows: list[OutboxRow], stuck: dict[str, str]) -> list[int]:
        """The sequence numbers of the rows that were acknowledged; of each command only one is under way at a time."""
        waiting: dict[str, deque[OutboxRow]] = {}
        for row in rows:
            waiting.setdefault(row.event.result.command_id, deque()).append(row)
        published: list[int] = []
        while heads := {command: queue[0] for command, queue in waiting.items() if queue and command not in stuck}:
            answers = await asyncio.gather(*map(self._send, heads.values()))
            for (command, row), refusal in zip(heads.items(), answers, strict=True):
                self._count("outbox_rows", {"outcome": "published" if refusal is None else "refused"})
                if refusal is None:
                    published.append(row.seq)
                    waiting[command].popleft()
                else:
                    stuck[command] = refusal
        return published

    async def _send(self, row: OutboxRow) -> str | None:
        """None when the broker has acknowledged the row, else why not."""
        try:
            return await asyncio.wait_for(self._start(row), _ACK_BOUND_S)
        except TimeoutError:
            return "it was not acknowledged in time"

    def _start(self, row: OutboxRow) -> asyncio.Future[str | None]:
        told: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def delivered(offset: int | None, error: str | None) -> None:
            if not told.done():
                told.set_result(None if offset is not None else error or "it was not acknowledged")

        event = row.event
        self._produce(
            Publish(
                topic=TRADE_RESULT,
                event_id=event.event_id,
                payload=event.result,
                observed_at=event.observed_at,
                correlation_id=event.correlation_id,
                causation_id=event.causation_id,
                venue="near_intents",
                pair=event.result.pair,
                stages=event.stages,
            ),
            delivered,
        )
        return told
