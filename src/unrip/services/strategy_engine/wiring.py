"""strategy-engine, wired."""

from __future__ import annotations

from unrip.net.tasks import Tasks
from unrip.service.switching import ARMING_ACTIONS
from unrip.service.wiring import Context, Wiring
from unrip.services.arming import arming_of
from unrip.services.strategy_engine.effects import RememberPolicy
from unrip.services.strategy_engine.limits import LIMIT_ACTIONS
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.services.venue import account_of
from unrip.store.policies import PolicyKeeper
from unrip.venues.near_intents.nonces import encode_nonce


def wire(context: Context) -> Wiring:
    """Demands in, decisions and commands out. No key, no venue."""
    settings = context.settings
    policies = PolicyKeeper(settings.postgres_url())
    arming = arming_of(context, "strategy-engine")
    tasks = Tasks()

    def remember(effect: RememberPolicy) -> None:
        tasks.start(policies.remember(effect.policy, actor=effect.actor, reason=effect.reason))

    return Wiring(
        logic=StrategyEngine(
            pair=context.pair,
            account=account_of(context),
            policy=settings.limits.policy(),
            encode_nonce=encode_nonce,
            switchboard=arming.switchboard,
        ),
        handlers={RememberPolicy: remember, **arming.handlers},
        sources=(tasks.watch, *arming.sources),
        closers=(tasks.aclose, policies.close, *arming.closers),
        actions=(*ARMING_ACTIONS, *LIMIT_ACTIONS),
        uses_database=True,
        single_active_role="strategy-engine",
    )
