"""PostgreSQL as the services meet it: the twins of the stores behind a connection that can fail at either end."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, TypeVar

from simulation.clock import IN_TRANSIT, VirtualLoop
from simulation.faults import Faults
from unrip.store.errors import Away, StoreError, StoreUnavailable
from unrip.store.leases import MemoryLeases
from unrip.store.memory_books import MemoryBooks
from unrip.store.memory_history import MemoryRecord
from unrip.store.memory_ledger import MemoryLedger
from unrip.store.memory_strategy import MemoryStrategy

R = TypeVar("R")
#: The state of each twin by its name, and the generations of the roles.
Copy = tuple[dict[str, dict[str, Any]], dict[str, tuple[int, str]]]

#: How long a statement may still be executed after its client has gone, at most.
_STRAGGLES_S = 1.5
#: What `ledger.enter` counts.
_LEDGER_WRITES = {"claim", "reject", "note", "drop", "note_revocation", "note_surroundings", "apply_reading"}
#: What writes nothing; every other call is a transaction that does.
_READS = frozenset({"load", "find", "unpublished", "check_held", "in_force", "fills", "highest_equity", "offsets"})
#: Between two attempts of a client that asks until it is answered (store/desk.py, store/leases.py).
_AGAIN_S = 1.0


def done(work: Coroutine[Any, Any, R]) -> R:
    """What a coroutine returns that waits for nothing, as those of the twins: one transaction."""
    try:
        work.send(None)
    except StopIteration as returned:
        result: R = returned.value
        return result
    raise AssertionError("a twin waits for something")


def _durable(twin: object) -> dict[str, Any]:
    """All that a twin keeps, without what it is made of."""
    return {name: kept for name, kept in vars(twin).items() if name not in {"_clock", "_record"}}


class Database:
    """What is durable, and the way there."""

    def __init__(
        self, loop: VirtualLoop, faults: Faults, *, chance: Random, ledger: MemoryLedger, on_commit: Callable[[], None]
    ) -> None:
        self.ledger = ledger
        self.history = MemoryRecord()
        self.desk = MemoryStrategy(self.history)
        self.leases = MemoryLeases()
        self.books = MemoryBooks()
        #: Role to its generation and who took it, and to who holds the lock now.
        self.generations: dict[str, tuple[int, str]] = {}
        self.holders: dict[str, str] = {}
        self.up = True
        #: It answers questions and refuses every write, as after a fail-over to a copy.
        self.read_only = False
        self._loop = loop
        self._faults = faults
        self._chance = chance
        self._on_commit = on_commit

    def go_down(self) -> None:
        """Answer nobody; sessions end, and locks with them."""
        self.up = False
        self.holders.clear()

    def come_up(self) -> None:
        """Answer again; nothing committed is lost."""
        self.up = True

    @property
    def works(self) -> bool:
        """A commit is possible: what the watch of a service asks for."""
        return self.up and not self.read_only

    def refuse_writes(self) -> None:
        """Let nobody write; who holds a lock keeps it."""
        self.read_only = True

    def take_writes(self) -> None:
        """Let everybody write again."""
        self.read_only = False

    def copy(self) -> Copy:
        """What a backup of this moment has; the history is not in it."""
        return copy.deepcopy({name: _durable(getattr(self, name)) for name in ("ledger", "desk", "leases")}), dict(
            self.generations
        )

    def set_back(self, kept: Copy) -> None:
        """Be what that backup has: a volume that was put back, or a standby that lacks the last commits."""
        twins, generations = copy.deepcopy(kept)
        for name, state in twins.items():
            getattr(self, name).__dict__.update(state)
        self.generations = generations

    async def call(self, twin: object, writer: str, name: str, /, *arguments: Any, **named: Any) -> Any:
        """One transaction on a twin and its round trip.

        Raises:
            StoreUnavailable: nobody knows whether it happened.

        """
        work = partial(self._commit, twin, writer, name, arguments, named)
        try:
            await asyncio.sleep(self._latency_s())
        except asyncio.CancelledError:
            # The client was killed; what it had written to its socket may be executed all the same.
            if self.up and self._chance.random() < 0.5:
                self._later(work)
            raise
        self._require_up(name)
        if self.read_only and name not in _READS:
            raise StoreUnavailable(f"{name}: PostgreSQL refuses writes", away=Away.READ_ONLY)
        if self._faults.strikes("late_commit"):
            self._later(work)
            raise StoreUnavailable(f"{name}: no answer within the statement's bound")
        if self._faults.strikes("lost_request"):
            raise StoreUnavailable(f"{name}: the connection broke")
        answer = work()
        await asyncio.sleep(self._latency_s())
        self._require_up(name)
        if self._faults.strikes("lost_commit"):
            raise StoreUnavailable(f"{name}: the connection broke before the answer")
        return answer

    def take_over(self, role: str, instance: str, known: int | None) -> int | None:
        """The generation of whoever asks, None while somebody else holds the lock; see `store/locks.py`."""
        if self.holders.setdefault(role, instance) != instance:
            return None
        if self.read_only and (known is None or self.generations.get(role) != (known, instance)):
            del self.holders[role]  # it cannot write its generation, so it gives the session up
            return None
        generation, taken_by = self.generations.get(role, (0, ""))
        if generation == known and taken_by == instance:
            return generation
        raised = max(generation, known or 0) + 1
        self.generations[role] = raised, instance
        if role == "strategy-engine":
            self.ledger.given_generation = raised
        return raised

    def leave(self, instance: str) -> None:
        """The sessions of an instance end."""
        self.holders = {role: holder for role, holder in self.holders.items() if holder != instance}

    def _commit(self, twin: object, writer: str, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """One transaction; of who has lost the role, none that counts (`migrations/0028.role-fence.sql`)."""
        _, holder = self.generations.get("trade-executor", (0, writer))
        if name in _LEDGER_WRITES and writer not in {"", holder}:
            raise StoreUnavailable(f"{name}: PostgreSQL {Away.ROLE}", away=Away.ROLE)
        answer = done(getattr(twin, name)(*arguments, **named))
        if twin is self.ledger and name not in _READS:
            self._on_commit()
        return answer

    def _require_up(self, name: str) -> None:
        if not self.up:
            raise StoreUnavailable(f"{name}: PostgreSQL is away")

    def _latency_s(self) -> float:
        return self._chance.uniform(0.0005, 0.005)

    def _later(self, work: Callable[[], Any]) -> None:
        self._loop.call_later(self._chance.uniform(0, _STRAGGLES_S), self._straggle, work, context=IN_TRANSIT)

    def _straggle(self, work: Callable[[], Any]) -> None:
        """Nobody hears what the database says to a statement whose client has gone."""
        if not self.works:
            return
        with suppress(StoreError):
            work()


class Remote:
    """A twin behind a connection: every method is a transaction and its round trip."""

    def __init__(self, twin: object, database: Database, *, writer: str = "") -> None:
        self._twin, self._writer = twin, writer
        self._database = database

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        return partial(self._database.call, self._twin, self._writer, name)

    async def close(self) -> None:
        """Closing a client needs no answer."""


class Patient(Remote):
    """The same for a client that asks until it is answered."""

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        once = super().__getattr__(name)

        async def call(*arguments: Any, **named: Any) -> Any:
            while True:
                try:
                    return await once(*arguments, **named)
                except StoreUnavailable:
                    await asyncio.sleep(_AGAIN_S)

        return call
