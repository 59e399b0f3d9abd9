"""The whole desk in one process: seven services, what is durable, the world, an operator, and whatever goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

import base58
from nacl.signing import SigningKey

from simulation.caps import ToldCaps
from simulation.clock import START_NS, VirtualLoop
from simulation.faults import Fault, Faults
from simulation.files import Files
from simulation.invariants import Invariants
from simulation.mischief import Mischief
from simulation.network import URLS, Network
from simulation.process import Killed, Process, owned_task, stands_until
from simulation.stores import Database, done
from simulation.violation import Violation
from unrip.bus.memory import MemoryBroker
from unrip.domain.inventory import Reconciliation
from unrip.frame.contract import Control, Effect
from unrip.frame.control import ControlOutcome
from unrip.frame.settings import Settings
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope
from unrip.messages.topics import TOPICS, Topic
from unrip.net.events import SendFrame
from unrip.services.registry import ARMED, SERVICES, wire_of
from unrip.services.settings import DESK_SETTINGS
from unrip.store.history import AnotherWriter
from unrip.store.memory_ledger import MemoryLedger
from unrip_world.assets import BTC, EURE
from unrip_world.config import AccountSettings, WorldSettings
from unrip_world.demands import Demand
from unrip_world.world import World

_TRACE_MAX = 400
_LEASE_MINUTES = 480
#: The operator thinks for so many seconds before he arms what he has halted.
_LOOKS_HALTED = 8
#: How long a process that slept through a handing over goes on before it is stopped.
_AWAKE_S = 5.0
_KEY = SigningKey(hashlib.sha256(b"desk").digest())
ACCOUNT = "desk.near"
PUBLIC_KEY = "ed25519:" + base58.b58encode(bytes(_KEY.verify_key)).decode()
#: Ten times what one trade may be worth, so that offers compete for it.
INVENTORY = {BTC: "200000", EURE: "150" + "0" * 18}


class Broker(MemoryBroker):
    """The broker's twin, which tells what was stored."""

    def __init__(self, *, clock: Callable[[], datetime], on_record: Callable[[str, bytes], None]) -> None:
        super().__init__(clock=clock)
        self._on_record = on_record

    def append(self, topic: str, key: str, value: bytes) -> int:
        """Store one record and return its offset."""
        self._on_record(topic, value)
        return super().append(topic, key, value)


class Desk:
    """A desk that trades with a world in virtual time. Use it as a context manager."""

    def __init__(
        self,
        *,
        seed: int = 0,
        faults: Sequence[Fault] = (),
        world: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        make_ledger: Callable[..., MemoryLedger] = MemoryLedger,
        on_effect: Callable[[str, Effect], None] | None = None,
    ) -> None:
        self._seed = seed
        self.account = ACCOUNT
        self._folder = tempfile.TemporaryDirectory(prefix="simulation-")
        #: What the processes keep beside them.
        self.files = Files(Path(self._folder.name) / "kept")
        self.loop = VirtualLoop()
        self.loop.set_task_factory(owned_task)
        self.loop.set_exception_handler(self._on_exception)
        self.settings = self._settings(settings or {})
        self.world = World(WorldSettings(**{"accounts": [_account()], **(world or {})}), now_ns=START_NS)
        self.faults = Faults(self.chance("faults"))
        self.violation: str | None = None
        self.trace: deque[str] = deque(maxlen=_TRACE_MAX)
        self.counts: Counter[str] = Counter()
        self._on_effect = on_effect
        self.broker = Broker(clock=lambda: self.loop.now, on_record=self._on_record)
        for topic in TOPICS.values():
            self.broker.create_topic(topic)
        ledger = make_ledger(clock=lambda: self.loop.now)
        done(ledger.note_surroundings(ACCOUNT, reason="", quarantined_until=None))  # a first start, and declared
        self.database = Database(
            self.loop, self.faults, chance=self.chance("database"), ledger=ledger, on_commit=self._on_commit
        )
        self.database.books.declare_first_start(ACCOUNT)
        policy = self.settings.limits.policy()
        self._caps = ToldCaps(policy.notional_cap_eur)
        self.invariants = Invariants(
            self.world, self.database, account=ACCOUNT, caps=self._caps, policy=policy, say=self.say
        )
        self.network = Network(
            self.loop,
            self.world,
            self.faults,
            chance=self.chance("network"),
            on_submission=self._on_submission,
            on_block=self._on_block,
            on_time=self.invariants.on_time,
        )
        self._lease = {
            "directions": ["base_in", "base_out"],
            "lease_minutes": _LEASE_MINUTES,
            "survive_restart": self.chance("lease").random() < 0.5,
        }
        self._lives: Counter[str] = Counter()
        #: The newest process of each service, and those that another one has followed while they lived.
        self.processes: dict[str, Process] = {}
        self._followed: list[Process] = []
        self._mischief = Mischief(self, faults)
        self.faults.money_open = lambda: self.invariants.money_open
        self.loop.call_soon(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process and leave nothing behind."""
        for process in (*self.processes.values(), *self._followed):
            process.kill()
        for task in asyncio.all_tasks(self.loop):
            self.loop.call_soon(task.cancel)
        self.loop.call_later(1, self.loop.stop)
        self.loop.run_forever()
        self.loop.close()
        self._folder.cleanup()

    # --- running ---------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let virtual time pass. Raises Violation at the first broken invariant."""
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run_forever()
        if self.violation is not None:
            raise Violation(self.violation)

    def calm(self) -> None:
        """Nobody asks any more, and nothing of the world stays wrong."""
        self.say("calm")
        self.world.takers_paused = True
        for fault in self.world.faults.active():
            self.network.carry_out(self.world.clear_fault(fault.service, fault.kind))

    def demand(self, **fields: Any) -> str:
        """A taker asks; the quote's id."""
        quote_id, effects = self.world.demand(Demand(**fields), self.loop.now_ns)
        self.network.carry_out(effects)
        return quote_id

    def chance(self, name: str) -> Random:
        """A source of chance of this name."""
        return Random(f"{self._seed}/{name}")

    def _settings(self, changes: dict[str, Any]) -> Settings:
        folder = Path(self._folder.name)
        key = folder / "desk.key"
        key.touch(mode=0o600)
        key.write_text("ed25519:" + base58.b58encode(bytes(_KEY) + bytes(_KEY.verify_key)).decode())
        venue = {
            "account": ACCOUNT,
            "public_key": PUBLIC_KEY,
            "relay_ws_url": URLS["relay"],
            "relay_rpc_url": URLS["relay_rpc"],
            "rpc_urls": [URLS["rpc"], URLS["rpc2"]],
            "bridge_rpc_url": URLS["bridge"],
            "key_file": key,
        }
        return DESK_SETTINGS(
            **{
                "near_intents": {**venue, **changes.pop("near_intents", {})},
                "kraken": {"ws_url": URLS["kraken"], "rest_url": URLS["kraken_rest"]},
                "coingecko": {"api_url": URLS["coingecko"], "poll_interval_s": 60},
                # A killed market-reference-ingest soon has the readings that it asks for.
                "price": {"jump_readings_min": 2, **changes.pop("price", {})},
                "kafka": {"delivery_timeout_ms": 2_000},
                "postgres": {"url": "postgresql://simulation"},
                # What is kept here outlives a process: the spool's records and the tokens of surviving leases.
                "control": {"spool_dir": self.files.folder},
                **changes,
            }
        )

    # --- services --------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.network.advance()
        for service in SERVICES:
            self._start(service)
        self.loop.create_task(self._operate())

    def _start(self, service: str) -> None:
        self._lives[service] += 1
        self.say(f"{service} starts, life {self._lives[service]}")
        described = SERVICES[service]
        process = Process(self, described, wire_of(described), life=self._lives[service])
        self.processes[service] = process
        process.start()

    def kill(self, service: str, how: str) -> None:
        """End a service at once; it starts again a while later."""
        self.end(self.processes[service], how)

    def end(self, process: Process, how: str) -> None:
        """End a process at once; if none has followed it, another one starts a while later."""
        if not (process.alive or process.dying):
            return
        service = process.service
        process.kill()
        self.say(f"{process.start_id} {how}")
        self.counts["crashes"] += 1
        if process in self._followed:
            self._followed.remove(process)
            return
        pause_s = self.chance(f"{service}/{self._lives[service]}").uniform(0.2, 4)
        self.loop.call_later(pause_s, self._start, service)

    def stall(self, process: Process, for_s: float) -> None:
        """Let a process stand still; what it has sent arrives, what is sent to it waits."""
        process.stands_until_s = max(process.stands_until_s, self.loop.time() + for_s)
        self.loop.stands_until = stands_until

    def hand_over(self, service: str, for_s: float) -> None:
        """A standby takes the role over while its holder stands still; the holder wakes, and is stopped later."""
        old = self.processes[service]
        if not old.alive:
            return
        self.stall(old, for_s)
        self.database.leave(old.start_id)
        self._followed.append(old)
        self._start(service)
        self.loop.call_later(for_s + _AWAKE_S, self.end, old, "is stopped, since another one has its role")

    def performing(self, process: Process, effect: Effect) -> None:
        """A service is about to do something; raises `Killed` where the plan says so."""
        if self._on_effect is not None:
            self._on_effect(process.service, effect)
        self._mischief.crashes_before(process, effect)
        if isinstance(effect, SendFrame) and effect.token is not None:
            now = self.loop.now + process.clock_off
            self._judge(self.invariants.on_answer, effect.token, process.host.logic.vitals(now), now)

    def ended(self, process: Process, fault: BaseException | None) -> None:
        """A service ended by itself: with a fault, or because another one took its role over."""
        if not process.alive:
            return
        if isinstance(fault, AnotherWriter):  # a statement of its own former life was executed late
            self.end(process, "found that another one had written")
            return
        if fault is not None:
            lines = "".join(traceback.format_exception(fault)[-6:])
            self.fail(f"recovery: {process.service} stopped with {fault!r}\n{lines}")
            return
        self.end(process, "found that another one had its role")

    async def _operate(self) -> None:
        """Arm whatever is ready and not armed, resume whatever is paused, and after a while whatever is halted."""
        looks_halted: Counter[str] = Counter()
        while True:
            await asyncio.sleep(1)
            for service in ARMED:
                process = self.processes[service]
                vitals = process.host.logic.vitals(self.loop.now)
                switches = vitals.details.switches
                looks_halted[service] = looks_halted[service] + 1 if switches.halted else 0
                wants_nothing = switches.armed and not vitals.paused and not switches.halted
                if not process.alive or wants_nothing or process.host.not_ready():
                    continue
                if not switches.halted or looks_halted[service] > _LOOKS_HALTED:
                    await self.act(service, "resume" if vitals.paused else "arm")
            await self._accept_own_moves()

    async def _accept_own_moves(self) -> None:
        """The owner took money out past the desk, and says so once the desk shows the fall."""
        inventory = self.processes["inventory-sync"].host
        for asset in self.settings.pair.pair().assets():
            if asset.asset_id not in self.invariants.withdrawn:
                continue
            state = inventory.state()
            fell = state["reconciliation"].get(asset.asset_id) == Reconciliation.UNEXPLAINED_FALL
            if fell and not inventory.not_ready():
                unexplained = state["unexplained"][asset.symbol]
                await self.act("inventory-sync", "accept-balance", asset=asset.symbol, unexplained=unexplained)

    async def restart(self, service: str) -> None:
        """A stop that lets the service finish what it has in flight."""
        process = self.processes[service]
        await self.act(service, "drain")
        with suppress(asyncio.CancelledError):  # the service was killed meanwhile
            await process.stop()
        if process.alive:
            self.end(process, "is drained and stopped")

    async def cap(self, cap: Decimal) -> None:
        """The operator changes the notional cap, and remembers what he was told."""
        self._caps.asked(cap, self.loop.now)
        outcome = await self.act("strategy-engine", "limits", notional_cap_eur=cap)
        self._caps.answered(cap, outcome, self.loop.now)

    async def act(self, service: str, action: str, **arguments: Any) -> ControlOutcome | None:
        """What an operator does through a control surface; None when the service dies before it answers."""
        arguments = dict(self._lease) if action == "arm" else arguments
        control = Control(action=action, arguments=arguments, actor="operator", reason="simulation")
        work = self.processes[service].act(control)
        try:
            outcome = await work
        except asyncio.CancelledError:
            return None  # the service was killed meanwhile
        kept = {None: "", True: ", kept", False: ", not kept"}[outcome.kept]
        self.say(f"operator: {action} {service}: {'done' if outcome.applied else outcome.refusal}{kept}")
        return outcome

    # --- steps -----------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Keep a line for the trace of a failing run."""
        self.trace.append(f"{self.loop.time():8.3f} s  {text}")

    def fail(self, text: str) -> None:
        """The run has failed; the first reason counts."""
        if self.violation is None:
            self.violation = text
            self.say(f"VIOLATION: {text}")
        self.loop.stop()

    def _judge(self, question: Callable[..., None], *arguments: Any) -> None:
        try:
            question(*arguments)
        except Violation as violation:
            self.fail(str(violation))

    def _on_record(self, topic: str, value: bytes) -> None:
        self._judge(self.invariants.on_record, topic, value)

    def _on_commit(self) -> None:
        self._judge(self.invariants.on_commit)
        if self.invariants.money_open:
            self._mischief.money_is_open(claimed=self.invariants.claimed)

    def _on_submission(self, submission: Any) -> None:
        self.say(f"sent: {submission.quote_id} {submission.quote_hash}")
        self._judge(self.invariants.on_submission, submission)

    def _on_block(self) -> None:
        self._judge(self.invariants.on_block)

    def _on_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        fault = context.get("exception")
        if isinstance(fault, Killed):
            return  # out of a timer of the process
        lines = "".join(traceback.format_exception(fault)[-8:]) if fault is not None else ""
        self.fail(f"recovery: {context.get('message')}\n{lines}")

    # --- what came of it -------------------------------------------------------------------------------------------

    def records(self, topic: Topic) -> list[Envelope[Any]]:
        """Everything that stands on a topic."""
        log = self.broker.log(topic.name)
        return [decode_event(topic.name, record.value) for record in log.records] if log is not None else []

    def chain(self, topic: Topic, quote_id: str) -> list[Envelope[Any]]:
        """The records of a quote's chain on a topic."""
        return [event for event in self.records(topic) if event.correlation_id == quote_id]

    def balances(self) -> dict[str, int]:
        """Ours, by the world's own ledger."""
        held = self.world.balances(ACCOUNT, height=self.world.chain.head.height)
        return {token: int(held.get(token, "0")) for token in (BTC, EURE)}


def _account() -> AccountSettings:
    return AccountSettings(account_id=ACCOUNT, public_keys=[PUBLIC_KEY], balances=INVENTORY)
