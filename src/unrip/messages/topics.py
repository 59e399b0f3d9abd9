"""The topics: name, key, payload type, settings. This table is the contract; everything else derives from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.status import ControlRecord, ServiceStatus
from unrip.domain.treasury import LiquidityAction, Treasury
from unrip.domain.values import Value
from unrip.messages.payloads import DeadLetter, RawQuote, RawQuoteStatus
from unrip.messages.steps import translated

DAY_MS = 86_400_000
#: Kafka's word for "never delete".
FOREVER = -1


class Topic(Value):
    """One topic. Every topic has one partition: order matters more than throughput at this desk's size."""

    name: str
    payload: type
    #: The record key of a payload whose envelope names this pair.
    key: Callable[[Any], str]
    retention_ms: int
    compacted: bool = False
    schema_version: int = 1
    #: The payload of a record that another build wrote in another form, in today's; None for one of today's form.
    translate: Callable[[Any], Any] | None = None


RAW_QUOTE = Topic(name="raw.near_intents.quote", payload=RawQuote, key=lambda p: p.quote_id, retention_ms=7 * DAY_MS)
RAW_QUOTE_STATUS = Topic(
    name="raw.near_intents.quote_status",
    payload=RawQuoteStatus,
    key=lambda p: p.quote_hash,
    retention_ms=7 * DAY_MS,
)
SWAP_DEMAND = Topic(name="norm.swap_demand", payload=SwapDemand, key=lambda p: p.pair, retention_ms=30 * DAY_MS)
MARKET_PRICE = Topic(name="ref.market_price", payload=MarketPrice, key=lambda p: p.pair, retention_ms=7 * DAY_MS)
INTENT_INVENTORY = Topic(
    name="state.intent_inventory", payload=IntentInventory, key=lambda p: p.account, retention_ms=30 * DAY_MS
)
TREASURY = Topic(name="state.treasury", payload=Treasury, key=lambda p: p.account, retention_ms=30 * DAY_MS)
LIQUIDITY_ACTION = Topic(
    name="ops.liquidity_action",
    payload=LiquidityAction,
    key=lambda p: p.action_id,
    retention_ms=30 * DAY_MS,
    schema_version=2,
    translate=translated,
)
TRADE_DECISION = Topic(name="decision.trade_decision", payload=Decision, key=lambda p: p.pair, retention_ms=30 * DAY_MS)
EXECUTE_TRADE = Topic(name="cmd.execute_trade", payload=TradeCommand, key=lambda p: p.account, retention_ms=30 * DAY_MS)
TRADE_RESULT = Topic(
    name="exec.trade_result", payload=TradeResult, key=lambda p: p.command_id, retention_ms=30 * DAY_MS
)
CONTROL_ACTION = Topic(name="ops.control_action", payload=ControlRecord, key=lambda p: p.service, retention_ms=FOREVER)
SERVICE_STATUS = Topic(
    name="ops.service_status",
    payload=ServiceStatus,
    key=lambda p: f"{p.service}/{p.instance}",
    retention_ms=7 * DAY_MS,
    compacted=True,
)
DEAD_LETTER = Topic(name="dlq.invalid_message", payload=DeadLetter, key=lambda p: p.source, retention_ms=30 * DAY_MS)

TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        RAW_QUOTE,
        RAW_QUOTE_STATUS,
        SWAP_DEMAND,
        MARKET_PRICE,
        INTENT_INVENTORY,
        TREASURY,
        LIQUIDITY_ACTION,
        TRADE_DECISION,
        EXECUTE_TRADE,
        TRADE_RESULT,
        CONTROL_ACTION,
        SERVICE_STATUS,
        DEAD_LETTER,
    )
}
