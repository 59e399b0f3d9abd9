"""Requests on the control port that are refused: all of them counted, and said without a flood."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from unrip.frame.contract import Log

#: At most one line per status in this time; the next one says how many there were.
_SAID_EVERY = timedelta(seconds=10)
_PATH_CHARACTERS_MAX = 100


class Refusals:
    """Counts by status, and when each was said last."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        count: Callable[[str, dict[str, str]], None],
        log: Callable[[Log], None],
    ) -> None:
        self._clock = clock
        self._count = count
        self._log = log
        #: Status to when it was said, and how many came since.
        self._said: dict[int, tuple[datetime, int]] = {}

    def refused(self, status: int, path: str) -> None:
        """One more. The path is whatever the client wrote."""
        self._count("control_refused", {"status": str(status)})
        now = self._clock()
        at, unsaid = self._said.get(status, (None, 0))
        if at is not None and now - at < _SAID_EVERY:
            self._said[status] = (at, unsaid + 1)
            return
        self._said[status] = (now, 0)
        body = {"status": status, "path": path[:_PATH_CHARACTERS_MAX], "times": unsaid + 1}
        self._log(Log(event="control_refused", level="warning", component="control", body=body))
