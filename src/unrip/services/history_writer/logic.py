"""The history writer: one batch at a time, rows and positions in one transaction.

Nothing is read ahead of what is committed, so that a crash loses nothing and repeats at most one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from unrip.service.contract import (
    Control,
    Count,
    DatabaseChanged,
    Draining,
    Effect,
    Event,
    Log,
    Logic,
    RoleChanged,
    SetTimer,
    Started,
    TimerFired,
    Vitals,
)
from unrip.services.history_writer.effects import (
    BatchRead,
    BatchWritten,
    EndsSeen,
    LoadPositions,
    PositionsLoaded,
    RecordsLost,
    StartReading,
    StoreAway,
    TopicStopped,
    WriteBatch,
)
from unrip.services.history_writer.rows import Rows
from unrip.store.history import Position, WriteReport

_RETRY = timedelta(milliseconds=500)


class HistoryWriter(Logic):
    """Pure logic of history-writer."""

    def __init__(self, *, lag_max: int) -> None:
        self._lag_max = lag_max
        self._rows = Rows()
        self._active = False
        self._paused = False
        self._draining = False
        self._database_up = False
        self._positions: dict[str, Position] | None = None
        self._ends: dict[str, int] = {}
        self._stopped: dict[str, str] = {}
        #: The batch whose fate is not known yet, and what was read while paused.
        self._in_flight: WriteBatch | None = None
        self._waiting: BatchRead | None = None
        self._failing = False
        self._last_error: str | None = None
        self._last_write_at: datetime | None = None
        self._written = self._duplicates = self._conflicts = 0

    def on_event(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in; see `service/contract.py`."""
        match event:
            case BatchRead():
                self._waiting = event
                return self._write_waiting()
            case BatchWritten():
                return self._on_written(event.report, now)
            case StoreAway():
                return self._on_store_away(event, now)
            case TimerFired():
                return self._on_timer(event)
            case PositionsLoaded():
                self._positions = dict(event.positions)
                return [StartReading(positions=event.positions)]
            case EndsSeen():
                self._ends = event.ends
            case Control():
                return self._on_control(event)
            case _:
                return self._on_surroundings(event)
        return []

    def _on_surroundings(self, event: Event) -> list[Effect]:
        match event:
            case Started() | RoleChanged():
                first = event.active and not self._active
                self._active = self._active or event.active
                return [LoadPositions()] if first else []
            case DatabaseChanged():
                self._database_up = event.up
            case TopicStopped():
                self._stopped[event.topic] = event.reason
                body = {"reason": event.reason}
                return [Log(event="topic_recreated", level="error", component="history", topic=event.topic, body=body)]
            case RecordsLost():
                lost = {"count": event.count}
                return [Log(event="records_lost", level="error", component="history", topic=event.topic, body=lost)]
            case Draining():
                self._draining = True
        return []

    # --- one batch -------------------------------------------------------------------------------------------------

    def _write_waiting(self) -> list[Effect]:
        if self._waiting is None or self._paused or self._draining or self._positions is None:
            return []
        batches, told = self._rows.of(self._waiting.records, self._positions)
        self._waiting = None
        self._in_flight = WriteBatch(batches=batches)
        return [*told, self._in_flight]

    def _on_written(self, report: WriteReport, now: datetime) -> list[Effect]:
        written, self._in_flight = self._in_flight, None
        if written is None or self._positions is None:
            raise AssertionError("a write was reported, but none was in flight")
        for batch in written.batches:
            self._positions[batch.topic] = Position(topic_id=batch.topic_id, next_offset=batch.next_offset)
        self._failing, self._last_write_at = False, now
        self._written += report.written
        self._duplicates += report.duplicates
        self._conflicts += len(report.conflicts)
        return [
            Count(name="history_batches", labels={"outcome": "written"}),
            *(
                Log(event="record_conflict", level="error", component="history", body={"event_id": event_id})
                for event_id in report.conflicts
            ),
        ]

    def _on_store_away(self, event: StoreAway, now: datetime) -> list[Effect]:
        self._last_error = event.reason
        effects: list[Effect] = [
            Count(name="history_batches", labels={"outcome": "unknown"}),
            SetTimer(name=event.what, at=now + _RETRY),
        ]
        if self._failing:
            return effects
        self._failing = True
        body = {"what": event.what, "reason": event.reason}
        return [*effects, Log(event="write_failed", level="error", component="history", body=body)]

    def _on_timer(self, timer: TimerFired) -> list[Effect]:
        if timer.name == "load":
            return [LoadPositions()]
        return [self._in_flight] if timer.name == "write" and self._in_flight is not None else []

    def _on_control(self, control: Control) -> list[Effect]:
        match control.action:
            case "pause":
                self._paused = True
            case "resume":
                self._paused = False
                return self._write_waiting()
        return []

    # --- what the frame asks ---------------------------------------------------------------------------------------

    def _lags(self) -> dict[str, int]:
        positions = self._positions or {}
        return {
            topic: max(0, end - (positions[topic].next_offset if topic in positions else 0))
            for topic, end in self._ends.items()
        }

    def not_ready(self, now: datetime) -> list[str]:
        """Why what happens now would not be in the record soon."""
        del now
        reasons = []
        if not self._active:
            reasons.append("standby")
        if self._positions is None:
            reasons.append("positions_not_loaded")
        if self._paused:
            reasons.append("paused")
        if sum(self._lags().values()) > self._lag_max:
            reasons.append("lag_above_limit")
        return [*reasons, *(f"topic_stopped: {topic}" for topic in sorted(self._stopped))]

    def vitals(self, now: datetime) -> Vitals:
        """Paused, and how far behind; unknown while a topic is stopped, for then the record has a hole."""
        del now
        return Vitals(paused=self._paused, lag=None if self._stopped else sum(self._lags().values()))

    def control_state(self, now: datetime) -> dict[str, str]:
        """Pause."""
        del now
        return {"paused": str(self._paused).lower()}

    def idle(self) -> bool:
        """No write is in flight."""
        return self._in_flight is None

    def state(self, now: datetime) -> dict[str, Any]:
        """Last persisted offset and lag by topic, last write, errors, connectivity."""
        del now
        return {
            "paused": self._paused,
            "positions": self._positions,
            "lag": self._lags(),
            "last_write_at": self._last_write_at,
            "last_error": self._last_error,
            "database_up": self._database_up,
            "written": self._written,
            "duplicates": self._duplicates,
            "conflicts": self._conflicts,
            "topics_stopped": self._stopped,
        }
