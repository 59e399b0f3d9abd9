"""What stands in the way of a service from outside: named for readiness, told to its logic, said once in the log."""

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
        #: What log and logic know of.
        self._said: dict[str, str] = {}
        self._told: tuple[str, ...] = ()

    def why(self) -> dict[str, str]:
        """Everything by its name, in the words of who refused."""
        return {**self._dependencies.why(), **self._troubles()}

    def look(self) -> None:
        """Say what is new, and tell the logic."""
        troubles = self._troubles()
        for name in self._said.keys() - troubles.keys():
            self._perform(Log(event="trouble_over", component="frame", body={"trouble": name}))
        for name, why in troubles.items():
            if self._said.get(name) != why:
                body = {"trouble": name, "reason": why}
                self._perform(Log(event="trouble", level="error", component="frame", body=body))
        self._said = troubles
        reasons = (*self._dependencies.not_ready(), *troubles)
        if reasons != self._told:
            self._told = reasons
            self._emit(Hindered(reasons=reasons))

    def _troubles(self) -> dict[str, str]:
        """What lasts while the broker answers; its outage explains all of it."""
        if not self._dependencies.bus_up:
            return {}
        found = {f"topic_unreadable: {topic}": why for topic, why in self._reader.troubles().items()}
        found |= {f"not_published: {topic}": why for topic, why in self._publisher.troubles(self._clock()).items()}
        for others in self._others:
            found |= others()
        return found
