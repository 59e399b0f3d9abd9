"""The in-memory twin of an outbox."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from unrip.store.outbox import OutboxRecord, OutboxRow

#: How many numbers a new branch skips, so that a lost branch's numbers do not come again.
_NUMBERS = 1_000_000


class MemoryOutbox:
    """See `outbox.Outbox`."""

    def __init__(self) -> None:
        #: Events that wait to be published, by their number.
        self._outbox: dict[int, OutboxRow] = {}
        #: The ids of all events ever written.
        self._written: set[str] = set()
        self._numbers_from = 0

    async def unpublished(self, limit: int, *, after: int = 0) -> list[OutboxRow]:
        """Events that wait to be published, oldest first."""
        return list(islice((row for seq, row in self._outbox.items() if seq > after), limit))

    async def unreadable(self) -> dict[int, str]:
        """Nothing: rows in memory can always be read."""
        return {}

    async def mark_published(self, seqs: Sequence[int]) -> None:
        """Note that these have reached Kafka."""
        for seq in seqs:
            self._outbox.pop(seq, None)

    def write(self, event: OutboxRecord) -> None:
        """Write as a part of the owner's commit. An event that was written before is the same row."""
        if event.event_id in self._written:
            return
        self._written.add(event.event_id)
        seq = self._numbers_from + len(self._written)
        self._outbox[seq] = OutboxRow(seq=seq, event=event)

    def skip_numbers(self) -> None:
        """Number what is written from now on from further on."""
        self._numbers_from += _NUMBERS
