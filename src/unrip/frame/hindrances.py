"""What outside keeps a service from working: named for readiness, reported to its logic, logged once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from unrip.frame.contract import Effect, Emit, Hindered, Log
from unrip.frame.dependencies import Dependencies
from unrip.frame.publisher import Publisher
from unrip.frame.reader import Reader


class Hindrances:
    """Dependencies that are away, and topics that the broker does not let be read or written."""

    def __init__(
        self,
        dependencies: Dependencies,
        reader: Reader,
        publisher: Publisher,
        others: Sequence[Callable[[], dict[str, str]]],
        *,
        clock: Callable[[], datetime],
        emit: Emit,
        perform: Callable[[Effect], None],
    ) -> None:
        self._dependencies, self._reader, self._publisher, self._others = dependencies, reader, publisher, others
        self._clock = clock
        self._emit = emit
        self._perform = perform
        #: What was logged, and what the logic was last given.
        self._logged: dict[str, str] = {}
        self._reported: tuple[str, ...] = ()

    def why(self) -> dict[str, str]:
        """Every hindrance by its name, with the error text of whoever refused."""
        return {**self._dependencies.why(), **self._troubles()}

    def look(self) -> None:
        """Log what is new, and report it to the logic."""
        troubles = self._troubles()
        for name in self._logged.keys() - troubles.keys():
            self._perform(Log(event="trouble_over", component="frame", body={"trouble": name}))
        for name, why in troubles.items():
            if self._logged.get(name) != why:
                body = {"trouble": name, "reason": why}
                self._perform(Log(event="trouble", level="error", component="frame", body=body))
        self._logged = troubles
        reasons = (*self._dependencies.not_ready(), *troubles)
        if reasons != self._reported:
            self._reported = reasons
            self._emit(Hindered(reasons=reasons))

    def _troubles(self) -> dict[str, str]:
        """The troubles that last while the broker answers; while it does not, its outage explains all of them."""
        if not self._dependencies.bus_up:
            return {}
        found = {f"topic_unreadable: {topic}": why for topic, why in self._reader.troubles().items()}
        found |= {f"not_published: {topic}": why for topic, why in self._publisher.troubles(self._clock()).items()}
        for others in self._others:
            found |= others()
        return found
