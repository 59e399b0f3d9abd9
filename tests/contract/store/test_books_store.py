"""The books of inventory-sync: one commit or none, and evidence by kind and id that is judged once, for ever."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.resources import files
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from support.proxy import proxied
from support.samples import NOW
from support.servers import Servers
from unrip.domain.command import Exchange
from unrip.domain.desk_state import CommandPosition
from unrip.domain.inventory import BalanceChange, Books, ChangeKind, Judged, KeptBooks
from unrip.domain.values import Amount, Delta
from unrip.store.books import BooksStore, FoundBooks, KeepOutcome, PostgresBooks
from unrip.store.connection import Database
from unrip.store.first_start import declare_first_start
from unrip.store.memory_books import MemoryBooks
from unrip.store.migrate import apply

ACCOUNT = "desk.near"
CREDIT = BalanceChange(
    kind=ChangeKind.CREDIT, asset_id="btc", change=Delta(10**30), evidence="mint-1", seen_by=NOW, began_at=NOW
)
FILL = BalanceChange(kind=ChangeKind.FILL, asset_id="eure", change=Delta(-5), evidence="command-1", seen_by=NOW)
KEPT = KeptBooks(
    books=Books(
        explained={"btc": Delta(-3)},
        waiting=(CREDIT,),
        transferred={},
        results_read=CommandPosition(topic_id="results-1", next_offset=7),
        actions_read=None,
        begun_at=NOW,
    ),
    credited={"btc": Amount(2**127)},
    open={"command-1": Exchange(asset_in="btc", amount_in=Amount(1), asset_out="eure", amount_out=Amount(2))},
    held={"eure": Amount(2)},
    untold=(FILL,),
)


def judged(*changes: BalanceChange, counted: bool = True) -> tuple[Judged, ...]:
    return tuple(Judged(change=change, counted=counted) for change in changes)


@pytest.fixture
async def store(url: str | None) -> AsyncIterator[BooksStore]:
    if url is None:
        yield MemoryBooks()
        return
    await run(url, "DROP TRIGGER IF EXISTS evidence_is_not_truncated ON books.evidence")
    await run(url, "TRUNCATE books.state, books.evidence")
    books = PostgresBooks(url)
    yield books
    await books.close()


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_evidence_of_several_movements_is_known_by_each_and_as_one_from_an_earlier_version(
    store: BooksStore,
) -> None:
    first, second = (replace(CREDIT, part=part, change=Delta(n)) for part, n in (("d1", 5), ("d2", 7)))
    assert await store.keep(ACCOUNT, KEPT, judged(CREDIT), revision=0) == KeepOutcome(revision=1)
    same = replace(CREDIT, part="d0")
    assert await store.keep(ACCOUNT, KEPT, judged(same, first), revision=1) == KeepOutcome(known=(same.key,))
    assert await store.keep(ACCOUNT, KEPT, judged(first, second), revision=1) == KeepOutcome(revision=2)
    assert await store.keep(ACCOUNT, KEPT, judged(second), revision=2) == KeepOutcome(known=(second.key,))


async def test_what_is_kept_is_recalled_whole(store: BooksStore) -> None:
    assert await store.recall(ACCOUNT) == FoundBooks(revision=0, declared=False, kept=None)
    assert await store.keep(ACCOUNT, KEPT, judged(CREDIT), revision=0) == KeepOutcome(revision=1)
    assert await store.recall(ACCOUNT) == FoundBooks(revision=1, declared=True, kept=KEPT)
    assert (await store.recall("another.near")).kept is None
    later = replace(KEPT, untold=())
    assert await store.keep(ACCOUNT, later, (), revision=1) == KeepOutcome(revision=2)
    assert (await store.recall(ACCOUNT)).kept == later


async def test_evidence_is_judged_once_and_nothing_is_kept_with_it_again(store: BooksStore) -> None:
    await store.keep(ACCOUNT, KEPT, [*judged(CREDIT), *judged(FILL, counted=False)], revision=0)
    told_again = replace(CREDIT, change=Delta(7), seen_by=NOW + timedelta(days=400))
    other = replace(CREDIT, evidence="mint-2")
    outcome = await store.keep(ACCOUNT, replace(KEPT, held={}), judged(other, told_again, FILL), revision=1)
    assert outcome.revision is None
    assert set(outcome.known) == {CREDIT.key, FILL.key}
    assert await store.recall(ACCOUNT) == FoundBooks(revision=1, declared=True, kept=KEPT)
    assert await store.keep(ACCOUNT, KEPT, judged(other), revision=1) == KeepOutcome(revision=2)
    assert await store.keep("another.near", KEPT, judged(CREDIT), revision=0) == KeepOutcome(revision=1)


async def test_whatever_text_came_from_outside_can_be_kept(store: BooksStore) -> None:
    nul = Exchange(asset_in="\0", amount_in=Amount(1), asset_out="\\u0000", amount_out=Amount(2**4000))
    longest = replace(CREDIT, evidence="\U0001f600" * 256, asset_id="é" * 256)
    kept = replace(KEPT, open={"\0": nul})
    assert await store.keep(ACCOUNT, kept, judged(longest), revision=0) == KeepOutcome(revision=1)
    assert (await store.keep(ACCOUNT, kept, judged(longest), revision=1)).known == (longest.key,)


async def test_of_two_who_follow_the_same_revision_one_is_kept(store: BooksStore) -> None:
    outcomes = await asyncio.gather(
        store.keep(ACCOUNT, KEPT, judged(CREDIT), revision=0), store.keep(ACCOUNT, KEPT, judged(CREDIT), revision=0)
    )
    assert sorted(outcomes, key=lambda each: each.revision or 0) == [KeepOutcome(), KeepOutcome(revision=1)]
    assert await store.keep(ACCOUNT, KEPT, (), revision=7) == KeepOutcome()


@pytest.mark.servers
async def test_a_commit_waits_for_the_one_that_is_under_way_and_then_follows_another_revision(servers: Servers) -> None:
    url = await asyncio.to_thread(servers.create_database, "books_under_way")
    await apply(url)
    other, watching = [await asyncpg.connect(url, timeout=5) for _ in range(2)]
    books = PostgresBooks(url)
    under_way = other.transaction()
    await under_way.start()
    await other.execute("SELECT books.keep($1, 0, '{}', '[]')", ACCOUNT)
    keeping = asyncio.create_task(books.keep(ACCOUNT, KEPT, judged(FILL), revision=0))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(5):
        while not await watching.fetchval(waiting):
            pass
    await under_way.commit()
    assert await keeping == KeepOutcome(), "what it would have followed is not the last any more"
    await books.close()
    for connection in (other, watching):
        await connection.close()


async def test_what_an_operator_accepts_twice_is_two_pieces_of_evidence(store: BooksStore) -> None:
    once = BalanceChange(kind=ChangeKind.ACCEPTED, asset_id="btc", change=Delta(1), evidence="operator", seen_by=NOW)
    again = replace(once, seen_by=NOW + timedelta(seconds=1))
    await store.keep(ACCOUNT, KEPT, judged(once), revision=0)
    assert await store.keep(ACCOUNT, KEPT, judged(again), revision=1) == KeepOutcome(revision=2)


@pytest.mark.servers
async def test_a_first_start_is_declared_for_ledger_and_books_at_once(servers: Servers) -> None:
    url = await asyncio.to_thread(servers.create_database, "books_first_start")
    await apply(url)
    store = PostgresBooks(url)
    assert await declare_first_start(Database(url), ACCOUNT)
    assert await store.recall(ACCOUNT) == FoundBooks(revision=0, declared=True, kept=None)
    await store.keep(ACCOUNT, KEPT, (), revision=0)
    assert not await declare_first_start(Database(url), ACCOUNT)
    assert await store.recall(ACCOUNT) == FoundBooks(revision=1, declared=True, kept=KEPT)
    await store.close()


@pytest.mark.servers
async def test_evidence_cannot_be_changed_or_removed(servers: Servers) -> None:
    url = await asyncio.to_thread(servers.create_database, "books_append_only")
    await apply(url)
    store = PostgresBooks(url)
    await store.keep(ACCOUNT, KEPT, judged(CREDIT), revision=0)
    await store.close()
    for change in (
        "UPDATE books.evidence SET counted = false",
        "DELETE FROM books.evidence",
        "TRUNCATE books.evidence",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await run(url, change)


@pytest.mark.servers
async def test_a_commit_waits_for_a_database_that_is_away(servers: Servers) -> None:
    url = await asyncio.to_thread(servers.create_database, "books_away")
    await apply(url)
    async with proxied(url) as (proxy, through):
        proxy.hang_up()
        store = PostgresBooks(through)
        keeping = asyncio.create_task(store.keep(ACCOUNT, KEPT, judged(CREDIT), revision=0))
        await asyncio.sleep(0.1)
        assert not keeping.done()
        proxy.answer_again()
        assert await asyncio.wait_for(keeping, 10) == KeepOutcome(revision=1)
        await store.close()


@pytest.mark.servers
async def test_what_earlier_versions_counted_is_known_from_the_history(servers: Servers) -> None:
    url = await asyncio.to_thread(servers.create_database, "books_from_history")
    await apply(url)
    changes: list[dict[str, Any]] = [
        {"kind": "fill", "asset_id": "eure", "change": "-5", "evidence": "command-1"},
        {"kind": "accepted", "asset_id": "eure", "change": "1", "evidence": "operator"},
    ]
    event = json.dumps({"payload": {"changes": changes}})
    migration = (files("unrip.store") / "migrations" / "0025.books.sql").read_text()
    for number, body in enumerate((event, event, json.dumps({"payload": {"changes": []}}), '{"payload": {}}')):
        columns = 'event_id, topic_id, "offset", correlation_id, observed_at, published_at, payload_digest, event'
        values = f"'e{number}', 't', {number}, 'c', now(), now(), '', '{body}'"
        await run(
            url,
            f"INSERT INTO history.intent_inventory ({columns}, account, height, block_time, salt) "
            f"VALUES ({values}, '{ACCOUNT}', 1, now(), '')",
        )
    await run(url, "INSERT INTO" + migration.rpartition("INSERT INTO")[2])
    store = PostgresBooks(url)
    outcome = await store.keep(ACCOUNT, KEPT, judged(FILL), revision=0)
    assert outcome == KeepOutcome(known=(FILL.key,))
    await store.close()
