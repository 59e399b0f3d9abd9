"""The effects that ask the strategy's tables: each is one call, and its outcome returns as an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from unrip.frame.contract import Effect, Emit, Start
from unrip.frame.runner import Handler
from unrip.services.strategy_engine.effects import (
    HighestPersisted,
    HighestRestored,
    PersistHighest,
    PolicyPersisted,
    RememberPolicy,
    Restore,
    Restored,
)
from unrip.store.errors import StoreRefused
from unrip.store.strategy import StrategyStore

#: How long to wait between two attempts at what PostgreSQL refuses.
_AGAIN_S = 10.0


class StrategyHandlers:
    """Turns the strategy's effects into calls."""

    def __init__(
        self,
        store: StrategyStore,
        *,
        account: str,
        pair: str,
        start: Start,
        emit: Emit,
        leave_role: Callable[[str], None],
    ) -> None:
        self._store = store
        self._account = account
        self._pair = pair
        self._emit = emit
        self._leave_role = leave_role
        self._start = start

    @property
    def by_effect(self) -> dict[type[Effect], Handler]:
        """The method that performs each effect."""
        return {
            RememberPolicy: lambda effect: self._ask(lambda: self._remember(effect)),
            Restore: lambda effect: self._ask(lambda: self._recall(effect)),
            PersistHighest: lambda effect: self._ask(lambda: self._keep_highest(effect)),
        }

    async def _remember(self, effect: RememberPolicy) -> None:
        await self._store.remember(
            effect.policy,
            base=effect.base,
            generation=effect.generation,
            change=effect.change,
            actor=effect.actor,
            reason=effect.reason,
        )
        self._emit(PolicyPersisted(change=effect.change))

    async def _recall(self, effect: Restore) -> None:
        policy = await self._store.in_force(effect.base)
        fills = await self._store.fills(self._account, self._pair, since=effect.since, markout=effect.markout)
        highest = await self._store.highest_equity(self._account, self._pair)
        self._emit(Restored(policy=policy, fills=tuple(fills)))
        self._emit(HighestRestored(highest=highest, generation=effect.generation))

    async def _keep_highest(self, effect: PersistHighest) -> None:
        await self._store.keep_highest_equity(
            self._account, self._pair, effect.highest, generation=effect.generation, change=effect.change
        )
        self._emit(HighestPersisted())

    def _ask(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._start(self._insist(work))

    async def _insist(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Ask again what PostgreSQL refuses: without an answer the strategy would wait for ever."""
        while True:
            try:
                return await work()
            except StoreRefused as refusal:
                self._leave_role(str(refusal))
                await asyncio.sleep(_AGAIN_S)
