"""One active instance per role, take-overs with a number, losses noticed in time; and the database's watch."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from support.buses import eventually
from support.proxy import proxied
from support.servers import Servers
from unrip.store.connection import Database
from unrip.store.identity import Whereabouts
from unrip.store.locks import SingleActiveLock
from unrip.store.migrate import apply
from unrip.store.watch import DatabaseWatch

pytestmark = pytest.mark.servers

ROLE = "strategy-engine"
Roles = list[tuple[bool, int | None]]


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("locks")
    asyncio.run(apply(url))
    return url


@asynccontextmanager
async def wanting(url: str, instance: str, role: str = ROLE) -> AsyncIterator[Roles]:
    """An instance that wants the role, and each change of what it was told."""
    told: Roles = []

    def hear(active: bool, generation: int | None) -> None:
        if told[-1:] != [(active, generation)]:
            told.append((active, generation))

    lock = SingleActiveLock(url, role=role, instance=instance, on_change=hear)
    async with running(lock.run()):
        yield told


@asynccontextmanager
async def running(work: object) -> AsyncIterator[None]:
    task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(statement)
    await connection.close()


async def end_sessions(url: str, application: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = $1",
        application,
    )
    await connection.close()


async def test_the_first_is_active_and_the_second_takes_over_with_a_greater_number(url: str) -> None:
    async with contextlib.AsyncExitStack() as second_life:
        async with wanting(url, "one") as one:
            await eventually(lambda: one == [(True, 1)])
            two = await second_life.enter_async_context(wanting(url, "two"))
            await eventually(lambda: two == [(False, None)])
        await eventually(lambda: two == [(False, None), (True, 2)])
        assert one == [(True, 1)]


async def test_roles_do_not_disturb_each_other(url: str) -> None:
    async with wanting(url, "one") as one, wanting(url, "two", "trade-executor") as two:
        await eventually(lambda: (one, two) == ([(True, 1)], [(True, 1)]))


async def test_who_gets_it_back_with_nobody_in_between_keeps_the_number(url: str) -> None:
    async with wanting(url, "one") as one:
        await eventually(lambda: one == [(True, 1)])
        await end_sessions(url, f"unrip lock of {ROLE}")
        await eventually(lambda: one == [(True, 1), (False, None), (True, 1)])


@pytest.mark.parametrize(
    "set_back",
    [
        "UPDATE desk.generation SET generation = 4",
        "UPDATE desk.generation SET generation = 3",
        "DELETE FROM desk.generation",
    ],
)
async def test_in_a_database_that_was_set_back_the_number_goes_on_above_what_is_known(url: str, set_back: str) -> None:
    """One less than ours, raised by one, would be ours: what was lost with it would be noticed by nobody."""
    await run(url, f"INSERT INTO desk.generation VALUES ('{ROLE}', 4, 'somebody', now())")
    async with wanting(url, "one") as one:
        await eventually(lambda: one == [(True, 5)])
        await run(url, set_back)
        await eventually(lambda: one == [(True, 5), (False, None), (True, 6)])


async def test_every_new_session_is_asked_where_it_leads(url: str) -> None:
    told: list[str] = []
    where = Whereabouts(told.append)
    place = Database(url, judge=where.judge)
    for _ in range(2):
        (await place.open(timeout=5)).terminate()
    assert told == []
    where._known = (where._known[0], where._known[1] + 1) if where._known else None
    (await place.open(timeout=5)).terminate()
    assert len(told) == 1
    (await place.open(timeout=5)).terminate()
    assert len(told) == 1, "once for each change"


async def test_a_new_start_of_the_same_service_raises_the_number(url: str) -> None:
    for number in (1, 2, 3):
        async with wanting(url, f"start {number}") as told:
            await eventually(lambda: told == [(True, number)])  # noqa: B023 - awaited within the iteration


async def test_a_holder_that_hears_nothing_gives_the_role_up_within_two_seconds(url: str) -> None:
    async with proxied(url) as (proxy, through), wanting(through, "one") as one:
        await eventually(lambda: one == [(True, 1)])
        proxy.go_silent()
        began = time.monotonic()
        await eventually(lambda: one[-1] == (False, None))
        assert time.monotonic() - began < 2
        proxy.speak_again()
        await eventually(lambda: one[-1] == (True, 1))


async def test_a_holder_hears_again_and_again_that_the_role_is_still_its_own(url: str) -> None:
    answers: Roles = []
    lock = SingleActiveLock(url, role=ROLE, instance="one", on_change=lambda *answer: answers.append(answer))
    holding = asyncio.create_task(lock.run())
    await eventually(lambda: len(answers) >= 3)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    assert set(answers) == {(True, 1)}


async def test_while_one_is_cut_off_another_takes_over(url: str) -> None:
    async with proxied(url) as (proxy, through), wanting(through, "one") as one:
        await eventually(lambda: one == [(True, 1)])
        proxy.hang_up()
        await eventually(lambda: one == [(True, 1), (False, None)])
        async with wanting(url, "two") as two:
            await eventually(lambda: two[-1:] == [(True, 2)])
        proxy.answer_again()
        await eventually(lambda: one[-1:] == [(True, 3)])


async def test_a_database_that_is_away_at_the_start_is_waited_for(url: str) -> None:
    async with proxied(url) as (proxy, through):
        proxy.hang_up()
        async with wanting(through, "one") as one:
            await eventually(lambda: one == [(False, None)])
            proxy.answer_again()
            await eventually(lambda: one == [(False, None), (True, 1)])


@pytest.mark.parametrize("outage", ["go_silent", "hang_up"])
async def test_the_watch_tells_of_an_outage_within_two_seconds_and_of_its_end(url: str, outage: str) -> None:
    told: list[bool] = []
    async with proxied(url) as (proxy, through):
        watch = DatabaseWatch(through, on_change=lambda up, _reason: told.append(up))
        async with running(watch.run()):
            await eventually(lambda: told == [True])
            getattr(proxy, outage)()
            began = time.monotonic()
            await eventually(lambda: told == [True, False])
            assert time.monotonic() - began < 2
            proxy.speak_again()
            proxy.answer_again()
            await eventually(lambda: told == [True, False, True])
