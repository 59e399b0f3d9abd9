"""Policies are kept by hash, once, and survive a database that is away."""

import asyncio

import asyncpg
import msgspec
import pytest

from support.buses import eventually
from support.proxy import proxied
from support.servers import Servers
from unrip.domain.policy import Policy
from unrip.messages.envelope import decode
from unrip.store.migrate import apply
from unrip.store.policies import PolicyKeeper

pytestmark = pytest.mark.servers


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("policies")
    asyncio.run(apply(url))
    return url


async def rows(url: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        kept: list[asyncpg.Record] = await connection.fetch(
            "SELECT hash, body, actor, reason FROM desk.policy ORDER BY first_seen_at"
        )
        return kept
    finally:
        await connection.close()


async def test_a_policy_is_kept_whole_and_its_first_row_stays(url: str) -> None:
    keeper = PolicyKeeper(url)
    wide = msgspec.structs.replace(Policy(), history_lag_max=9)
    await keeper.remember(Policy(), actor="configuration", reason="start")
    await keeper.remember(wide, actor="operator", reason="a busy day")
    await keeper.remember(Policy(), actor="somebody else", reason="again")
    await keeper.close()
    kept = await rows(url)
    assert [(row["actor"], row["reason"]) for row in kept] == [("configuration", "start"), ("operator", "a busy day")]
    assert [decode(row["body"], Policy) for row in kept] == [Policy(), wide]
    assert [row["hash"] for row in kept] == [Policy().hash, wide.hash]


async def test_a_policy_waits_for_a_database_that_is_away(url: str) -> None:
    async with proxied(url) as (proxy, through):
        proxy.hang_up()
        keeper = PolicyKeeper(through)
        waiting = asyncio.create_task(keeper.remember(Policy(), actor="configuration", reason="start"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        proxy.answer_again()
        await eventually(waiting.done)
        await keeper.close()
    assert len(await rows(url)) == 1
