"""The idempotent producer: confluent-kafka with one poll thread that hands deliveries back to the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as ConfluentProducer

from unrip.bus.ports import OnDelivery
from unrip.bus.settings import CLIENT_ID, producer_settings

#: How long one poll waits; deliveries wake it at once.
_POLL_S = 0.1


class KafkaProducer:
    """Sends records from the loop's thread; see `ports.Producer`.

    A client in a fatal state (for instance because the broker came back empty and knows its sequence no longer) is
    replaced: what it had not delivered is reported as failed, never sent again by itself.
    """

    def __init__(self, bootstrap: str, *, delivery_timeout_ms: int = 10_000, client_id: str = CLIENT_ID) -> None:
        self._settings = producer_settings(bootstrap, delivery_timeout_ms=delivery_timeout_ms, client_id=client_id)
        self._loop = asyncio.get_running_loop()
        self._client = ConfluentProducer(self._settings, error_cb=self._client_failed)
        self._fatal = threading.Event()
        self._closing = threading.Event()
        #: How many deliveries have not been reported; touched by the loop's thread only.
        self._outstanding = 0
        self._all_reported = asyncio.Event()
        self._all_reported.set()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    def produce(self, topic: str, key: str, value: bytes, on_delivery: OnDelivery) -> None:
        """Queue one record and return at once; `on_delivery` follows exactly once."""

        def delivered(error: KafkaError | None, message: Message) -> None:
            offset, reason = (message.offset(), None) if error is None else (None, error.str())
            # After the loop is closed nobody is left to be informed.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._report, on_delivery, offset, reason)

        self._outstanding += 1
        self._all_reported.clear()
        if self._closing.is_set():
            self._loop.call_soon(self._report, on_delivery, None, "the producer is closed")
            return
        try:
            self._client.produce(topic, value, key, partition=0, on_delivery=delivered)
        except BufferError:
            self._loop.call_soon(self._report, on_delivery, None, "the queue of unsent records is full")
        except KafkaException as error:
            self._loop.call_soon(self._report, on_delivery, None, error.args[0].str())

    async def flush(self, timeout_s: float) -> int:
        """Wait until every delivery has been reported; return how many have not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._all_reported.wait()
        return self._outstanding

    async def close(self, timeout_s: float) -> None:
        """Flush, report what is left as failed, and end the thread."""
        await self.flush(timeout_s)
        self._closing.set()
        await asyncio.to_thread(self._thread.join)
        await self.flush(timeout_s)

    def _report(self, on_delivery: OnDelivery, offset: int | None, reason: str | None) -> None:
        self._outstanding -= 1
        if self._outstanding == 0:
            self._all_reported.set()
        on_delivery(offset, reason)

    def _client_failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal.set()

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._client.poll(_POLL_S)
            if self._fatal.is_set():
                spent = self._client
                self._client = ConfluentProducer(self._settings, error_cb=self._client_failed)
                self._fatal.clear()
                _give_up(spent)
        _give_up(self._client)
        self._client.close()


def _give_up(client: ConfluentProducer) -> None:
    """Fail everything that is queued or under way, and serve the callbacks that report it."""
    client.purge(in_queue=True, in_flight=True, blocking=True)
    while len(client) and client.poll(_POLL_S):
        pass
