"""A database that a desk of the first schema left behind: it migrates, and its rows say what they always said."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from support.servers import Servers
from unrip.cli.explain import find_quote_history, printed
from unrip.frame.settings import PairSettings
from unrip.messages.topics import TOPICS
from unrip.store.connection import Database
from unrip.store.migrate import apply, pending
from unrip.store.postgres_ledger import PostgresLedger
from unrip.store.queries import Queries

pytestmark = pytest.mark.servers
DATABASES = Path(__file__).parents[2] / "fixtures" / "database"
#: Written down by the build that made the database.
THEN: dict[str, Any] = json.loads((DATABASES / "eaa7f91.json").read_text())
PAIR = PairSettings().pair()


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    url = servers.create_database("first_schema")
    asyncio.run(_restore(url))
    assert asyncio.run(pending(url))[0] == "0020.voided"
    before = asyncio.run(_counts(url))
    asyncio.run(apply(url))
    assert asyncio.run(pending(url)) == []
    assert asyncio.run(_counts(url)) == before
    return url


async def _restore(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute((DATABASES / "eaa7f91.sql").read_text())
    await connection.close()


async def _counts(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url, timeout=5)
    tables = {topic.table: f"SELECT count(*) FROM history.{topic.table}" for topic in TOPICS.values()}
    counts = {table: await connection.fetchval(query) for table, query in tables.items()}
    await connection.close()
    return counts


@pytest.mark.parametrize("name", THEN["explained"])
def test_a_quote_is_explained_as_before(url: str, name: str) -> None:
    """Line by line the same facts; amounts were counts of smallest units then, and have their unit now."""
    then = THEN["explained"][name]
    found = asyncio.run(find_quote_history(Database(url), then["quote_id"]))
    now = [line.rstrip() for line in printed(found, PAIR)]
    assert [facts(line) for line in now] == [facts(line) for line in then["told"]]


def facts(line: str) -> set[str]:
    """What a line says, without the form in which it says amounts and assets."""
    for asset in PAIR.assets():
        line = re.sub(
            rf"(\d+(?:\.\d+)?) {asset.symbol}\b",
            lambda found, asset=asset: str(asset.parse_whole(found[1])),  # type: ignore[misc]
            line,
        )
        line = line.replace(asset.asset_id, " ")
        line = re.sub(rf"(?<=\s){asset.symbol}(?![/\w])", " ", line)
    words = re.findall(r"[^\s,;()→]+", line)
    return {re.sub(r"^(\d+\.\d*?)0+$", r"\1", word) for word in words} - {"for"}


def test_queries_give_what_they_gave_before(url: str) -> None:
    async def ask() -> tuple[Any, Any, Any]:
        async with Queries.connect(url) as queries:
            return (
                await queries.trade_rows([row["quote_id"] for row in THEN["trade_rows"]]),
                await queries.latest_quotes(5),
                await queries.newest_settled(),
            )

    rows, latest, settled = asyncio.run(ask())
    assert [{name: row[name] for name in then} for row, then in zip(rows, THEN["trade_rows"], strict=True)] == THEN[
        "trade_rows"
    ]
    lines = [{name: str(getattr(line, name)) for name in line.__struct_fields__} for line in latest]
    assert lines == THEN["latest_quotes"]
    assert list(settled) == THEN["newest_settled"]


def test_a_row_is_found_by_the_names_of_today(url: str) -> None:
    """The event stands as it was written, and its columns say the same."""

    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url, timeout=5)
        rows: list[Any] = await connection.fetch("TABLE history.market_price UNION ALL TABLE history.current_price")
        await connection.close()
        return rows

    rows = asyncio.run(ask())
    assert len(rows) > 1
    for row in rows:
        said = json.loads(row["event"])["payload"]
        assert str(row["primary_bid"].normalize()) == said["kraken"]["bid"]
        assert row["primary_health"] == said["kraken_health"]
        assert row["second_opinion_health"] == said["coingecko_health"]
        assert str(row["second_opinion_eur"]) == said["coingecko"]["btc_eur"]
        assert str(row["quote_asset_eur_observed"]) == said["eure_eur_observed"]


def test_the_ledger_goes_on_where_it_was(url: str) -> None:
    """Every hold is closed, nothing is held, and what is credited is what the last block of that desk credited."""

    async def ask() -> tuple[Any, list[Any]]:
        connection = await asyncpg.connect(url, timeout=5)
        account = await connection.fetchval("SELECT account FROM ledger.inventory LIMIT 1")
        await connection.close()
        ledger = PostgresLedger(url)
        try:
            return await ledger.load(account), await ledger.check_held()
        finally:
            await ledger.close()

    state, drift = asyncio.run(ask())
    assert drift == []
    assert set(state.view.credited) == {asset.asset_id for asset in PAIR.assets()}
    assert set(state.view.held.values()) == {0}
