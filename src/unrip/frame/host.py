"""The host: one service put together, with everything around it that is the same for every service.

It knows no port, no signal and no wall clock. Who runs it (`frame/process.py`, or `simulation/` on virtual
time) hands in the outside, the time and the chance, and is told when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from random import Random
from typing import Any

from unrip import __version__
from unrip.frame.adapters import Adapters, Role
from unrip.frame.beat import BEAT_S, Beat
from unrip.frame.contract import (
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
    Unsubscribe,
)
from unrip.frame.control import KEPT_BOUND_S, ControlOutcome, Controls
from unrip.frame.definition import Service
from unrip.frame.dependencies import Dependencies
from unrip.frame.hindrances import Hindrances
from unrip.frame.jsonable import jsonable
from unrip.frame.logic import Logic
from unrip.frame.metrics import Metrics
from unrip.frame.publisher import Publisher
from unrip.frame.reader import Reader
from unrip.frame.refusals import Refusals
from unrip.frame.runner import Handler, Runner
from unrip.frame.settings import Settings
from unrip.frame.spool import Spool
from unrip.frame.state import HostState
from unrip.frame.wiring import Context, Wire
from unrip.messages.envelope import Producer as Identity
from unrip.store.errors import StoreRefused

#: How long the last records may take to reach the broker at the end of a graceful stop.
_FLUSH_S = 2.0
#: How long a client may take to close.
_CLOSE_S = 2.0
#: How long a role that was left stays free for another instance.
LEFT_S = 10.0


class Host:
    """One start of one service."""

    def __init__(
        self,
        service: Service,
        wire: Wire,
        adapters: Adapters,
        *,
        settings: Settings,
        start_id: str,
        clock: Callable[[], datetime],
        random: Random,
        new_token: Callable[[], str],
        on_end: Callable[[BaseException | None], None],
        make_runner: Callable[..., Runner] = Runner,
    ) -> None:
        """`on_end` is told of a fault, or with None that another instance has taken the role over meanwhile."""
        self._service, self._settings, self._adapters = service, settings, adapters
        self._start_id, self._clock, self._on_end = start_id, clock, on_end
        self._started_at = clock()
        self._acted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        #: What was opened, to be closed in reverse.
        self._opened = contextlib.AsyncExitStack()
        self._metrics = Metrics(service=service.name)
        producer = adapters.producer()
        self._opened.push_async_callback(producer.close, _FLUSH_S)
        identity = Identity(service=service.name, instance=start_id, version=__version__)
        self._publisher = Publisher(
            producer,
            identity=identity,
            clock=clock,
            emit=self._emit,
            count=self._metrics.count,
            writes=service.all_writes,
        )
        self._wiring = wire(self._context(random=random, new_token=new_token))
        self._runner = make_runner(self._wiring.logic, clock=clock, on_fault=on_end, before=self._before_event)
        self._dependencies = self._the_dependencies()
        self._reader = Reader(
            adapters.reader, emit=self._emit, perform=self._perform, on_fault=on_end, reads=service.reads
        )
        self._hindrances = Hindrances(
            self._dependencies,
            self._reader,
            self._publisher,
            self._wiring.troubles,
            clock=clock,
            emit=self._emit,
            perform=self._perform,
        )
        self._controls = self._control_desk()
        self._beat = Beat(
            service=service.name,
            start_id=start_id,
            started_at=self._started_at,
            account=settings.account,
            details=service.vitals,
        )
        self._runner.handle(self._handlers())
        self._role: Role | None = None
        self._refusals = Refusals(clock=clock, count=self._metrics.count, log=adapters.log)

    def _context(self, *, random: Random, new_token: Callable[[], str]) -> Context:
        return Context(
            settings=self._settings,
            pair=self._settings.pair.pair(),
            start_id=self._start_id,
            clock=self._clock,
            random=random,
            new_token=new_token,
            emit=self._emit,
            metrics=self._metrics,
            produce=self._publisher.produce,
            adapters=self._adapters,
            leave_role=self._leave_role,
            start=self._start_work,
            owns=lambda close: self._opened.push_async_callback(self._leave, close, within_s=_CLOSE_S),
        )

    def _the_dependencies(self) -> Dependencies:
        return Dependencies(
            emit=self._emit,
            perform=self._perform,
            clock=self._clock,
            elapsed_s=lambda: asyncio.get_running_loop().time(),
            uses_database=bool(self._service.stores),
            single_active=self._service.single_active,
            on_bus_back=self._on_bus_back,
            on_superseded=partial(self._on_end, None),
        )

    def _control_desk(self) -> Controls:
        return Controls(
            self._runner,
            self._publisher,
            Spool(self._settings.kept_file(self._service.name, "jsonl")),
            service=self._service.name,
            actions=self._service.all_actions,
            start_id=self._start_id,
            clock=self._clock,
            bus_up=lambda: bool(self._dependencies.bus_up),
            log=self._perform,
            # Beyond the producer's own bound: a refused action must not arrive on the topic as applied after all.
            record_bound_s=self._settings.kafka.delivery_timeout_ms / 1_000 + 2,
            kept_bound_s=KEPT_BOUND_S,
            account=self._settings.account,
        )

    def _handlers(self) -> dict[type[Effect], Handler]:
        return {
            Publish: self._publisher.publish,
            Subscribe: self._reader.subscribe,
            Unsubscribe: self._reader.unsubscribe,
            Log: self._adapters.log,
            Count: lambda effect: self._metrics.count(effect.name, effect.labels),
            Observe: lambda effect: self._metrics.observe(effect.name, effect.milliseconds, effect.labels),
            CrashPoint: lambda effect: self._adapters.crash_point(effect.name),
            **self._wiring.handlers,
        }

    @property
    def logic(self) -> Logic:
        """The service's decisions."""
        return self._wiring.logic

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to work."""
        watch = self._adapters.watch_broker(self._then_look(self._dependencies.bus_changed))
        self._opened.push_async_callback(watch.stop)
        await self._reader.start()
        self._perform(
            Log(event="started", component="frame", body={"start_id": self._start_id, "version": __version__})
        )
        why, active = self._dependencies.why_not_active, self._dependencies.active
        self._emit(Started(active=active, generation=None, start_id=self._start_id, why=why))
        name = self._service.name
        if self._service.stores:
            watch_database = partial(self._adapters.watch_database, name, self._service.stores[0].schema)
            self._spawn(partial(watch_database, self._then_look(self._dependencies.database_changed)))
        if self._service.single_active:
            on_role = self._then_look(self._dependencies.role_changed)
            self._role = self._adapters.role(name, self._start_id, on_role, self._dependencies.role_refused)
            self._spawn(self._role.run)
        for source in (*self._wiring.sources, self._beat_forever):
            self._spawn(source)

    async def stop(self) -> None:
        """Stop intake, finish what is in flight, flush, leave; all within the configured bound."""
        self._perform(Log(event="draining", component="frame"))
        self._drain()
        await self._leave(self._finish, within_s=self._settings.control.drain_bound_s)
        self._runner.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._opened.aclose()

    async def _finish(self) -> None:
        """Take nothing new, and finish what is in flight."""
        await self._reader.stop()
        while not (self._runner.faulted or self.logic.idle()):  # noqa: ASYNC110 - the logic is pure and sets no asyncio events
            await asyncio.sleep(0.01)
        for leave in self._wiring.before_leaving:
            await leave()

    async def _leave(self, step: Callable[[], Awaitable[None]], *, within_s: float) -> None:
        """Take one step of a stop: a failure is logged, and the next step is done all the same."""
        try:
            async with asyncio.timeout(within_s):
                await step()
        except TimeoutError:
            body = {"reason": f"{getattr(step, '__qualname__', step)} was not done within {within_s:g} s"}
            self._adapters.log(Log(event="stop_incomplete", level="warning", component="frame", body=body))
        except Exception as fault:  # whatever it is, the rest must be closed, and the exit code must say so
            self._on_end(fault)

    def die(self) -> None:
        """End at once, as a killed process does: nothing more is taken in or done."""
        self._runner.faulted = True
        self._runner.stop_timers()

    def _spawn(self, source: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                while True:
                    try:
                        return await source()
                    except StoreRefused as refusal:
                        if self._role is None:
                            raise
                        self._leave_role(str(refusal))
                        await asyncio.sleep(LEFT_S)
            except asyncio.CancelledError:
                raise
            except Exception as fault:
                self._on_end(fault)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_work(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what a handler began; the event loop alone would not keep it alive."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._work_done)

    def _work_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, StoreRefused) and self._role is not None:
            self._leave_role(str(fault))
        elif fault is not None:
            self._on_end(fault)

    async def _beat_forever(self) -> None:
        while True:
            self._acted.clear()
            self._hindrances.look()
            if self._dependencies.bus_up:
                self._publisher.publish(self._next_beat())
                if self._controls.spool_waits:  # the broker refused it, and may take it by now
                    self._spawn(self._controls.publish_spooled)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._acted.wait(), BEAT_S)

    def _next_beat(self) -> Publish:
        now = self._clock()
        return self._beat.next(
            now,
            self.logic.vitals(now),
            active=self._dependencies.active,
            generation=self._dependencies.generation,
            health_failures=self.health_failures(),
            not_ready=self.not_ready(),
            database_up=self._dependencies.database_up,
        )

    # --- what happens to it ----------------------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        self._runner.emit(event)

    def _before_event(self) -> None:
        self._dependencies.doubt_role()

    def _perform(self, effect: Effect) -> None:
        self._runner.perform(effect)

    def _drain(self) -> None:
        if not self.logic.life.draining:
            self._emit(Draining())

    def _on_bus_back(self) -> None:
        self._publisher.bus_back()
        self._spawn(self._controls.publish_spooled)

    def _leave_role(self, why: str) -> None:
        """Leave the role: the database refused what we asked. Another instance may try; this one keeps its brakes."""
        self._dependencies.role_left(why)
        if self._role is not None:
            self._role.leave(for_s=LEFT_S)

    def _then_look(self, hear: Callable[[bool, Any], None]) -> Callable[[bool, Any], None]:
        """Take a watch's report, and update readiness at once."""

        def told(up: bool, what: Any) -> None:  # noqa: FBT001 - the signature of the watches
            hear(up, what)
            self._hindrances.look()

        return told

    # --- the control surface ---------------------------------------------------------------------------------------

    def health_failures(self) -> list[str]:
        """Hard dependencies that are away, and faults that the logic has found."""
        return [*self._dependencies.health_failures(), *self.logic.health_failures()]

    def not_ready(self) -> list[str]:
        """Named reasons why the service cannot do its job."""
        return list(dict.fromkeys([*self._hindrances.why(), *self.logic.not_ready(self._clock())]))

    def state(self) -> dict[str, Any]:
        """Everything an operator may see; the logic hears first of what the host would tell beside it."""
        self._hindrances.look()
        now = self._clock()
        host = HostState(
            service=self._service.name,
            instance=self._start_id,
            version=__version__,
            account=self._settings.account,
            started_at=self._started_at,
            now=now,
            active=self._dependencies.active,
            health_failures=tuple(self.health_failures()),
            not_ready=tuple(self.not_ready()),
            kafka_up=self._dependencies.bus_up,
            postgres_up=self._dependencies.database_up,
            why=self._hindrances.why(),
            dependencies=self._dependencies.state(),
            configuration_hash=self._settings.configuration_hash,
        )
        return {**jsonable(host), **jsonable(self.logic.state(now))}

    def metrics(self) -> bytes:
        """The Prometheus exposition."""
        return self._metrics.text()

    def refused(self, status: int, path: str) -> None:
        """A request on the control port that was refused before it was an action."""
        self._refusals.refused(status, path)

    async def act(self, control: Control) -> ControlOutcome:
        """Follow an operator's action."""
        outcome = await self._controls.act(control)
        self._acted.set()
        return outcome
