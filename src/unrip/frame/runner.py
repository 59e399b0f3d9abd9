"""The loop at the heart of every service: events in, effects out, one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

from unrip.frame.contract import Control, ControlRefused, Effect, Event, SetTimer, TimerFired
from unrip.frame.logic import Logic

Handler = Callable[[Any], object]


class Runner:
    """Feed events to a logic in order and start the effects it asks for.

    Everything happens in the thread of the event loop, at once: an event that arrives while another is handled waits
    its turn in a queue, which is bounded by what the sources may have in flight.
    """

    def __init__(
        self,
        logic: Logic,
        *,
        clock: Callable[[], datetime],
        on_fault: Callable[[BaseException], None],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """`before` is called before an event is taken in while nothing else is: it may emit another one first."""
        self.logic = logic
        self._clock = clock
        self._on_fault = on_fault
        self._before = before
        self._handlers: dict[type[Effect], Handler] = {SetTimer: self._set_timer}
        self._events: deque[Event] = deque()
        self._busy = False
        #: Why the logic refused the action that it was given last.
        self._refusal: str | None = None
        self.faulted = False
        self._closed = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._awaited: list[tuple[Callable[[], bool], asyncio.Future[Any]]] = []

    def handle(self, handlers: dict[type[Effect], Handler]) -> None:
        """Register what performs which effect; each effect has exactly one handler."""
        for effect, handler in handlers.items():
            if effect in self._handlers:
                raise AssertionError(f"{effect.__name__} has a handler already")
            self._handlers[effect] = handler

    def emit(self, event: Event) -> None:
        """Take an event in. A fault in logic or handler ends everything: better stopped than wrong."""
        if self.faulted or self._closed:
            return
        if not self._busy:
            self._before()
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._step(self._events.popleft())
                self._tell_who_waits()
        except Exception as fault:
            self.faulted = True
            self._events.clear()
            self._on_fault(fault)
        finally:
            self._busy = False

    def act(self, control: Control) -> str | None:
        """Take an operator's action in at once; why the logic refused it, None where it was followed."""
        self._refusal = None
        self.emit(control)
        return "the service broke and ends: look at its log" if self.faulted else self._refusal

    def _step(self, event: Event) -> None:
        try:
            effects = self.logic.on_event(event, self._clock())
        except ControlRefused as refusal:  # it changed nothing
            self._refusal = str(refusal)
            return
        for effect in effects:
            self.perform(effect)

    def when(self, condition: Callable[[], bool]) -> asyncio.Future[Any]:
        """Done, with None, at the very event that makes a condition of the logic true; or as whoever waits ends it."""
        met: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._awaited.append((condition, met))
        self._tell_who_waits()
        return met

    def _tell_who_waits(self) -> None:
        for condition, met in self._awaited:
            if not met.done() and condition():
                met.set_result(None)
        self._awaited = [each for each in self._awaited if not each[1].done()]

    def perform(self, effect: Effect) -> None:
        """Start one effect; the frame's own parts use this, too."""
        handler = self._handlers.get(type(effect))
        if handler is None:
            raise AssertionError(f"nothing performs the effect {type(effect).__name__}")
        handler(effect)

    def _set_timer(self, timer: SetTimer) -> None:
        earlier = self._timers.pop(timer.name, None)
        if earlier is not None:
            earlier.cancel()
        delay_s = max(0.0, (timer.at - self._clock()).total_seconds())
        self._timers[timer.name] = asyncio.get_running_loop().call_later(delay_s, self._fire, timer.name)

    def _fire(self, name: str) -> None:
        self._timers.pop(name, None)
        self.emit(TimerFired(name=name))

    def close(self) -> None:
        """Take nothing more in: what ends from now on ends because we leave, and is nobody's loss."""
        self._closed = True
        self.stop_timers()

    def stop_timers(self) -> None:
        """Cancel every timer."""
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
