"""An account belongs to one desk of a database: the first that loads its ledger has it, all others are refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from support.ledgers import EURE, a_command, an_event, an_offer, at, claim
from support.servers import Servers
from unrip.domain.attempt import AttemptState
from unrip.domain.values import Amount
from unrip.store.connection import Database
from unrip.store.errors import StoreRefused
from unrip.store.first_start import declare_first_start
from unrip.store.ledger import AccountOfAnotherDesk, Ledger
from unrip.store.memory_ledger import MemoryLedger
from unrip.store.migrate import _migrations, apply
from unrip.store.postgres_ledger import PostgresLedger

DESKS = ("main", "second")
#: Makes the ledger of a desk.
LedgerOf = Callable[[str], Ledger]


@pytest.fixture(scope="module")
def both(servers: Servers) -> str:
    url = servers.create_database("account_of_a_desk")
    for desk in DESKS:
        asyncio.run(apply(url, desk))
    return url


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def ledger_of(request: pytest.FixtureRequest) -> LedgerOf:
    if request.param == "memory":
        desk_of: dict[str, str] = {}
        return lambda desk: MemoryLedger(clock=lambda: datetime.now(UTC), desk=desk, desk_of=desk_of)
    url = request.getfixturevalue("both")
    return lambda desk: PostgresLedger(Database(url, desk=desk))


@asynccontextmanager
async def closing(*ledgers: Ledger) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for ledger in ledgers:
            if isinstance(ledger, PostgresLedger):
                await ledger.close()


async def run(url: str, statement: str, *arguments: object) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


async def test_the_first_desk_has_it_and_the_other_one_can_promise_nothing(ledger_of: LedgerOf) -> None:
    account = "first.near"
    ours, theirs = ledger_of("second"), ledger_of("main")
    async with closing(ours, theirs):
        await ours.load(account)
        await ours.apply_reading(account, height=1, credited={EURE: Amount(100)}, endings=[])
        offer = an_offer("one", account=account)
        event = an_event(offer, AttemptState.CLAIMED)
        refusal = "belongs to the desk second, and not to main: .*give it away"
        for asked in (
            theirs.load(account),
            claim(theirs, offer, 1),
            theirs.reject(a_command("one", account=account), position=at(1), event=event),
            theirs.note(an_event(offer, AttemptState.SENT)),
            theirs.drop(an_event(offer, AttemptState.DROPPED)),
            theirs.note_revocation(account, nonce="n", revocation="{}"),
            theirs.note_surroundings(account, reason="", quarantined_until=None),
            theirs.apply_reading(account, height=2, credited={EURE: Amount(100)}, endings=[]),
        ):
            with pytest.raises(AccountOfAnotherDesk, match=refusal):
                await asked
        assert [row.event.payload.account for row in await theirs.unpublished(10)] == []
        assert (await claim(ours, offer, 1)).kind == "claimed"
        await theirs.load("another.near")


@pytest.mark.servers
async def test_of_two_that_begin_at_once_one_has_it(both: str) -> None:
    ledgers = [PostgresLedger(Database(both, desk=desk)) for desk in DESKS]
    async with closing(*ledgers):
        for number in range(20):
            loaded = await asyncio.gather(
                *(ledger.load(f"{number}.near") for ledger in ledgers), return_exceptions=True
            )
            assert [isinstance(each, AccountOfAnotherDesk) for each in loaded].count(True) == 1, loaded


@pytest.mark.servers
async def test_an_operator_lets_a_desk_give_it_away_once_nothing_is_promised(both: str) -> None:
    account, give = "given.near", "SELECT ledger.give_account($1, $2, $3)"
    main, second = (PostgresLedger(Database(both, desk=desk)) for desk in DESKS)
    async with closing(main, second):
        await main.apply_reading(account, height=1, credited={EURE: Amount(100)}, endings=[])
        offer = an_offer("given", account=account)
        await claim(main, offer, 2)
        for arguments, why in (
            ((account, "second", "moves"), "has 1 open holds: halt this desk"),
            ((account, "secnod", "moves"), "no ledger of a desk secnod: prepare that desk first"),
            ((account, "second", " "), "without a reason"),
        ):
            with pytest.raises(asyncpg.RaiseError, match=why):
                await run(both, give, *arguments)
        await main.drop(an_event(offer, AttemptState.DROPPED))
        with pytest.raises(asyncpg.PostgresError, match="belongs to the desk main, and not to second"):
            await run(both, "SELECT second_ledger.give_account($1, 'main', 'steals')", account)
        await run(both, give, account, "second", "moves")
        assert (await second.load(account)).view.commits == 0
        with pytest.raises(AccountOfAnotherDesk):
            await claim(main, an_offer("late", account=account), 3)
        assert await run(both, "SELECT reason FROM desks.account WHERE account = $1", account) == "moves"


@pytest.mark.servers
async def test_a_first_start_is_declared_only_where_the_account_is(both: str) -> None:
    assert await declare_first_start(Database(both, desk="second"), "declared.near")
    with pytest.raises(StoreRefused, match=r"declared\.near belongs to the desk second"):
        await declare_first_start(Database(both), "declared.near")


@pytest.fixture
def url(servers: Servers) -> str:
    return servers.create_database("accounts_before")


@pytest.mark.servers
async def test_who_has_a_ledger_of_it_when_desks_get_names_has_it(url: str) -> None:
    with _migrations("migrating", url) as (backend, missing):
        backend.apply_migrations(missing.__class__([each for each in missing if each.id < "0033"]))
    await run(url, "SELECT ledger.declare_first_start('old.near')")
    await apply(url)
    await apply(url, "second")
    ledger = PostgresLedger(Database(url, desk="second"))
    async with closing(ledger):
        with pytest.raises(AccountOfAnotherDesk, match="belongs to the desk main"):
            await ledger.load("old.near")
