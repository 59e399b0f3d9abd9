"""strategy-engine, wired."""

from __future__ import annotations

from unrip.frame.arming import arming_of
from unrip.frame.wiring import Context, Wiring
from unrip.services.strategy_engine.definition import SERVICE
from unrip.services.strategy_engine.handlers import DeskHandlers
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.venue import account_of
from unrip.venues.near_intents.nonces import encode_nonce


def wire(context: Context) -> Wiring:
    """Demands in, decisions and commands out. No key, no venue."""
    settings = context.settings
    store, account = context.adapters.strategy(), account_of(context)
    arming = arming_of(context, SERVICE.name)
    desk = DeskHandlers(
        store, account=account, pair=context.pair.name, emit=context.emit, leave_role=context.leave_role
    )
    return Wiring(
        logic=StrategyEngine(
            pair=context.pair,
            account=account,
            policy=settings.limits.policy(),
            encode_nonce=encode_nonce,
            switchboard=arming.switchboard,
        ),
        handlers={**desk.by_effect, **arming.handlers},
        sources=(desk.watch, *arming.sources),
        closers=(desk.aclose, store.close, *arming.closers),
    )
