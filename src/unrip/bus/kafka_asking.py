"""An admin client that does not stay with what it once believed."""

from __future__ import annotations

import time

from confluent_kafka.admin import AdminClient

from unrip.bus.settings import CLIENT_ID, REQUEST_TIMEOUT_S, client_settings

#: A client that has lived for so long has had its chance to reach a slow broker; what it was asked before has ended.
RENEW_AFTER_S = REQUEST_TIMEOUT_S


class Asking:
    """Gives the client to ask with; where a question of one that is not new fails, the next is another client's.

    A broker that is stopping may say that there are no brokers. A client that has heard this waits for a controller
    and asks nobody who it is, for as long as we have waited (librdkafka 2.16).
    """

    def __init__(self, bootstrap: str, *, client_id: str = CLIENT_ID) -> None:
        self._settings = client_settings(bootstrap, client_id=client_id)
        self._client: AdminClient | None = None
        self._made_at_s = 0.0
        #: The one before: what it is still asked ends by its own timeout, not by its end.
        self._retired: AdminClient | None = None

    def client(self) -> AdminClient:
        """The client for the next question."""
        if self._client is None:
            self._client, self._made_at_s = AdminClient(self._settings), time.monotonic()
        return self._client

    def failed(self) -> None:
        """Nobody answered, or not as they should."""
        if time.monotonic() - self._made_at_s >= RENEW_AFTER_S:
            self._retired, self._client = self._client or self._retired, None
