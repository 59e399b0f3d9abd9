"""Leases that survive a restart: kept once, found by their token only, used a few times an hour. Both twins alike."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import msgspec
import pytest

from support.buses import eventually
from support.cases import BOTH, NOW
from support.proxy import proxied
from support.servers import Servers
from unrip.domain.arming import ArmLease
from unrip.store.leases import USES_PER_HOUR, LeaseStore, MemoryLeases, PostgresLeases
from unrip.store.migrate import apply

pytestmark = pytest.mark.servers

ENGINE = "strategy-engine"
LEASE = ArmLease(
    directions=BOTH,
    actor="operator",
    reason="a test",
    build="1",
    configuration_hash="c",
    granted_at=NOW,
    expires_at=NOW + timedelta(hours=8),
    survives_restart=True,
)


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("leases")
    asyncio.run(apply(url))
    return url


@pytest.fixture(params=["postgres", "memory"])
async def leases(request: pytest.FixtureRequest) -> AsyncIterator[LeaseStore]:
    if request.param == "memory":
        yield MemoryLeases()
        return
    store = PostgresLeases(await asyncio.to_thread(request.getfixturevalue, "url"))
    yield store
    await store.close()


async def test_a_lease_is_found_by_its_token_and_service_only(leases: LeaseStore) -> None:
    await leases.keep(ENGINE, "hash", LEASE)
    assert await leases.find(ENGINE, "hash") == LEASE
    assert await leases.find(ENGINE, "another") is None
    assert await leases.find("trade-executor", "hash") is None


async def test_the_first_one_stays(leases: LeaseStore) -> None:
    await leases.keep(ENGINE, "hash", LEASE)
    await leases.keep(ENGINE, "hash", msgspec.structs.replace(LEASE, actor="somebody else"))
    assert await leases.find(ENGINE, "hash") == LEASE


async def test_uses_are_counted_over_an_hour_and_one_instant_counts_once(leases: LeaseStore) -> None:
    await leases.keep(ENGINE, "hash", LEASE)
    uses = [NOW + timedelta(minutes=minutes) for minutes in range(USES_PER_HOUR)]
    for _ in range(2):  # the second time as after an answer that was lost
        assert [await leases.use(ENGINE, "hash", at) for at in uses] == [True] * USES_PER_HOUR
    assert not await leases.use(ENGINE, "hash", NOW + timedelta(minutes=59))
    await leases.keep("trade-executor", "its own", LEASE)
    assert await leases.use("trade-executor", "its own", NOW + timedelta(minutes=59)), "each service has its own three"
    assert await leases.use(ENGINE, "hash", NOW + timedelta(minutes=60))
    assert not await leases.use(ENGINE, "hash", NOW + timedelta(minutes=60, seconds=1))


async def test_what_is_kept_cannot_be_changed(url: str) -> None:
    store = PostgresLeases(url)
    await store.keep(ENGINE, "hash", LEASE)
    await store.use(ENGINE, "hash", NOW)
    await store.close()
    connection = await asyncpg.connect(url, timeout=5)
    for statement in ("UPDATE {} SET service = 'x'", "DELETE FROM {}", "TRUNCATE {} CASCADE"):
        for table in ("desk.arm_lease", "desk.arm_lease_use"):
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await connection.execute(statement.format(table))
    await connection.close()


async def test_it_waits_for_a_database_that_is_away(url: str) -> None:
    async with proxied(url) as (proxy, through):
        proxy.hang_up()
        store = PostgresLeases(through)
        waiting = asyncio.create_task(store.keep(ENGINE, "hash", LEASE))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        proxy.answer_again()
        await eventually(waiting.done)
        assert await store.find(ENGINE, "hash") == LEASE
        await store.close()
