"""How far the writer is in each topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unrip.store.history import Position, TopicBatch
from unrip.store.history_tables import TABLES

REMEDY = (
    "its offsets mean other records. Check what is missing, then delete its row of history.consumer_offset and restart "
    "the history writer, which reads it from its beginning"
)


@dataclass
class Positions:
    """Offsets that are committed, ends that were seen, and topics that can go no further."""

    loaded: bool = False
    #: Topic to where it was left in PostgreSQL.
    offsets: dict[str, Position] = field(default_factory=dict)
    #: Topic to where reading began in this life: what was before is deleted.
    reading_from: dict[str, int] = field(default_factory=dict)
    #: Topic to the offset that its next record will get.
    ends: Mapping[str, int] = field(default_factory=dict)
    #: Topic to the reason why it was stopped.
    stopped: dict[str, str] = field(default_factory=dict)

    def load(self, offsets: Mapping[str, Position]) -> None:
        """Take over the offsets that PostgreSQL has."""
        self.loaded, self.offsets = True, dict(offsets)

    def wrote(self, batch: TopicBatch) -> None:
        """Note that a batch is committed."""
        self.offsets[batch.topic] = Position(topic_id=batch.topic_id, next_offset=batch.next_offset)

    def stop(self, topic: str, reason: str) -> bool:
        """Read a topic no further; False when it was stopped before."""
        new = topic not in self.stopped
        self.stopped.setdefault(topic, reason)
        return new

    def why_not(self, topic: str, topic_id: str) -> str | None:
        """Why records of a topic with this id are not for the history; None when they are."""
        if topic in self.stopped:
            return self.stopped[topic]
        left = self.offsets.get(topic)
        if left is None or left.topic_id == topic_id:
            return None
        return f"the topic has the id {topic_id}, the history was written from {left.topic_id}: {REMEDY}"

    def lags(self) -> dict[str, int]:
        """Records between what is committed and the end, for each topic whose end is known."""
        return {topic: max(0, end - self._reached(topic)) for topic, end in self.ends.items()}

    def total_lag(self) -> int | None:
        """The sum of the lags; None while the end of a topic that is still read is not known."""
        if not self.loaded or TABLES.keys() - self.ends.keys() - self.stopped.keys():
            return None
        return sum(self.lags().values())

    def _reached(self, topic: str) -> int:
        left = self.offsets.get(topic)
        return max(left.next_offset if left else 0, self.reading_from.get(topic, 0))
