"""Everything that a service reaches beyond its process, each made in one place.

The simulation (`simulation/`) hands the same wirings a world in one process instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from unrip.bus.kafka_consumer import KafkaConsumer
from unrip.bus.ports import Consumer, OnRecords, OnTopicLost
from unrip.net.http import HttpClient
from unrip.net.websocket import Connection, open_websocket
from unrip.service.settings import Settings, SettingsError
from unrip.store.connection import Database
from unrip.store.desk import DeskStore, PostgresDesk
from unrip.store.errors import Away, StoreUnavailable
from unrip.store.history import HistorySink, PostgresHistory
from unrip.store.leases import LeaseStore, PostgresLeases
from unrip.store.ledger import Ledger
from unrip.store.postgres_ledger import PostgresLedger

#: Records of one batch.
BATCH_MAX = 500

Counter = Callable[[str, dict[str, str]], None]


class Outside(Protocol):
    """What the wirings build on."""

    async def connect(self, url: str, headers: dict[str, str]) -> Connection:
        """One WebSocket."""
        ...

    def http(self, name: str, *, count: Counter, total_timeout_s: float) -> HttpClient:
        """A client of one HTTP service."""
        ...

    def consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int = BATCH_MAX) -> Consumer:
        """A reader of topics."""
        ...

    def ledger(self) -> Ledger:
        """The executor's ledger."""
        ...

    def history(self, *, writer: str) -> HistorySink:
        """The record of every topic."""
        ...

    def desk(self) -> DeskStore:
        """What the strategy keeps: policies, and the day's fills."""
        ...

    def leases(self) -> LeaseStore:
        """The arm leases that survive a restart."""
        ...


class Network:
    """The outside of a real process: Kafka, PostgreSQL, sockets and HTTP, as the settings name them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        """Where PostgreSQL is; a URL that stands in a file is read again for each session.

        Raises:
            SettingsError: the settings name no database, or it cannot be read now.

        """
        if self._database is None:
            self._settings.postgres_url()  # at the start what cannot be read is told at once
            given = self._settings.postgres.url
            self._database = Database(given if given is not None else self._address_now)
        return self._database

    def _address_now(self) -> str:
        try:
            return self._settings.postgres_url()
        except SettingsError as error:
            raise StoreUnavailable(str(error), away=Away.AUTHORISATION) from None

    async def connect(self, url: str, headers: dict[str, str]) -> Connection:
        """One WebSocket."""
        return await open_websocket(url, headers)

    def http(self, name: str, *, count: Counter, total_timeout_s: float) -> HttpClient:
        """A client of one HTTP service."""
        return HttpClient(name=name, count=count, total_timeout_s=total_timeout_s)

    def consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int = BATCH_MAX) -> Consumer:
        """A reader of Kafka's topics."""
        bootstrap = self._settings.kafka.bootstrap
        return KafkaConsumer(bootstrap, on_records=on_records, on_topic_lost=on_topic_lost, batch_max=batch_max)

    def ledger(self) -> Ledger:
        """The ledger in PostgreSQL."""
        timeout_ms = self._settings.postgres.statement_timeout_ms
        return PostgresLedger(self.database, statement_timeout_ms=timeout_ms)

    def history(self, *, writer: str) -> HistorySink:
        """The history in PostgreSQL."""
        return PostgresHistory(self.database, writer=writer)

    def desk(self) -> DeskStore:
        """The strategy's store in PostgreSQL."""
        return PostgresDesk(self.database)

    def leases(self) -> LeaseStore:
        """The leases in PostgreSQL."""
        return PostgresLeases(self.database)
