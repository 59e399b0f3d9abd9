"""What every outbox promises: rows of any topic, in the order of their commits, each until it is marked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest

from support.cases import NOW
from support.samples import one_of_each_topic
from unrip.frame.contract import Publish
from unrip.frame.outbox import OutboxPublisher
from unrip.frame.publisher import Delivery
from unrip.messages.envelope import encode
from unrip.messages.topics import TOPICS
from unrip.store.connection import Sessions
from unrip.store.memory_outbox import MemoryOutbox
from unrip.store.outbox import Outbox, OutboxRecord, PostgresOutbox

#: An owner of events has a table of this form beside its own.
THEIRS = "DROP SCHEMA IF EXISTS theirs CASCADE; CREATE SCHEMA theirs; "
THEIRS += "CREATE TABLE theirs.outbox (LIKE ledger.outbox INCLUDING ALL)"
WRITE = """INSERT INTO theirs.outbox (topic, event_id, correlation_id, causation_id, occurred_at, observed_at, venue,
                                      pair, stages, payload)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (event_id) DO NOTHING"""


def arguments_of(event: OutboxRecord) -> list[Any]:
    """What `WRITE` writes: the fields in their order."""
    said = {name: getattr(event, name) for name in event.__struct_fields__}
    return list((said | {name: encode(said[name]).decode() for name in ("stages", "payload")}).values())


class Owner(NamedTuple):
    """Whoever commits events."""

    outbox: Outbox
    commit: Callable[[OutboxRecord], Awaitable[None]]


@pytest.fixture
async def owner(url: str | None) -> AsyncIterator[Owner]:
    if url is None:
        twin = MemoryOutbox()

        async def write(event: OutboxRecord) -> None:
            twin.write(event)

        yield Owner(twin, write)
        return
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(THEIRS)
    sessions = Sessions(url, application="theirs", size=1)

    async def commit(event: OutboxRecord) -> None:
        await connection.execute(WRITE, *arguments_of(event))

    yield Owner(PostgresOutbox(sessions, table="theirs.outbox"), commit)
    sessions.give_back()
    await connection.close()


def an_event(topic: str, name: str = "event-1", **changes: Any) -> OutboxRecord:
    payload = one_of_each_topic()[topic].payload
    record = OutboxRecord(
        topic=topic,
        event_id=name,
        correlation_id="chain-1",
        causation_id="parent-1",
        occurred_at=datetime(2026, 11, 24, 8, 59, 59, 999999, tzinfo=UTC),
        observed_at=NOW,
        venue="near_intents",
        pair="BTC/EURe",
        stages={"received": NOW},
        payload=payload,
    )
    return msgspec.structs.replace(record, **changes)


@pytest.mark.parametrize("topic", sorted(TOPICS))
async def test_an_event_of_any_topic_comes_out_as_it_was_committed(owner: Owner, topic: str) -> None:
    event = an_event(topic)
    bare = an_event(topic, "event-2", causation_id=None, occurred_at=None, venue=None, pair=None, stages={})
    for each in (event, bare, event):
        await owner.commit(each)
    assert [row.event for row in await owner.outbox.unpublished(10)] == [event, bare]
    assert await owner.outbox.unreadable() == {}


async def test_rows_wait_in_the_order_of_their_commits_until_they_are_marked(owner: Owner) -> None:
    names = ["ops.liquidity_action", "exec.trade_result", "ops.liquidity_action", "state.treasury"]
    for number, topic in enumerate(names):
        await owner.commit(an_event(topic, f"event-{number}"))
    rows = await owner.outbox.unpublished(3)
    assert [row.event.topic for row in rows] == names[:3]
    assert [row.event.event_id for row in await owner.outbox.unpublished(10, after=rows[1].seq)] == [
        "event-2",
        "event-3",
    ]
    for _ in range(2):
        await owner.outbox.mark_published([rows[0].seq, rows[2].seq])
    await owner.outbox.mark_published([])
    assert [row.event.event_id for row in await owner.outbox.unpublished(10)] == ["event-1", "event-3"]
    await owner.commit(an_event("exec.trade_result", "event-0"))
    assert len(await owner.outbox.unpublished(10)) == 2, "an event is written once, published or not"


async def test_one_publisher_publishes_rows_of_any_topic(owner: Owner) -> None:
    """A line that the broker does not take holds up itself: neither another key, nor the same key of another topic."""
    produced: list[Publish] = []
    refused = "ops.liquidity_action"

    def produce(record: Publish, on_delivery: Delivery) -> None:
        taken = record.topic.name != refused
        if taken:
            produced.append(record)
        on_delivery(1 if taken else None, None if taken else "too large")

    events = [an_event(topic, topic) for topic in sorted(TOPICS)]
    for event in events:
        await owner.commit(event)
    publisher = OutboxPublisher(owner.outbox, produce, named="event_not_published")
    await publisher.publish_all()
    key = TOPICS[refused].key(one_of_each_topic()[refused].payload)
    assert publisher.troubles() == {f"event_not_published: {key}": "too large"}
    refused = ""
    await publisher.publish_all()
    assert (publisher.troubles(), await owner.outbox.unpublished(10)) == ({}, [])
    told = {record.topic.name: record for record in produced}
    for event in events:
        record = told[event.topic]
        said = {name: getattr(record, name) for name in event.__struct_fields__ if name != "topic"}
        assert said == {name: getattr(event, name) for name in said}
        assert record.topic is TOPICS[event.topic]


async def test_two_topics_of_one_key_are_two_lines(owner: Owner) -> None:
    """A treasury and an inventory have one key: their account."""
    told: list[str] = []

    def produce(record: Publish, on_delivery: Delivery) -> None:
        taken = record.topic.name == "state.treasury"
        told.extend([record.event_id] if taken else [])
        on_delivery(1 if taken else None, None if taken else "too large")

    for name in ("state.intent_inventory", "state.treasury"):
        payload = msgspec.structs.replace(one_of_each_topic()[name].payload, account="desk.near")
        await owner.commit(an_event(name, name, payload=payload))
    publisher = OutboxPublisher(owner.outbox, produce, named="event_not_published")
    await publisher.publish_all()
    assert told == ["state.treasury"]
    assert publisher.troubles() == {"event_not_published: desk.near": "too large"}


@pytest.mark.servers
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("topic = 'ops.of_tomorrow'", "no topic 'ops.of_tomorrow'"),
        ("payload = '{}'", "missing required field"),
        ("topic = 'exec.trade_result'", "missing required field"),
    ],
)
async def test_a_row_that_this_version_cannot_read_is_named_and_the_others_go_on(
    database: str, change: str, why: str
) -> None:
    connection = await asyncpg.connect(database, timeout=5)
    await connection.execute(THEIRS)
    sessions = Sessions(database, application="theirs", size=1)
    outbox = PostgresOutbox(sessions, table="theirs.outbox")
    for name in ("event-1", "event-2"):
        await connection.execute(WRITE, *arguments_of(an_event("ops.liquidity_action", name)))
    await connection.execute(f"UPDATE theirs.outbox SET {change} WHERE event_id = 'event-1'")
    assert [row.event.event_id for row in await outbox.unpublished(1)] == ["event-2"]
    ((seq, reason),) = (await outbox.unreadable()).items()
    assert why in reason
    await connection.execute("DELETE FROM theirs.outbox WHERE seq = $1", seq)
    assert len(await outbox.unpublished(10)) == 1
    assert await outbox.unreadable() == {}
    sessions.give_back()
    await connection.close()
