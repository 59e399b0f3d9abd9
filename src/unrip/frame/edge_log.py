"""A condition is logged once when it begins and once when it ends."""

from __future__ import annotations

from typing import Any

from unrip.frame.contract import Log


class EdgeLog:
    """Remembers whether the condition held when it was last logged."""

    def __init__(self, *, begun: str, ended: str) -> None:
        self._begun, self._ended = begun, ended
        self._holds = False

    def changes(self, *, holds: bool, venue: str, body: dict[str, Any]) -> list[Log]:
        """The line for a change; none without a change."""
        if holds == self._holds:
            return []
        self._holds = holds
        event, level = (self._begun, "warning") if holds else (self._ended, "info")
        return [Log(event=event, level=level, component="sources", venue=venue, body=body)]
