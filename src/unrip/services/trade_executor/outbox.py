"""The outbox's publisher: results that are committed reach Kafka at least once, in their order."""

from __future__ import annotations

import asyncio
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


class OutboxPublisher:
    """Publishes committed results and marks them; a crash in between publishes again under the same ids."""

    def __init__(self, ledger: Ledger, produce: Callable[[Publish, Delivery], None]) -> None:
        self._ledger = ledger
        self._produce = produce
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something was committed."""
        self._wake.set()

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
        """Publish everything that waits; stop at the first that the broker does not take."""
        try:
            while rows := await self._ledger.unpublished(BATCH_MAX):
                published = await self._publish(rows)
                await self._ledger.mark_published(published)
                if len(published) < len(rows):
                    return
        except StoreUnavailable:
            return

    async def _publish(self, rows: list[OutboxRow]) -> list[int]:
        """The sequence numbers of the rows that were acknowledged, up to the first that was not."""
        acknowledgements = [self._start(row) for row in rows]
        published: list[int] = []
        for row, acknowledgement in zip(rows, acknowledgements, strict=True):
            try:
                acknowledged = await asyncio.wait_for(acknowledgement, _ACK_BOUND_S)
            except TimeoutError:
                acknowledged = False
            if not acknowledged:
                break
            published.append(row.seq)
        return published

    def _start(self, row: OutboxRow) -> asyncio.Future[bool]:
        acknowledged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def delivered(offset: int | None, _error: str | None) -> None:
            if not acknowledged.done():
                acknowledged.set_result(offset is not None)

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
        return acknowledged
