"""strategy-engine, wired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from unrip.net.tasks import Tasks
from unrip.service.wiring import Context, Wiring
from unrip.services.arming import arming_of
from unrip.services.strategy_engine.effects import (
    HighestKept,
    HighestRecalled,
    KeepHighest,
    PolicyKept,
    Recall,
    Recalled,
    RememberPolicy,
)
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.venue import account_of
from unrip.store.errors import StoreRefused
from unrip.venues.near_intents.nonces import encode_nonce

#: Between two attempts at what PostgreSQL refuses.
_AGAIN_S = 10.0


def wire(context: Context) -> Wiring:
    """Demands in, decisions and commands out. No key, no venue."""
    settings = context.settings
    store, account = context.outside.desk(), account_of(context)
    arming = arming_of(context, "strategy-engine")
    tasks = Tasks()

    async def remember(effect: RememberPolicy) -> None:
        await store.remember(
            effect.policy,
            base=effect.base,
            generation=effect.generation,
            change=effect.change,
            actor=effect.actor,
            reason=effect.reason,
        )
        context.emit(PolicyKept(change=effect.change))

    async def recalled(effect: Recall) -> None:
        policy = await store.in_force(effect.base)
        fills = await store.fills(account, context.pair.name, since=effect.since, markout=effect.markout)
        highest = await store.highest_equity(account, context.pair.name)
        context.emit(Recalled(policy=policy, fills=tuple(fills)))
        context.emit(HighestRecalled(highest=highest, generation=effect.generation))

    async def keep_highest(effect: KeepHighest) -> None:
        await store.keep_highest_equity(
            account, context.pair.name, effect.highest, generation=effect.generation, change=effect.change
        )
        context.emit(HighestKept())

    async def insisting(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """What PostgreSQL refuses is asked again: without it the strategy would wait for its answer for ever."""
        while True:
            try:
                return await work()
            except StoreRefused as refusal:
                context.leave_role(str(refusal))
                await asyncio.sleep(_AGAIN_S)

    return Wiring(
        logic=StrategyEngine(
            pair=context.pair,
            account=account,
            policy=settings.limits.policy(),
            encode_nonce=encode_nonce,
            switchboard=arming.switchboard,
        ),
        handlers={
            RememberPolicy: lambda effect: tasks.start(insisting(partial(remember, effect))),
            Recall: lambda effect: tasks.start(insisting(partial(recalled, effect))),
            KeepHighest: lambda effect: tasks.start(insisting(partial(keep_highest, effect))),
            **arming.handlers,
        },
        sources=(tasks.watch, *arming.sources),
        closers=(tasks.aclose, store.close, *arming.closers),
    )
