"""`unrip up`, `demo` and `down`: a whole desk on one machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from unrip.bus.ports import Where
from unrip.cli.controls import ARMING_ORDER
from unrip.cli.desk import ControlClient
from unrip.cli.evidence import collect
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.explain import printed
from unrip.cli.options import HomeOption
from unrip.cli.status import trade_ready_line
from unrip.cli.tail import follow, line_of
from unrip.cli.terminal import say
from unrip.domain.attempt import AttemptState, TradeResult
from unrip.domain.pairs import Direction
from unrip.local.desk import LocalDesk, every_venue_is_loopback
from unrip.local.paths import Home, user_data_folder
from unrip.local.supervisor import Supervisor
from unrip.messages.codec import decode_event
from unrip.messages.topics import CONTROL_ACTION, EXECUTE_TRADE, SWAP_DEMAND, TRADE_DECISION, TRADE_RESULT
from unrip.service.settings import Settings
from unrip.services.registry import SERVICES
from unrip.store.queries import Queries

#: Shown live; prices and beats would only flood the screen.
_LIVE_TOPICS = tuple(topic.name for topic in (SWAP_DEMAND, TRADE_DECISION, EXECUTE_TRADE, TRADE_RESULT, CONTROL_ACTION))
#: How long a demo may take from readiness to the second settlement.
DEMO_BOUND_S = 180.0
#: How long the history writer may lag behind a settlement before its chain counts as incomplete.
_CHAIN_BOUND_S = 15.0
_REASON = "unrip up: the venue is the simulated world on this machine"

BaseOption = Annotated[
    Path | None,
    typer.Option("--config", help="Your settings, above ours. Naming a Kafka, database or relay there replaces ours."),
]


def up(home: HomeOption = Path("var"), config: BaseOption = None) -> None:
    """Start servers, simulated world and all services; show a trade in each direction; stay until Ctrl-C."""
    asyncio.run(_Session(_home(home), config).up())


def demo(home: HomeOption = Path("var"), config: BaseOption = None) -> None:
    """Like `up`, but stop after a trade in each direction. Exit 0 only if both settled and are recorded whole."""
    raise typer.Exit(asyncio.run(_Session(_home(home), config).demo()))


def down(home: HomeOption = Path("var")) -> None:
    """Stop what a killed `unrip up` has left running."""
    supervisor = Supervisor(_home(home))
    if not supervisor.running():
        say("nothing runs in this home")
        return
    supervisor.shutdown()
    say("stopped")


def _home(root: Path) -> Home:
    return Home(root.absolute())


class _Session:
    """One `unrip up`, from start to Ctrl-C."""

    def __init__(self, home: Home, base: Path | None) -> None:
        self._home = home
        self._desk = LocalDesk(
            home=home,
            user_data=user_data_folder(os.environ),
            base=base,
            progress=lambda line: say(f"· {line}"),
        )
        #: Direction to the quote that settled first in it.
        self._settled: dict[Direction, str] = {}

    async def up(self) -> None:
        """Stay until Ctrl-C."""
        await self._until_interrupted(self._run_up)

    async def demo(self) -> int:
        """Stop by itself; return the exit code."""
        return await self._until_interrupted(self._run_demo)

    async def _until_interrupted(self, work: Callable[[Settings], Awaitable[int]]) -> int:
        """Ctrl-C and SIGTERM end the work, never the draining."""
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: task.cancel() if task else None)
        started = False
        try:
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

    async def _run_up(self, settings: Settings) -> int:
        await self._show_a_refusal(settings)
        self._arm(settings)
        await self._show_until_both_settled(settings)
        await self._explain(settings)
        self._show_surfaces(settings)
        async for record in follow(settings.kafka.bootstrap, _LIVE_TOPICS, Where.END):
            say(line_of(record))
        return Exit.OK

    async def _run_demo(self, settings: Settings) -> int:
        if self._desk.world is None:
            raise CommandFailed(
                "a demo runs on the simulated world only; remove the relay from --config", code=Exit.USAGE
            )
        try:
            async with asyncio.timeout(DEMO_BOUND_S):
                await self._show_a_refusal(settings)
                self._arm(settings)
                await self._show_until_both_settled(settings)
        except TimeoutError:
            missing = ", ".join(sorted(set(Direction) - self._settled.keys()))
            say(f"no settlement within {DEMO_BOUND_S:.0f} s in: {missing}; see {self._home.log}")
            return Exit.NO
        whole = await self._explain(settings)
        files = await collect(settings, self._home.evidence, list(self._settled.values()))
        say(f"evidence: {', '.join(sorted(file.name for file in files))} in {self._home.evidence}")
        return Exit.OK if whole else Exit.NO

    async def _show_a_refusal(self, settings: Settings) -> None:
        """Every start is disarmed, and still decides and records: show one such decision before arming."""
        if self._desk.world is None:
            return
        async for record in follow(settings.kafka.bootstrap, _LIVE_TOPICS, Where.END):
            say(line_of(record))
            if record.topic == TRADE_DECISION.name:
                return

    def _arm(self, settings: Settings) -> None:
        """By the operator's own path, and only because no venue URL leaves this machine."""
        client = ControlClient(settings)
        if not every_venue_is_loopback(settings):
            say("not armed: a venue URL leaves this machine; use `unrip arm` when you mean it")
            return
        for service in ARMING_ORDER:
            outcome = client.act(service, "arm", reason=_REASON, directions=[str(each) for each in Direction])
            if not outcome["applied"]:
                raise CommandFailed(f"{service} refused to arm: {outcome['refusal']}", code=Exit.NO)
        say("armed by the control surfaces of trade-executor and strategy-engine")

    async def _show_until_both_settled(self, settings: Settings) -> None:
        async for record in follow(settings.kafka.bootstrap, _LIVE_TOPICS, Where.END):
            say(line_of(record))
            if record.topic == TRADE_RESULT.name:
                result: TradeResult = decode_event(record.topic, record.value).payload
                if result.state is AttemptState.SETTLED:
                    self._settled.setdefault(result.direction, result.quote_id)
            if len(self._settled) == len(Direction):
                return

    async def _explain(self, settings: Settings) -> bool:
        """Print both trades from PostgreSQL; say whether both chains are complete there."""
        whole = True
        async with Queries.connect(settings.postgres_url()) as queries:
            for direction, quote_id in sorted(self._settled.items()):
                chain = await queries.until_complete(quote_id, bound_s=_CHAIN_BOUND_S)
                say(f"--- {direction}: quote {quote_id}")
                say(*printed(chain))
                whole = whole and not chain.missing
        return whole

    def _show_surfaces(self, settings: Settings) -> None:
        client = ControlClient(settings)
        say("--- control surfaces")
        for service in SERVICES:
            say(f"{service:24} {client.url_of(service)}")
        if self._desk.world is not None:
            say(f"{'simulated world':24} {self._desk.world.urls()['control']}")
        say(f"tokens: {settings.control.read_token_file} and {settings.control.operator_token_file}")
        say(trade_ready_line(client.state("strategy-engine")["trade_ready"]))
        say("try `unrip status`, `unrip explain QUOTE_ID`, `unrip halt -r why`; Ctrl-C drains everything")
