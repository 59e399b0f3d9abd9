"""How far our clock is from those of the servers that answer us, measured by the `Date` of their answers.

A `Date` has whole seconds, and a server may write it up to a second late. So one answer bounds the offset within two
seconds and the time it took; answers of a minute, each at another part of a second, bound it to a few hundredths on the
side that matters most: a clock of ours that is behind, which answers late and believes old readings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from unrip.domain.values import Value, utc

#: How long one second of a `Date` lasts, and as long again for servers that write it late.
_COARSE = timedelta(seconds=2)
#: For how long an answer shows something about our clock, which drifts by no more than a few milliseconds meanwhile.
_SPAN = timedelta(seconds=60)
_ANSWERS_MAX = 200
_DATE_CHARACTERS_MAX = 40


class ClockCompared(Value):
    """Our clock is ahead of the servers' by at least and at most this much; negative where it is behind."""

    least_ms: int
    most_ms: int

    def beyond(self, limit_ms: int) -> int | None:
        """How far ahead our clock is for sure; None where it may be within the limit."""
        if self.least_ms > limit_ms:
            return self.least_ms
        return self.most_ms if self.most_ms < -limit_ms else None


class _Bounds(NamedTuple):
    at: datetime
    least: timedelta
    most: timedelta


class ClockOffset:
    """Compares each dated answer with our clock and reports what all of them together leave possible."""

    def __init__(self, *, clock: Callable[[], datetime], tell: Callable[[ClockCompared], None]) -> None:
        self._clock = clock
        self._report = tell
        self._answers: deque[_Bounds] = deque(maxlen=_ANSWERS_MAX)

    def answered(self, date: str, took_s: float) -> None:
        """Count an answer with this `Date` that has just come in, this long after it was asked for."""
        if (theirs := _instant(date)) is None:
            return
        now = self._clock()
        new = _Bounds(now, now - timedelta(seconds=took_s) - theirs - _COARSE, now - theirs)
        self._answers.append(new)
        while self._answers[0].at < now - _SPAN:
            self._answers.popleft()
        least, most = max(each.least for each in self._answers), min(each.most for each in self._answers)
        if least > most:  # our clock was set, or two servers contradict each other: the newest answer counts
            self._answers = deque([new], maxlen=_ANSWERS_MAX)
            least, most = new.least, new.most
        self._report(ClockCompared(least_ms=_ms(least), most_ms=_ms(most)))


def _instant(date: str) -> datetime | None:
    try:
        return utc(parsedate_to_datetime(date[:_DATE_CHARACTERS_MAX]))
    except (ValueError, TypeError, OverflowError):
        return None


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
