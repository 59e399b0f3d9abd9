"""An admin client that does not stay with what it once believed."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient

from unrip.bus.settings import client_settings


class Asking:
    """Gives the client to ask with; after a question that failed, the next one is a new client's.

    A broker that is stopping may say that there are no brokers. A client that has heard this waits for a controller
    and asks nobody who it is, for as long as we have waited (librdkafka 2.16).
    """

    def __init__(self, bootstrap: str) -> None:
        self._settings = client_settings(bootstrap)
        self._client: AdminClient | None = None

    def client(self) -> AdminClient:
        """The client for the next question."""
        self._client = self._client or AdminClient(self._settings)
        return self._client

    def failed(self) -> None:
        """Nobody answered, or not as they should."""
        self._client = None
