"""Two desks in one database: each has schemas of its own, the same ones under its own names."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from support.buses import eventually
from support.ledgers import ACCOUNT, EURE, an_offer, claim
from support.servers import Servers
from unrip.domain.arming import ArmLease
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount
from unrip.store.connection import Database
from unrip.store.first_start import declare_first_start
from unrip.store.leases import PostgresLeases
from unrip.store.locks import SingleActiveLock
from unrip.store.migrate import apply, pending
from unrip.store.postgres_ledger import PostgresLedger
from unrip.store.sql import of_desk
from unrip.store.watch import DatabaseWatch

pytestmark = pytest.mark.servers

SCHEMAS = ("desk", "ledger", "history", "books")
#: Everything that migrations make, as PostgreSQL writes it.
MADE = """
SELECT 'function', pg_get_functiondef(p.oid) FROM pg_proc AS p
 WHERE pronamespace = ANY ($1::regnamespace[])
UNION ALL SELECT 'view', format('%s.%s %s', schemaname, viewname, definition) FROM pg_views
 WHERE schemaname::regnamespace = ANY ($1::regnamespace[])
UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname::regnamespace = ANY ($1::regnamespace[])
UNION ALL SELECT 'trigger', pg_get_triggerdef(t.oid) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = tgrelid
 WHERE relnamespace = ANY ($1::regnamespace[]) AND NOT tgisinternal
UNION ALL SELECT 'constraint', format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE connamespace = ANY ($1::regnamespace[])
UNION ALL SELECT 'column', format('%s.%s %s %s %s %s', table_schema, table_name, column_name, data_type, is_nullable,
                                  column_default) FROM information_schema.columns
 WHERE table_schema::regnamespace = ANY ($1::regnamespace[])
"""


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    url = servers.create_database("two_desks")
    asyncio.run(apply(url))
    asyncio.run(apply(url, "second"))
    return url


async def made(url: str, schemas: list[str]) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return sorted((row[0], row[1]) for row in await connection.fetch(MADE, schemas))
    finally:
        await connection.close()


async def counts(url: str, prefix: str) -> dict[str, int]:
    """How many rows each table of a desk has that has some."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        names = await connection.fetch(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname = ANY ($1::text[])",
            [prefix + schema for schema in SCHEMAS],
        )
        found = {row["name"]: await connection.fetchval(f"SELECT count(*) FROM {row['name']}") for row in names}
        return {name: count for name, count in found.items() if count}
    finally:
        await connection.close()


class Role:
    """A lock that is wanted, and what was told of it."""

    def __init__(self, database: Database) -> None:
        self.told: list[tuple[bool, int | None]] = []
        lock = SingleActiveLock(
            database, role="strategy-engine", instance="one", on_change=lambda *told: self.told.append(told)
        )
        self._task = asyncio.create_task(lock.run())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def first_answer(database: Database, schema: str) -> bool:
    """What the watch says of a desk's schema."""
    answers: list[bool] = []
    watch = DatabaseWatch(database, on_answer=lambda up, _: answers.append(up), schema=schema)
    task = asyncio.create_task(watch.run())
    await eventually(lambda: bool(answers))
    task.cancel()
    return answers[0]


async def test_a_second_desk_has_all_that_the_first_one_has_and_shares_none_of_it(url: str) -> None:
    first = await made(url, list(SCHEMAS))
    second = await made(url, [f"second_{schema}" for schema in SCHEMAS])
    assert len(first) > 300
    assert sorted((kind, of_desk(text, "second")) for kind, text in first) == second


async def test_each_has_its_own_record_of_what_was_applied(url: str) -> None:
    assert await pending(url) == await pending(url, "second") == await apply(url, "second") == []
    assert await pending(url, "third") == await apply(url, "third") != []
    assert await pending(url) == await pending(url, "third") == []


async def test_what_one_desk_keeps_the_other_one_does_not_have(url: str) -> None:
    before = await counts(url, "")
    database = Database(url, desk="second")
    assert await declare_first_start(database, "second.near")
    ledger, leases = PostgresLedger(database), PostgresLeases(database)
    await ledger.apply_reading("second.near", height=1, credited={EURE: Amount(100)}, endings=[])
    assert (await claim(ledger, an_offer("one", account="second.near"), 5)).kind == "claimed"
    assert (await ledger.load("second.near")).view.held == {EURE: 30}
    (row,) = await ledger.unpublished(10)
    await ledger.mark_published([row.seq])
    assert await ledger.check_held() == []
    now = datetime.now(UTC)
    lease = ArmLease(
        directions=tuple(Direction),
        actor="operator",
        reason="test",
        build="1",
        configuration_hash="c",
        granted_at=now,
        expires_at=now + timedelta(hours=1),
        survives_restart=True,
    )
    await leases.keep("trade-executor", "hash", lease)
    for schema in ("desk", "ledger", "history"):
        assert await first_answer(database, schema)
    assert await counts(url, "") == before
    assert (await counts(url, "second_")).keys() >= {
        "second_ledger.attempt",
        "second_ledger.hold",
        "second_ledger.outbox",
        "second_books.state",
        "second_desk.arm_lease",
        "second_desk.pulse",
        "second_ledger.pulse",
        "second_history.pulse",
    }
    main = PostgresLedger(url)
    assert (await main.load(ACCOUNT)).view.held == {}
    assert await main.unpublished(10) == []
    for store in (ledger, leases, main):
        await store.close()


async def test_the_desks_roles_keep_each_other_out_of_nothing(url: str) -> None:
    roles = {desk: Role(Database(url, desk=desk)) for desk in ("main", "second")}
    await eventually(lambda: all(role.told for role in roles.values()))
    for role in roles.values():
        await role.stop()
    assert [role.told[0] for role in roles.values()] == [(True, 1), (True, 1)]


async def test_the_ledgers_wait_for_each_other_in_nothing(url: str) -> None:
    """Also on one account: what the one locks while it writes is not what the other one locks."""
    connection = await asyncpg.connect(url, timeout=5)
    other = await asyncpg.connect(url, timeout=5, server_settings={"lock_timeout": "500"})
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('unrip ledger of desk.near', 0))")
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('unrip books desk.near', 0))")
        await other.execute("SELECT second_books.keep('desk.near', 0, '{}', '[]')")
        await other.execute("SELECT second_ledger.note_surroundings('desk.near', '', NULL, 0)")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await other.execute("SELECT ledger.note_surroundings('desk.near', '', NULL, 0)")
    await connection.close()
    await other.close()


def test_the_main_desk_asks_what_it_always_asked() -> None:
    assert of_desk("SELECT ledger.load($1)", "main") == "SELECT ledger.load($1)"
