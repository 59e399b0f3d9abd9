"""One life of one service: its real wiring in the frame's own parts, with the simulated outside around it.

What the frame does beyond that (a port, signals, the wall clock) has no place here. A life ends by being killed; what
the next one knows is what the database, the topics and the spool's file hold.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Protocol, cast

from simulation.bus import Consumer, Producer
from simulation.clock import VirtualLoop
from simulation.faults import Faults
from simulation.network import Network
from simulation.stores import Database, Patient, Remote
from unrip.bus.memory import MemoryBroker, MemoryWatch
from unrip.bus.ports import OnRecords, OnTopicLost
from unrip.messages.envelope import Producer as Identity
from unrip.net.http import HttpClient
from unrip.net.websocket import Connection
from unrip.service.beat import BEAT_S, Beat
from unrip.service.contract import (
    Control,
    Count,
    CrashPoint,
    Draining,
    Effect,
    Event,
    Log,
    Observe,
    Publish,
    Started,
    Subscribe,
)
from unrip.service.control import KEPT_BOUND_S, ControlDesk, ControlOutcome
from unrip.service.dependencies import Dependencies
from unrip.service.metrics import Metrics
from unrip.service.outside import BATCH_MAX, Counter
from unrip.service.publisher import Delivery, Publisher
from unrip.service.reader import Reader
from unrip.service.runner import Handler, Runner
from unrip.service.settings import Settings
from unrip.service.spool import Spool
from unrip.service.wiring import Context, Wire
from unrip.store.desk import DeskStore
from unrip.store.history import HistorySink
from unrip.store.leases import LeaseStore
from unrip.store.ledger import Ledger
from unrip.store.memory_history import MemoryHistory

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


class Process:
    """One service from its start to its death."""

    def __init__(self, house: House, service: str, wire: Wire, *, life: int) -> None:
        self.service, self.start_id = service, f"{service}-{life}"
        self.alive = True
        #: Killed between two effects: nothing more is done, and what it had is taken away at once.
        self.dying = False
        self._draining = False
        self._house = house
        self._loop = house.loop
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._settings = house.settings
        self._metrics = Metrics(service=service)
        with self._running():
            self._build(wire)

    def _build(self, wire: Wire) -> None:
        house, chance = self._house, self._house.chance(self.start_id)
        timeout_ms = self._settings.kafka.delivery_timeout_ms
        self._producer = Producer(self._loop, house.broker, house.faults, chance=chance, delivery_timeout_ms=timeout_ms)
        self._wiring = wire(
            Context(
                settings=self._settings,
                pair=self._settings.pair.pair(),
                start_id=self.start_id,
                clock=self._now,
                random=chance,
                new_token=lambda: chance.randbytes(32).hex(),
                emit=self.emit,
                metrics=self._metrics,
                produce=self._produce,
                outside=self,
            )
        )
        self.logic = self._wiring.logic
        self._runner = Runner(self.logic, clock=self._now, on_fault=self._on_fault)
        self.dependencies = Dependencies(
            emit=self.emit,
            perform=self._perform,
            uses_database=self._wiring.uses_database,
            single_active=self._wiring.single_active_role is not None,
            on_bus_back=lambda: self._spawn(self._controls.publish_spooled),
            on_superseded=lambda: house.ended(self, None),
        )
        identity = Identity(service=self.service, instance=self.start_id, version="simulation")
        self._publisher = Publisher(
            self._producer, identity=identity, clock=self._now, emit=self.emit, count=self._metrics.count
        )
        self._reader = Reader(
            partial(self._consumer, apart=True), emit=self.emit, perform=self._perform, on_fault=self._on_fault
        )
        self._controls = ControlDesk(
            self._runner,
            self._publisher,
            Spool(self._settings.control.spool_dir / f"{self.service}.jsonl"),
            service=self.service,
            start_id=self.start_id,
            clock=self._now,
            bus_up=lambda: bool(self.dependencies.bus_up),
            log=self._perform,
            record_bound_s=timeout_ms / 1_000 + 2,
            kept_bound_s=KEPT_BOUND_S,
        )
        self._runner.handle({effect: self._guarded(handler) for effect, handler in self._handlers().items()})

    def _handlers(self) -> dict[type[Effect], Handler]:
        return {
            Publish: self._publisher.publish,
            Subscribe: self._reader.subscribe,
            Log: lambda _effect: None,
            Count: lambda effect: self._metrics.count(effect.name, effect.labels),
            Observe: lambda effect: self._metrics.observe(effect.name, effect.milliseconds, effect.labels),
            CrashPoint: lambda _effect: None,
            **self._wiring.handlers,
        }

    # --- life and death --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        with self._running():
            self._spawn(self._run)

    async def _run(self) -> None:
        self._watch = MemoryWatch(self._house.broker, self._bus_changed)
        await self._reader.start()
        self.emit(Started(active=self.dependencies.active, generation=None, start_id=self.start_id))
        if self._wiring.uses_database:
            self._spawn(self._watch_database)
        if (role := self._wiring.single_active_role) is not None:
            self._spawn(partial(self._hold_role, role))
        for source in self._wiring.sources:
            self._spawn(source)
        self._spawn(self._beat)

    def _bus_changed(self, *state: Any) -> None:
        """The broker tells one process after the other: the death of one must not keep it from the rest."""
        with suppress(Killed):
            self.dependencies.bus_changed(*state)

    def kill(self) -> None:
        """End at once: no handler of the process does anything any more."""
        self.alive = self.dying = False
        self._runner.faulted = True
        self._runner.stop_timers()
        self._producer.die()
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

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # seen: sources report theirs, and a killed process has nobody to tell

    def _on_fault(self, fault: BaseException) -> None:
        if self.alive:
            self._house.ended(self, fault)

    def _running(self) -> _Running:
        return _Running(self)

    def _spawn(self, source: Callable[[], Any]) -> None:
        async def guarded() -> None:
            try:
                await source()
            except Exception as fault:
                self._on_fault(fault)

        self._loop.create_task(guarded())

    # --- what goes in and out --------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Give an event to the logic."""
        if not self.alive:
            return
        with self._running():
            try:
                self._runner.emit(event)
            except Killed:
                return

    async def act(self, control: Control) -> ControlOutcome:
        """An operator's action."""
        with self._running():
            outcome = await self._loop.create_task(self._controls.act(control))
        if control.action == "drain" and outcome.applied:
            self._draining = True
            self.emit(Draining())
        return outcome

    def _perform(self, effect: Effect) -> None:
        if self.alive:
            with self._running():
                self._runner.perform(effect)

    def _guarded(self, handler: Handler) -> Handler:
        def perform(effect: Effect) -> None:
            if not self.alive:
                raise Killed
            try:
                self._house.performing(self, effect)
            except Killed:
                self.alive, self.dying = False, True
                raise
            handler(effect)

        return perform

    def _produce(self, effect: Publish, on_delivery: Delivery) -> None:
        def delivered(offset: int | None, why: str | None) -> None:
            if self.alive:
                with self._running():
                    on_delivery(offset, why)

        self._publisher.produce(effect, delivered)

    def _now(self) -> Any:
        return self._loop.now

    # --- the outside, see service/outside.py -----------------------------------------------------------------------

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

    def _consumer(
        self, on_records: OnRecords, on_topic_lost: OnTopicLost, *, batch_max: int = BATCH_MAX, apart: bool
    ) -> Consumer:
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

    def ledger(self) -> Ledger:
        """The executor's ledger."""
        return cast("Ledger", Remote(self._house.database.ledger, self._house.database))

    def history(self, *, writer: str) -> HistorySink:
        """The record of every topic."""
        twin = MemoryHistory(self._house.database.history, writer=writer)
        return cast("HistorySink", Remote(twin, self._house.database))

    def desk(self) -> DeskStore:
        """What the strategy keeps."""
        return cast("DeskStore", Patient(self._house.database.desk, self._house.database))

    def leases(self) -> LeaseStore:
        """The arm leases that survive a restart."""
        return cast("LeaseStore", Patient(self._house.database.leases, self._house.database))

    # --- what the frame does beside --------------------------------------------------------------------------------

    async def _beat(self) -> None:
        beat = Beat(service=self.service, start_id=self.start_id, started_at=self._now())
        while True:
            if self.dependencies.bus_up:
                now = self._now()
                record = beat.next(
                    now,
                    self.logic.vitals(now),
                    active=self.dependencies.active,
                    generation=self.dependencies.generation,
                    health_failures=self.dependencies.health_failures(),
                    not_ready=self.not_ready(),
                    database_up=self.dependencies.database_up,
                )
                self._publisher.publish(record)
            await asyncio.sleep(BEAT_S)

    def not_ready(self) -> list[str]:
        """As the frame answers it."""
        draining = ["draining"] if self._draining else []
        return list(dict.fromkeys([*self.dependencies.not_ready(), *self.logic.not_ready(self._now()), *draining]))

    async def _watch_database(self) -> None:
        while True:
            self.dependencies.database_changed(self._house.database.up, "as the simulation has it")
            await asyncio.sleep(_WATCH_S)

    async def _hold_role(self, role: str) -> None:
        """As `store/locks.py`: want the lock, and tell every change."""
        active, generation = None, None
        while self.alive:  # a lock that was taken after the death would be held for ever
            taken = self._house.database.take_over(role, self.start_id, generation) if self._house.database.up else None
            generation = generation if taken is None else taken
            if active != (taken is not None):
                active = taken is not None
                self.dependencies.role_changed(active, taken)
            await asyncio.sleep(_WATCH_S)
