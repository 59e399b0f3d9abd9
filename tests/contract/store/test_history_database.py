"""What only the real database can show: columns, views, refusals, many writers at once, rows it cannot hold."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import pytest

from support.histories import PostgresStore, a_batch, batches_of
from support.ports import free_ports
from support.samples import (
    DESK,
    NOW,
    PAIR,
    PRICE,
    SETTLED,
    ago,
    decision,
    event,
    events_beside_the_trade,
    events_of_a_trade,
    one_of_each_topic,
    result,
)
from support.servers import Servers
from unrip.domain.attempt import AttemptState
from unrip.domain.decision import Decision
from unrip.domain.market import MarketPrice
from unrip.messages.envelope import Envelope
from unrip.messages.payloads import RawQuote
from unrip.messages.topics import TOPICS
from unrip.store.errors import StoreUnavailable
from unrip.store.history import AnotherWriter, PostgresHistory, WriteReport
from unrip.store.history_tables import ENVELOPE, TABLES
from unrip.store.migrate import apply, pending

pytestmark = pytest.mark.servers
QUOTE = "raw.near_intents.quote"
#: Beyond what an index can hold, also compressed.
ENDLESS = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(200))


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("history_database")
    asyncio.run(apply(url))
    return url


@pytest.fixture
def bare_url(servers: Servers) -> str:
    return servers.create_database("history_bare")


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    yield store
    await store.close()


def quote(number: int, **changes: Any) -> Envelope[RawQuote]:
    payload = RawQuote(quote_id=f"quote-{number}", frame="{}", received_at=NOW, in_filter=True)
    return event(QUOTE, f"event-{number}", msgspec.structs.replace(payload, **changes), chain="chain")


# --- the schema -----------------------------------------------------------------------------------------------------


async def test_from_empty_twice(store: PostgresStore) -> None:
    assert await pending(store.url) == []
    assert await apply(store.url) == []


async def test_every_topic_has_a_table_with_the_columns_that_the_writer_fills(store: PostgresStore) -> None:
    assert set(TABLES) == set(TOPICS)
    for table in TABLES.values():
        found = await store.rows(
            """SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute
                WHERE attrelid = ('history.' || $1)::regclass AND attnum > 0 ORDER BY attnum""",
            table.name,
        )
        types = {"timestamp with time zone": "timestamptz"}
        columns = {row["name"]: types.get(row["type"], row["type"]) for row in found}
        filled = {column.name: column.type for column in (*ENVELOPE, *table.columns)}
        assert columns == {**filled, "topic_id": "text", "written_at": "timestamptz"}


async def test_nothing_that_is_written_can_be_changed(store: PostgresStore) -> None:
    await store.sink().write(batches_of([*events_of_a_trade("quote-1"), *events_beside_the_trade()]))
    other = event(QUOTE, "event-1", quote(2).payload, chain="c")
    bad = event(QUOTE, "event-3", quote(3, quote_id=ENDLESS).payload, chain="c")
    await store.sink().write([a_batch(quote(1), other, bad, at=1, after=1)])
    tables = [table.name for table in TABLES.values()] + ["conflicting_record", "invalid_record"]
    for table in tables:
        for change in ("UPDATE history.{} SET topic_id = 'x'", "DELETE FROM history.{}", "TRUNCATE history.{}"):
            with pytest.raises(asyncpg.RestrictViolationError, match=f"{table} is append-only"):
                await store.rows(change.format(table))


async def test_columns_say_what_the_event_says(store: PostgresStore) -> None:
    await store.sink().write(batches_of(events_of_a_trade("quote-1")))
    (decided,) = await store.rows("SELECT * FROM history.trade_decision")
    of = decision("quote-1")
    assert (decided["quote_id"], decided["accepted"], decided["reason"]) == ("quote-1", True, None)
    assert (decided["gross_edge"], decided["required"], decided["decided_at"]) == (of.gross_edge, of.required, NOW)
    (price,) = await store.rows("SELECT * FROM history.market_price")
    assert (price["primary_bid"], price["second_opinion_eur"]) == (Decimal("80000.1"), Decimal(80100))
    settled = await store.rows("SELECT * FROM history.trade_result WHERE state = 'settled'")
    assert [(row["tx_hash"], row["evidence_height"]) for row in settled] == [(SETTLED.tx_hash, SETTLED.height)]
    (unknown,) = await store.rows("SELECT count(*) AS n FROM history.trade_result WHERE evidence_height IS NULL")
    assert unknown["n"] == 3


# --- what it cannot hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param("quote_id", ENDLESS, id="an id beyond what an index can hold"),
        pytest.param("amount_in", "1E+200000", id="a number beyond numeric"),
        pytest.param("direction", 7, id="what the driver cannot even send"),
    ],
)
async def test_a_row_that_cannot_be_held_is_set_aside_and_the_others_are_written(
    store: PostgresStore, column: str, value: object
) -> None:
    topic = "norm.swap_demand"
    event_of = one_of_each_topic()[topic]
    good = [msgspec.structs.replace(event_of, event_id=f"event-{number}") for number in range(3)]
    batch = a_batch(*good, at=0, after=None)
    place = [each.name for each in TABLES[topic].columns].index(column)
    values = (*batch.rows[1].values[:place], value, *batch.rows[1].values[place + 1 :])
    unstorable = msgspec.structs.replace(batch.rows[1], values=values)
    batch = msgspec.structs.replace(batch, rows=(batch.rows[0], unstorable, batch.rows[2]))
    report = await store.sink().write([batch])
    assert (report.written, list(report.unstorable)) == (2, ["event-1"])
    assert [offset for offset, _ in await store.events(topic)] == [0, 2]
    ((where, topic_id, offset, reason, data),) = await store.invalid()
    assert (where, topic_id, offset) == (topic, "topic-1", 1)
    assert "PostgreSQL cannot hold it" in reason
    assert data == unstorable.event.encode()
    assert (await store.sink().offsets())[topic].next_offset == 3
    assert list((await store.sink().write([batch])).unstorable) == ["event-1"]


async def test_a_nul_is_replaced_and_an_escaped_backslash_is_not_mistaken_for_one(store: PostgresStore) -> None:
    frame = "nul \0, \0\0, text \\u0000"
    await store.sink().write([a_batch(quote(1, quote_id="quote\0", frame=frame), at=0, after=None)])
    ((_, kept),) = await store.events(QUOTE)
    assert kept["payload"]["frame"] == "nul \ufffd, \ufffd\ufffd, text \\u0000"
    assert [row["quote_id"] for row in await store.rows("SELECT quote_id FROM history.raw_quote")] == ["quote\ufffd"]


# --- writers --------------------------------------------------------------------------------------------------------


async def test_of_many_writers_at_once_one_gets_through_per_offset(store: PostgresStore) -> None:
    sinks = [store.sink(f"writer-{n}") for n in range(8)]
    for start in range(3):
        batch = a_batch(quote(start), at=start, after=start or None)
        outcomes = await asyncio.gather(*(sink.write([batch]) for sink in sinks), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes].count(WriteReport) == 1
        assert [type(outcome) for outcome in outcomes].count(AnotherWriter) == 7
    assert [offset for offset, _ in await store.events(QUOTE)] == [0, 1, 2]


async def test_a_database_that_waits_too_long_is_unknown_and_the_same_again_is_safe(store: PostgresStore) -> None:
    sink = store.sink(statement_timeout_ms=300)
    await sink.write([a_batch(quote(1), at=0, after=None)])
    blocker = await asyncpg.connect(store.url, timeout=5)
    await blocker.execute("BEGIN; LOCK TABLE history.consumer_offset")
    with pytest.raises(StoreUnavailable):
        await sink.write([a_batch(quote(2), at=1, after=1)])
    await blocker.close()
    assert await sink.write([a_batch(quote(2), at=1, after=1)]) == WriteReport(written=1)


async def test_a_database_that_is_away_is_unknown_and_so_is_one_without_the_schema(bare_url: str) -> None:
    away = PostgresHistory(f"postgresql://postgres:hunter2@127.0.0.1:{free_ports(1)[0]}/unrip", writer="w")
    with pytest.raises(StoreUnavailable) as caught:
        await away.offsets()
    assert "hunter2" not in str(caught.value)
    bare = PostgresHistory(bare_url, writer="w")
    with pytest.raises(StoreUnavailable, match="consumer_offset"):
        await bare.offsets()
    await away.close()
    await bare.close()


# --- views ----------------------------------------------------------------------------------------------------------


async def test_the_chain_of_a_trade_is_one_row(store: PostgresStore) -> None:
    events = events_of_a_trade("quote-1")
    await store.sink().write(batches_of(events))
    (row,) = await store.rows("SELECT * FROM history.trade_chain WHERE quote_id = 'quote-1'")
    ids = {each.event_type: each.event_id for each in events}
    assert (row["raw_quote_id"], row["demand_id"]) == (ids[QUOTE], ids["norm.swap_demand"])
    assert (row["price_id"], row["inventory_id"]) == ("price-1", "inventory-1")
    assert (row["decision_id"], row["command_id"]) == (ids["decision.trade_decision"], ids["cmd.execute_trade"])
    assert (row["latest_state"], row["states"]) == ("settled", ["claimed", "sent", "accepted", "settled"])
    assert (row["tx_hash"], row["gross_edge"]) == (SETTLED.tx_hash, decision("quote-1").gross_edge)
    assert [each["payload"]["state"] for each in msgspec.json.decode(row["results"])] == row["states"]


@pytest.mark.parametrize("last", [3, 4, 5, 6])
async def test_a_chain_that_is_not_whole_still_has_its_row(store: PostgresStore, last: int) -> None:
    await store.sink().write(batches_of(events_of_a_trade("quote-1")[:last]))
    (row,) = await store.rows("SELECT * FROM history.trade_chain")
    there = [row[f"{part}_id"] is not None for part in ("raw_quote", "demand", "decision", "command")]
    assert there == [number < last - 2 for number in range(4)]


def told(of: Decision, state: AttemptState, **changes: Any) -> Envelope[Any]:
    payload = result(of, state, **changes)
    return event("exec.trade_result", f"{of.quote_id} {state}", payload, chain=of.quote_id)


PAUSED = msgspec.structs.replace(DESK, paused=True)
REFUSED: dict[str, dict[str, Any]] = {"claimed": {}, "refused": {}}
STORIES: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]], tuple[str, str | None, str | None]]] = {
    "late at the strategy": (
        {"now": NOW + timedelta(seconds=9)},
        {},
        ("late", "strategy", "window_closed"),
    ),
    "refused by the strategy": ({"desk": PAUSED}, {}, ("refused_by_us", "strategy", "paused")),
    "no result yet": ({}, {}, ("open", None, None)),
    "underway": ({}, {"claimed": {}, "sent": {}}, ("open", None, None)),
    "rejected": ({}, {"rejected": {"reason": "disarmed"}}, ("refused_by_us", "executor", "disarmed")),
    "late at the executor": ({}, {"rejected": {"reason": "window_closed"}}, ("late", "executor", "window_closed")),
    "dropped": (
        {},
        {"claimed": {}, "dropped": {"reason": "socket_gone"}},
        ("refused_by_us", "executor", "socket_gone"),
    ),
    "refused by the relay": ({}, {**REFUSED, "lapsed": {}}, ("refused_by_relay", None, None)),
    "refused by the relay and used all the same": ({}, {**REFUSED, "settled": {}}, ("settled", None, None)),
    "not chosen": ({}, {"claimed": {}, "accepted": {}, "lapsed": {}}, ("not_chosen", None, None)),
    "settled": ({}, {"claimed": {}, "settled": {}}, ("settled", None, None)),
    "one of those that shared its nonce settled": ({}, {"claimed": {}, "spent": {}}, ("taker_unknown", None, None)),
}


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=365 * 7_000)])
async def test_a_record_that_is_dated_ahead_or_comes_late_is_in_no_newer_ones_way(
    store: PostgresStore, ahead: timedelta
) -> None:
    """It cannot have been observed after it was written: whose clock was wrong, or who wrote what he liked."""

    sink, count = store.sink(), iter(range(4))

    async def told(name: str, at: datetime) -> list[str]:
        offset = next(count)
        record = msgspec.structs.replace(event("ref.market_price", name, PRICE, chain="c"), observed_at=at)
        await sink.write([a_batch(record, at=offset, after=offset or None)])
        rows = await store.rows("SELECT event_id FROM history.current_price")
        return [str(row["event_id"]) for row in rows]

    start = datetime.now(tz=UTC)
    assert await told("before", start - timedelta(minutes=1)) == ["before"]
    assert await told("ahead", start + ahead) == ["ahead"]
    assert await told("late", start - timedelta(minutes=2)) == ["ahead"]
    assert await told("after", datetime.now(tz=UTC)) == ["after"]


async def test_every_decided_quote_is_open_or_ends_in_exactly_one_class(store: PostgresStore) -> None:
    decisions, results = [], []
    for story, (changes, states, _) in STORIES.items():
        decided = decision(story, **changes)
        decisions.append(event("decision.trade_decision", decided.decision_id, decided, chain=story))
        commanded = decision(story)
        results += [told(commanded, AttemptState(state), **more) for state, more in states.items()]
    await store.sink().write(batches_of([*decisions, *results]))
    rows = await store.rows("SELECT quote_id, class, refused_by, reason FROM history.loss_ledger")
    assert {row["quote_id"]: tuple(row)[1:] for row in rows} == {story: end for story, (_, _, end) in STORIES.items()}


async def test_current_is_the_newest_of_each_key(store: PostgresStore) -> None:
    def price(name: str, pair: str, age_ms: int) -> Envelope[MarketPrice]:
        payload = msgspec.structs.replace(PRICE, pair=pair)
        return msgspec.structs.replace(event("ref.market_price", name, payload, chain="c"), observed_at=ago(age_ms))

    await store.sink().write(batches_of([price("old", PAIR.name, 9), price("new", PAIR.name, 1), price("x", "X/Y", 5)]))
    rows = await store.rows("SELECT event_id FROM history.current_price ORDER BY pair")
    assert [row["event_id"] for row in rows] == ["new", "x"]
    await store.sink().write(batches_of([*events_beside_the_trade(), one_of_each_topic()["state.intent_inventory"]]))
    for view, key in (("inventory", "account"), ("treasury", "account"), ("status", "service")):
        (row,) = await store.rows(f"SELECT * FROM history.current_{view}")
        assert row[key] in {"desk.near", "trade-executor"}
