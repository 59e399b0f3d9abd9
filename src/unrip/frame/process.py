"""One process that runs one service, from its start to its graceful stop: signals, port and exit code."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import secrets
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import structlog
import uvicorn

from unrip.frame.adapters import RealAdapters
from unrip.frame.contract import Log
from unrip.frame.definition import Service
from unrip.frame.host import Host
from unrip.frame.http import build_app
from unrip.frame.logs import configure_logs, write_log
from unrip.frame.settings import Settings, SettingsError
from unrip.frame.tokens import load_tokens
from unrip.frame.wiring import Wire
from unrip.net.address import authority, listen

#: Exit codes of `unrip run` (docs/reference).
EXIT_OK, EXIT_FAULT, EXIT_SUPERSEDED = 0, 70, 75


def wall_clock() -> datetime:
    """The only place where a service's time comes from."""
    return datetime.now(UTC)


class _Server(uvicorn.Server):
    """Signals are the business of the process: a stop drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers as they are."""
        yield


class Process:
    """Run one service until it has to stop."""

    def __init__(self, service: Service, wire: Wire, settings: Settings) -> None:
        self._service, self._settings = service, settings
        self._stopping = asyncio.Event()
        self._exit_code = EXIT_OK
        control = settings.control
        self._tokens = load_tokens(read_file=control.read_token_file, operator_file=control.operator_token_file)
        configure_logs(service=service.name, namespace=settings.namespace, events=service.logs)
        self._host = Host(
            service,
            wire,
            RealAdapters(settings),
            settings=settings,
            start_id=f"{service.name}-{secrets.token_hex(6)}",
            clock=wall_clock,
            random=random.Random(secrets.token_bytes(16)),  # noqa: S311 - jitter, not keys
            new_token=lambda: secrets.token_urlsafe(32),
            on_end=self._on_end,
        )

    async def run(self) -> int:
        """Start, work, stop gracefully; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        server = self._server()
        serving = loop.create_task(server.serve(sockets=[self._listener()]))
        serving.add_done_callback(self._on_served)
        await self._host.start()
        await self._stopping.wait()
        await self._host.stop()
        server.should_exit = True  # the last probe was answered while it drained
        write_log(Log(event="stopped", component="frame", body={"exit_code": self._exit_code}))
        return self._exit_code

    def _server(self) -> uvicorn.Server:
        app = build_app(
            self._service.name,
            self._host,
            self._tokens,
            self._service.all_actions,
            state=self._service.state,
            on_refused=self._host.refused,
        )
        return _Server(
            uvicorn.Config(app, log_level="error", access_log=False, lifespan="off", timeout_graceful_shutdown=2)
        )

    def _listener(self) -> socket.socket:
        host, port = self._settings.control.bind_host, self._settings.port_of(self._service.name)
        try:
            return listen(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(
                    f"nobody can listen on {authority(host, port)} ({error.strerror}): set [control] bind_host to an"
                    " address of this machine"
                ) from None
            key = self._service.key
            raise SettingsError(
                f"port {port} on {host} is busy ({error.strerror}): stop what listens there, or set [ports] {key}"
            ) from None

    def _on_served(self, serving: asyncio.Task[None]) -> None:
        if not serving.cancelled() and (fault := serving.exception()) is not None:
            self._on_end(fault)

    def _on_end(self, fault: BaseException | None) -> None:
        """Stop rather than be wrong: the supervisor starts it anew, disarmed, from what is durable."""
        if fault is None:
            self._exit_code = EXIT_SUPERSEDED
        else:
            structlog.get_logger().error("fault", component="frame", exc_info=fault)
            self._exit_code = EXIT_FAULT
        self._stopping.set()


async def run_service(service: Service, wire: Wire, settings: Settings) -> int:
    """Run one service in this process.

    Raises:
        SettingsError: it cannot even start: a busy port, a missing or open key or token file.

    """
    return await Process(service, wire, settings).run()
