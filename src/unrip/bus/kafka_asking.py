"""An admin client that is replaced when it holds on to what it once believed."""

from __future__ import annotations

import time

from confluent_kafka.admin import AdminClient

from unrip.bus.settings import CLIENT_ID, REQUEST_TIMEOUT_S, client_settings

#: How long a client has to reach a slow broker before it may be replaced; what it was asked before has ended by then.
RENEW_AFTER_S = REQUEST_TIMEOUT_S


class Asking:
    """Gives the client to ask with; after a question that failed, a client that is not new is replaced.

    A broker that is stopping may answer that there are no brokers. A client that has received this waits for a
    controller and asks nobody who it is, for as long as we have waited (librdkafka 2.16).
    """

    def __init__(self, bootstrap: str, *, client_id: str = CLIENT_ID) -> None:
        self._settings = client_settings(bootstrap, client_id=client_id)
        self._client: AdminClient | None = None
        self._made_at_s = 0.0
        #: The client before: its open questions end by their own timeout, not because it is closed.
        self._retired: AdminClient | None = None

    def client(self) -> AdminClient:
        """The client for the next question."""
        if self._client is None:
            self._client, self._made_at_s = AdminClient(self._settings), time.monotonic()
        return self._client

    def failed(self) -> None:
        """Note that nobody answered, or not as they should."""
        if time.monotonic() - self._made_at_s >= RENEW_AFTER_S:
            self._retired, self._client = self._client or self._retired, None
