"""What only the real database can show: many writers at once, and outcomes that stay unknown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from support.ledgers import ACCOUNT, EURE, an_event, an_offer, at
from support.ports import free_ports
from support.servers import Servers
from unrip.domain.attempt import AttemptState
from unrip.domain.values import Amount
from unrip.store.errors import Away, StoreUnavailable
from unrip.store.ledger import ClaimKind, ClaimOutcome
from unrip.store.migrate import apply
from unrip.store.postgres_ledger import PostgresLedger
from unrip.store.sql import statements

pytestmark = pytest.mark.servers

#: The key of `ledger.enter`: whoever holds it keeps every writer of the account waiting.
ENTER = "SELECT pg_advisory_lock(hashtextextended('unrip ledger of ' || $1, 0))"


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("ledger_database")
    asyncio.run(apply(url))
    return url


@asynccontextmanager
async def a_ledger(url: str, **options: Any) -> AsyncIterator[PostgresLedger]:
    ledger = PostgresLedger(url, **options)
    try:
        yield ledger
    finally:
        await ledger.close()


async def credit(ledger: PostgresLedger, amount: int) -> None:
    await ledger.apply_reading(ACCOUNT, height=1, credited={EURE: Amount(amount)}, endings=[])


async def claim(ledger: PostgresLedger, number: int, **changes: object) -> ClaimOutcome:
    offer = an_offer(f"quote {number}", **changes)  # type: ignore[arg-type]
    return await ledger.claim(offer, position=at(number), generation=1, event=an_event(offer, AttemptState.CLAIMED))


async def test_eighty_claims_at_once_never_overcommit(url: str) -> None:
    ledgers = [PostgresLedger(url) for _ in range(8)]
    await credit(ledgers[0], 100)
    outcomes = await asyncio.gather(*(claim(ledgers[n % 8], n) for n in range(80)))
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds.count(ClaimKind.CLAIMED) == 3
    assert kinds.count(ClaimKind.INSUFFICIENT_INVENTORY) == 77
    state = await ledgers[0].load(ACCOUNT)
    assert (state.view.held, len(state.open_offers)) == ({EURE: 90}, 3)
    assert await ledgers[0].check_held() == []
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_the_counter_alone_refuses_even_without_the_account_lock(url: str) -> None:
    """The lock gives order; that nothing is overcommitted must not depend on it."""
    async with a_ledger(url) as ledger:
        await credit(ledger, 100)
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(
        "CREATE OR REPLACE FUNCTION ledger.enter(p_account text, p_after bigint) RETURNS void LANGUAGE sql AS 'SELECT'"
    )
    ledgers = [PostgresLedger(url) for _ in range(8)]
    outcomes = await asyncio.gather(*(claim(ledgers[n % 8], n) for n in range(80)))
    assert [outcome.kind for outcome in outcomes].count(ClaimKind.CLAIMED) == 3
    assert (await ledgers[0].load(ACCOUNT)).view.held == {EURE: 90}
    await asyncio.gather(*(ledger.close() for ledger in ledgers))
    await connection.close()


async def test_the_same_command_from_many_at_once_is_claimed_once(url: str) -> None:
    ledgers = [PostgresLedger(url) for _ in range(4)]
    await credit(ledgers[0], 1_000)
    outcomes = await asyncio.gather(*(claim(ledgers[n % 4], 1) for n in range(40)))
    kinds = [outcome.kind for outcome in outcomes]
    assert (kinds.count(ClaimKind.CLAIMED), kinds.count(ClaimKind.DUPLICATE)) == (1, 39)
    assert (await ledgers[0].load(ACCOUNT)).view.held == {EURE: 30}
    assert len(await ledgers[0].unpublished(100)) == 1
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_the_outbox_is_in_the_order_of_the_commits_with_the_view_of_each(url: str) -> None:
    ledgers = [PostgresLedger(url) for _ in range(4)]
    await credit(ledgers[0], 10_000)
    await asyncio.gather(*(claim(ledgers[n % 4], n) for n in range(40)))
    views = [row.event.payload.ledger for row in await ledgers[0].unpublished(100)]
    assert [view.held[EURE] for view in views if view is not None] == [30 * n for n in range(1, 41)]
    await asyncio.gather(*(ledger.close() for ledger in ledgers))


async def test_no_answer_in_time_is_unknown_and_the_same_claim_again_is_safe(url: str) -> None:
    blocker = await asyncpg.connect(url, timeout=5)
    async with a_ledger(url, statement_timeout_ms=300) as ledger:
        await credit(ledger, 100)
        await blocker.execute(ENTER, ACCOUNT)
        with pytest.raises(StoreUnavailable):
            await claim(ledger, 1)
        await blocker.close()
        assert (await claim(ledger, 1)).kind is ClaimKind.CLAIMED
        assert (await claim(ledger, 1)).kind is ClaimKind.DUPLICATE


async def test_a_session_that_is_ended_under_way_is_unknown(url: str) -> None:
    blocker = await asyncpg.connect(url, timeout=5)
    async with a_ledger(url) as ledger:
        await credit(ledger, 100)
        await blocker.execute(ENTER, ACCOUNT)
        waiting = asyncio.create_task(claim(ledger, 1))
        ended = 0
        async with asyncio.timeout(5):
            while not ended:
                ended = await blocker.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event = 'advisory'"
                )
        with pytest.raises(StoreUnavailable):
            await waiting
        await blocker.close()
        assert (await claim(ledger, 1)).kind is ClaimKind.CLAIMED


async def take_over(connection: asyncpg.Connection, instance: str) -> None:
    await connection.fetchval(statements("desk")["take_over"], "trade-executor", instance, 0)


async def test_who_has_lost_the_role_writes_nothing_more(url: str) -> None:
    other = await asyncpg.connect(url, timeout=5)
    async with a_ledger(url, writer="one") as one, a_ledger(url, writer="two") as two:
        await credit(one, 100)  # nobody has taken the role yet
        await take_over(other, "one")
        assert (await claim(one, 1)).kind is ClaimKind.CLAIMED
        await take_over(other, "two")
        before = await two.load(ACCOUNT)
        offer = an_offer("quote 1")
        for write in (
            claim(one, 2),
            one.note(an_event(offer, AttemptState.SENT)),
            one.drop(an_event(offer, AttemptState.DROPPED)),
            one.apply_reading(ACCOUNT, height=2, credited={EURE: Amount(50)}, endings=[]),
            one.note_surroundings(ACCOUNT, reason="", quarantined_until=None),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                await write
            assert caught.value.away is Away.ROLE
        assert await one.load(ACCOUNT) == await two.load(ACCOUNT) == before
        assert (await claim(two, 3)).kind is ClaimKind.CLAIMED
    await other.close()


async def test_a_take_over_waits_for_what_the_last_holder_is_writing(url: str) -> None:
    """So that the first look of the next holder shows it."""
    other, blocker = [await asyncpg.connect(url, timeout=5) for _ in range(2)]
    async with a_ledger(url, writer="one") as one, a_ledger(url, writer="two") as two:
        await credit(one, 100)
        await take_over(other, "one")
        await blocker.execute(ENTER, ACCOUNT)
        claiming = asyncio.create_task(claim(one, 1))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
        async with asyncio.timeout(5):
            while not await other.fetchval(waiting):
                pass
        held = statements("desk")["hold"]
        assert await other.fetchval(held, "trade-executor", "one", 1) == 1, (
            "the holder's own confirmation waits for none"
        )
        taking = asyncio.create_task(take_over(other, "two"))
        await asyncio.sleep(0.1)
        assert not taking.done()
        await blocker.close()
        assert (await claiming).kind is ClaimKind.CLAIMED
        await taking
        assert len((await two.load(ACCOUNT)).open_offers) == 1
    await other.close()


async def test_a_database_that_is_away_is_unknown_and_says_no_password() -> None:
    async with a_ledger(f"postgresql://postgres:hunter2@127.0.0.1:{free_ports(1)[0]}/unrip") as ledger:
        with pytest.raises(StoreUnavailable) as caught:
            await ledger.load(ACCOUNT)
        assert "hunter2" not in str(caught.value)


async def test_the_check_finds_a_counter_that_is_wrong(url: str) -> None:
    async with a_ledger(url) as ledger:
        await credit(ledger, 100)
        await claim(ledger, 1)
        connection = await asyncpg.connect(url, timeout=5)
        await connection.execute("UPDATE ledger.inventory SET held = 31")
        await connection.close()
        (difference,) = await ledger.check_held()
        assert (difference.asset, difference.held, difference.open_holds) == (EURE, 31, 30)


async def test_the_schema_refuses_what_no_function_of_ours_may_write(url: str) -> None:
    """The last defence, whatever a later function gets wrong."""
    async with a_ledger(url) as ledger:
        await credit(ledger, 100)
        await claim(ledger, 1)
    connection = await asyncpg.connect(url, timeout=5)
    for wrong in (
        "UPDATE ledger.inventory SET credited = -1",
        "UPDATE ledger.inventory SET held = -1",
        "UPDATE ledger.hold SET amount = 0",
        "UPDATE ledger.hold SET kind = 'gift'",
        "UPDATE ledger.hold SET kind = NULL",
        "UPDATE ledger.hold SET asset = 'never credited'",
        "UPDATE ledger.hold SET released_at = now()",
        "UPDATE ledger.hold SET release_evidence = '{}'",
        "UPDATE ledger.attempt SET nonce = 'without a hold'",
        "UPDATE ledger.attempt SET offer = NULL",
        "UPDATE ledger.attempt SET state = 'settled'",
        "UPDATE ledger.attempt SET ended_at = now()",
        "INSERT INTO ledger.attempt (command_id, quote_id, account, nonce, quote_hash, offer, state, generation)"
        " SELECT 'other', quote_id, account, nonce, quote_hash, offer, state, generation FROM ledger.attempt",
        "INSERT INTO ledger.outbox (topic, event_id, correlation_id, observed_at, stages, payload)"
        " SELECT topic, event_id, correlation_id, observed_at, stages, payload FROM ledger.outbox",
        "UPDATE ledger.outbox SET topic = NULL",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(wrong)
    release = "SELECT ledger.release(nonce, '{}') FROM ledger.hold"
    await connection.execute(release)
    with pytest.raises(asyncpg.NoDataFoundError):
        await connection.execute(release)
    await connection.close()


async def test_rows_of_the_outbox_that_cannot_be_read_are_passed_over_and_named(url: str) -> None:
    """Another version wrote them: the others go out, and a look at all of them ends."""
    connection = await asyncpg.connect(url, timeout=5)
    async with a_ledger(url) as ledger, asyncio.timeout(10):
        await credit(ledger, 100)
        for number in (1, 2):
            await claim(ledger, number)
        first, second = [row.seq for row in await ledger.unpublished(10)]
        await connection.execute("UPDATE ledger.outbox SET payload = '{}' WHERE seq = $1", first)
        assert [row.seq for row in await ledger.unpublished(1)] == [second]
        assert set(await ledger.unreadable()) == {first}
        await connection.execute("UPDATE ledger.outbox SET payload = '{}'")
        assert await ledger.unpublished(1) == []
        assert set(await ledger.unreadable()) == {first, second}
        await ledger.mark_published([first, second])
        assert await ledger.unpublished(1) == []
        assert await ledger.unreadable() == {}
    await connection.close()
