"""The wiring of liquidity-manager."""

from __future__ import annotations

from unrip.frame.wiring import Context, Wiring
from unrip.services.liquidity_manager.effects import ReadChain
from unrip.services.liquidity_manager.handlers import ChainReader
from unrip.services.liquidity_manager.logic import LiquidityManager
from unrip.services.venue import account_of, bridge_of


def wire(context: Context) -> Wiring:
    """Wire it: the bridge in, treasury and liquidity actions out."""
    http = context.http("bridge")
    reader = ChainReader(bridge_of(context, http), ask=context.ask, clock=context.clock)
    return Wiring(
        logic=LiquidityManager(
            pair=context.pair, account=account_of(context), interval_s=context.settings.intervals.treasury_s
        ),
        handlers={ReadChain: reader.read},
    )
