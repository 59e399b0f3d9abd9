"""liquidity-manager, wired."""

from __future__ import annotations

from pydantic import Field

from unrip.service.http import Action, ReasonBody
from unrip.service.wiring import Context, Wiring
from unrip.services.liquidity_manager.effects import ReadChain
from unrip.services.liquidity_manager.handlers import ChainReader
from unrip.services.liquidity_manager.logic import LiquidityManager
from unrip.services.venue import account_of, bridge_of


class DepositAddressBody(ReasonBody):
    """Ask for an address, or accept one that has changed."""

    chain: str = Field(description="The bridge's name of the chain, such as btc:mainnet.")
    accept: str | None = Field(default=None, description="The changed address, to use it from now on.")


_ACTIONS = (
    Action(name="refresh", summary="Ask the bridge now."),
    Action(name="deposit-addresses", body=DepositAddressBody, summary="Request, or accept, a deposit address."),
    Action(name="trackers/pause", summary="Follow no deposits and withdrawals."),
    Action(name="trackers/resume", summary="Follow deposits and withdrawals again."),
    Action(name="withdrawals/enable", summary="Allow withdrawals; recorded state, no withdrawal exists yet."),
    Action(name="withdrawals/disable", summary="Allow no withdrawals."),
    Action(name="rebalances/enable", summary="Allow rebalances; recorded state, no rebalance exists yet."),
    Action(name="rebalances/disable", summary="Allow no rebalances."),
)


def wire(context: Context) -> Wiring:
    """The bridge in, treasury and liquidity actions out."""
    http = context.http("bridge")
    reader = ChainReader(bridge_of(context, http), emit=context.emit, clock=context.clock)
    return Wiring(
        logic=LiquidityManager(
            pair=context.pair, account=account_of(context), interval_s=context.settings.intervals.treasury_s
        ),
        handlers={ReadChain: reader.read},
        sources=(reader.watch,),
        closers=(reader.aclose, http.aclose),
        actions=_ACTIONS,
    )
