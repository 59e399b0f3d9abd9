"""The history writer's decisions, without I/O."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import pytest

from support.histories import a_record
from support.samples import NOW, event, one_of_each_topic
from unrip.bus.ports import Record
from unrip.frame.contract import (
    Control,
    Count,
    DatabaseChanged,
    Draining,
    Effect,
    Event,
    Log,
    RoleChanged,
    SetTimer,
    Started,
    TimerFired,
)
from unrip.messages.payloads import RawQuote
from unrip.messages.topics import TOPICS
from unrip.services.history_writer.effects import (
    BatchNotWritten,
    BatchRead,
    BatchWritten,
    EndOffsets,
    LoadOffsets,
    OffsetsLoaded,
    OffsetsNotLoaded,
    ReadingFrom,
    ReadOn,
    StartReading,
    TopicStopped,
    WriteBatch,
)
from unrip.services.history_writer.logic import RETRY, HistoryWriter
from unrip.services.history_writer.state import HistoryState, TopicPosition
from unrip.store.history import Position, WriteReport

TOPIC = "raw.near_intents.quote"
LAG_MAX = 100
STANDS = {TOPIC: Position(topic_id="topic-1", next_offset=10)}
UNKNOWN = BatchNotWritten(reason="PostgreSQL does not answer", unknown=True)
ENDS = dict.fromkeys(TOPICS, 0)


class Desk:
    """A writer and what it asked for, with a clock that only moves when told."""

    def __init__(self) -> None:
        self.writer = HistoryWriter(lag_max=LAG_MAX)
        self.now: datetime = NOW

    def tell(self, event: Event) -> list[Effect]:
        return list(self.writer.on_event(event, self.now))

    def control(self, action: str) -> list[Effect]:
        return self.tell(Control(action=action, arguments={}, actor="operator", reason="test"))

    def reasons(self) -> list[str]:
        return self.writer.not_ready(self.now)

    def lag(self) -> int | None:
        lag: int | None = self.writer.vitals(self.now).details.lag
        return lag

    def state(self) -> HistoryState:
        return self.writer.state(self.now)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_database_that_has_not_answered_yet_is_not_shown_as_up(desk: Desk) -> None:
    assert not desk.state().database_up
    desk.tell(DatabaseChanged(up=True, reason=""))
    assert desk.state().database_up


@pytest.fixture
def reading(desk: Desk) -> Desk:
    """Active, with offsets, and every topic's end known."""
    desk.tell(DatabaseChanged(up=True, reason="it answers"))
    desk.tell(Started(active=True, generation=1, start_id="writer-1"))
    desk.tell(OffsetsLoaded(offsets=STANDS))
    desk.tell(EndOffsets(ends=ENDS | {TOPIC: 10}))
    return desk


def quotes(*offsets: int, topic_id: str = "topic-1") -> tuple[Record, ...]:
    return tuple(
        a_record(
            event(
                TOPIC,
                f"event-{offset}",
                RawQuote(quote_id="q", frame="", received_at=NOW, in_filter=True),
                chain="q",
            ),
            offset,
            topic_id=topic_id,
        )
        for offset in offsets
    )


def kinds(effects: Sequence[Effect]) -> list[type]:
    """What is done, beside telling about it."""
    return [type(effect) for effect in effects if not isinstance(effect, Count | Log)]


def lines(effects: Sequence[Effect]) -> list[str]:
    return [effect.event for effect in effects if isinstance(effect, Log)]


def written(effects: Sequence[Effect]) -> WriteBatch:
    (batch,) = [effect for effect in effects if isinstance(effect, WriteBatch)]
    return batch


# --- start ----------------------------------------------------------------------------------------------------------


def test_only_the_active_instance_asks_and_reads(desk: Desk) -> None:
    assert desk.tell(Started(active=False, generation=None, start_id="s")) == []
    assert desk.tell(RoleChanged(active=True, generation=1)) == [LoadOffsets()]
    assert desk.tell(OffsetsLoaded(offsets=STANDS)) == [StartReading(offsets=STANDS)]


def test_the_offsets_are_asked_for_again_until_they_are_known(desk: Desk) -> None:
    desk.tell(RoleChanged(active=True, generation=1))
    failed = desk.tell(OffsetsNotLoaded(reason="PostgreSQL does not answer"))
    assert SetTimer(name="again", at=NOW + RETRY) in failed
    assert lines(failed) == ["write_failed"]
    assert desk.reasons() == ["offsets_not_loaded", "writes_fail"]
    assert desk.tell(TimerFired(name="again")) == [LoadOffsets()]
    assert lines(desk.tell(OffsetsNotLoaded(reason="still not"))) == []
    assert desk.tell(TimerFired(name="again")) == [LoadOffsets()]
    assert kinds(desk.tell(OffsetsLoaded(offsets={}))) == [StartReading]


def test_taking_the_role_back_reads_nothing_twice(reading: Desk) -> None:
    reading.tell(RoleChanged(active=False, generation=None))
    assert reading.tell(RoleChanged(active=True, generation=1)) == []


# --- one batch ------------------------------------------------------------------------------------------------------


def test_a_batch_is_written_and_the_next_one_comes_once_it_is_committed(reading: Desk) -> None:
    effects = reading.tell(BatchRead(records=quotes(10, 11)))
    (batch,) = written(effects).batches
    assert (batch.expected_offset, batch.next_offset, len(batch.rows)) == (10, 12, 2)
    assert not reading.writer.idle()
    assert kinds(reading.tell(BatchWritten(report=WriteReport(written=2)))) == [ReadOn]
    assert reading.writer.idle()
    (following,) = written(reading.tell(BatchRead(records=quotes(12)))).batches
    assert following.expected_offset == 12
    assert reading.state().offsets == {TOPIC: TopicPosition(topic_id="topic-1", next_offset=12)}
    assert (reading.state().written, reading.state().last_write_at) == (2, NOW)


def test_topics_of_one_batch_are_kept_apart_in_their_order(reading: Desk) -> None:
    demand = a_record(one_of_each_topic()["norm.swap_demand"], 0)
    first, second = quotes(10, 11)
    batches = written(reading.tell(BatchRead(records=(first, demand, second)))).batches
    assert [(batch.topic, [row.offset for row in batch.rows]) for batch in batches] == [
        (TOPIC, [10, 11]),
        ("norm.swap_demand", [0]),
    ]


def test_an_unknown_outcome_means_the_same_batch_again(reading: Desk) -> None:
    batch = written(reading.tell(BatchRead(records=quotes(10))))
    failed = reading.tell(UNKNOWN)
    assert kinds(failed) == [SetTimer]
    assert lines(failed) == ["write_failed"]
    assert reading.reasons() == ["writes_fail"]
    assert reading.tell(TimerFired(name="again")) == [batch]
    assert lines(reading.tell(UNKNOWN)) == [], "once per change"
    assert reading.tell(TimerFired(name="again")) == [batch]
    reading.tell(BatchWritten(report=WriteReport(duplicates=1)))
    assert reading.reasons() == []
    assert reading.state().last_error == "PostgreSQL does not answer"
    reading.tell(BatchRead(records=quotes(11)))
    assert lines(reading.tell(UNKNOWN)) == ["write_failed"], "a new change"


def test_a_refused_batch_is_tried_again_too_and_is_told_apart(reading: Desk) -> None:
    batch = written(reading.tell(BatchRead(records=quotes(10))))
    effects = reading.tell(BatchNotWritten(reason="no such table", unknown=False))
    assert Count(name="history_batches", labels={"outcome": "refused"}) in effects
    assert reading.tell(TimerFired(name="again")) == [batch]


def test_a_database_that_comes_back_is_asked_at_once_and_only_once(reading: Desk) -> None:
    batch = written(reading.tell(BatchRead(records=quotes(10))))
    reading.tell(UNKNOWN)
    assert reading.tell(DatabaseChanged(up=False, reason="gone")) == []
    assert not reading.state().database_up
    assert reading.tell(DatabaseChanged(up=True, reason="it answers")) == [batch]
    assert reading.tell(TimerFired(name="again")) == [], "that call is still under way"


def test_there_is_never_a_second_call_at_a_time(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    for nudge in (
        TimerFired(name="again"),
        DatabaseChanged(up=True, reason="x"),
        RoleChanged(active=True, generation=1),
    ):
        assert kinds(reading.tell(nudge)) == []
    assert kinds(reading.control("resume")) == []


def test_conflicts_are_alarmed_one_by_one(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    effects = reading.tell(BatchWritten(report=WriteReport(duplicates=2, conflicts=("a", "b"))))
    assert [effect.body["event_id"] for effect in effects if isinstance(effect, Log)] == ["a", "b"]
    assert lines(effects) == ["record_conflict", "record_conflict"]
    assert (reading.state().duplicates, reading.state().conflicts) == (2, 2)


def test_a_row_that_postgresql_cannot_hold_is_told(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    effects = reading.tell(BatchWritten(report=WriteReport(unstorable={"event-10": "too long"})))
    assert lines(effects) == ["invalid_message"]
    assert reading.state().invalid == 1


def test_what_is_no_event_is_counted_and_stops_nothing(reading: Desk) -> None:
    bad = msgspec.structs.replace(quotes(10)[0], value=b"{")
    effects = reading.tell(BatchRead(records=(bad, *quotes(11))))
    assert "invalid_message" in lines(effects)
    assert written(effects).batches[0].next_offset == 12
    assert reading.state().invalid == 1


# --- holding up -----------------------------------------------------------------------------------------------------


def test_paused_writes_nothing_and_goes_on_with_what_was_read(reading: Desk) -> None:
    reading.control("pause")
    assert kinds(reading.tell(BatchRead(records=quotes(10)))) == []
    assert reading.reasons() == ["paused"]
    assert reading.writer.vitals(NOW).paused
    assert reading.writer.control_state(NOW) == {"paused": "true"}
    assert written(reading.control("resume")).batches[0].next_offset == 11


def test_pause_lets_the_write_in_flight_end(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    reading.control("pause")
    assert ReadOn() in reading.tell(BatchWritten(report=WriteReport(written=1)))
    assert reading.state().offsets[TOPIC].next_offset == 11


def test_without_the_role_nothing_is_written(reading: Desk) -> None:
    reading.tell(RoleChanged(active=False, generation=None))
    assert kinds(reading.tell(BatchRead(records=quotes(10)))) == []
    assert kinds(reading.tell(RoleChanged(active=True, generation=1))) == [WriteBatch]


def test_draining_ends_the_write_in_flight_and_begins_none(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    reading.tell(Draining())
    assert not reading.writer.idle()
    reading.tell(BatchWritten(report=WriteReport(written=1)))
    assert reading.writer.idle()
    assert kinds(reading.tell(BatchRead(records=quotes(11)))) == []
    assert reading.writer.idle(), "it is read again at the next start"


def test_draining_does_not_wait_for_a_database_that_is_away(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    reading.tell(Draining())
    reading.tell(UNKNOWN)
    assert reading.writer.idle()
    assert reading.tell(TimerFired(name="again")) == []


def test_what_a_control_would_change_is_said_and_nothing_has_changed(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    pause = Control(action="pause", arguments={}, actor="o", reason="r")
    assert (reading.writer.follow(pause, NOW), reading.writer.control_state(NOW)) == (
        {"paused": "true"},
        {"paused": "false"},
    )


# --- topics ---------------------------------------------------------------------------------------------------------


def test_a_topic_made_anew_stops_once_by_name_and_the_others_go_on(reading: Desk) -> None:
    demand = a_record(one_of_each_topic()["norm.swap_demand"], 0)
    effects = reading.tell(BatchRead(records=(*quotes(0, 1, topic_id="topic-2"), demand)))
    assert lines(effects) == ["topic_recreated"]
    assert [batch.topic for batch in written(effects).batches] == ["norm.swap_demand"]
    reading.tell(BatchWritten(report=WriteReport(written=1)))
    again = reading.tell(BatchRead(records=quotes(2, topic_id="topic-2")))
    assert again == [ReadOn()], "never written, and not told twice"
    assert reading.reasons() == [f"topic_stopped: {TOPIC}"]
    assert "topic-2" in reading.state().topics_stopped[TOPIC]
    assert reading.state().offsets[TOPIC].next_offset == STANDS[TOPIC].next_offset


def test_an_empty_topic_made_anew_is_noticed_without_any_record(reading: Desk) -> None:
    effects = reading.tell(ReadingFrom(topic=TOPIC, topic_id="topic-2", offset=0, lost=0))
    assert lines(effects) == ["topic_recreated"]
    assert lines(reading.tell(TopicStopped(topic=TOPIC, reason="as the consumer says"))) == []


def test_records_that_retention_took_are_told(reading: Desk) -> None:
    effects = reading.tell(ReadingFrom(topic=TOPIC, topic_id="topic-1", offset=40, lost=30))
    assert lines(effects) == ["records_lost"]
    assert written(reading.tell(BatchRead(records=quotes(40)))).batches[0].expected_offset == 10


# --- lag ------------------------------------------------------------------------------------------------------------


def test_lag_is_what_lies_between_commit_and_end(reading: Desk) -> None:
    reading.tell(EndOffsets(ends=ENDS | {TOPIC: 110, "norm.swap_demand": 1}))
    assert reading.state().lag == ENDS | {TOPIC: 100, "norm.swap_demand": 1}
    assert (reading.lag(), reading.reasons()) == (101, ["lag_above_limit"])
    reading.tell(BatchRead(records=quotes(10)))
    reading.tell(BatchWritten(report=WriteReport(written=1)))
    assert (reading.lag(), reading.reasons()) == (100, [])


def test_what_is_not_there_any_more_is_no_lag(reading: Desk) -> None:
    reading.tell(ReadingFrom(topic=TOPIC, topic_id="topic-1", offset=500, lost=490))
    reading.tell(EndOffsets(ends=ENDS | {TOPIC: 500}))
    assert reading.lag() == 0


def test_a_lag_that_is_not_known_is_too_large(desk: Desk) -> None:
    """The strategy reads the number: unknown must not pass for none."""
    assert desk.lag() == LAG_MAX + 1
    desk.tell(RoleChanged(active=True, generation=1))
    desk.tell(OffsetsLoaded(offsets={}))
    desk.tell(EndOffsets(ends={TOPIC: 0}))
    assert (desk.lag(), desk.reasons()) == (LAG_MAX + 1, ["lag_unknown"])
    desk.tell(EndOffsets(ends=ENDS))
    assert (desk.lag(), desk.reasons()) == (0, [])


def test_a_stopped_topic_is_a_lag_that_is_too_large(reading: Desk) -> None:
    reading.tell(TopicStopped(topic=TOPIC, reason="made anew"))
    assert reading.lag() == LAG_MAX + 1
    reading.tell(EndOffsets(ends={topic: 0 for topic in TOPICS if topic != TOPIC}))
    assert reading.reasons() == [f"topic_stopped: {TOPIC}"]


def test_time_is_only_what_it_is_told(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    reading.now += timedelta(days=1)
    (timer,) = [effect for effect in reading.tell(UNKNOWN) if isinstance(effect, SetTimer)]
    assert timer.at == NOW + timedelta(days=1) + RETRY


# --- what it tells of its errors ------------------------------------------------------------------------------------


def test_every_call_that_fails_is_counted_and_the_last_one_is_told(reading: Desk) -> None:
    reading.tell(BatchRead(records=quotes(10)))
    for _ in range(3):
        reading.tell(BatchNotWritten(reason="no space left", unknown=True))
        reading.tell(TimerFired(name="again"))
    state = reading.state()
    assert (state.errors, state.last_error, state.last_error_at) == (3, "no space left", NOW)


def test_writes_that_fail_count_as_too_far_behind_until_one_succeeds(reading: Desk) -> None:
    assert reading.lag() == 0
    reading.tell(BatchRead(records=quotes(10)))
    reading.tell(BatchNotWritten(reason="no space left", unknown=True))
    assert reading.lag() == LAG_MAX + 1
    reading.tell(TimerFired(name="again"))
    reading.tell(BatchWritten(report=WriteReport(written=1)))
    assert reading.lag() == 0


def test_a_database_that_hangs_is_the_last_error_before_any_call_has_failed(reading: Desk) -> None:
    reading.tell(DatabaseChanged(up=False, reason="watching: PostgreSQL does not answer"))
    assert reading.state().last_error == "watching: PostgreSQL does not answer"


def test_the_last_write_of_an_earlier_life_is_told_until_there_is_a_newer_one(desk: Desk) -> None:
    desk.tell(RoleChanged(active=True, generation=1))
    earlier = NOW - timedelta(hours=1)
    desk.tell(OffsetsLoaded(offsets=STANDS, last_write_at=earlier))
    assert desk.state().last_write_at == earlier
    desk.tell(BatchRead(records=quotes(10)))
    desk.tell(BatchWritten(report=WriteReport(written=1)))
    assert desk.state().last_write_at == NOW
