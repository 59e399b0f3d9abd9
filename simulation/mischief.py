"""Carries out a plan: each fault begins at its instant, and what lasts ends after its time."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any, Protocol

from simulation.clock import IN_TRANSIT
from simulation.faults import WINDOWS, Fault, Faults
from simulation.files import Files
from simulation.losses import Losses, Place
from simulation.network import Network
from simulation.process import Killed, Process
from unrip.frame.contract import CrashPoint, Effect
from unrip.frame.control import ControlOutcome
from unrip_world.faults import read_fault
from unrip_world.verifier.nonces import decode_versioned
from unrip_world.verifier.state import NONCES
from unrip_world.world import World


class Victim(Place, Protocol):
    """What a desk has that can go wrong, and what its operator can do."""

    account: str
    world: World
    faults: Faults
    network: Network
    counts: Counter[str]
    files: Files

    def chance(self, name: str) -> Random:
        """Give a source of chance of this name."""
        ...

    def end(self, process: Process, how: str) -> None:
        """End a process at once; if none has followed it, another one starts a while later."""
        ...

    def stall(self, process: Process, for_s: float) -> None:
        """Let a process stand still."""
        ...

    def hand_over(self, service: str, for_s: float) -> None:
        """Have a standby take the role over while its holder stands still."""
        ...

    def say(self, text: str) -> None:
        """Keep a line for the trace of a failing run."""
        ...

    async def restart(self, service: str) -> None:
        """Drain a service and start it again."""
        ...

    async def act(self, service: str, action: str, **arguments: Any) -> ControlOutcome | None:
        """Act through a control surface."""
        ...

    async def cap(self, cap: Decimal) -> None:
        """Change the notional cap."""
        ...


#: Nobody looks at where it goes.
_DESTINATION = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


class Mischief:
    """The faults of one run."""

    def __init__(self, desk: Victim, faults: Sequence[Fault]) -> None:
        self._desk = desk
        #: Service to the number of effects that it may still perform.
        self._effects_left: dict[str, int] = {}
        self._crash_points: set[str] = set()
        losses = Losses(desk)
        #: What happens once; every other kind is a window, except for the outages.
        self._deeds: dict[str, Callable[[Fault], object]] = {
            "crash": lambda fault: desk.kill(fault.target, "is killed"),
            "crash_at": lambda fault: self._crash_points.add(fault.target),
            "crash_within": self._crash_within,
            "cut": self._cut,
            "half_open": self._half_open,
            "halt": self._operator,
            "pause": self._operator,
            "disarm": self._operator,
            "cap": self._cap,
            "revoke": lambda fault: desk.loop.create_task(desk.act(fault.target, "halt", revoke=True)),
            "drain": lambda fault: desk.loop.create_task(desk.restart(fault.target)),
            "world": self._in_the_world,
            "erase_nonces": self._erase_nonces,
            "stall": lambda fault: desk.stall(desk.processes[fault.target], fault.for_s),
            "hand_over": lambda fault: desk.hand_over(fault.target, fault.for_s),
            "deposit": self._deposit,
            "withdrawal": self._withdraw,
            "bridge_withdrawal": self._withdraw_by_the_bridge,
            "nonces_spent": self._spend_nonces,
            "topic_lost": losses.topic,
            "topic_cut": losses.topic,
            "older_copy": losses.older_copy,
        }
        self._outages = {
            "broker_away": (desk.broker.go_down, desk.broker.come_up),
            "database_away": (desk.database.go_down, desk.database.come_up),
            "database_read_only": (desk.database.refuse_writes, desk.database.take_writes),
        }
        self._files: dict[str, Callable[[], None]] = {
            "lost": desk.files.lose,
            "cut": desk.files.cut_off,
            "full": desk.files.block,
        }
        #: Those that wait for open money, and those that last and have not met any yet.
        self._waiting: list[Fault] = []
        self._unmet: list[Fault] = []
        for fault in faults:
            desk.loop.call_at(fault.at_s, self._begin, fault)

    def crashes_before(self, process: Process, effect: Effect) -> None:
        """Ask before each effect of a service.

        Raises:
            Killed: the plan wants it to die here.

        """
        left = self._effects_left.get(process.service)
        if left is not None:
            self._effects_left[process.service] = left - 1
        at_point = isinstance(effect, CrashPoint) and effect.name in self._crash_points
        if not at_point and left != 0:
            return
        self._effects_left.pop(process.service, None)
        if isinstance(effect, CrashPoint):
            self._crash_points.discard(effect.name)
        self._desk.loop.call_soon(self._desk.end, process, f"is killed before {type(effect).__name__}")
        raise Killed

    def money_is_open(self, *, claimed: bool) -> None:
        """An offer lives or a hold is open: what waits for that, or for a claim, begins, and what lasts strikes."""
        waiting = [fault for fault in self._waiting if claimed or not _waits_for_claim(fault)]
        self._waiting = [fault for fault in self._waiting if fault not in waiting]
        for fault in waiting:
            self._desk.loop.call_soon(partial(self._begin, fault, at_commit=True), context=IN_TRANSIT)
        met, self._unmet = self._unmet, []
        self._desk.faults.struck_with_money.update(fault.plan for fault in met)

    def _begin(self, fault: Fault, *, at_commit: bool = False) -> None:
        """A process stands still right after a commit, whose answer it then hears too late."""
        money_open = self._desk.faults.money_open()
        if fault.with_money and not (money_open and (at_commit or fault.kind != "stall")):
            self._waiting.append(fault)
            return
        self._desk.say(f"fault: {fault}")
        self._desk.counts["faults"] += 1
        lasts_s = fault.for_s or float(fault.world.get("for_s", 0))
        if fault.kind in WINDOWS:
            pass  # it is counted when it strikes
        elif money_open:
            self._desk.faults.struck_with_money[fault.plan] += 1
        elif lasts_s:
            self._unmet.append(fault)
            self._desk.loop.call_later(lasts_s, self._over, fault)
        if fault.kind in self._deeds:
            self._deeds[fault.kind](fault)
            return
        if fault.kind == "clock_off":
            begin, end = self._clock(fault)
        elif fault.kind == "files":
            begin, end = self._files[fault.target], self._desk.files.repair
        else:
            begin, end = self._outages.get(
                fault.kind, (lambda: self._desk.faults.begin(fault), lambda: self._desk.faults.end(fault))
            )
        begin()
        self._desk.loop.call_later(fault.for_s, self._end, fault, end)

    def _over(self, fault: Fault) -> None:
        self._unmet = [other for other in self._unmet if other is not fault]

    def _end(self, fault: Fault, end: Callable[[], None]) -> None:
        self._desk.say(f"over:  {fault}")
        end()

    def _crash_within(self, fault: Fault) -> None:
        self._effects_left[fault.target] = int(fault.amount)

    def _cut(self, fault: Fault) -> None:
        for line in self._desk.network.lines_of(self._desk.processes[fault.target].start_id):
            line.cut()

    def _half_open(self, fault: Fault) -> None:
        for line in self._desk.network.lines_of(self._desk.processes[fault.target].start_id):
            line.half_open()

    def _operator(self, fault: Fault) -> None:
        self._desk.loop.create_task(self._desk.act(fault.target, fault.kind))

    def _cap(self, fault: Fault) -> None:
        """A change of the limits at run time, tighter or looser."""
        self._desk.loop.create_task(self._desk.cap(Decimal(fault.amount)))

    def _clock(self, fault: Fault) -> tuple[Callable[[], None], Callable[[], None]]:
        """The clock of one process jumps; a new life of the service has a right one."""
        process = self._desk.processes[fault.target]

        def set_off(seconds: float) -> None:
            process.clock_off = timedelta(seconds=seconds)

        return (lambda: set_off(fault.amount), lambda: set_off(0))

    def _deposit(self, fault: Fault) -> None:
        """Coins arrive at the account's address and are minted a while later."""
        world, loop = self._desk.world, self._desk.loop
        deposit = world.bridge.deposit(
            account_id=self._desk.account,
            chain=fault.target,
            amount=int(fault.amount),
            min_amount=None,
            now_ns=loop.now_ns,
        )
        loop.call_later(fault.for_s, world.bridge.credit, deposit)

    def _withdraw(self, fault: Fault) -> None:
        """The owner takes money out by a call of his own, and takes responsibility for the fall."""
        arguments = {"account_id": self._desk.account, "token_id": fault.target, "amount": str(int(fault.amount))}
        self._desk.invariants.on_withdrawal(fault.target, int(fault.amount))
        self._desk.world.submit("mt_burn", **arguments)

    def _withdraw_by_the_bridge(self, fault: Fault) -> None:
        """The same with an intent for the bridge, which pays it out on the other chain."""
        desk, token = self._desk, fault.target.removeprefix("nep141:")
        intent = {
            "intent": "ft_withdraw",
            "token": token,
            "receiver_id": token,
            "amount": str(int(fault.amount)),
            "memo": f"WITHDRAW_TO:{_DESTINATION}",
        }
        desk.invariants.on_withdrawal(fault.target, int(fault.amount))
        nonce = base64.b64encode(desk.chance(f"bridge_withdrawal/{desk.loop.time()}").randbytes(32)).decode()
        desk.world.owner.spend(desk.account, (nonce,), (intent,), now_ns=desk.loop.now_ns)

    def _spend_nonces(self, fault: Fault) -> None:
        """Another tool of the owner uses the nonces of everything that is outside with his signature."""
        del fault
        self._desk.world.owner.spend(self._desk.account, (), (), now_ns=self._desk.loop.now_ns)

    def _in_the_world(self, fault: Fault) -> None:
        now_ns = self._desk.loop.now_ns
        self._desk.network.carry_out(self._desk.world.set_fault(read_fault(fault.world, now_ns=now_ns), now_ns))

    def _erase_nonces(self, _fault: Fault) -> None:
        """What anybody may ask of the contract: to forget the used nonces whose own deadline is over."""
        world, account = self._desk.world, self._desk.account
        head = world.chain.head
        expired = [
            nonce
            for (who, nonce), used in world.verifier.storage.at(head.height).items(NONCES)
            if who == account and used and (read := decode_versioned(nonce)) and read.deadline_ns < head.timestamp_ns
        ]
        if expired:
            nonces = [base64.b64encode(nonce).decode() for nonce in expired]
            world.submit("cleanup_nonces", account_id=account, nonces=nonces)


def _waits_for_claim(fault: Fault) -> bool:
    return fault.kind == "stall" and bool(fault.amount)
