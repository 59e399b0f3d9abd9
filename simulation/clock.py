"""Virtual time: an event loop that jumps from one due instant to the next, and what travels through that time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVarTuple

Arguments = TypeVarTuple("Arguments")

#: When every simulation begins, in the Unix epoch.
START_NS = 1_900_000_000 * 1_000_000_000
_START = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=START_NS // 1_000)
#: What is on its way belongs to nobody's process: it arrives, also while its sender stands still.
IN_TRANSIT = Context()
#: Between two things that may not overtake each other; far below the microsecond that the clock shows.
_AFTER_S = 1e-7


class Deadlock(Exception):  # noqa: N818 - it states what is the case
    """Nothing is due any more, and yet something waits."""


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio without sockets, threads and waiting: when nothing is left to do now, the next timer is now."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0
        self._now = 0.0, _START
        #: What is due when, of equals the one first that was asked for first.
        self._timers: list[tuple[float, int, asyncio.Handle]] = []
        self._numbers = count()
        #: Until when whoever a call belongs to stands still; None while everybody goes.
        self.stands_until: Callable[[Context], float] | None = None

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._seconds

    def get_debug(self) -> bool:
        """Never: it is asked at every call."""
        return False

    def call_soon(
        self, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        """Call this next; as the loop's own, without what it looks after in debug mode."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call this after so many virtual seconds."""
        return self.call_at(self._seconds + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call this at an instant."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def _run_once(self) -> None:
        """Everything that can be done at this instant, and if that is nothing, the next instant."""
        ready, timers = self._ready, self._timers
        while timers and (timers[0][0] <= self._seconds or not ready):
            due_s, _, timer = heappop(timers)
            if not timer.cancelled():
                self._seconds = max(self._seconds, due_s)
                ready.append(timer)
        if not ready and not self._stopping:
            raise Deadlock("nothing is due")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled() and not self._waits(handle):
                handle._run()  # noqa: SLF001 - as every loop does it

    def _waits(self, handle: asyncio.Handle) -> bool:
        """A call of a process that stands still is made when it goes on, in the order in which it was due."""
        if self.stands_until is None:
            return False
        until_s = self.stands_until(handle._context)  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
        if until_s > self._seconds:
            heappush(self._timers, (until_s, next(self._numbers), handle))
            return True
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    @property
    def now_ns(self) -> int:
        """The wall clock in nanoseconds, in whole microseconds."""
        return START_NS + round(self._seconds * 1_000_000) * 1_000

    @property
    def now(self) -> datetime:
        """The wall clock."""
        if self._now[0] != self._seconds:  # it is asked for many times at each instant
            self._now = self._seconds, _START + timedelta(microseconds=round(self._seconds * 1_000_000))
        return self._now[1]

    def at_ns(self, instant_ns: int) -> float:
        """The loop's time of an instant, never before it."""
        return (-((START_NS - instant_ns) // 1_000)) / 1_000_000


class Pipe:
    """Carries calls to the other side: each is late by a chance of its own, and none overtakes an earlier one."""

    def __init__(self, loop: VirtualLoop, latency_s: Callable[[], float], *, to: Context = IN_TRANSIT) -> None:
        """`to` is the context of who takes what arrives."""
        self._loop = loop
        self._to = to
        self._latency_s = latency_s
        self._last_s = 0.0
        self._open = True

    def put(self, call: Callable[..., object], *arguments: Any) -> None:
        """Make this call on the other side."""
        self._last_s = max(self._last_s + _AFTER_S, self._loop.time() + self._latency_s())
        self._loop.call_at(self._last_s, self._arrive, call, arguments, context=self._to)

    def close(self) -> None:
        """What is under way never arrives."""
        self._open = False

    def _arrive(self, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        if self._open:
            call(*arguments)
