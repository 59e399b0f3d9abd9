"""The questions that operators ask, asked of the real database."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from support.chains import chain_of_a_trade
from support.histories import PostgresStore, batches_of
from support.samples import DESK, PAIR, PRICE, ago, decision, event, events_of_a_trade
from support.servers import Servers
from unrip.cli import evidence as evidence_command
from unrip.cli.evidence import collect
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.explain import find_quote_history
from unrip.frame.settings import PostgresSettings, Settings
from unrip.messages.envelope import Envelope
from unrip.services.settings import DESK_SETTINGS
from unrip.store.connection import Database
from unrip.store.errors import StoreRefused
from unrip.store.migrate import apply
from unrip.store.queries import FOUND_MAX, Queries

pytestmark = pytest.mark.servers
PAUSED = msgspec.structs.replace(DESK, paused=True)


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("queries")
    asyncio.run(apply(url))
    return url


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    yield store
    await store.close()


@pytest.fixture
async def queries(url: str) -> AsyncIterator[Queries]:
    async with Queries.connect(url) as queries:
        yield queries


def refused(quote_id: str, age_ms: int) -> Envelope[Any]:
    decided = msgspec.structs.replace(decision(quote_id, desk=PAUSED), decided_at=ago(age_ms))
    return event("decision.trade_decision", decided.decision_id, decided, chain=quote_id)


async def test_nothing_can_be_written(queries: Queries) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await queries._connection.execute("DELETE FROM history.consumer_offset")


async def test_the_chain_is_what_was_published(store: PostgresStore, queries: Queries) -> None:
    await store.sink().write(batches_of(events_of_a_trade("quote-1")))
    assert await queries.of_quote("quote-1") == chain_of_a_trade("quote-1")


async def test_a_quote_that_is_not_there_has_no_chain(queries: Queries) -> None:
    assert await queries.of_quote("quote-1") is None


async def test_a_chain_without_a_record_says_so(store: PostgresStore, queries: Queries) -> None:
    await store.sink().write(batches_of(events_of_a_trade("quote-1")[1:5]))
    chain = await queries.of_quote("quote-1")
    assert chain is not None
    assert chain.missing == ("price", "command")


async def test_an_event_of_a_shape_that_is_not_known_is_an_error_with_a_name(
    store: PostgresStore, queries: Queries
) -> None:
    (batch,) = batches_of(events_of_a_trade("quote-1")[3:4])
    other = msgspec.structs.replace(batch.rows[0], event='{"schema": "of another time"}')
    await store.sink().write([msgspec.structs.replace(batch, rows=(other,))])
    with pytest.raises(StoreRefused, match=r"an event of norm\.swap_demand .* cannot be read by this version"):
        await queries.of_quote("quote-1")


async def test_it_waits_until_the_chain_is_complete(store: PostgresStore, queries: Queries) -> None:
    batches = batches_of(events_of_a_trade("quote-1"))
    waiting = asyncio.create_task(queries.until_complete("quote-1", bound_s=30))
    for batch in batches:
        await asyncio.sleep(0)
        assert not waiting.done()
        await store.sink().write([batch])
    chain = await waiting
    assert (chain.outcome, chain.missing) == ("settled", ())


async def test_it_gives_what_there_is_when_the_bound_is_over(store: PostgresStore, queries: Queries) -> None:
    assert (await queries.until_complete("quote-1", bound_s=0)).missing == ("quote", "demand", "decision")
    await store.sink().write(batches_of(events_of_a_trade("quote-1")[:-1]))
    chain = await queries.until_complete("quote-1", bound_s=0)
    assert (chain.outcome, chain.missing) == ("open", ())


@pytest.mark.parametrize("prefix", ["%", "_uote", "quote\\", "100%_"])
async def test_a_prefix_is_no_pattern(store: PostgresStore, queries: Queries, prefix: str) -> None:
    await store.sink().write(batches_of([refused("quote-1", 1), refused("100%_sure", 1)]))
    assert await queries.find(prefix) == (("100%_sure",) if prefix == "100%_" else ())


async def test_find_names_each_quote_once_and_only_so_many(store: PostgresStore, queries: Queries) -> None:
    await store.sink().write(batches_of(events_of_a_trade("quote-1")))
    assert await queries.find("quo") == ("quote-1",)
    await store.sink("writer-1").write(
        [
            msgspec.structs.replace(batch, expected_offset=1, next_offset=99)
            for batch in batches_of([refused(f"quote-{n}", 1) for n in range(20, 20 + FOUND_MAX)])
        ]
    )
    assert len(await queries.find("quo")) == FOUND_MAX


async def test_the_latest_quotes_with_what_became_of_them(store: PostgresStore, queries: Queries) -> None:
    decisions = [refused("older", 900), refused("newer", 800), refused("oldest", 1_000)]
    await store.sink().write(batches_of([*decisions, *events_of_a_trade("quote-1")]))
    lines = await queries.latest_quotes(3)
    assert [(line.quote_id, line.outcome) for line in lines] == [
        ("quote-1", "settled"),
        ("newer", "refused_by_us"),
        ("older", "refused_by_us"),
    ]
    assert (lines[1].refused_by, lines[1].reason) == ("strategy", "paused")
    refusal = await queries.newest_refusal()
    assert refusal is not None
    assert refusal["payload"]["quote_id"] == "newer"
    assert await queries.newest_settled() == ("quote-1",)


async def test_explain_takes_the_beginning_of_an_id(store: PostgresStore) -> None:
    await store.sink().write(batches_of([*events_of_a_trade("quote-1"), refused("quote-12", 1)]))
    assert (await find_quote_history(Database(store.url), "quote-12")).quote_id == "quote-12"
    assert (await find_quote_history(Database(store.url), "quote-1")).quote_id == "quote-1", (
        "a whole id is never ambiguous"
    )
    with pytest.raises(CommandFailed, match="several quotes begin with 'quo', such as quote-1, quote-12") as many:
        await find_quote_history(Database(store.url), "quo")
    assert many.value.code is Exit.USAGE
    with pytest.raises(CommandFailed, match="no quote that begins with 'x'; the latest decided are: quote-1") as none:
        await find_quote_history(Database(store.url), "x")
    assert none.value.code is Exit.NO


class Surfaces:
    """Stands in for the control surfaces, which have tests of their own."""

    def __init__(self, settings: Settings) -> None:
        self.port_of = settings.port_of

    def state(self, service: str) -> dict[str, Any]:
        return {"service": service, "port": self.port_of(service)}


async def test_evidence_is_written_as_files(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_command, "ControlClient", Surfaces)
    older = msgspec.structs.replace(event("ref.market_price", "price-0", PRICE, chain="c"), observed_at=ago(9_000))
    other = event("ref.market_price", "price-x", msgspec.structs.replace(PRICE, pair="X/Y"), chain="c")
    events = [older, other, *events_of_a_trade("quote-1"), refused("quote-2", 5)]
    await store.sink().write(batches_of(events))
    settings = DESK_SETTINGS(postgres=PostgresSettings(url=store.url))
    files = await collect(settings, tmp_path / "new" / "folder", ["quote-1"])
    read = {file.name: json.loads(file.read_text()) for file in files}
    assert [each["event_id"] for each in read["price-events.json"]] == ["price-1", "price-0"]
    assert read["market-reference-state.json"]["service"] == "market-reference-ingest"
    assert read["inventory-state.json"]["service"] == "inventory-sync"
    (trade,) = read["trades.json"]
    assert (trade["quote_id"], trade["latest_state"]) == ("quote-1", "settled")
    command = decision("quote-1").command
    assert command is not None
    (commanded,) = read["commands.json"]
    assert commanded["gross_edge"] == str(command.gross_edge)
    (venue,) = read["venue.json"]
    assert (venue["request"], venue["response"]["text"]) == ('{"quote_id":"quote-1"}', "OK")
    assert read["refused-decision.json"]["payload"]["quote_id"] == "quote-2"
    assert read["price-events.json"][0]["pair"] == PAIR.name


async def test_evidence_about_a_quote_that_is_not_there_is_refused(store: PostgresStore, tmp_path: Path) -> None:
    settings = DESK_SETTINGS(postgres=PostgresSettings(url=store.url))
    with pytest.raises(CommandFailed, match="knows no quote quote-1"):
        await collect(settings, tmp_path / "out", ["quote-1"])
    assert not (tmp_path / "out").exists()


async def test_evidence_about_a_refused_quote_has_no_command(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_command, "ControlClient", Surfaces)
    await store.sink().write(batches_of([refused("quote-2", 5)]))
    await collect(DESK_SETTINGS(postgres=PostgresSettings(url=store.url)), tmp_path, ["quote-2"])
    assert json.loads((tmp_path / "commands.json").read_text()) == [
        {"quote_id": "quote-2", "gross_edge": None, "command": None}
    ]
    assert json.loads((tmp_path / "venue.json").read_text())[0]["request"] is None
