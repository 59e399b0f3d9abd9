"""A switchboard as services are given one, and one with its leases around it that can be restarted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from support.cases import ACCOUNT, NOW
from unrip.domain.pairs import Direction
from unrip.domain.values import Value
from unrip.frame.contract import Control, Effect, Event, Log, Publish, Published, SetTimer, TimerFired
from unrip.frame.leases import LeaseKeeper
from unrip.frame.switchboard import Switchboard
from unrip.store.leases import LeaseStore, MemoryLeases

Start = Callable[[Coroutine[Any, Any, None]], None]


def a_switchboard(service: str = "strategy-engine", **changes: Any) -> Switchboard:
    fields: dict[str, Any] = {
        "service": service,
        "configuration_hash": "configuration-1",
        "rearm_after": timedelta(seconds=30),
        "account": ACCOUNT,
    }
    return Switchboard(**(fields | changes))


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run what waits for nothing, as the twins do."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


class Station:
    """One service's switchboard, its token file and the rows of its leases; only file and rows outlive a restart."""

    def __init__(self, path: Path, *, store: LeaseStore | None = None, start: Start = at_once) -> None:
        self.path = path
        self.store = store or MemoryLeases()
        #: Does what PostgreSQL is asked, at once or whenever it answers.
        self.start = start
        self.now = NOW
        self.green = True
        self.configuration_hash = "configuration-1"
        self.published: list[Publish] = []
        self.logs: list[Log] = []
        self.brokers_up = True
        self._lives = 0
        self._tokens = count()
        self.restart()

    def restart(self) -> None:
        self._lives += 1
        self._timers: dict[str, datetime] = {}
        self.board = a_switchboard(configuration_hash=self.configuration_hash)
        self.board.start_id = f"strategy-engine-{self._lives}"
        life = self._lives
        keeper = LeaseKeeper(
            self.store,
            self.path,
            service="strategy-engine",
            emit=lambda event: self.tell(event) if life == self._lives else None,
            clock=lambda: self.now,
            new_token=lambda: f"token-{next(self._tokens)}",
            start=self._ask,
            log=self.logs.append,
        )
        self._handlers = keeper.handlers()
        self._perform(self.board.begin())

    def _ask(self, work: Coroutine[Any, Any, None]) -> None:
        self.start(work)

    def control(self, action: str, **arguments: Any) -> None:
        control = Control(action=action, arguments=arguments, actor="operator", reason="a test")
        effects = self.board.act(control, self.now)
        assert effects is not None
        self._perform(effects)

    def arm(self, *, survive: bool, minutes: int = 600, directions: tuple[Direction, ...] = tuple(Direction)) -> None:
        self.control("arm", directions=list(directions), lease_minutes=minutes, survive_restart=survive)

    def tell(self, event: Event) -> None:
        self._perform(self.board.on_lease(event, self.now, lambda _: self.green))

    def wait(self, seconds: float) -> None:
        """Let time pass, and every timer fire at its own instant."""
        end = self.now + timedelta(seconds=seconds)
        while (due := min(self._timers.values(), default=None)) is not None and due <= end:
            self.now = max(self.now, due)
            name = next(name for name, at in self._timers.items() if at == due)
            del self._timers[name]
            self.tell(TimerFired(name=name))
        self.now = end

    def armed(self) -> tuple[Direction, ...]:
        return self.board.switches.armed_directions(self.now)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._perform_one(effect)

    def _perform_one(self, effect: Value) -> None:
        match effect:
            case SetTimer():
                self._timers[effect.name] = effect.at
            case Log():
                self.logs.append(effect)
            case Publish():
                self.published.append(effect)
                if self.brokers_up:
                    self.tell(Published(token=effect.token or "", offset=len(self.published)))
            case _:
                self._handlers[type(effect)](effect)
