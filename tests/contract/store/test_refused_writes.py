"""A database that answers and refuses writes, or lets nobody in: named, and over by itself."""

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psycopg
import pytest

from support.buses import eventually
from support.ledgers import ACCOUNT
from support.servers import Servers
from unrip.store.connection import Database, Sessions
from unrip.store.errors import Away, StoreRefused, StoreUnavailable
from unrip.store.locks import STANDBY, SingleActiveLock
from unrip.store.migrate import apply
from unrip.store.postgres_ledger import PostgresLedger
from unrip.store.watch import DatabaseWatch

pytestmark = pytest.mark.servers

WRITE = "INSERT INTO desk.pulse VALUES ('test', now()) ON CONFLICT DO NOTHING"


@pytest.fixture(scope="module")
def migrated(servers: Servers) -> str:
    url = servers.create_database("refused_writes")
    asyncio.run(apply(url))
    return url


@pytest.fixture
def url(migrated: str) -> Iterator[str]:
    yield migrated
    do(migrated, "ALTER DATABASE refused_writes RESET ALL")
    end_sessions(migrated)


@pytest.fixture
def role() -> str:
    """One that nobody else wants."""
    return uuid.uuid4().hex


def do(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        for statement in statements:
            connection.execute(statement)


def end_sessions(url: str) -> None:
    do(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def read_only(url: str) -> None:
    """As after a fail-over: sessions that are made from now on only read."""
    do(url, "ALTER DATABASE refused_writes SET default_transaction_read_only = on")


def writable(url: str) -> None:
    do(url, "ALTER DATABASE refused_writes SET default_transaction_read_only = off")


def changes(roles: list[tuple[bool, int | None]]) -> Callable[[bool, int | None], None]:
    """A holder says again and again that he is one; only what is new goes on the list."""

    def told(active: bool, generation: int | None) -> None:
        if roles[-1:] != [(active, generation)]:
            roles.append((active, generation))

    return told


@contextlib.asynccontextmanager
async def running(*works: object):  # type: ignore[no-untyped-def]
    tasks = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_watch_names_the_refusal_and_heals_by_a_new_session(url: str) -> None:
    answers: list[tuple[bool, str]] = []
    changes: list[bool] = []
    watch = DatabaseWatch(
        url,
        on_change=lambda up, _: changes.append(up),
        on_answer=lambda up, reason: answers.append((up, reason)),
        schema="ledger",
        service="test",
    )
    async with running(watch.run()):
        await eventually(lambda: changes == [True])
        read_only(url)
        end_sessions(url)
        await eventually(lambda: not answers[-1][0] and "refuses writes" in answers[-1][1])
        writable(url)
        await eventually(lambda: changes == [True, False, True])


async def test_a_pool_that_was_refused_a_write_makes_new_sessions(url: str) -> None:
    sessions = Sessions(url, application="test", size=2)
    read_only(url)
    with pytest.raises(StoreUnavailable, match="refuses writes") as caught:
        await sessions.fetch("writing", WRITE)
    assert caught.value.away is Away.READ_ONLY
    writable(url)  # the sessions that the pool has would go on refusing
    await sessions.fetch("writing", WRITE)
    sessions.give_back()


async def test_a_role_that_cannot_be_recorded_is_no_standby_and_is_had_as_soon_as_writes_are_taken(
    url: str, role: str
) -> None:
    roles: list[tuple[bool, int | None]] = []
    why_not: list[str] = []
    lock = SingleActiveLock(url, role=role, instance="one", on_change=changes(roles), on_why_not=why_not.append)
    read_only(url)
    async with running(lock.run()):
        await eventually(lambda: roles == [(False, None)] and "refuses writes" in why_not[-1])
        writable(url)
        await eventually(lambda: roles == [(False, None), (True, 1)])
    assert STANDBY not in why_not


async def test_standby_is_who_waits_for_another_instance(url: str, role: str) -> None:
    why_not: list[str] = []
    one = SingleActiveLock(url, role=role, instance="one", on_change=lambda *_: None)
    two = SingleActiveLock(url, role=role, instance="two", on_change=lambda *_: None, on_why_not=why_not.append)
    async with running(one.run()):
        await asyncio.sleep(0.3)
        async with running(two.run()):
            await eventually(lambda: why_not[-1:] == [STANDBY])


async def test_an_own_session_that_the_server_still_keeps_is_no_standby(url: str, role: str) -> None:
    why_not: list[str] = []
    lost = SingleActiveLock(url, role=role, instance="one", on_change=lambda *_: None)
    again = SingleActiveLock(url, role=role, instance="one", on_change=lambda *_: None, on_why_not=why_not.append)
    async with running(lost.run()):
        await asyncio.sleep(0.3)
        async with running(again.run()):
            await eventually(lambda: "a session of ours" in "".join(why_not[-1:]))


async def test_a_role_is_not_taken_back_before_writes_are_taken(url: str, role: str) -> None:
    roles: list[tuple[bool, int | None]] = []
    why_not: list[str] = []
    lock = SingleActiveLock(url, role=role, instance="one", on_change=changes(roles), on_why_not=why_not.append)
    async with running(lock.run()):
        await eventually(lambda: roles == [(True, 1)])
        read_only(url)
        end_sessions(url)
        await eventually(lambda: len([why for why in why_not if "refuses writes" in why]) >= 2)
        assert roles == [(True, 1), (False, None)]
        writable(url)
        await eventually(lambda: roles == [(True, 1), (False, None), (True, 1)])


async def test_a_holder_whose_database_refuses_writes_gives_the_role_up_and_keeps_its_number(
    url: str, role: str
) -> None:
    roles: list[tuple[bool, int | None]] = []
    lock = SingleActiveLock(url, role=role, instance="one", on_change=changes(roles))
    async with running(lock.run()):
        await eventually(lambda: roles == [(True, 1)])
        do(url, "ALTER TABLE desk.generation RENAME TO generation_away")
        await eventually(lambda: roles == [(True, 1), (False, None)])
        do(url, "ALTER TABLE desk.generation_away RENAME TO generation")
        await eventually(lambda: roles == [(True, 1), (False, None), (True, 1)])


async def test_a_role_that_is_left_is_free_for_another_and_wanted_again_later(url: str, role: str) -> None:
    roles: list[tuple[bool, int | None]] = []
    lock = SingleActiveLock(url, role=role, instance="one", on_change=changes(roles))
    async with running(lock.run()):
        await eventually(lambda: roles == [(True, 1)])
        lock.leave(for_s=1)
        await eventually(lambda: roles == [(True, 1), (False, None)])
        await eventually(lambda: roles == [(True, 1), (False, None), (True, 1)])


async def test_a_rotated_password_is_named_and_read_again_for_each_session(servers: Servers, url: str) -> None:
    parts = urlsplit(url)
    do(servers.postgres_url, "DROP ROLE IF EXISTS rotated", "CREATE ROLE rotated SUPERUSER LOGIN PASSWORD 'first'")
    addresses = {
        word: urlunsplit(parts._replace(netloc=f"rotated:{word}@{parts.hostname}:{parts.port}"))
        for word in ("first", "second")
    }
    file = [addresses["first"]]
    sessions = Sessions(Database(lambda: file[0]), application="test", size=1)
    await sessions.fetch("writing", WRITE)
    do(servers.postgres_url, "ALTER ROLE rotated PASSWORD 'second'")
    end_sessions(url)
    with pytest.raises(StoreUnavailable):
        await sessions.fetch("writing", WRITE)
    with pytest.raises(StoreUnavailable, match=r"does not let us in .*password") as caught:
        await sessions.fetch("writing", WRITE)
    assert "first" not in str(caught.value)
    file[0] = "postgresql://rotated:second@127.0.0.1:1/unrip?sslmode=second"
    with pytest.raises(StoreUnavailable, match="the database URL cannot be used") as caught:
        await sessions.fetch("writing", WRITE)
    assert "second" not in str(caught.value)
    file[0] = addresses["second"]
    await sessions.fetch("writing", WRITE)
    sessions.give_back()
    do(servers.postgres_url, "DROP ROLE rotated")


async def test_every_new_session_is_judged_before_it_is_used(url: str) -> None:
    judged: list[int] = []

    async def judge(connection: asyncpg.Connection) -> None:
        judged.append(await connection.fetchval("SELECT 1"))
        if len(judged) > 1:
            raise StoreUnavailable("this is another database")

    sessions = Sessions(Database(url, judge=judge), application="test", size=1)
    await sessions.fetch("writing", WRITE)
    await sessions.fetch("writing", WRITE)
    assert judged == [1]
    end_sessions(url)
    with pytest.raises(StoreUnavailable):
        await sessions.fetch("writing", WRITE)
    with pytest.raises(StoreUnavailable, match="this is another database"):
        await sessions.fetch("writing", WRITE)
    sessions.give_back()


@pytest.mark.parametrize(
    ("state", "expected"), [("53100", StoreUnavailable), ("55P03", StoreUnavailable), ("23514", StoreRefused)]
)
async def test_the_ledger_calls_a_full_disk_away_and_a_broken_promise_refused(
    url: str, state: str, expected: type[Exception]
) -> None:
    do(
        url,
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '{state}'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON ledger.inventory FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    ledger = PostgresLedger(url)
    with pytest.raises(expected, match="no space"):
        await ledger.apply_reading(ACCOUNT, height=1, credited={"a": 1}, endings=[])  # type: ignore[dict-item]
    do(url, "DROP TRIGGER refuse ON ledger.inventory")
    await ledger.apply_reading(ACCOUNT, height=1, credited={"a": 1}, endings=[])  # type: ignore[dict-item]
    await ledger.close()
