"""`unrip up`, `demo` and `down`: a whole desk on one machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from unrip.bus.ports import BusError, Record, Where
from unrip.cli.amounts import Amounts
from unrip.cli.client import ControlClient
from unrip.cli.evidence import collect
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.explain import printed
from unrip.cli.options import HomeOption
from unrip.cli.status import trade_ready_line
from unrip.cli.tail import follow, line_of
from unrip.cli.terminal import write
from unrip.domain.attempt import AttemptState, TradeResult
from unrip.domain.pairs import Direction
from unrip.frame.desk_bus import desk_bus
from unrip.frame.desk_database import desk_database
from unrip.frame.settings import Settings
from unrip.local.asking import ask_again
from unrip.local.desk import LocalDesk, every_venue_is_loopback
from unrip.local.errors import LocalError
from unrip.local.hold import Hold, held, stop_holder
from unrip.local.paths import Home, user_data_folder
from unrip.local.simulated import faults_in_force
from unrip.local.stack import ServerPorts
from unrip.local.supervisor import Supervisor
from unrip.messages.codec import decode_event
from unrip.messages.envelope import InvalidMessage
from unrip.messages.topics import CONTROL_ACTION, EXECUTE_TRADE, SWAP_DEMAND, TRADE_DECISION, TRADE_RESULT
from unrip.services.registry import ARMED, SERVICES
from unrip.store.queries import Queries

#: The topics that are shown live; prices and beats would only flood the screen.
_LIVE_TOPICS = tuple(topic.name for topic in (SWAP_DEMAND, TRADE_DECISION, EXECUTE_TRADE, TRADE_RESULT, CONTROL_ACTION))
#: How long a demo may take from readiness to the second settlement.
DEMO_BOUND_S = 180.0
#: How long the history writer may lag behind a settlement before its record counts as incomplete.
_RECORD_BOUND_S = 15.0
#: How long a service may refuse to be armed after its start: a quarantine lasts the longest life of an offer.
_ARMED_WITHIN_S = 120.0
#: How long the ports of a desk that was killed may still be busy, and how long a desk may take to stop.
_PORTS_WITHIN_S = 25.0
_STOP_WITHIN_S = 90.0
#: How long after a broker went away, or a topic was made anew, events are shown again.
_LOOK_AGAIN_S = 1.0
_REASON = "unrip up: the venue is the simulated world on this machine"

BaseOption = Annotated[
    Path | None,
    typer.Option("--config", help="Your settings, above ours. Naming a Kafka, database or relay there replaces ours."),
]

PostgresPortOption = Annotated[int, typer.Option("--postgres-port", min=1, max=65535, help="Of the embedded one.")]
KafkaPortOption = Annotated[
    int, typer.Option("--kafka-port", min=1, max=65534, help="Of the embedded one; its controller takes the next.")
]


def up(
    home: HomeOption = Path("var"),
    config: BaseOption = None,
    postgres_port: PostgresPortOption = ServerPorts.postgres,
    kafka_port: KafkaPortOption = ServerPorts.kafka,
) -> None:
    """Start servers, simulated world and all services; show a trade in each direction; stay until Ctrl-C."""
    asyncio.run(_session(home, config, postgres_port, kafka_port).up())


def demo(
    home: HomeOption = Path("var"),
    config: BaseOption = None,
    postgres_port: PostgresPortOption = ServerPorts.postgres,
    kafka_port: KafkaPortOption = ServerPorts.kafka,
) -> None:
    """Like `up`, but stop after a trade in each direction. Exit 0 only if both settled and are recorded whole."""
    raise typer.Exit(asyncio.run(_session(home, config, postgres_port, kafka_port).demo()))


def down(home: HomeOption = Path("var")) -> None:
    """Stop the desk of a home, including what a killed `unrip up` has left running."""
    of = _home(home)
    stopped = stop_holder(of, within_s=_STOP_WITHIN_S)
    supervisor = Supervisor(of)
    if supervisor.running():
        supervisor.shutdown()
        stopped = True
    write("stopped" if stopped else "nothing runs in this home")


def _session(home: Path, config: Path | None, postgres_port: int, kafka_port: int) -> _Session:
    ports = ServerPorts(postgres=postgres_port, kafka=kafka_port, kafka_controller=kafka_port + 1)
    return _Session(_home(home), config, ports)


def _home(root: Path) -> Home:
    return Home(root.absolute())


class _Session:
    """One `unrip up`, from start to Ctrl-C."""

    def __init__(self, home: Home, base: Path | None, ports: ServerPorts) -> None:
        self._home = home
        self._desk = LocalDesk(
            home=home,
            user_data=user_data_folder(os.environ),
            base=base,
            progress=lambda line: write(f"· {line}"),
            ports=ports,
            ports_within_s=_PORTS_WITHIN_S,
        )
        #: Direction to the quote that settled first in it.
        self._settled: dict[Direction, str] = {}

    async def up(self) -> None:
        """Bring the desk up and stay until Ctrl-C."""
        await self._until_interrupted(self._run_up)

    async def demo(self) -> int:
        """Bring the desk up, show both trades and stop; return the exit code."""
        return await self._until_interrupted(self._run_demo)

    async def _until_interrupted(self, work: Callable[[Settings], Awaitable[int]]) -> int:
        """Ctrl-C and SIGTERM end the work, never the draining."""
        with held(self._home, stopped_within_s=_STOP_WITHIN_S) as hold:
            return await self._hold_until_interrupted(work, hold)

    async def _hold_until_interrupted(self, work: Callable[[Settings], Awaitable[int]], hold: Hold) -> int:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            hold.stopping()
            if task:
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        started = False
        try:
            await self._end_what_a_killed_one_left()
            settings = await self._desk.start()
            started = True
            return await work(settings)
        except asyncio.CancelledError:
            return Exit.OK
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, lambda: None)
            if started:
                await self._desk.stop()

    async def _end_what_a_killed_one_left(self) -> None:
        left = Supervisor(self._home)
        if await asyncio.to_thread(left.running):
            write("· stopping what a killed `unrip up` left running")
            await asyncio.to_thread(left.shutdown)

    async def _run_up(self, settings: Settings) -> int:
        await self._show_a_refusal(settings)
        await self._arm(settings)
        await self._show_until_both_settled(settings)
        await self._explain(settings)
        await self._show_surfaces(settings)
        async for _ in _shown(settings):
            pass
        return Exit.OK

    async def _run_demo(self, settings: Settings) -> int:
        if self._desk.world is None:
            raise CommandFailed(
                "a demo runs on the simulated world only; remove the relay from --config", code=Exit.USAGE
            )
        try:
            async with asyncio.timeout(DEMO_BOUND_S):
                await self._show_a_refusal(settings)
                await self._arm(settings)
                await self._show_until_both_settled(settings)
        except TimeoutError:
            missing = ", ".join(sorted(set(Direction) - self._settled.keys()))
            write(f"no settlement within {DEMO_BOUND_S:.0f} s in: {missing}; see {self._home.log}")
            return Exit.NO
        whole = await self._explain(settings)
        files = await collect(settings, self._home.evidence, list(self._settled.values()))
        write(f"evidence: {', '.join(sorted(file.name for file in files))} in {self._home.evidence}")
        return Exit.OK if whole else Exit.NO

    async def _show_a_refusal(self, settings: Settings) -> None:
        """Show one decision before arming: every start is disarmed, and still decides and records."""
        if self._desk.world is None:
            return
        control = self._desk.world.urls()["control"]
        if faults := await ask_again(partial(asyncio.to_thread, faults_in_force, control), away=LocalError):
            write(
                f"· the world goes on with its faults: {', '.join(faults)}; `curl -X DELETE {control}/faults` ends them"
            )
        async for record in _shown(settings):
            if record.topic == TRADE_DECISION.name:
                return

    async def _arm(self, settings: Settings) -> None:
        """Arm by the operator's own path, and only because no venue URL leaves this machine."""
        client = ControlClient(settings)
        if not every_venue_is_loopback(settings):
            write("not armed: a venue URL leaves this machine; use `unrip arm` when you mean it")
            return
        for service in ARMED:
            try:
                await _arm_one(client, service)
            except CommandFailed as refusal:
                write(f"· not armed yet, asking again: {refusal}")
                await ask_again(partial(_arm_one, client, service), away=CommandFailed, within_s=_ARMED_WITHIN_S)
        write("armed by the control surfaces of trade-executor and strategy-engine")

    async def _show_until_both_settled(self, settings: Settings) -> None:
        async for record in _shown(settings):
            if record.topic == TRADE_RESULT.name:
                with suppress(InvalidMessage):  # whoever can write the topic must not end the desk
                    result: TradeResult = decode_event(record.topic, record.value).payload
                    if result.state is AttemptState.SETTLED:
                        self._settled.setdefault(result.direction, result.quote_id)
            if len(self._settled) == len(Direction):
                return

    async def _explain(self, settings: Settings) -> bool:
        """Print both trades from PostgreSQL; return whether both histories are complete there."""
        whole = True
        async with Queries.connect(desk_database(settings)) as queries:
            for direction, quote_id in sorted(self._settled.items()):
                history = await queries.until_complete(quote_id, bound_s=_RECORD_BOUND_S)
                write(f"--- {direction}: quote {quote_id}")
                write(*printed(history, settings.pair.pair()))
                whole = whole and not history.missing
        return whole

    async def _show_surfaces(self, settings: Settings) -> None:
        client = ControlClient(settings)
        write("--- control surfaces")
        for service in SERVICES:
            write(f"{service:24} {client.url_of(service)}")
        if self._desk.world is not None:
            write(f"{'simulated world':24} {self._desk.world.urls()['control']}")
        write(f"tokens: {settings.control.read_token_file} and {settings.control.operator_token_file}")
        state = await ask_again(partial(asyncio.to_thread, client.state, "strategy-engine"), away=CommandFailed)
        write(trade_ready_line(state["trade_ready"]))
        write("try `unrip status`, `unrip explain QUOTE_ID`, `unrip halt -r why`; Ctrl-C drains everything")


async def _arm_one(client: ControlClient, service: str) -> None:
    """Arm one service; raises CommandFailed while it refuses, such as for a beat that it has not seen yet."""
    directions = [str(each) for each in Direction]
    outcome = await asyncio.to_thread(client.act, service, "arm", reason=_REASON, directions=directions)
    if not outcome["applied"]:
        raise CommandFailed(f"{service} refused to arm: {outcome['refusal']}", code=Exit.NO)


async def _shown(settings: Settings) -> AsyncIterator[Record]:
    """Yield what happens from now on, each once it is printed, for as long as somebody looks.

    A broker that goes away ends no desk.
    """
    amounts = Amounts(settings.pair.pair())
    while True:
        try:
            async for record in follow(desk_bus(settings), _LIVE_TOPICS, Where.END):
                write(line_of(record, amounts))
                yield record
        except BusError as error:
            write(f"events are not shown: {error}")
        await asyncio.sleep(_LOOK_AGAIN_S)
