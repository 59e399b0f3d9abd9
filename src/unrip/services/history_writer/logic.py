"""The history writer: one batch at a time, rows and offsets in one transaction.

The next batch is read once the last one is committed, so a crash loses nothing and repeats one batch at most. A batch
of which nobody knows whether it was committed is written again as it is; the store makes that harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from unrip.domain.status import HistoryVitals
from unrip.frame.contract import (
    Control,
    Count,
    DatabaseChanged,
    Effect,
    Event,
    Log,
    RoleChanged,
    SetTimer,
    Started,
    TimerFired,
)
from unrip.frame.logic import Logic
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
from unrip.services.history_writer.positions import Positions
from unrip.services.history_writer.rows import Beats, batch_of
from unrip.services.history_writer.state import HistoryState, TopicPosition
from unrip.store.history import TopicBatch, WriteReport

#: How long after a failed call the next one is made; sooner when the database comes back.
RETRY = timedelta(milliseconds=500)


class HistoryWriter(Logic):
    """Pure logic of history-writer. `lag_max` is the lag, in records, above which it is not ready."""

    def __init__(self, *, lag_max: int) -> None:
        self._lag_max = lag_max
        self.life.database_up = False  # until it has answered: nothing is written before, and unknown is not yes
        self._places = Positions()
        self._beats = Beats()
        #: What was read and is not committed yet.
        self._batch: WriteBatch | None = None
        #: Whether a call to the database is under way; there is never a second one.
        self._calling = False
        self._failing = False
        self._last_error: str | None = None
        self._last_error_at: datetime | None = None
        self._last_write_at: datetime | None = None
        #: How many records since the start had each outcome, and how many calls to PostgreSQL failed.
        self._counts = {"written": 0, "duplicates": 0, "conflicts": 0, "invalid": 0, "errors": 0}

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in; see `frame/contract.py`."""
        match event:
            case BatchRead():
                return self._on_read(event)
            case BatchWritten():
                return self._on_written(event.report, now)
            case BatchNotWritten() | OffsetsNotLoaded():
                return self._on_failure(event, now)
            case OffsetsLoaded():
                return self._on_loaded(event)
            case EndOffsets():
                self._places.ends = event.ends
            case ReadingFrom():
                return self._on_reading_from(event)
            case TopicStopped():
                return self._stop(event.topic, event.reason)
            case _:
                return self._on_surroundings(event, now)
        return []

    def _on_surroundings(self, event: Event, now: datetime) -> list[Effect]:
        """Follow whatever stops the writing or lets it go on."""
        match event:
            case DatabaseChanged():
                if not event.up:
                    self._last_error, self._last_error_at = event.reason, now
                return self._go_on() if event.up else []
            case Started() | RoleChanged() | TimerFired():
                return self._go_on()
        return []

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Write on after a pause."""
        return [*super().act(control, now), *self._go_on()]

    def _go_on(self) -> list[Effect]:
        """Make the next call to the database, if there is one to make and nothing stands in its way."""
        if self._calling or not self.life.active or self.life.draining:
            return []
        if not self._places.loaded:
            self._calling = True
            return [LoadOffsets()]
        if self._batch is None or self.life.paused:
            return []
        self._calling = True
        return [self._batch]

    def _on_loaded(self, event: OffsetsLoaded) -> list[Effect]:
        self._calling, self._failing = False, False
        self._places.load(event.offsets)
        self._last_write_at = self._last_write_at or event.last_write_at
        return [] if self.life.draining else [StartReading(offsets=event.offsets)]

    # --- one batch -------------------------------------------------------------------------------------------------

    def _on_read(self, event: BatchRead) -> list[Effect]:
        batches: list[TopicBatch] = []
        effects: list[Effect] = []
        for topic in dict.fromkeys(record.topic for record in event.records):
            records = [record for record in event.records if record.topic == topic]
            if (why := self._places.why_not(topic, records[0].topic_id)) is not None:
                effects += self._stop(topic, why)
                continue
            batch, told = batch_of(records, self._places.offsets.get(topic), self._beats)
            self._counts["invalid"] += len(batch.invalid)
            batches.append(batch)
            effects += told
        if not batches:
            return [*effects, ReadOn()]
        self._batch = WriteBatch(batches=tuple(batches))
        return [*effects, *self._go_on()]

    def _on_written(self, report: WriteReport, now: datetime) -> list[Effect]:
        if self._batch is None:
            raise AssertionError("a write was reported, but none was in flight")
        for batch in self._batch.batches:
            self._places.wrote(batch)
        self._batch, self._calling, self._failing = None, False, False
        self._last_write_at = now
        self._counts["written"] += report.written
        self._counts["duplicates"] += report.duplicates
        self._counts["conflicts"] += len(report.conflicts)
        self._counts["invalid"] += len(report.unstorable)
        return [Count(name="history_batches", labels={"outcome": "written"}), *_told_about(report), ReadOn()]

    def _on_failure(self, event: BatchNotWritten | OffsetsNotLoaded, now: datetime) -> list[Effect]:
        """Make the same call again later: it is idempotent, and even a refusal ends when its cause does.

        Where a topic is not where this life has left it, all are read anew from where they are: the database may be
        an earlier one, and whoever else wrote has written the same records.
        """
        outcome = "refused" if isinstance(event, BatchNotWritten) and not event.unknown else "unknown"
        if isinstance(event, BatchNotWritten) and event.moved:
            outcome, self._batch, self._places = "moved", None, Positions()
        calls = "history_batches" if isinstance(event, BatchNotWritten) else "history_loads"
        first, self._failing, self._calling = not self._failing, True, False
        self._last_error, self._last_error_at = event.reason, now
        self._counts["errors"] += 1
        told: list[Effect] = [
            Count(name=calls, labels={"outcome": outcome}),
            SetTimer(name="again", at=now + RETRY),
        ]
        if first:
            body = {"reason": event.reason, "outcome": outcome}
            told.append(Log(event="write_failed", level="error", component="history", body=body))
        return told

    # --- topics ----------------------------------------------------------------------------------------------------

    def _on_reading_from(self, event: ReadingFrom) -> list[Effect]:
        if (why := self._places.why_not(event.topic, event.topic_id)) is not None:
            return self._stop(event.topic, why)
        self._places.reading_from[event.topic] = event.offset
        if not event.lost:
            return []
        body = {"count": event.lost, "reading_from": event.offset}
        return [Log(event="records_lost", level="error", component="history", topic=event.topic, body=body)]

    def _stop(self, topic: str, reason: str) -> list[Effect]:
        if not self._places.stop(topic, reason):
            return []
        body = {"reason": reason}
        return [Log(event="topic_recreated", level="error", component="history", topic=topic, body=body)]

    # --- what the frame asks ---------------------------------------------------------------------------------------

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """Why the present would not be in the record soon."""
        del now
        lag = self._places.total_lag()
        reasons = {
            "offsets_not_loaded": not self._places.loaded,
            "lag_unknown": self._places.loaded and lag is None,
            "lag_above_limit": lag is not None and lag > self._lag_max,
            "writes_fail": self._failing,
        }
        stopped = [f"topic_stopped: {topic}" for topic in sorted(self._places.stopped)]
        return [*(reason for reason, holds in reasons.items() if holds), *stopped]

    def details(self, now: datetime) -> HistoryVitals:
        """How far behind it is.

        A lag that is not known, a topic that is not recorded any more and writes that fail count as too far behind: the
        strategy refuses by this number, and unknown is not no.
        """
        del now
        lag = self._places.total_lag()
        if lag is None or self._places.stopped or self._failing:
            lag = max(lag or 0, self._lag_max + 1)
        return HistoryVitals(lag=lag)

    def idle(self) -> bool:
        """Whether no write is under way. What was read and not written is read again at the next start."""
        return not self._calling

    def state(self, now: datetime) -> HistoryState:
        """Last persisted offset and lag by topic, last write, errors, counts since the start, connectivity."""
        del now
        return HistoryState(
            paused=self.life.paused,
            offsets={
                topic: TopicPosition(topic_id=position.topic_id, next_offset=position.next_offset)
                for topic, position in self._places.offsets.items()
            },
            lag=self._places.lags(),
            lag_total=self._places.total_lag(),
            topics_stopped=self._places.stopped,
            last_write_at=self._last_write_at,
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            database_up=self.life.database_up,
            **self._counts,
        )


def _told_about(report: WriteReport) -> list[Effect]:
    effects: list[Effect] = []
    for event_id in report.conflicts:
        effects += [
            Count(name="record_conflicts"),
            Log(event="record_conflict", level="error", component="history", body={"event_id": event_id}),
        ]
    for event_id, reason in report.unstorable.items():
        body = {"event_id": event_id, "reason": reason}
        effects += [
            Count(name="records_unstorable"),
            Log(event="invalid_message", level="error", component="history", body=body),
        ]
    return effects
