"""The count of frames: every frame is counted in exactly one class."""

from __future__ import annotations

from enum import StrEnum


class FrameClass(StrEnum):
    """The outcome of a frame."""

    PUBLISHED = "quotes_published"
    FILTERED = "quotes_filtered"
    """Outside the active pairs, for another subscription than ours, seen before, or received while paused."""
    STATUS = "status_notices"
    REPLY = "replies"
    DEAD_LETTER = "dead_letters"
    DROPPED = "dropped_broker_away"
    """The broker was away, or did not acknowledge the record."""


class FrameCounts:
    """Counts frames and follows their records until the broker has acknowledged them."""

    def __init__(self, *, unacknowledged_max: int) -> None:
        self._unacknowledged_max = unacknowledged_max
        self._received = 0
        self._counts = dict.fromkeys(FrameClass, 0)
        #: Token of a record to the class of its frame; None for records that do not decide it.
        self._unacknowledged: dict[str, FrameClass | None] = {}

    @property
    def full(self) -> bool:
        """Whether so many records wait for the broker that it counts as away."""
        return len(self._unacknowledged) >= self._unacknowledged_max

    @property
    def idle(self) -> bool:
        """Whether every record is acknowledged or given up."""
        return not self._unacknowledged

    def receive(self) -> None:
        """Count a frame that came, apart from its class, so that the sum of the classes can be checked against it."""
        self._received += 1

    def count(self, kind: FrameClass) -> None:
        """Put the frame into its class."""
        self._counts[kind] += 1

    def await_record(self, token: str, decides: FrameClass | None = None) -> str:
        """Follow a record; returns its token."""
        self._unacknowledged[token] = decides
        return token

    def acknowledged(self, token: str) -> None:
        """Note that the broker has it."""
        self._unacknowledged.pop(token, None)

    def failed(self, token: str) -> bool:
        """Note that the broker does not acknowledge it; True when its frame counts as dropped for that."""
        decides = self._unacknowledged.pop(token, None)
        if decides is None:
            return False
        self._counts[decides] -= 1
        self._counts[FrameClass.DROPPED] += 1
        return True

    def state(self) -> dict[str, int]:
        """The frames that came in, and every class; the classes add up to them."""
        return {"frames_received": self._received, **{kind.value: count for kind, count in self._counts.items()}}
