"""The wiring of strategy-engine."""

from __future__ import annotations

from unrip.frame.arming import arming_of
from unrip.frame.wiring import Context, Wiring
from unrip.services.strategy_engine.definition import SERVICE
from unrip.services.strategy_engine.handlers import StrategyHandlers
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.venue import account_of
from unrip.venues.near_intents.nonces import encode_nonce


def wire(context: Context) -> Wiring:
    """Wire it: demands in, decisions and commands out. No key, no venue."""
    settings = context.settings
    store, account = context.opened(context.adapters.strategy()), account_of(context)
    arming = arming_of(context, SERVICE.name)
    strategy = StrategyHandlers(
        store,
        account=account,
        pair=context.pair.name,
        start=context.start,
        emit=context.emit,
        leave_role=context.leave_role,
    )
    return Wiring(
        logic=StrategyEngine(
            pair=context.pair,
            account=account,
            policy=settings.limits.policy(),
            encode_nonce=encode_nonce,
            switchboard=arming.switchboard,
        ),
        handlers={**strategy.by_effect, **arming.handlers},
    )
