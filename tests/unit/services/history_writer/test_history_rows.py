"""Which records become rows, which are set aside, and which beats say nothing new."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.histories import a_record
from support.samples import BTC, LEDGER, NOW, event, events_beside_the_trade, one_of_each_topic
from unrip.bus.ports import Record
from unrip.domain.status import ExecutorVitals, HistoryVitals, ServiceStatus
from unrip.domain.values import Amount
from unrip.frame.contract import Log, Publish
from unrip.messages.dead_letters import dead_letter_id
from unrip.messages.topics import DEAD_LETTER, TOPICS, Topic
from unrip.services.history_writer.rows import BEAT_EVERY, Beats, batch_of
from unrip.store.history import Position

BEAT: ServiceStatus = next(
    each.payload for each in events_beside_the_trade() if each.event_type == "ops.service_status"
)


def broken(topic: str, offset: int, data: bytes = b"{") -> Record:
    return msgspec.structs.replace(a_record(one_of_each_topic()[topic], offset), value=data)


def at(kind: Any, path: str) -> list[Any]:
    """The types of what a path leads to from a payload's type on; none where it leads nowhere."""
    step, _, rest = path.partition(".")
    kinds = [each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    found = [field.type for each in kinds for field in msgspec.structs.fields(each) if field.name == step]
    return found if not rest else [deeper for each in found for deeper in at(each, rest)]


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_every_column_leads_to_a_field_of_the_payload(topic: Topic) -> None:
    """One that leads nowhere would be NULL for ever, and nobody would be told."""
    assert [each.name for each in topic.columns if not at(topic.payload, each.path)] == []


@pytest.mark.parametrize("topic", TOPICS)
def test_an_event_of_every_topic_becomes_a_row_that_holds_the_record_as_it_stood(topic: str) -> None:
    record = a_record(one_of_each_topic()[topic], 7)
    batch, effects = batch_of([record], Position(topic_id="topic-1", next_offset=5), Beats())
    (row,) = batch.rows
    assert (row.offset, row.event.encode()) == (7, record.value)
    assert (batch.expected_offset, batch.next_offset, batch.topic_id) == (5, 8, "topic-1")
    assert effects == []


def test_the_first_batch_of_a_topic_expects_no_offset() -> None:
    batch, _ = batch_of([a_record(one_of_each_topic()["norm.swap_demand"], 3)], None, Beats())
    assert (batch.expected_offset, batch.next_offset) == (None, 4)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"event_id": "x"}', b"[" * 100_000], ids=repr)
def test_what_is_no_event_is_set_aside_with_a_letter_and_the_offset_moves(data: bytes) -> None:
    good = a_record(one_of_each_topic()["norm.swap_demand"], 1)
    batch, effects = batch_of([broken("norm.swap_demand", 0, data), good], None, Beats())
    assert [(bad.offset, bad.data) for bad in batch.invalid] == [(0, data)]
    assert [row.offset for row in batch.rows] == [1]
    assert batch.next_offset == 2
    (letter,) = [effect for effect in effects if isinstance(effect, Publish)]
    assert letter.topic is DEAD_LETTER
    assert letter.event_id == dead_letter_id("norm.swap_demand", topic_id="topic-1", offset=0)
    assert [effect.event for effect in effects if isinstance(effect, Log)] == ["invalid_message"]


def test_a_broken_dead_letter_gets_no_letter_of_its_own() -> None:
    batch, effects = batch_of([broken(DEAD_LETTER.name, 0)], None, Beats())
    assert [bad.offset for bad in batch.invalid] == [0]
    assert not [effect for effect in effects if isinstance(effect, Publish)]
    assert [effect.event for effect in effects if isinstance(effect, Log)] == ["invalid_message"]


def test_an_event_of_another_topic_is_none_of_this_one() -> None:
    misplaced = msgspec.structs.replace(a_record(one_of_each_topic()["norm.swap_demand"], 0), topic="ref.market_price")
    batch, _ = batch_of([misplaced], None, Beats())
    assert (batch.rows, len(batch.invalid)) == ((), 1)


def seconds(number: float) -> datetime:
    return NOW + timedelta(seconds=number)


def moved(**changes: Any) -> ServiceStatus:
    """What is none of its own fields changes its details, or the switches in them."""
    details, ours = BEAT.details, {name: changes[name] for name in changes if name in BEAT.__struct_fields__}
    assert isinstance(details, ExecutorVitals)
    more = {name: changes[name] for name in changes if name in details.__struct_fields__}
    switches = {name: changes[name] for name in changes if name in details.switches.__struct_fields__}
    assert len(ours) + len(more) + len(switches) == len(changes)
    more["switches"] = msgspec.structs.replace(details.switches, **switches)
    return msgspec.structs.replace(BEAT, **{"details": msgspec.structs.replace(details, **more), **ours})


def test_a_beat_that_says_nothing_new_is_stored_once_a_minute() -> None:
    beats = Beats()
    stored = [n for n in range(181) if beats.worth_storing(moved(lag=n), seconds(n))]
    assert stored == [0, 60, 120, 180]


@pytest.mark.parametrize("details", [HistoryVitals(lag=3), HistoryVitals(lag=None)])
def test_a_moved_lag_of_the_history_alone_is_nothing_new(details: HistoryVitals) -> None:
    beats = Beats()
    assert beats.worth_storing(moved(details=HistoryVitals(lag=0)), seconds(0))
    assert not beats.worth_storing(moved(details=details), seconds(1))


def test_a_new_block_alone_is_nothing_new_but_a_moved_balance_is() -> None:
    beats = Beats()
    higher = msgspec.structs.replace(LEDGER, height=LEDGER.height + 1)
    assert beats.worth_storing(moved(ledger=LEDGER), seconds(0))
    assert not beats.worth_storing(moved(ledger=higher), seconds(1))
    assert beats.worth_storing(moved(ledger=msgspec.structs.replace(higher, held={BTC: Amount(1)})), seconds(2))


@pytest.mark.parametrize(
    "change",
    [
        {"ready": False, "not_ready": ("kafka_unreachable",)},
        {"healthy": False},
        {"active": False},
        {"paused": True},
        {"halted": True},
        {"armed": ()},
        {"generation": 3},
        {"database_up": False},
        {"ledger": None},
        {"recovering": True},
        {"account": None},
        {"details": None},
    ],
    ids=str,
)
def test_any_change_is_stored_and_so_is_the_way_back(change: dict[str, Any]) -> None:
    beats = Beats()
    told = [beats.worth_storing(beat, seconds(n)) for n, beat in enumerate([BEAT, moved(**change), BEAT, BEAT])]
    assert told == [True, True, True, False]


def test_instances_are_told_apart() -> None:
    beats = Beats()
    assert beats.worth_storing(BEAT, seconds(0))
    assert beats.worth_storing(moved(instance="other"), seconds(1))
    assert not beats.worth_storing(BEAT, seconds(2))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 40)), max_size=60))
def test_what_is_left_out_could_be_told_from_what_is_stored(steps: list[tuple[int, bool, int]]) -> None:
    """The last stored beat of an instance says what its last beat said, and is never older than a minute."""
    beats, kept, at = Beats(), dict[str, tuple[ServiceStatus, datetime]](), NOW
    for number, ready, pause_s in steps:
        at += timedelta(seconds=pause_s)
        beat = moved(instance=f"instance-{number}", ready=ready)
        if beats.worth_storing(beat, at):
            kept[beat.instance] = (beat, at)
        assert kept[beat.instance][0] == beat
        assert at - kept[beat.instance][1] < BEAT_EVERY


def test_beats_that_are_left_out_still_move_the_offset() -> None:
    def records() -> Iterator[Record]:
        for n in range(3):
            yield a_record(event("ops.service_status", f"beat-{n}", BEAT, chain="c"), n)

    batch, _ = batch_of(records(), None, Beats())
    assert [row.event_id for row in batch.rows] == ["beat-0"]
    assert batch.next_offset == 3
