"""liquidity-manager, as it describes itself."""

from __future__ import annotations

from pydantic import Field

from unrip.frame.action import Action, ReasonBody
from unrip.frame.definition import Reads, Service
from unrip.messages.topics import LIQUIDITY_ACTION, TREASURY
from unrip.services.liquidity_manager.state import LiquidityState

#: Steps of its own that are read back at the start: those that are not done yet are among them.
STEPS_READ_BACK = 5_000


class DepositAddressBody(ReasonBody):
    """Ask for an address, or say which of two is right."""

    chain: str = Field(description="The bridge's name of the chain, such as btc:mainnet.")
    accept: str | None = Field(default=None, description="The right one of two that were named, to use it from now on.")


SERVICE = Service(
    name="liquidity-manager",
    does="deposit addresses, deposits and withdrawals as the bridge reports them",
    port=8104,
    wiring="unrip.services.liquidity_manager.wiring",
    uses=("near_intents", "intervals"),
    reads=(
        Reads(topic=TREASURY, tail=1, until_end=True),
        Reads(topic=LIQUIDITY_ACTION, tail=STEPS_READ_BACK, until_end=True),
    ),
    writes=(TREASURY, LIQUIDITY_ACTION),
    actions=(
        Action(name="refresh", summary="Ask the bridge now."),
        Action(name="deposit-addresses", body=DepositAddressBody, summary="Request, or accept, a deposit address."),
        Action(name="trackers/pause", summary="Follow no deposits and withdrawals."),
        Action(name="trackers/resume", summary="Follow deposits and withdrawals again."),
        Action(name="withdrawals/enable", summary="Allow withdrawals; recorded state, no withdrawal exists yet."),
        Action(name="withdrawals/disable", summary="Allow no withdrawals."),
        Action(name="rebalances/enable", summary="Allow rebalances; recorded state, no rebalance exists yet."),
        Action(name="rebalances/disable", summary="Allow no rebalances."),
    ),
    logs={
        "funding_requested": "a deposit address was issued",
        "funding_pending": "the bridge has seen a deposit",
        "funding_credited": "a deposit was credited",
        "funding_failed": "the bridge reports a failed deposit or withdrawal",
        "deposit_address_changed": "the bridge named another deposit address than before; do not use either",
    },
    state=LiquidityState,
)
