"""A small file that keeps control records while Kafka is away."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from unrip.domain.status import ControlRecord
from unrip.domain.values import Value
from unrip.frame.contract import Publish
from unrip.messages.envelope import InvalidMessage, decode, encode
from unrip.messages.topics import CONTROL_ACTION

#: How many records it keeps: a brake is pulled a few times, not thousands of times; the oldest stay and new ones are
#: refused.
SPOOL_MAX = 1_000


class _Kept(Value):
    event_id: str
    observed_at: datetime
    payload: ControlRecord


class Spool:
    """Control records that wait for Kafka, oldest first, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, record: Publish) -> bool:
        """Append a record and flush it to the disk; False when even that fails (the brake has acted all the same)."""
        try:
            if len(self._lines()) >= SPOOL_MAX:
                return False
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                kept = _Kept(event_id=record.event_id, observed_at=record.observed_at, payload=record.payload)
                file.write(b"\n" + encode(kept) + b"\n")  # the first one ends a line that a crash has cut off
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            return False
        return True

    def kept(self) -> list[Publish]:
        """Everything that waits, as it was to be published."""
        kept = [decode(line, _Kept) for line in self._lines()]
        return [
            Publish(
                topic=CONTROL_ACTION,
                event_id=entry.event_id,
                payload=entry.payload,
                observed_at=entry.observed_at,
                correlation_id=entry.event_id,
            )
            for entry in kept
        ]

    def drop_first(self) -> None:
        """Forget the oldest record: the broker has it."""
        rest = self._lines()[1:]
        if not rest:
            self._path.unlink(missing_ok=True)
            return
        draft = self._path.with_suffix(".tmp")
        draft.write_bytes(b"".join(line + b"\n" for line in rest))
        draft.replace(self._path)

    def _lines(self) -> list[bytes]:
        """The whole lines: a crash may have cut the last one off, and then it was never promised to be kept."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [line for line in lines if _is_whole(line)]


def _is_whole(line: bytes) -> bool:
    try:
        decode(line, _Kept)
    except InvalidMessage:
        return False
    return True
