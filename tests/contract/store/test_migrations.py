"""Migrations: from nothing, again, two at a time, and what they say when they cannot."""

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from support.ports import free_ports
from support.servers import Servers
from unrip.store.connection import connect
from unrip.store.errors import StoreRefused, StoreUnavailable
from unrip.store.migrate import apply, pending

pytestmark = pytest.mark.servers


@pytest.fixture
def url(servers: Servers) -> str:
    return servers.create_database("migrations")


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_from_nothing_and_again(url: str) -> None:
    before = await pending(url)
    applied = await apply(url)
    assert applied == before
    assert applied[:2] == ["0001.desk", "0002.ledger"]
    assert await pending(url) == []
    assert await apply(url) == []


async def test_two_at_a_time_apply_each_migration_once(url: str) -> None:
    one, other = await asyncio.gather(apply(url), apply(url))
    assert not (one and other)
    assert await pending(url) == []


async def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    await run(url, "CREATE SCHEMA ledger")  # somebody else's
    with pytest.raises(StoreRefused, match="ledger"):
        await apply(url)
    assert "0002.ledger" in await pending(url)
    await run(url, "DROP SCHEMA ledger")
    await apply(url)
    assert await pending(url) == []


async def test_policies_cannot_be_changed_or_removed(url: str) -> None:
    await apply(url)
    await run(url, "INSERT INTO desk.policy (hash, body, actor, reason) VALUES ('h', '{}', 'a', 'r')")
    for change in ("UPDATE desk.policy SET actor = 'b'", "DELETE FROM desk.policy", "TRUNCATE desk.policy CASCADE"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await run(url, change)


@pytest.mark.parametrize("call", [apply, pending])
async def test_the_password_is_in_no_error(url: str, call: object) -> None:
    parts = urlsplit(url)
    wrong = urlunsplit(parts._replace(netloc=f"postgres:hunter2@{parts.hostname}:{parts.port}"))
    nobody = urlunsplit(parts._replace(netloc=f"postgres:hunter2@127.0.0.1:{free_ports(1)[0]}"))
    for bad in (wrong, nobody):
        with pytest.raises(StoreUnavailable) as caught:
            await call(bad)  # type: ignore[operator]
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


async def test_a_url_of_several_hosts_is_asked_where_somebody_answers(url: str) -> None:
    """The one that is away comes first; migrations and every later session go to the other."""
    (nobody,) = free_ports(1)
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    several = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{nobody},{host}"))
    assert await apply(several)
    assert await pending(several) == []
    connection = await connect(several, application="test")
    assert await connection.fetchval("SELECT count(*) FROM desk.policy") == 0
    await connection.close()
    named = urlunsplit(parts._replace(netloc=f"{user}@", query=f"host=127.0.0.1&port={parts.port}"))
    assert await pending(named) == []
