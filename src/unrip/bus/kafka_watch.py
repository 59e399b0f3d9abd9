"""Whether the broker is there: a cheap question twice a second, and the client's own reports in between."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from unrip.bus.kafka_errors import ALL_BROKERS_DOWN
from unrip.bus.ports import OnState
from unrip.bus.settings import CLIENT_ID, client_settings

_INTERVAL_S = 0.5
#: How long a broker may take for "who is there"; a slower one is of no use to a quote.
_PROBE_TIMEOUT_S = 1.0
#: The same bound for the client, which counts the time of each attempt.
_HOW_LONG = re.compile(r" \(after \d+ms in state [^)]*\)")


class BrokerWatch:
    """Calls `on_state(up, reason)` in the loop, once at the first answer and then at every change.

    `on_answer` is called with every answer: the reason for an outage changes while it lasts.
    """

    def __init__(
        self,
        bootstrap: str,
        on_state: OnState = lambda _up, _reason: None,
        *,
        on_answer: OnState = lambda _up, _reason: None,
        client_id: str = CLIENT_ID,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_state = on_state
        self._on_answer = on_answer
        self._up: bool | None = None
        #: The reason of the last attempt to reach a broker; that all of them are down explains less.
        self._last_error = ""
        #: What the client reports now is older than the answer that we have.
        self._overtaken = False
        self._settings = client_settings(bootstrap, client_id=client_id)
        self._client = self._new_client()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-watch", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End the watch."""
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._probe()
            # Waits, and serves the error callback meanwhile: a lost connection is reported at once.
            self._client.poll(_INTERVAL_S)

    def _probe(self) -> None:
        # Not `describe_cluster`: where a broker that is stopping answers it with no brokers, librdkafka 2.16 fails an
        # assertion (`rd_kafka_admin_response_parse`) and takes the process down with it.
        try:
            brokers = self._client.list_topics(timeout=_PROBE_TIMEOUT_S).brokers
        except KafkaException as error:
            self._report(up=False, reason=self._last_error or error.args[0].str())
        else:
            self._pass_over_what_is_older()
            self._last_error = ""
            self._report(up=bool(brokers), reason="the broker answers" if brokers else "no broker is left")
            if not brokers:  # a stopping broker answers so; the client would believe it and ask nobody any more
                self._client = self._new_client()

    def _new_client(self) -> AdminClient:
        return AdminClient(self._settings, error_cb=self._client_failed)

    def _pass_over_what_is_older(self) -> None:
        """Skip reports of failed attempts to connect from before the answer, which still wait in the queue."""
        self._overtaken = True
        self._client.poll(0)
        self._overtaken = False

    def _client_failed(self, error: KafkaError) -> None:
        if self._overtaken:
            return
        if error.code() == ALL_BROKERS_DOWN:
            self._report(up=False, reason=self._last_error or error.str())
        else:
            self._last_error = _HOW_LONG.sub("", error.str())

    def _report(self, *, up: bool, reason: str) -> None:
        changed, self._up = up != self._up, up
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be informed
            self._loop.call_soon_threadsafe(self._on_answer, up, reason)
            if changed:
                self._loop.call_soon_threadsafe(self._on_state, up, reason)
