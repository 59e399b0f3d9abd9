"""Every setting of every client and connection, and why: what no test names, nobody misses when it is gone.

A default is somebody else's and changes with a release, so a client's settings are compared as a whole.
"""

import ast
import inspect
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import connect as websockets_connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from unrip.bus import kafka_asking, kafka_consumer, kafka_producer, kafka_watch
from unrip.bus.kafka_admin import wanted_settings
from unrip.bus.settings import client_settings, consumer_settings, producer_settings
from unrip.cli.client import ControlClient
from unrip.frame.settings import Settings
from unrip.local import kafka as local_kafka
from unrip.local import ports
from unrip.local import postgres as local_postgres
from unrip.messages.topics import TOPICS
from unrip.net import websocket
from unrip.net.arrival import ArrivalConnection
from unrip.net.http import HttpClient
from unrip.store import locks, migrate, queries, watch
from unrip.store.connection import Database, Sessions, connect
from unrip.store.errors import StoreUnavailable
from unrip.store.history import PostgresHistory
from unrip.store.postgres_ledger import PostgresLedger

SOURCE = Path(__file__).parents[2] / "src" / "unrip"
BROKER, URL = "127.0.0.1:9", "postgresql://nobody@127.0.0.1:9/nothing"

# --- who connects --------------------------------------------------------------------------------------------------

#: Calls that open a connection or make a client, by the last name of what is called.
_OPENING = {
    "AdminClient",
    "AsyncClient",
    "Client",
    "ConfluentConsumer",
    "ConfluentProducer",
    "_Direct",
    "connect",
    "create_connection",
    "create_pool",
    "get",
    "get_backend",
    "open_connection",
    "open_unix_connection",
    "urlopen",
}
#: Of `connect` and `get`, the ones of these libraries.
_LIBRARIES = {"asyncpg", "psycopg", "httpx", "aiohttp", "requests", "yoyo", "socket", "asyncio"}


def opened() -> Iterator[str]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            library = getattr(getattr(function, "value", None), "id", "")
            by_library = isinstance(function, ast.Attribute)
            if name in _OPENING and (library in _LIBRARIES if by_library else name not in {"connect", "get"}):
                yield f"{path.relative_to(SOURCE)}: {library + '.' if library else ''}{name}"


def test_no_client_is_made_whose_settings_this_file_does_not_name() -> None:
    assert sorted(opened()) == [
        "bus/kafka_asking.py: AdminClient",
        "bus/kafka_consumer.py: ConfluentConsumer",
        "bus/kafka_consumer.py: ConfluentConsumer",
        "bus/kafka_producer.py: ConfluentProducer",
        "bus/kafka_producer.py: ConfluentProducer",
        "bus/kafka_watch.py: AdminClient",
        "cli/client.py: httpx.Client",
        "local/kafka.py: AdminClient",
        "local/ports.py: httpx.get",
        "local/ports.py: socket.create_connection",
        "local/postgres.py: open_connection",
        "net/http.py: httpx.AsyncClient",
        "net/websocket.py: _Direct",
        "store/connection.py: asyncpg.connect",
        "store/connection.py: asyncpg.create_pool",
        "store/connection.py: open_connection",
        "store/connection.py: open_connection",
        # Migrations run for as long as they run, one at a time, on the operator's word or before anything starts.
        "store/migrate.py: psycopg.connect",
        "store/migrate.py: yoyo.get_backend",
    ]


# --- Kafka ---------------------------------------------------------------------------------------------------------

OF_ALL = {
    "bootstrap.servers": BROKER,
    "client.id": "unrip",
    # Found on a machine without a network, too.
    "broker.address.family": "any",
    # A quote waits for no further bytes.
    "socket.nagle.disable": True,
    # Who holds the connection and says nothing is gone, in time for the delivery timeout to mean something.
    "socket.timeout.ms": 10_000,
    "socket.connection.setup.timeout.ms": 5_000,
    # Back within half a second of the broker.
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    # Whom a stopping broker told that there is none, asks the known addresses again, and soon.
    "metadata.recovery.rebootstrap.trigger.ms": 2_000,
    # stderr is no structured log.
    "log_level": 2,
}
OF_THE_PRODUCER = OF_ALL | {
    # A retry neither repeats a command nor overtakes the one before it.
    "enable.idempotence": True,
    # Acknowledged means that every replica in sync has it: what we act on is not lost with one broker.
    "acks": "all",
    "linger.ms": 0,
    # Its end is told to who waits for the record, so it is the operator's to set.
    "delivery.timeout.ms": 1_234,
    "retry.backoff.ms": 50,
    # Bounds of what waits for a broker that is away.
    "queue.buffering.max.messages": 20_000,
    "queue.buffering.max.kbytes": 65_536,
}
OF_THE_CONSUMER = OF_ALL | {
    "group.id": "unrip-without-group",
    # Positions are kept with what was done about the records, never beside it.
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # A position that is no longer there is a loss with a name; a jump would skip commands or repeat them.
    "auto.offset.reset": "error",
    # A demand is handed over as it comes.
    "fetch.wait.max.ms": 100,
    "fetch.min.bytes": 1,
    "fetch.error.backoff.ms": 50,
    "queued.max.messages.kbytes": 16_384,
}


def test_kafkas_settings() -> None:
    assert client_settings(BROKER) == OF_ALL
    assert producer_settings(BROKER, delivery_timeout_ms=1_234) == OF_THE_PRODUCER
    assert consumer_settings(BROKER) == OF_THE_CONSUMER


async def test_every_kafka_client_is_made_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, dict[str, Any]]] = []

    class Made(Exception):  # noqa: N818 - nothing is asked of a client that was only made
        pass

    def spied(kind: str) -> Any:
        def make(settings: dict[str, Any], **_others: Any) -> None:
            made.append((kind, settings))
            raise Made

        return make

    for module in (kafka_asking, kafka_watch, local_kafka):
        monkeypatch.setattr(module, "AdminClient", spied("admin"))
    monkeypatch.setattr(kafka_producer, "ConfluentProducer", spied("producer"))
    for make in (
        kafka_asking.Asking(BROKER).client,
        lambda: kafka_watch.BrokerWatch(BROKER, lambda _up, _reason: None),
        lambda: kafka_producer.KafkaProducer(BROKER, delivery_timeout_ms=1_234),
        lambda: local_kafka.serves_metadata(BROKER),
    ):
        with pytest.raises(Made):
            make()
    for name in ("KafkaAdmin", "TopicCheck"):
        monkeypatch.setattr(kafka_consumer, name, lambda _bootstrap, **_options: None)
    monkeypatch.setattr(kafka_consumer, "ConfluentConsumer", spied("consumer"))
    with pytest.raises(Made):
        kafka_consumer.KafkaConsumer(BROKER, on_records=lambda _: None, on_topic_lost=lambda *_: None)  # type: ignore[arg-type, return-value]
    admin = ("admin", OF_ALL)
    assert made == [admin, admin, ("producer", OF_THE_PRODUCER), admin, ("consumer", OF_THE_CONSUMER)]


def test_the_settings_of_topics() -> None:
    for topic in TOPICS.values():
        assert wanted_settings(topic, replication_factor=1) == {
            "retention.ms": str(topic.retention_ms),
            "cleanup.policy": "compact,delete" if topic.compacted else "delete",
            "min.insync.replicas": "1",
        }
        # With three replicas one may be away and two must have the record.
        assert wanted_settings(topic, replication_factor=3)["min.insync.replicas"] == "2"


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def of_a_session(application: str, statement_timeout_ms: int) -> dict[str, str]:
    return {
        "application_name": f"unrip {application}",
        "statement_timeout": str(statement_timeout_ms),
        "timezone": "UTC",
        # Who is gone without a word loses its locks within seconds.
        "tcp_keepalives_idle": "3",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        # A claim that is acknowledged is on the disk before its offer is sent, whatever the server's default says.
        "synchronous_commit": "on",
        # A server that ends idle sessions within a second would end each of ours between two questions.
        "idle_session_timeout": "0",
    }


class Asked(Database):
    """A database that nobody reaches, and how each session was asked for."""

    def __init__(self) -> None:
        super().__init__(URL)
        self.options: list[dict[str, Any]] = []

    async def open(self, **options: Any) -> asyncpg.Connection:
        given = ("timeout", "command_timeout", "server_settings")
        self.options.append({name: options.get(name) for name in given})
        raise StoreUnavailable("nobody there")


#: Where a pool's caller waits no longer than this past the server's own bound, and connecting takes three seconds.
def pooled(application: str, statement_timeout_ms: int, instance: str = "") -> dict[str, Any]:
    return {
        "timeout": 3.0,
        "command_timeout": statement_timeout_ms / 1_000 + 1,
        "server_settings": {**of_a_session(application, statement_timeout_ms), "unrip.instance": instance},
    }


def direct(application: str, statement_timeout_ms: int) -> dict[str, Any]:
    """Each statement of such a session names its own bound on our side."""
    settings = of_a_session(application, statement_timeout_ms)
    return {"timeout": 3.0, "command_timeout": None, "server_settings": settings}


async def test_every_session_is_asked_for_with_them() -> None:
    database = Asked()
    for question in (
        Sessions(database, application="a", size=1, statement_timeout_ms=700).fetch("asking", "SELECT 1"),
        Sessions(database, application="a", size=1, instance="one").fetch("asking", "SELECT 1"),
        connect(database, application="b", statement_timeout_ms=700),
        connect(database, application="b"),
    ):
        with pytest.raises(StoreUnavailable):
            await question
    assert database.options == [pooled("a", 700), pooled("a", 5_000, "one"), direct("b", 700), direct("b", 5_000)]


def sessions() -> Iterator[str]:
    """Who asks for sessions, with what it says about them."""
    for path in sorted((SOURCE / "store").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Sessions", "connect"}:
                told = [f"{each.arg}={ast.unparse(each.value)}" for each in node.keywords]
                yield f"{path.name}: {', '.join(told)}"


def test_who_asks_for_sessions_and_how() -> None:
    """One session writes in order; claims and notes of the executor go side by side. Five seconds is the default."""
    assert sorted(sessions()) == [
        "books.py: application='books', size=1",
        "first_start.py: application='first start'",
        # Batches of a whole backlog; more than the ledger's, where an offer's deadline waits for the answer.
        "history.py: application='history writer', size=1, statement_timeout_ms=statement_timeout_ms",
        "leases.py: application='leases', size=1",
        "locks.py: application=f'lock of {self._role}'",
        "postgres_ledger.py: application='ledger', size=_CONNECTIONS, statement_timeout_ms=statement_timeout_ms,"
        " instance=writer",
        # An operator's search over everything may take half a minute.
        "queries.py: application='queries', statement_timeout_ms=_STATEMENT_TIMEOUT_MS",
        "strategy.py: application='strategy', size=1",
        "watch.py: application='watch'",
    ]
    bounds = [
        inspect.signature(each).parameters["statement_timeout_ms"].default for each in (PostgresLedger, PostgresHistory)
    ]
    assert (bounds, Settings().postgres.statement_timeout_ms) == ([2_000, 5_000], 2_000)
    assert queries._STATEMENT_TIMEOUT_MS == 30_000
    # A lock or a watch that is asked every half second and not answered within one is not there.
    assert (locks._QUESTION_TIMEOUT_S, watch._QUESTION_TIMEOUT_S) == (1.0, 1.0)
    assert (locks._INTERVAL_S, watch._INTERVAL_S) == (0.5, 0.5)


async def test_what_a_probe_and_a_migration_ask_of_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    async def refuse(_url: str, **options: Any) -> None:
        asked.append(options)
        raise StoreUnavailable("nobody there")

    monkeypatch.setattr(local_postgres, "open_connection", refuse)
    assert not await local_postgres.answers_query(URL)
    assert asked == [{"timeout": local_postgres._CONNECT_TIMEOUT_S}]
    assert (migrate._CONNECT_TIMEOUT_S, migrate._WAIT_FOR_OTHERS_S > 0) == (3, True)
    ours, own = (
        parse_qs(urlsplit(migrate._driver_url(URL + options, {"host": "h", "port": 1})).query)
        for options in ("", "?application_name=x&connect_timeout=9")
    )
    assert (ours["connect_timeout"], own["connect_timeout"], own["application_name"]) == (["3"], ["9"], ["x"])


# --- sockets and HTTP ----------------------------------------------------------------------------------------------


async def test_a_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    class Direct:
        def __init__(self, url: str, **options: Any) -> None:
            asked.append((url, options))

        def __await__(self) -> Any:
            yield from ()
            return opened

    opened = object.__new__(ArrivalConnection)
    assert issubclass(websocket._Direct, websockets_connect)
    monkeypatch.setattr(websocket, "_Direct", Direct)
    assert await websocket.open_websocket("ws://relay", {"Authorization": "Bearer x"}) is opened
    ((url, options),) = asked
    # The library would write the token at DEBUG.
    assert options.pop("logger").level == logging.CRITICAL
    assert (url, options) == (
        "ws://relay",
        {
            "additional_headers": {"Authorization": "Bearer x"},
            # Frames are small and we are racing.
            "compression": None,
            # No environment variable decides where signed bytes go.
            "proxy": None,
            "open_timeout": 10.0,
            # A half-open connection is found within ten seconds: the sum of both.
            "ping_interval": 5.0,
            "ping_timeout": 5.0,
            "close_timeout": 1.0,
            "max_size": 4 * 1024 * 1024,
            "max_queue": 1_024,
            # It knows when a frame arrived, however long nobody took it.
            "create_connection": ArrivalConnection,
        },
    )


async def test_http_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def spied(kind: str) -> Any:
        def note(*arguments: Any, **options: Any) -> httpx.Response:
            asked.append((kind, {"arguments": arguments, **options}))
            return httpx.Response(200)

        return note

    monkeypatch.setattr(httpx, "AsyncClient", spied("service"))
    HttpClient(name="near_rpc", count=lambda *_: None, total_timeout_s=4.0)
    monkeypatch.setattr(httpx, "Client", spied("operator"))
    ControlClient(Settings())
    monkeypatch.setattr(httpx, "get", spied("probe"))
    assert ports.answers_yes("http://127.0.0.1:9/readyz")
    (_, service), (_, operator), (_, probe) = asked
    # No environment variable decides where a request or a token goes; redirects are off where nobody turns them on.
    assert service == {
        "arguments": (),
        "transport": None,
        "timeout": httpx.Timeout(4.0, connect=3.0),
        "headers": {"Accept": "application/json", "User-Agent": "unrip"},
        "trust_env": False,
    }
    verify, limits = operator.pop("verify"), operator.pop("limits")
    assert operator == {"arguments": (), "timeout": httpx.Timeout(20.0, connect=2.0), "trust_env": False}
    assert isinstance(verify, ssl.SSLContext)
    # A service may have restarted between two calls.
    assert limits == httpx.Limits(max_keepalive_connections=0)
    assert probe == {"arguments": ("http://127.0.0.1:9/readyz",), "timeout": 1.0, "trust_env": False}


def test_no_redirect_is_followed() -> None:
    for client in (httpx.AsyncClient(trust_env=False), httpx.Client(trust_env=False, verify=False)):  # noqa: S501
        assert not client.follow_redirects
    refused = InvalidStatus(websockets_response())
    assert websocket._Direct("ws://relay").process_redirect(refused) is refused


def websockets_response() -> Response:
    return Response(302, "Found", Headers({"Location": "ws://elsewhere"}))
