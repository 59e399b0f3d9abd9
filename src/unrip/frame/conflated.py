"""State of which only the newest record matters is published without a queue.

While the broker is away nothing queues up: each new record takes the place of the one that waits, and the last of them
goes out when the broker is back (blueprint, section 5; R58).
"""

from __future__ import annotations

import msgspec

from unrip.frame.contract import BusChanged, Published, PublishFailed
from unrip.frame.contract import Publish as Record
from unrip.frame.life import Life

#: How many records may lack an acknowledgement; beyond it the broker counts as away.
UNACKNOWLEDGED_MAX = 20


class Conflated:
    """Publishes one kind of state."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._unacknowledged: set[str] = set()
        self._waiting: Record | None = None
        self.last_acknowledged_id: str | None = None

    def publish(self, record: Record) -> list[Record]:
        """Publish a record now, or keep it as the newest until that is possible."""
        self._waiting = msgspec.structs.replace(record, token=record.event_id)
        return self._release()

    def on_event(self, event: BusChanged | Published | PublishFailed) -> list[Record]:
        """Follow the broker; a record that was waiting may go out."""
        match event:
            case Published():
                if event.token in self._unacknowledged:
                    self._unacknowledged.discard(event.token)
                    self.last_acknowledged_id = event.token
            case PublishFailed():
                self._unacknowledged.discard(event.token)
        return self._release()

    @property
    def idle(self) -> bool:
        """Whether every record is acknowledged or given up."""
        return not self._unacknowledged

    def _release(self) -> list[Record]:
        record = self._waiting
        if record is None or not self._life.bus_up or len(self._unacknowledged) >= UNACKNOWLEDGED_MAX:
            return []
        self._waiting = None
        self._unacknowledged.add(record.event_id)
        return [record]
