"""The frame: one process, one service, from start to graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import structlog
import uvicorn

from unrip import __version__
from unrip.bus.kafka_producer import KafkaProducer
from unrip.bus.kafka_watch import BrokerWatch
from unrip.messages.envelope import Producer
from unrip.service.beat import BEAT_S, Beat
from unrip.service.contract import (
    Control,
    Count,
    CrashPoint,
    Draining,
    Effect,
    Log,
    Observe,
    Publish,
    Started,
    Subscribe,
)
from unrip.service.control import KEPT_BOUND_S, ControlDesk, ControlOutcome
from unrip.service.crashpoints import crash_point
from unrip.service.dependencies import Dependencies
from unrip.service.http import build_app
from unrip.service.jsonable import jsonable
from unrip.service.logs import configure_logs, write_log
from unrip.service.metrics import Metrics
from unrip.service.outside import Network
from unrip.service.publisher import Delivery, Publisher
from unrip.service.reader import Reader
from unrip.service.runner import Runner
from unrip.service.settings import Settings, SettingsError
from unrip.service.spool import Spool
from unrip.service.tokens import load_tokens
from unrip.service.wiring import Context, Wire
from unrip.store.locks import SingleActiveLock
from unrip.store.watch import DatabaseWatch

#: Exit codes of `unrip run` (docs/reference).
EXIT_OK, EXIT_FAULT, EXIT_SUPERSEDED = 0, 70, 75


def wall_clock() -> datetime:
    """The only place where a service's time comes from."""
    return datetime.now(UTC)


class _Server(uvicorn.Server):
    """Signals are the frame's business: a stop drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers as they are."""
        yield


class Frame:
    """Run one service until it is told to stop."""

    def __init__(self, service: str, wire: Wire, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._start_id = f"{service}-{secrets.token_hex(6)}"
        self._started_at = wall_clock()
        self._stopping = asyncio.Event()
        self._acted = asyncio.Event()
        self._exit_code = EXIT_OK
        self._draining = False
        self._tasks: list[asyncio.Task[Any]] = []
        control = settings.control
        self._tokens = load_tokens(read_file=control.read_token_file, operator_file=control.operator_token_file)
        configure_logs(service=service, namespace=settings.namespace)
        self._metrics = Metrics(service=service)
        self._outside = outside = Network(settings)
        self._wiring = wire(
            Context(
                settings=settings,
                pair=settings.pair.pair(),
                start_id=self._start_id,
                clock=wall_clock,
                random=random.Random(secrets.token_bytes(16)),  # noqa: S311 - jitter, not keys
                new_token=lambda: secrets.token_urlsafe(32),
                emit=self._emit,
                metrics=self._metrics,
                produce=self._produce,
                outside=outside,
            )
        )
        self._runner = Runner(self._wiring.logic, clock=wall_clock, on_fault=self._on_fault)
        self._dependencies = Dependencies(
            emit=self._emit,
            perform=self._perform,
            uses_database=self._wiring.uses_database,
            single_active=self._wiring.single_active_role is not None,
            on_bus_back=self._on_bus_back,
            on_superseded=self._on_superseded,
        )
        self._producer = KafkaProducer(settings.kafka.bootstrap, delivery_timeout_ms=settings.kafka.delivery_timeout_ms)
        identity = Producer(service=service, instance=self._start_id, version=__version__)
        self._publisher = Publisher(
            self._producer, identity=identity, clock=wall_clock, emit=self._emit, count=self._metrics.count
        )
        self._reader = Reader(outside.consumer, emit=self._emit, perform=self._perform, on_fault=self._on_fault)
        self._controls = ControlDesk(
            self._runner,
            self._publisher,
            Spool(control.spool_dir / f"{service}.jsonl"),
            service=service,
            start_id=self._start_id,
            clock=wall_clock,
            bus_up=lambda: bool(self._dependencies.bus_up),
            log=write_log,
            # Beyond the producer's own bound: a refused action must not arrive on the topic as applied after all.
            record_bound_s=settings.kafka.delivery_timeout_ms / 1_000 + 2,
            kept_bound_s=KEPT_BOUND_S,
        )
        self._beat = Beat(service=service, start_id=self._start_id, started_at=self._started_at)
        self._runner.handle(
            {
                Publish: self._publisher.publish,
                Subscribe: self._reader.subscribe,
                Log: write_log,
                Count: lambda effect: self._metrics.count(effect.name, effect.labels),
                Observe: lambda effect: self._metrics.observe(effect.name, effect.milliseconds, effect.labels),
                CrashPoint: lambda effect: crash_point(effect.name),
                **self._wiring.handlers,
            }
        )

    # --- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, work, stop gracefully; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        server = await self._open_port()
        broker = BrokerWatch(self._settings.kafka.bootstrap, self._dependencies.bus_changed)
        await self._reader.start()
        write_log(Log(event="started", component="frame", body={"start_id": self._start_id, "version": __version__}))
        self._emit(Started(active=self._dependencies.active, generation=None, start_id=self._start_id))
        self._watch_database()
        for source in (*self._wiring.sources, self._beat_forever):
            self._spawn(source)
        await self._stopping.wait()
        await self._stop()
        await broker.stop()
        server.should_exit = True
        write_log(Log(event="stopped", component="frame", body={"exit_code": self._exit_code}))
        return self._exit_code

    async def _open_port(self) -> uvicorn.Server:
        host, port = self._settings.control.bind_host, self._settings.port_of(self._service)
        app = build_app(self._service, self, self._tokens, self._wiring.actions)
        config = uvicorn.Config(
            app, host=host, port=port, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
        server = _Server(config)
        try:
            listener = socket.create_server((host, port))
        except OSError as error:
            key = self._service.replace("-", "_")
            raise SettingsError(
                f"port {port} on {host} is busy ({error.strerror}): stop what listens there, or set [ports] {key}"
            ) from None
        self._spawn(lambda: server.serve(sockets=[listener]))
        return server

    def _watch_database(self) -> None:
        if self._wiring.uses_database:
            place = self._outside.database
            self._spawn(DatabaseWatch(place, on_change=self._dependencies.database_changed).run)
            if (role := self._wiring.single_active_role) is not None:
                self._spawn(
                    SingleActiveLock(
                        place, role=role, instance=self._start_id, on_change=self._dependencies.role_changed
                    ).run
                )

    async def _stop(self) -> None:
        """Stop intake, finish what is in flight, flush, leave; all within the configured bound."""
        write_log(Log(event="draining", component="frame"))
        self._drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.control.drain_bound_s):
                await self._reader.stop()
                while not (self._runner.faulted or self._wiring.logic.idle()):  # noqa: ASYNC110 - the logic is pure and sets no asyncio events
                    await asyncio.sleep(0.01)
                for leave in self._wiring.before_leaving:
                    await leave()
        self._runner.stop_timers()
        server, *others = self._tasks
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for close in self._wiring.closers:
            await close()
        await self._producer.close(2.0)
        del server  # it is told to exit by the caller, after the last probe could be answered

    def _spawn(self, source: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                await source()
            except asyncio.CancelledError:
                raise
            except Exception as fault:
                self._on_fault(fault)

        self._tasks.append(asyncio.get_running_loop().create_task(guarded()))

    async def _beat_forever(self) -> None:
        while True:
            self._acted.clear()
            if self._dependencies.bus_up:
                self._publisher.publish(self._next_beat())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._acted.wait(), BEAT_S)

    def _next_beat(self) -> Publish:
        now = wall_clock()
        return self._beat.next(
            now,
            self._wiring.logic.vitals(now),
            active=self._dependencies.active,
            generation=self._dependencies.generation,
            health_failures=self.health_failures(),
            not_ready=self.not_ready(),
            database_up=self._dependencies.database_up,
        )

    # --- what happens to it ----------------------------------------------------------------------------------------

    def _emit(self, event: Any) -> None:
        self._runner.emit(event)

    def _produce(self, effect: Publish, on_delivery: Delivery) -> None:
        self._publisher.produce(effect, on_delivery)

    def _perform(self, effect: Effect) -> None:
        self._runner.perform(effect)

    def _drain(self) -> None:
        if not self._draining:
            self._draining = True
            self._emit(Draining())

    def _on_fault(self, fault: BaseException) -> None:
        """Better stopped than wrong: the supervisor starts it anew, disarmed, from what is durable."""
        structlog.get_logger().error("fault", component="frame", exc_info=fault)
        self._exit_code = EXIT_FAULT
        self._stopping.set()

    def _on_superseded(self) -> None:
        self._exit_code = EXIT_SUPERSEDED
        self._stopping.set()

    def _on_bus_back(self) -> None:
        self._spawn(self._controls.publish_spooled)

    # --- the control surface ---------------------------------------------------------------------------------------

    def health_failures(self) -> list[str]:
        """Hard dependencies that are away, and faults that the logic has found."""
        return [*self._dependencies.health_failures(), *self._wiring.logic.health_failures()]

    def not_ready(self) -> list[str]:
        """Named reasons why the service cannot do its job."""
        reasons = [*self._dependencies.not_ready(), *self._wiring.logic.not_ready(wall_clock())]
        if self._draining:
            reasons.append("draining")
        return list(dict.fromkeys(reasons))

    def state(self) -> dict[str, Any]:
        """Everything an operator may see."""
        now = wall_clock()
        frame = {
            "service": self._service,
            "instance": self._start_id,
            "version": __version__,
            "started_at": self._started_at,
            "now": now,
            "active": self._dependencies.active,
            "health_failures": self.health_failures(),
            "not_ready": self.not_ready(),
            "kafka_up": self._dependencies.bus_up,
            "postgres_up": self._dependencies.database_up,
            "configuration_hash": self._settings.configuration_hash,
        }
        state: dict[str, Any] = jsonable({**frame, **self._wiring.logic.state(now)})
        return state

    def metrics(self) -> bytes:
        """The Prometheus exposition."""
        return self._metrics.text()

    async def act(self, control: Control) -> ControlOutcome:
        """Follow an operator's action; a drain is the frame's own business, too."""
        outcome = await self._controls.act(control)
        if control.action == "drain" and outcome.applied:
            self._drain()
        self._acted.set()
        return outcome


async def run_service(service: str, wire: Wire, settings: Settings) -> int:
    """Run one service in this process.

    Raises:
        SettingsError: it cannot even start: a busy port, a missing or open key or token file.

    """
    return await Frame(service, wire, settings).run()
