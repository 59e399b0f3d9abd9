"""Everything that a service reaches beyond its process, each made in one place.

The simulation (`simulation/`) hands the same wirings a world in one process instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from unrip.bus.ports import Consumer, OnRecords, OnState, OnTopicLost, Producer, Watch
from unrip.frame.contract import Log
from unrip.frame.crashpoints import crash_point
from unrip.frame.desk_bus import desk_bus
from unrip.frame.logs import write_log
from unrip.frame.settings import Settings, SettingsError
from unrip.net.http import HttpClient
from unrip.net.uptime import uptime_s
from unrip.net.websocket import Connection, open_websocket
from unrip.store.books import BooksStore, PostgresBooks
from unrip.store.connection import Database
from unrip.store.errors import Away, StoreUnavailable
from unrip.store.history import HistorySink, PostgresHistory
from unrip.store.identity import Whereabouts
from unrip.store.leases import LeaseStore, PostgresLeases
from unrip.store.ledger import Ledger
from unrip.store.locks import OnRole, OnWhyNot, SingleActiveLock
from unrip.store.postgres_ledger import PostgresLedger
from unrip.store.strategy import PostgresStrategy, StrategyStore
from unrip.store.watch import DatabaseWatch

#: Records of one batch.
BATCH_MAX = 500

Counter = Callable[[str, dict[str, str]], None]


class Role(Protocol):
    """The lock of a role, as one instance uses it."""

    async def run(self) -> None:
        """Want it, until cancelled."""
        ...

    def leave(self, *, for_s: float) -> None:
        """Give it back, and want it again only after a while."""
        ...


class Adapters(Protocol):
    """Everything that the host and the wirings reach outside of the process."""

    def log(self, line: Log) -> None:
        """Write one line."""
        ...

    def crash_point(self, name: str) -> None:
        """Die here if a test wants it."""
        ...

    def uptime_s(self) -> float:
        """Seconds by a clock that nobody sets, to measure waiting with."""
        ...

    async def connect(self, url: str, headers: dict[str, str]) -> Connection:
        """One WebSocket."""
        ...

    def http(self, name: str, *, count: Counter, total_timeout_s: float) -> HttpClient:
        """A client of one HTTP service."""
        ...

    def consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int = BATCH_MAX) -> Consumer:
        """A reader of topics that waits for its handler."""
        ...

    def reader(self, on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
        """The reader of what the logic subscribes to; its handler takes a batch in at once."""
        ...

    def producer(self) -> Producer:
        """The writer of topics."""
        ...

    def watch_broker(self, on_state: OnState) -> Watch:
        """Report how the broker is, and every change."""
        ...

    async def watch_database(self, service: str, schema: str, on_state: OnState) -> None:
        """Tell again and again, until cancelled, whether PostgreSQL takes what this service writes to the schema."""
        ...

    def role(self, name: str, instance: str, on_role: OnRole, on_why_not: OnWhyNot) -> Role:
        """The lock of a role; every change is reported, and what stands in the way of it."""
        ...

    def ledger(self, *, writer: str) -> Ledger:
        """The executor's ledger, which this instance writes while it has the role."""
        ...

    def history(self, *, writer: str) -> HistorySink:
        """The record of every topic."""
        ...

    def strategy(self) -> StrategyStore:
        """What the strategy keeps: policies, and the day's fills."""
        ...

    def leases(self) -> LeaseStore:
        """The arm leases that survive a restart."""
        ...

    def books(self) -> BooksStore:
        """The books of inventory-sync."""
        ...


class RealAdapters:
    """The outside of a real process: Kafka, PostgreSQL, sockets and HTTP, as the settings name them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bus = desk_bus(settings)
        self._database: Database | None = None
        self._on_database: OnState | None = None

    @property
    def database(self) -> Database:
        """Where PostgreSQL is; a URL that stands in a file is read again for each session.

        Raises:
            SettingsError: the settings name no database, or it cannot be read now.

        """
        if self._database is None:
            self._settings.postgres_url()  # at the start a URL that cannot be read is reported at once
            given = self._settings.postgres.url
            judge = Whereabouts(self._on_other_database).judge
            self._database = Database(
                given if given is not None else self._address_now, judge=judge, desk=self._settings.desk.name
            )
        return self._database

    def _address_now(self) -> str:
        try:
            return self._settings.postgres_url()
        except SettingsError as error:
            raise StoreUnavailable(str(error), away=Away.AUTHORISATION) from None

    def _on_other_database(self, why: str) -> None:
        """Report that another database answers in the place of the one before."""
        for up in (False, True):
            if self._on_database is not None:
                self._on_database(up, why)

    def log(self, line: Log) -> None:
        """Write one line to standard output."""
        write_log(line)

    def crash_point(self, name: str) -> None:
        """Die here if the environment says so."""
        crash_point(name)

    def uptime_s(self) -> float:
        """By the machine's own clock."""
        return uptime_s()

    async def connect(self, url: str, headers: dict[str, str]) -> Connection:
        """One WebSocket."""
        return await open_websocket(url, headers)

    def http(self, name: str, *, count: Counter, total_timeout_s: float) -> HttpClient:
        """A client of one HTTP service."""
        return HttpClient(name=name, count=count, total_timeout_s=total_timeout_s)

    def consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int = BATCH_MAX) -> Consumer:
        """A reader of Kafka's topics."""
        return self._bus.consumer(on_records, on_topic_lost, batch_max=batch_max)

    def reader(self, on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
        """The reader of what the logic subscribes to."""
        return self.consumer(on_records, on_topic_lost)

    def producer(self) -> Producer:
        """The writer of Kafka's topics."""
        return self._bus.producer(delivery_timeout_ms=self._settings.kafka.delivery_timeout_ms)

    def watch_broker(self, on_state: OnState) -> Watch:
        """Report how Kafka is, and every change."""
        return self._bus.watch(on_state)

    async def watch_database(self, service: str, schema: str, on_state: OnState) -> None:
        """Tell whether PostgreSQL takes writes."""
        self._on_database = on_state
        await DatabaseWatch(self.database, on_answer=on_state, schema=schema, service=service).run()

    def role(self, name: str, instance: str, on_role: OnRole, on_why_not: OnWhyNot) -> Role:
        """The lock in PostgreSQL."""
        return SingleActiveLock(self.database, role=name, instance=instance, on_change=on_role, on_why_not=on_why_not)

    def ledger(self, *, writer: str) -> Ledger:
        """The ledger in PostgreSQL."""
        timeout_ms = self._settings.postgres.statement_timeout_ms
        return PostgresLedger(self.database, statement_timeout_ms=timeout_ms, writer=writer)

    def history(self, *, writer: str) -> HistorySink:
        """The history in PostgreSQL."""
        return PostgresHistory(self.database, writer=writer)

    def strategy(self) -> StrategyStore:
        """The strategy's store in PostgreSQL."""
        return PostgresStrategy(self.database)

    def leases(self) -> LeaseStore:
        """The leases in PostgreSQL."""
        return PostgresLeases(self.database)

    def books(self) -> BooksStore:
        """The books in PostgreSQL."""
        return PostgresBooks(self.database)
