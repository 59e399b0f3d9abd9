"""Bring a desk up on one machine and down again: servers first, then whatever programs the caller adds.

The order comes from the programs' priorities. The programs of a level start together and must be ready before the next
level starts.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from unrip.local.asking import ask_again
from unrip.local.errors import LocalError, PortBusy, ProgramNotReady
from unrip.local.kafka import KafkaServer, serves_metadata
from unrip.local.paths import Home
from unrip.local.ports import PortNeed, require_free
from unrip.local.postgres import PostgresServer, answers_query
from unrip.local.program import Program, Ready
from unrip.local.supervisor import Supervisor, last_line
from unrip.store.url import place_of

Progress = Callable[[str], None]

_POLL_S = 0.1
_OUTSIDE_WITHIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class ServerPorts:
    """The ports of the embedded servers: below the range that the kernel gives to outgoing connections."""

    postgres: int = 15432
    kafka: int = 19092
    kafka_controller: int = 19093


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """The addresses that services get."""

    kafka_bootstrap: str
    #: Holds a password: for files and connections only.
    postgres_url: str = field(repr=False)


class ServerStack:
    """PostgreSQL and Kafka under one supervisor, and further programs on top.

    A server whose address is given (`kafka_bootstrap`, `postgres_url`) is neither installed nor started, only asked
    whether it answers. `progress` gets one line for each thing that takes time.
    """

    def __init__(
        self,
        *,
        home: Home,
        user_data: Path,
        progress: Progress,
        ports: ServerPorts | None = None,
        kafka_bootstrap: str | None = None,
        postgres_url: str | None = None,
        tied_to_caller: bool = False,
        ports_within_s: float = 0,
    ) -> None:
        ports = ports or ServerPorts()
        #: How long to wait for a busy port: the servers of a desk that was killed need a while to end.
        self._ports_within_s = ports_within_s
        self.home = home
        self.supervisor = Supervisor(home)
        self._progress = progress
        self._tied_to_caller = tied_to_caller
        self._outside_kafka = kafka_bootstrap
        self._outside_postgres = postgres_url
        self._kafka = KafkaServer(
            home=home, user_data=user_data, port=ports.kafka, controller_port=ports.kafka_controller
        )
        self._postgres = PostgresServer(home=home, port=ports.postgres)

    async def start(self) -> Endpoints:
        """Install, prepare and start the servers that are ours; return when all of them answer.

        Raises:
            LocalError: what failed, where, and the remedy, on one line. Nothing is left running.

        """
        self.home.create()
        await asyncio.to_thread(self.supervisor.require_idle)
        await self.require_free([need for server in self._own_servers() for need in server.port_needs()])
        await asyncio.to_thread(self._prepare)
        # Not in a pool's thread: "parent death" is the death of the thread that forked (prctl(2), PR_SET_PDEATHSIG).
        self.supervisor.launch(tied_to_caller=self._tied_to_caller)
        try:
            await self.bring_up([server.program() for server in self._own_servers()])
            await self._ask_outside_servers()
        except BaseException:
            await self.stop()
            raise
        return Endpoints(
            kafka_bootstrap=self._outside_kafka or self._kafka.bootstrap,
            postgres_url=self._outside_postgres or self._postgres.url(),
        )

    async def bring_up(self, programs: Sequence[Program]) -> None:
        """Start programs level by level, each level once the one before is ready.

        Raises:
            ProgramNotReady: which one, its last log line and where the log is. What was started goes on running.

        """
        for _, level in groupby(sorted(programs, key=_priority), key=_priority):
            started = list(level)
            for program in started:
                await asyncio.to_thread(self.supervisor.add, program)
                await asyncio.to_thread(self.supervisor.start, program.name)
            try:
                async with asyncio.TaskGroup() as gates:
                    for program in started:
                        gates.create_task(self._await_ready(program))
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None

    async def stop(self) -> None:
        """Stop everything in the opposite order; return when no process is left."""
        self._progress("stopping")
        await asyncio.to_thread(self.supervisor.shutdown)

    async def require_free(self, needs: Sequence[PortNeed]) -> None:
        """Refuse to start over somebody else's ports, after waiting for a while; raises PortBusy."""
        try:
            require_free(needs)
        except PortBusy as busy:
            if not self._ports_within_s:
                raise
            self._progress(f"waiting up to {self._ports_within_s:g} s: {busy}")
            await ask_again(
                lambda: asyncio.to_thread(require_free, needs), away=PortBusy, within_s=self._ports_within_s
            )

    def _prepare(self) -> None:
        for server in self._own_servers():
            server.prepare(self._progress)

    def _own_servers(self) -> list[PostgresServer | KafkaServer]:
        servers: list[PostgresServer | KafkaServer] = []
        if self._outside_postgres is None:
            servers.append(self._postgres)
        if self._outside_kafka is None:
            servers.append(self._kafka)
        return servers

    async def _ask_outside_servers(self) -> None:
        kafka, postgres = self._outside_kafka, self._outside_postgres
        if kafka is not None and not await _within(_OUTSIDE_WITHIN_S, lambda: serves_metadata(kafka)):
            raise LocalError(f"the Kafka at {kafka} does not answer: start it, or correct [kafka] bootstrap")
        if postgres is not None and not await _within(_OUTSIDE_WITHIN_S, lambda: answers_query(postgres)):
            raise LocalError(
                f"the PostgreSQL at {place_of(postgres)} does not let us in: start it, or correct [postgres] url_file"
            )

    async def _await_ready(self, program: Program) -> None:
        async def ready_or_lost() -> bool:
            return await _ask(program.ready) or await self._state(program) == "FATAL"

        log = self.home.log_of(program.name)
        began = time.monotonic()
        self._progress(f"{program.name}: starting")
        if not await _within(program.ready_within_s, ready_or_lost):
            raise ProgramNotReady(
                f"{program.name} was not ready within {program.ready_within_s:g} s: {last_line(log)} (log: {log})"
            )
        if await self._state(program) == "FATAL":
            raise ProgramNotReady(f"{program.name} does not stay up: {last_line(log)} (log: {log})")
        self._progress(f"{program.name}: ready after {time.monotonic() - began:.1f} s")

    async def _state(self, program: Program) -> str:
        status = await asyncio.to_thread(self.supervisor.status)
        return status[program.name].state


async def _within(limit_s: float, ready: Ready) -> bool:
    """Ask until it is true or the time is over."""
    deadline = time.monotonic() + limit_s
    while not await _ask(ready):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


async def _ask(ready: Ready) -> bool:
    answer = await asyncio.to_thread(ready)
    return await answer if inspect.isawaitable(answer) else answer


def _priority(program: Program) -> int:
    return program.priority
