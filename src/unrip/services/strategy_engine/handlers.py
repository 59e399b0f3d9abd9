"""What the strategy keeps in PostgreSQL: calls, and their outcomes as events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from unrip.net.tasks import Tasks
from unrip.service.contract import Emit
from unrip.services.strategy_engine.effects import (
    HighestKept,
    HighestRecalled,
    KeepHighest,
    PolicyKept,
    Recall,
    Recalled,
    RememberPolicy,
)
from unrip.store.desk import DeskStore
from unrip.store.errors import StoreRefused

#: Between two attempts at what PostgreSQL refuses.
_AGAIN_S = 10.0


class StoreHandlers:
    """Ask for each thing until PostgreSQL has answered: without its answer the strategy would wait for ever."""

    def __init__(
        self, store: DeskStore, *, account: str, pair: str, emit: Emit, leave_role: Callable[[str], None]
    ) -> None:
        self._store = store
        self._account, self._pair = account, pair
        self._emit, self._leave_role = emit, leave_role
        self._tasks = Tasks()

    def remember(self, effect: RememberPolicy) -> None:
        """Start to keep a policy."""
        self._tasks.start(self._insist(lambda: self._remember(effect)))

    def recall(self, effect: Recall) -> None:
        """Start to read what an earlier life has kept."""
        self._tasks.start(self._insist(lambda: self._recall(effect)))

    def keep_highest(self, effect: KeepHighest) -> None:
        """Start to keep the highest equity."""
        self._tasks.start(self._insist(lambda: self._keep_highest(effect)))

    async def watch(self) -> None:
        """A source for the frame: raises the fault of a call that ended otherwise than it should."""
        await self._tasks.watch()

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._tasks.aclose()

    async def _remember(self, effect: RememberPolicy) -> None:
        await self._store.remember(
            effect.policy,
            base=effect.base,
            generation=effect.generation,
            change=effect.change,
            actor=effect.actor,
            reason=effect.reason,
        )
        self._emit(PolicyKept(change=effect.change))

    async def _recall(self, effect: Recall) -> None:
        policy = await self._store.in_force(effect.base)
        fills = await self._store.fills(self._account, self._pair, since=effect.since, markout=effect.markout)
        highest = await self._store.highest_equity(self._account, self._pair)
        self._emit(Recalled(policy=policy, fills=tuple(fills)))
        self._emit(HighestRecalled(highest=highest, generation=effect.generation))

    async def _keep_highest(self, effect: KeepHighest) -> None:
        await self._store.keep_highest_equity(
            self._account, self._pair, effect.highest, generation=effect.generation, change=effect.change
        )
        self._emit(HighestKept())

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await work()
            except StoreRefused as refusal:
                self._leave_role(str(refusal))
                await asyncio.sleep(_AGAIN_S)
