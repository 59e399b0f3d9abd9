"""A database for each module, and both ledgers for the tests of what each of them promises."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from support.servers import Servers
from unrip.store.ledger import Ledger
from unrip.store.memory_ledger import MemoryLedger
from unrip.store.migrate import apply
from unrip.store.postgres_ledger import PostgresLedger


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest, servers: Servers) -> str:
    url = servers.create_database(request.module.__name__)
    asyncio.run(apply(url))
    return url


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest) -> str | None:
    """Of the database; None for the twin."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def ledger(url: str | None) -> AsyncIterator[Ledger]:
    if url is None:
        yield MemoryLedger(clock=lambda: datetime.now(UTC))
        return
    await empty(url)
    ledger = PostgresLedger(url)
    yield ledger
    assert await ledger.check_held() == []
    await ledger.close()


async def empty(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(
        "TRUNCATE ledger.inventory, ledger.hold, ledger.attempt, ledger.outbox, ledger.position, ledger.surroundings"
    )
    await connection.close()
