"""Requests on the control port that are refused: all of them are counted, and logged without a flood."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from unrip.frame.contract import Log

#: How often a status is logged at most; the next line has the number of those in between.
_LOGGED_EVERY = timedelta(seconds=10)
_PATH_CHARACTERS_MAX = 100


class Refusals:
    """Counts refusals by status, and remembers when each status was logged last."""

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
        #: When each status was logged, and how many came since.
        self._logged: dict[int, tuple[datetime, int]] = {}

    def refused(self, status: int, path: str) -> None:
        """Count one refusal, and log it if it is time. The path is whatever the client wrote."""
        self._count("control_refused", {"status": str(status)})
        now = self._clock()
        at, unlogged = self._logged.get(status, (None, 0))
        if at is not None and now - at < _LOGGED_EVERY:
            self._logged[status] = (at, unlogged + 1)
            return
        self._logged[status] = (now, 0)
        body = {"status": status, "path": path[:_PATH_CHARACTERS_MAX], "times": unlogged + 1}
        self._log(Log(event="control_refused", level="warning", component="control", body=body))
