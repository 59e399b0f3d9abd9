"""strategy-engine, wired."""

from __future__ import annotations

from unrip.service.wiring import Context, Wiring
from unrip.services.arming import arming_of
from unrip.services.strategy_engine.effects import KeepHighest, Recall, RememberPolicy
from unrip.services.strategy_engine.handlers import StoreHandlers
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.venue import account_of
from unrip.venues.near_intents.nonces import encode_nonce


def wire(context: Context) -> Wiring:
    """Demands in, decisions and commands out. No key, no venue."""
    account, store = account_of(context), context.outside.desk()
    arming = arming_of(context, "strategy-engine")
    kept = StoreHandlers(
        store, account=account, pair=context.pair.name, emit=context.emit, leave_role=context.leave_role
    )
    return Wiring(
        logic=StrategyEngine(
            pair=context.pair,
            account=account,
            policy=context.settings.limits.policy(),
            encode_nonce=encode_nonce,
            switchboard=arming.switchboard,
        ),
        handlers={
            RememberPolicy: kept.remember,
            Recall: kept.recall,
            KeepHighest: kept.keep_highest,
            **arming.handlers,
        },
        sources=(kept.watch, *arming.sources),
        closers=(kept.aclose, store.close, *arming.closers),
    )
