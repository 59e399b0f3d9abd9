"""How many offers were decided within the last minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

_SPAN = timedelta(seconds=60)


@dataclass
class OfferRate:
    """Own accepted decisions of the last 60 s, by the instant of each; read back from the topics at the start.

    A command that is read back names its offer, too: decisions are read back up to a number, most of which may be
    refusals. Its record is a little younger than the decision, so it counts a little longer.
    """

    _offered: dict[str, datetime] = field(default_factory=dict)

    def add(self, command_id: str, at: datetime) -> None:
        """Note that an offer was decided; of two instants the first that comes counts."""
        self._offered.setdefault(command_id, at)

    def last_minute(self, now: datetime) -> int:
        """How many offers the last 60 s had; one from the future of a clock that was set back counts, too."""
        self._offered = {command_id: at for command_id, at in self._offered.items() if now - at < _SPAN}
        return len(self._offered)
