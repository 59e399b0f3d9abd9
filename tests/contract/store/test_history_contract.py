"""What every history promises; run against PostgreSQL and against its twin."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.histories import MemoryStore, PostgresStore, Store, a_batch, a_row, batches_of
from support.samples import NOW, event, events_beside_the_trade, events_of_a_trade, one_of_each_topic
from unrip.messages.envelope import Envelope
from unrip.messages.payloads import RawQuote
from unrip.messages.topics import TOPICS
from unrip.store.history import AnotherWriter, InvalidRecord, Position, TopicReplaced, WriteReport

TOPIC = "raw.near_intents.quote"


@pytest.fixture
async def store(url: str | None) -> AsyncIterator[Store]:
    if url is None:
        yield MemoryStore()
        return
    original = PostgresStore(url)
    await empty(original)
    yield original
    await original.close()


async def empty(original: PostgresStore) -> None:
    """Only a test may: the triggers are off for this one transaction."""
    await original.rows(
        """DO $$
        DECLARE t text;
        BEGIN
            SET LOCAL session_replication_role = replica;
            FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'history' LOOP
                EXECUTE format('DELETE FROM history.%I', t);
            END LOOP;
        END $$"""
    )


def quote(number: int, **changes: Any) -> Envelope[RawQuote]:
    payload = RawQuote(quote_id=f"quote-{number}", frame="{}", received_at=NOW, in_filter=True)
    return event(TOPIC, f"event-{number}", msgspec.structs.replace(payload, **changes), chain=f"quote-{number}")


async def test_an_empty_history_knows_no_offsets(store: Store) -> None:
    assert await store.sink().offsets() == {}


async def test_every_topic_is_kept_whole_with_its_offset(store: Store) -> None:
    events = [*events_of_a_trade("quote-1"), *events_beside_the_trade()]
    report = await store.sink().write(batches_of(events))
    assert report == WriteReport(written=len(events))
    assert {each.event_type for each in events} == set(TOPICS)
    for topic in TOPICS:
        mine = [each for each in events if each.event_type == topic]
        stored = await store.events(topic)
        assert [offset for offset, _ in stored] == list(range(len(mine)))
        assert [kept["event_id"] for _, kept in stored] == [each.event_id for each in mine]
        assert [kept["payload"] for _, kept in stored] == [
            msgspec.json.decode(a_row(each, 0).event)["payload"] for each in mine
        ]
    offsets = await store.sink().offsets()
    assert offsets["exec.trade_result"] == Position(topic_id="topic-1", next_offset=4)


async def test_a_batch_goes_on_where_the_last_one_ended(store: Store) -> None:
    sink = store.sink()
    await sink.write([a_batch(quote(1), quote(2), at=0, after=None)])
    await sink.write([a_batch(quote(3), at=2, after=2)])
    assert [offset for offset, _ in await store.events(TOPIC)] == [0, 1, 2]
    assert await sink.offsets() == {TOPIC: Position(topic_id="topic-1", next_offset=3)}


async def test_offsets_may_leap_over_what_is_not_there(store: Store) -> None:
    """Compaction and retention leave holes; what counts is where this writer left the topic."""
    sink = store.sink()
    await sink.write([a_batch(quote(1), at=0, after=None)])
    await sink.write([a_batch(quote(2), at=70, after=1)])
    assert (await sink.offsets())[TOPIC].next_offset == 71


async def test_a_batch_without_rows_moves_the_offset(store: Store) -> None:
    """Beats that say nothing new."""
    sink = store.sink()
    batch = a_batch(quote(1), at=0, after=None, rows=())
    assert await sink.write([batch]) == WriteReport()
    assert await store.events(TOPIC) == []
    assert (await sink.offsets())[TOPIC].next_offset == 1


async def test_the_same_write_again_leaves_what_one_leaves_and_names_the_same_conflicts(store: Store) -> None:
    """After an outcome that stayed unknown."""
    sink = store.sink()
    bad = InvalidRecord(offset=2, reason="not JSON", data=b"{\x00\xff")
    batch = a_batch(quote(1), event(TOPIC, "event-1", quote(9).payload, chain="c"), at=0, after=None, next_offset=3)
    batch = msgspec.structs.replace(batch, invalid=(bad,))
    first = await sink.write([batch])
    assert first == WriteReport(written=1, duplicates=1, conflicts=("event-1",))
    kept = (await store.events(TOPIC), await store.conflicts(), await store.invalid(), await sink.offsets())
    assert await sink.write([batch]) == WriteReport(written=0, duplicates=2, conflicts=("event-1",))
    assert kept == (await store.events(TOPIC), await store.conflicts(), await store.invalid(), await sink.offsets())


async def test_the_first_record_of_an_id_stays_and_stamps_do_not_matter(store: Store) -> None:
    sink = store.sink()
    again = msgspec.structs.replace(quote(1), published_at=NOW + timedelta(seconds=9), stages={})
    report = await sink.write([a_batch(quote(1), again, at=0, after=None)])
    assert report == WriteReport(written=1, duplicates=1)
    ((offset, kept),) = await store.events(TOPIC)
    assert (offset, kept["stages"] != {}) == (0, True)
    assert await store.conflicts() == []


async def test_the_same_id_with_another_payload_is_kept_aside_whole_with_its_place(store: Store) -> None:
    sink = store.sink()
    other = event(TOPIC, "event-1", quote(1, in_filter=False).payload, chain="quote-1")
    await sink.write([a_batch(quote(1), at=0, after=None)])
    report = await sink.write([a_batch(quote(2), other, at=1, after=1)])
    assert report == WriteReport(written=1, duplicates=1, conflicts=("event-1",))
    assert await store.conflicts() == [(TOPIC, "topic-1", 2, msgspec.json.decode(a_row(other, 0).event))]
    assert [kept["payload"]["in_filter"] for _, kept in await store.events(TOPIC)] == [True, True]


async def test_what_is_no_event_is_kept_byte_for_byte(store: Store) -> None:
    bad = InvalidRecord(offset=0, reason="truncated", data=b'{"event_id":\x00\xff')
    batch = a_batch(quote(1), at=1, after=None, invalid=(bad,))
    assert await store.sink().write([batch]) == WriteReport(written=1)
    assert await store.invalid() == [(TOPIC, "topic-1", 0, "truncated", bad.data)]


async def test_a_second_writer_aborts_with_all_it_wanted_to_write(store: Store) -> None:
    one, other = store.sink("writer-1"), store.sink("writer-2")
    await one.write([a_batch(quote(1), at=0, after=None)])
    beside = batches_of([one_of_each_topic()["norm.swap_demand"]])
    with pytest.raises(AnotherWriter, match=r"left at offset None, it stands at offset 1, moved by writer-1"):
        await other.write([*beside, a_batch(quote(1), quote(2), at=0, after=None)])
    assert [offset for offset, _ in await store.events(TOPIC)] == [0]
    assert await store.events("norm.swap_demand") == []
    assert set(await other.offsets()) == {TOPIC}


async def test_even_a_second_writer_with_the_very_same_batch_is_noticed(store: Store) -> None:
    batch = a_batch(quote(1), at=0, after=None)
    await store.sink("writer-1").write([batch])
    with pytest.raises(AnotherWriter):
        await store.sink("writer-2").write([batch])


async def test_who_missed_the_others_write_aborts_too(store: Store) -> None:
    one, other = store.sink("writer-1"), store.sink("writer-2")
    await one.write([a_batch(quote(1), at=0, after=None)])
    await other.write([a_batch(quote(2), at=1, after=1)])
    with pytest.raises(AnotherWriter):
        await one.write([a_batch(quote(2), at=1, after=1)])


async def test_an_offset_that_is_not_there_any_more_is_named(store: Store) -> None:
    with pytest.raises(AnotherWriter, match="it stands nowhere"):
        await store.sink().write([a_batch(quote(1), at=5, after=5)])


@pytest.mark.parametrize("after", [None, 0, 1])
async def test_a_topic_that_was_made_anew_is_refused_by_name(store: Store, after: int | None) -> None:
    sink = store.sink()
    await sink.write([a_batch(quote(1), at=0, after=None)])
    with pytest.raises(TopicReplaced, match=f"{TOPIC} has the id topic-2, the history was written from topic-1"):
        await sink.write([a_batch(quote(2), at=0, after=after, topic_id="topic-2")])
    assert (await sink.offsets())[TOPIC] == Position(topic_id="topic-1", next_offset=1)
