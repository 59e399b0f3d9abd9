"""What the strategy keeps and recalls: policies by hash, the one in force, the day's fills, the highest equity."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import asyncpg
import msgspec
import pytest

from support.buses import eventually
from support.histories import batches_of
from support.proxy import proxied
from support.samples import ACCOUNT, NOW, PAIR, PRICE, SETTLED, decision, event, result
from support.servers import Servers
from unrip.domain.attempt import AttemptState, TradeResult
from unrip.domain.equity import HighestEquity
from unrip.domain.policy import Policy
from unrip.domain.values import Delta
from unrip.messages.envelope import Envelope, decode
from unrip.messages.topics import MARKET_PRICE, TRADE_RESULT
from unrip.store.history import HistorySink, PostgresHistory
from unrip.store.memory_history import MemoryHistory, MemoryRecord
from unrip.store.memory_strategy import MemoryStrategy
from unrip.store.migrate import apply
from unrip.store.strategy import PostgresStrategy, StrategyStore

pytestmark = pytest.mark.servers


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("desk_store")
    asyncio.run(apply(url))
    return url


@pytest.fixture(params=["postgres", "memory"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[tuple[StrategyStore, HistorySink]]:
    """The strategy's store and the history whose fills it recalls."""
    if request.param == "memory":
        record = MemoryRecord()
        yield MemoryStrategy(record), MemoryHistory(record, writer="test")
        return
    url = await asyncio.to_thread(request.getfixturevalue, "url")
    keeper, sink = PostgresStrategy(url), PostgresHistory(url, writer="test")
    yield keeper, sink
    await keeper.close()
    await sink.close()


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
    keeper = PostgresStrategy(url)
    wide = msgspec.structs.replace(Policy(), history_lag_max=9)
    for change, (policy, actor, reason) in enumerate(
        [(Policy(), "configuration", "start"), (wide, "operator", "a busy day"), (Policy(), "somebody else", "again")]
    ):
        await keeper.remember(policy, base="b", generation=1, change=change, actor=actor, reason=reason)
    await keeper.close()
    kept = await rows(url)
    assert [(row["actor"], row["reason"]) for row in kept] == [("configuration", "start"), ("operator", "a busy day")]
    assert [decode(row["body"], Policy) for row in kept] == [Policy(), wide]
    assert [row["hash"] for row in kept] == [Policy().hash, wide.hash]


async def test_a_policy_waits_for_a_database_that_is_away(url: str) -> None:
    async with proxied(url) as (proxy, through):
        proxy.hang_up()
        keeper = PostgresStrategy(through)
        waiting = asyncio.create_task(
            keeper.remember(Policy(), base="b", generation=1, change=1, actor="configuration", reason="start")
        )
        await asyncio.sleep(0.1)
        assert not waiting.done()
        proxy.answer_again()
        await eventually(waiting.done)
        await keeper.close()
    assert len(await rows(url)) == 1


def changes() -> list[tuple[Policy, str]]:
    wide, narrow = (msgspec.structs.replace(Policy(), history_lag_max=lag) for lag in (9, 1))
    return [(Policy(), "start"), (wide, "operator"), (narrow, "operator"), (wide, "operator"), (wide, "start")]


async def put_in_force(keeper: StrategyStore) -> None:
    await asyncio.gather(
        *(
            keeper.remember(policy, base="configured", generation=1, change=change, actor=actor, reason="why")
            for change, (policy, actor) in enumerate(changes(), start=1)
        )
    )


async def test_the_policy_in_force_is_the_last_one_and_only_for_the_configuration_it_was_changed_from(
    stores: tuple[StrategyStore, HistorySink],
) -> None:
    keeper, _ = stores
    assert await keeper.in_force("configured") is None
    await put_in_force(keeper)
    assert await keeper.in_force("configured") == changes()[-1][0]
    assert await keeper.in_force("other limits in the file") is None
    await keeper.remember(
        Policy(), base="other limits in the file", generation=2, change=1, actor="start", reason="configuration"
    )
    assert await keeper.in_force("configured") is None, "what was in force before other limits is over"


async def test_a_statement_that_commits_late_brings_nothing_back_into_force(
    stores: tuple[StrategyStore, HistorySink],
) -> None:
    keeper, _ = stores
    wide, narrow = changes()[1][0], changes()[2][0]

    async def remember(policy: Policy, generation: int, change: int) -> None:
        await keeper.remember(
            policy, base="configured", generation=generation, change=change, actor="operator", reason="why"
        )

    await remember(narrow, 1, 3)
    await remember(wide, 1, 2)
    assert await keeper.in_force("configured") == narrow, "of an earlier change"
    await remember(narrow, 2, 1)
    await remember(wide, 1, 4)
    assert await keeper.in_force("configured") == narrow, "of an earlier life"
    await remember(wide, 2, 1)
    assert await keeper.in_force("configured") == narrow, "of the same change"


async def test_what_was_in_force_is_kept_in_order_and_once_however_often_it_is_sent(url: str) -> None:
    keeper = PostgresStrategy(url)
    await put_in_force(keeper)
    await put_in_force(keeper)
    await keeper.close()
    connection = await asyncpg.connect(url, timeout=5)
    try:
        rows = await connection.fetch("SELECT hash, actor FROM desk.policy_in_force ORDER BY generation, change")
        assert [(row["hash"], row["actor"]) for row in rows] == [(policy.hash, actor) for policy, actor in changes()]
        for table in ("desk.policy", "desk.policy_in_force"):
            for change in (f"UPDATE {table} SET actor = 'x'", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
                with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                    await connection.execute(change)
    finally:
        await connection.close()


async def test_fills_come_with_the_first_settled_price_at_or_after_their_markout(
    stores: tuple[StrategyStore, HistorySink],
) -> None:
    keeper, sink = stores
    settled = result(decision("quote-1"), AttemptState.SETTLED, evidence=SETTLED)
    assert settled.evidence is not None
    markout = timedelta(minutes=10)
    due = settled.evidence.block_time + markout

    def a_result(name: str, payload: TradeResult, **stamps: datetime) -> Envelope[Any]:
        return msgspec.structs.replace(event(TRADE_RESULT.name, name, payload, chain=name), **stamps)

    def a_price(name: str, at: datetime, rate: str | None, *, jumped: bool | None = False) -> Envelope[Any]:
        assert PRICE.jump is not None
        jump = None if jumped is None else msgspec.structs.replace(PRICE.jump, jumped=jumped)
        price = msgspec.structs.replace(PRICE, fair_rate=None if rate is None else Decimal(rate), jump=jump)
        return msgspec.structs.replace(event(MARKET_PRICE.name, name, price, chain=name), observed_at=at)

    yesterday = msgspec.structs.replace(settled, command_id="yesterday")
    elsewhere = msgspec.structs.replace(settled, command_id="elsewhere", account="somebody.near")
    accepted = msgspec.structs.replace(settled, command_id="accepted", state=AttemptState.ACCEPTED)
    late = msgspec.structs.replace(
        settled,
        command_id="late",
        evidence=msgspec.structs.replace(SETTLED, block_time=SETTLED.block_time + timedelta(hours=1)),
    )
    untold = msgspec.structs.replace(settled, command_id="untold", state=AttemptState.SPENT, exchange=None)
    sibling = msgspec.structs.replace(untold, command_id="sibling", told_by="another")
    events = [
        a_result("r1", yesterday, published_at=NOW - timedelta(days=1)),
        *(a_result(each.command_id, each) for each in (elsewhere, accepted, settled, late, untold, sibling)),
        a_price("p1", due - timedelta(microseconds=1), "1"),
        a_price("p2", due, None),
        a_price("p4", due + timedelta(seconds=2), "4"),
        a_price("p3", due + timedelta(seconds=1), "3", jumped=None),
        a_price("p5", due, "5", jumped=True),
    ]
    await sink.write(batches_of(events))
    fills = await keeper.fills(ACCOUNT, PAIR.name, since=NOW - timedelta(hours=1), markout=markout)
    marks = {fill.command_id: (fill, mark.fair_rate if mark else None) for fill, mark in fills}
    marked = {each.command_id: (each, Decimal(3)) for each in (settled, untold, sibling)}
    assert marks == {**marked, "late": (late, None)}


def a_highest(eur: str, **transferred: int) -> HighestEquity:
    moved = {asset: Delta(amount) for asset, amount in transferred.items()}
    return HighestEquity(eur=Fraction(eur), transferred=moved, begun_at=NOW)


async def test_the_highest_equity_is_exact_and_each_account_and_pair_has_its_own(
    stores: tuple[StrategyStore, HistorySink],
) -> None:
    keeper, _ = stores
    assert await keeper.highest_equity(ACCOUNT, PAIR.name) is None
    exact = a_highest("123456789012345678901234567890.123456789012345678901234567890", btc=-(10**30), eure=7)
    kept = {(ACCOUNT, PAIR.name): exact, ("somebody.near", PAIR.name): a_highest("1"), (ACCOUNT, "X/Y"): a_highest("2")}
    for (account, pair), highest in kept.items():
        await keeper.keep_highest_equity(account, pair, highest, generation=1, change=1)
    for (account, pair), highest in kept.items():
        assert await keeper.highest_equity(account, pair) == highest


async def test_the_highest_equity_is_the_newest_and_not_what_commits_last(
    stores: tuple[StrategyStore, HistorySink],
) -> None:
    keeper, _ = stores

    async def kept_after(eur: str, generation: int, change: int) -> HighestEquity | None:
        highest = a_highest(eur, btc=int(eur))
        await keeper.keep_highest_equity(ACCOUNT, PAIR.name, highest, generation=generation, change=change)
        return await keeper.highest_equity(ACCOUNT, PAIR.name)

    assert await kept_after("50", 1, 2) == a_highest("50", btc=50)
    assert await kept_after("99", 1, 1) == a_highest("50", btc=50), "of an earlier change"
    assert await kept_after("40", 1, 3) == a_highest("40", btc=40), "a withdrawal moves it down"
    assert await kept_after("30", 2, 1) == a_highest("30", btc=30)
    assert await kept_after("99", 1, 4) == a_highest("30", btc=30), "of an earlier life"
    assert await kept_after("99", 2, 1) == a_highest("30", btc=30), "of the same change"
