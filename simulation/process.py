"""One life of one service: the product's host (`frame/host.py`) with the simulated outside around it.

What a process has beyond that (a port, signals, the wall clock) has no place here. A life ends by being killed; what
the next one knows is what the database, the topics and the spool's file hold.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Protocol, cast

from simulation.bus import Consumer, Producer
from simulation.clock import VirtualLoop
from simulation.faults import Faults
from simulation.network import Network
from simulation.stores import Database, Patient, Remote
from unrip.bus.memory import MemoryBroker, MemoryWatch
from unrip.bus.ports import OnRecords, OnState, OnTopicLost
from unrip.frame.adapters import BATCH_MAX, Counter
from unrip.frame.contract import Control, Effect, Event, Log
from unrip.frame.control import ControlOutcome
from unrip.frame.definition import Service
from unrip.frame.host import Host
from unrip.frame.log_events import EVENTS
from unrip.frame.logic import Logic
from unrip.frame.runner import Runner
from unrip.frame.settings import Settings
from unrip.frame.wiring import Wire
from unrip.net.http import HttpClient
from unrip.net.websocket import Connection
from unrip.store.books import BooksStore
from unrip.store.history import HistorySink
from unrip.store.leases import LeaseStore
from unrip.store.ledger import Ledger
from unrip.store.locks import STANDBY, OnRole, OnWhyNot
from unrip.store.memory_history import MemoryHistory
from unrip.store.strategy import StrategyStore

#: Whose code is running: tasks belong to the process that starts them, and die with it.
_OWNER: contextvars.ContextVar[Process | None] = contextvars.ContextVar("owner", default=None)
#: How often a real process asks for its lock, and whether PostgreSQL is there (store/locks.py, store/watch.py).
_WATCH_S = 0.5


class Killed(BaseException):
    """The process ends between two effects; nothing of it may catch this."""


class _Running:
    """While this is entered, the code of a process is running."""

    __slots__ = ("_process", "_token")

    def __init__(self, process: Process) -> None:
        self._process = process

    def __enter__(self) -> None:
        self._token = _OWNER.set(self._process)

    def __exit__(self, *_failure: object) -> None:
        _OWNER.reset(self._token)


def stands_until(context: contextvars.Context) -> float:
    """Until when the process that a call belongs to stands still."""
    owner = context.get(_OWNER)
    return 0.0 if owner is None else owner.stands_until_s


def owned_task(loop: asyncio.AbstractEventLoop, work: Any, **named: Any) -> asyncio.Task[Any]:
    """The loop's task factory."""
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **named)
    owner = _OWNER.get()
    if owner is not None:
        owner.adopt(task)
    return task


class House(Protocol):
    """What all processes have in common, and who hears of what they do."""

    loop: VirtualLoop
    faults: Faults
    network: Network
    database: Database
    settings: Settings

    @property
    def broker(self) -> MemoryBroker:
        """Where the topics are."""
        ...

    def chance(self, name: str) -> Random:
        """A source of chance of this name."""
        ...

    def performing(self, process: Process, effect: Effect) -> None:
        """A service is about to do something; raises `Killed` where the plan says so."""
        ...

    def ended(self, process: Process, fault: BaseException | None) -> None:
        """A service ended by itself: with a fault, or because another one took its role over."""
        ...


class MortalRunner(Runner):
    """A runner whose process may be killed between any two effects."""

    def __init__(self, process: Process, house: House, logic: Logic, **named: Any) -> None:
        super().__init__(logic, **named)
        self._process, self._house = process, house

    def emit(self, event: Event) -> None:
        """Take an event in, as long as the process lives."""
        if self._process.alive:
            with self._process.running(), suppress(Killed):
                super().emit(event)

    def perform(self, effect: Effect) -> None:
        """Start one effect, unless the process dies just before."""
        if not self._process.alive:
            raise Killed
        try:
            self._house.performing(self._process, effect)
        except Killed:
            self._process.alive, self._process.dying = False, True
            raise
        super().perform(effect)


class Lock:
    """As `store/locks.py`: want the lock, and tell every change, and that it is still held."""

    def __init__(
        self,
        process: Process,
        database: Database,
        role: str,
        instance: str,
        on_role: OnRole,
        on_why_not: OnWhyNot,
    ) -> None:
        self._process, self._database = process, database
        self._role, self._instance = role, instance
        self._on_role, self._on_why_not = on_role, on_why_not
        self._stays_out_s = 0.0

    def leave(self, *, for_s: float) -> None:
        """Give it back for a while."""
        self._stays_out_s = for_s

    async def run(self) -> None:
        """Until the death: a lock that was taken after it would be held for ever."""
        active, generation = None, None
        while self._process.alive:
            if self._stays_out_s:
                self._database.leave(self._instance)
                active = False
                stays_out_s, self._stays_out_s = self._stays_out_s, 0.0
                await asyncio.sleep(stays_out_s)
            up = self._database.up
            taken = self._database.take_over(self._role, self._instance, generation) if up else None
            generation = generation if taken is None else taken
            if taken is None:
                self._on_why_not(STANDBY if up else "as the simulation has it")
            if active != (taken is not None) or taken is not None:
                active = taken is not None
                self._on_role(active, taken)
            await asyncio.sleep(_WATCH_S)


class Process:
    """One service from its start to its death, and its outside, see `frame/adapters.py`."""

    def __init__(self, house: House, service: Service, wire: Wire, *, life: int) -> None:
        self._logs = service.logs
        self.service, self.start_id = service.name, f"{service.name}-{life}"
        self.alive = True
        self._stopping: asyncio.Task[None] | None = None
        #: Killed between two effects: nothing more is done, and what it had is taken away at once.
        self.dying = False
        #: It does nothing before this time of the loop.
        self.stands_until_s = 0.0
        #: What its clock is off by.
        self.clock_off = timedelta()
        self._house, self._loop = house, house.loop
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._producers: list[Producer] = []
        self._chance = house.chance(self.start_id)
        with self.running():
            self.host = Host(
                service,
                wire,
                self,
                settings=house.settings,
                start_id=self.start_id,
                clock=lambda: self._loop.now + self.clock_off,
                random=self._chance,
                new_token=lambda: self._chance.randbytes(32).hex(),
                on_end=self._on_end,
                make_runner=partial(MortalRunner, self, house),
            )

    # --- life and death --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        with self.running():
            self._loop.create_task(self.host.start())

    async def act(self, control: Control) -> ControlOutcome:
        """An operator's action."""
        with self.running():
            work = self._loop.create_task(self.host.act(control))
        return await work

    async def stop(self) -> None:
        """Stop gracefully; a second signal changes nothing, as in the real process."""
        if self._stopping is None:
            with self.running():
                self._stopping = self._loop.create_task(self.host.stop())
        await self._stopping

    def kill(self) -> None:
        """End at once: no handler of the process does anything any more."""
        self.alive = self.dying = False
        self.stands_until_s = 0.0
        self.host.die()
        for producer in self._producers:
            producer.die()
        for line in self._house.network.lines_of(self.start_id):
            line.leave()
        for task in list(self._tasks):
            self._loop.call_soon(task.cancel)  # after its first step: a coroutine that never began would be told of
        self._house.database.leave(self.start_id)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """A task of this process."""
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        if not self.alive:
            self._loop.call_soon(task.cancel)

    def running(self) -> _Running:
        """Whatever is done in this context is done by this process."""
        return _Running(self)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # seen: sources report theirs, and a killed process has nobody to tell

    def _on_end(self, fault: BaseException | None) -> None:
        if self.alive:
            self._house.ended(self, fault)

    # --- the outside -----------------------------------------------------------------------------------------------

    def log(self, line: Log) -> None:
        """Nobody reads the lines of a simulation; that the service names them is seen to all the same."""
        if line.event not in EVENTS and line.event not in self._logs:
            raise AssertionError(f"{self.service} does not say that it logs {line.event!r}")

    def crash_point(self, name: str) -> None:
        """The plan has seen to it before the effect."""

    def uptime_s(self) -> float:
        """By the virtual clock, which nobody sets either."""
        return self._loop.time()

    async def connect(self, url: str, headers: dict[str, str]) -> Connection:
        """One WebSocket."""
        del headers
        return cast("Connection", await self._house.network.connect(url, self.start_id))

    def http(self, name: str, *, count: Counter, total_timeout_s: float) -> HttpClient:
        """A client of one HTTP service."""
        transport = self._house.network.transport()
        return HttpClient(name=name, count=count, total_timeout_s=total_timeout_s, transport=transport)

    def consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int = BATCH_MAX) -> Consumer:
        """A reader of topics that waits for its handler."""
        return self._consumer(on_records, on_topic_lost, batch_max=batch_max, apart=False)

    def reader(self, on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
        """The reader of what the logic subscribes to: topics overtake each other, and batches come twice."""
        return self._consumer(on_records, on_topic_lost, batch_max=BATCH_MAX, apart=True)

    def _consumer(self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int, apart: bool) -> Consumer:
        house = self._house
        return Consumer(
            self._loop,
            house.broker,
            house.faults,
            chance=house.chance(f"{self.start_id}/consumer"),
            on_records=on_records,
            on_topic_lost=on_topic_lost,
            batch_max=batch_max,
            apart=apart,
        )

    def producer(self) -> Producer:
        """The writer of topics."""
        house = self._house
        timeout_ms = house.settings.kafka.delivery_timeout_ms
        producer = Producer(self._loop, house.broker, house.faults, chance=self._chance, delivery_timeout_ms=timeout_ms)
        self._producers.append(producer)
        return producer

    def watch_broker(self, on_state: OnState) -> MemoryWatch:
        """Tell how the broker is."""

        def told(up: bool, reason: str) -> None:  # noqa: FBT001 - the signature of `bus.ports.OnState`
            """The broker tells one process after the other: the death of one must not keep it from the rest."""
            if not self.alive:
                return
            with self.running(), suppress(Killed):
                if self._loop.time() < self.stands_until_s:
                    self._loop.call_at(self.stands_until_s, told, up, reason)
                else:
                    on_state(up, reason)

        return MemoryWatch(self._house.broker, told)

    async def watch_database(self, service: str, schema: str, on_state: OnState) -> None:
        """Tell how the database is."""
        del service, schema
        while True:
            on_state(self._house.database.works, "as the simulation has it")
            await asyncio.sleep(_WATCH_S)

    def role(self, name: str, instance: str, on_role: OnRole, on_why_not: OnWhyNot) -> Lock:
        """The lock of a role."""
        return Lock(self, self._house.database, name, instance, on_role, on_why_not)

    def ledger(self, *, writer: str) -> Ledger:
        """The executor's ledger."""
        return cast("Ledger", Remote(self._house.database.ledger, self._house.database, writer=writer))

    def history(self, *, writer: str) -> HistorySink:
        """The record of every topic."""
        twin = MemoryHistory(self._house.database.history, writer=writer)
        return cast("HistorySink", Remote(twin, self._house.database))

    def strategy(self) -> StrategyStore:
        """What the strategy keeps."""
        return cast("StrategyStore", Patient(self._house.database.desk, self._house.database))

    def leases(self) -> LeaseStore:
        """The arm leases that survive a restart."""
        return cast("LeaseStore", Patient(self._house.database.leases, self._house.database))

    def books(self) -> BooksStore:
        """The books of inventory-sync."""
        return cast("BooksStore", Patient(self._house.database.books, self._house.database))
