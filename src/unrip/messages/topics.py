"""The topics: name, key, payload type, settings, columns of the history. Everything else derives from this table."""

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
from unrip.messages import earlier
from unrip.messages.beats import translated_beat
from unrip.messages.columns import Column, columns
from unrip.messages.payloads import DeadLetter, RawQuote, RawQuoteStatus
from unrip.messages.steps import translated

DAY_MS = 86_400_000
#: Kafka's value for "never delete".
FOREVER = -1


class Topic(Value):
    """One topic. Every topic has one partition: order matters more than throughput at this desk's size."""

    name: str
    payload: type
    #: The record key of a payload whose envelope names this pair.
    key: Callable[[Any], str]
    retention_ms: int
    #: Its table in the history, and which fields of the payload are columns of their own there.
    table: str
    columns: tuple[Column, ...]
    compacted: bool = False
    schema_version: int = 1
    #: The payload of a record that another build wrote in another form, in today's; None for one of today's form.
    translate: Callable[[Any], Any] | None = None


RAW_QUOTE = Topic(
    name="raw.near_intents.quote",
    payload=RawQuote,
    key=lambda p: p.quote_id,
    retention_ms=7 * DAY_MS,
    table="raw_quote",
    columns=columns(
        quote_id="text",
        in_filter="boolean",
        received_at="timestamptz",
    ),
)
RAW_QUOTE_STATUS = Topic(
    name="raw.near_intents.quote_status",
    payload=RawQuoteStatus,
    key=lambda p: p.quote_hash,
    retention_ms=7 * DAY_MS,
    table="raw_quote_status",
    columns=columns(
        quote_hash="text",
        tx_hash="text",
        received_at="timestamptz",
    ),
)
SWAP_DEMAND = Topic(
    name="norm.swap_demand",
    payload=SwapDemand,
    key=lambda p: p.pair,
    retention_ms=30 * DAY_MS,
    table="swap_demand",
    columns=columns(
        quote_id="text",
        pair="text",
        direction="text",
        amount_in="numeric",
        amount_out="numeric",
        partner_id="text",
        received_at="timestamptz",
        answer_by="timestamptz",
    ),
)
MARKET_PRICE = Topic(
    name="ref.market_price",
    payload=MarketPrice,
    key=lambda p: p.pair,
    retention_ms=7 * DAY_MS,
    schema_version=2,
    translate=earlier.price,
    table="market_price",
    columns=columns(
        pair="text",
        fair_rate="numeric",
        primary_bid="numeric primary.bid",
        primary_ask="numeric primary.ask",
        primary_health="text",
        second_opinion_eur="numeric second_opinion.base_asset_eur",
        second_opinion_health="text",
        quote_asset_eur_observed="numeric",
        disagreement="numeric",
        peg_broken="boolean peg.broken",
        price_jumped="boolean jump.jumped",
    ),
)
INTENT_INVENTORY = Topic(
    name="state.intent_inventory",
    payload=IntentInventory,
    key=lambda p: p.account,
    retention_ms=30 * DAY_MS,
    table="intent_inventory",
    columns=columns(
        account="text",
        height="numeric",
        block_time="timestamptz",
        salt="text",
    ),
)
TREASURY = Topic(
    name="state.treasury",
    payload=Treasury,
    key=lambda p: p.account,
    retention_ms=30 * DAY_MS,
    table="treasury",
    columns=columns(
        account="text",
        bridge_observed_at="timestamptz",
    ),
)
LIQUIDITY_ACTION = Topic(
    name="ops.liquidity_action",
    payload=LiquidityAction,
    key=lambda p: p.action_id,
    retention_ms=30 * DAY_MS,
    schema_version=2,
    translate=translated,
    table="liquidity_action",
    columns=columns(
        action_id="text",
        account="text",
        step="text step.name",
        asset_id="text step.asset_id",
        amount="numeric step.amount",
    ),
)
TRADE_DECISION = Topic(
    name="decision.trade_decision",
    payload=Decision,
    key=lambda p: p.pair,
    retention_ms=30 * DAY_MS,
    schema_version=2,
    translate=earlier.decision,
    table="trade_decision",
    columns=columns(
        decision_id="text",
        demand_id="text",
        quote_id="text",
        pair="text",
        direction="text",
        accepted="boolean",
        reason="text",
        decided_at="timestamptz",
        price_id="text",
        inventory_id="text",
        policy_hash="text",
        price_age_ms="numeric",
        inventory_age_ms="numeric",
        fair_rate="numeric",
        implied_rate="numeric",
        gross_edge="numeric",
        edge_threshold="numeric",
        notional_eur="numeric",
        required="numeric",
        spendable="numeric",
    ),
)
EXECUTE_TRADE = Topic(
    name="cmd.execute_trade",
    payload=TradeCommand,
    key=lambda p: p.account,
    retention_ms=30 * DAY_MS,
    table="execute_trade",
    columns=columns(
        command_id="text",
        decision_id="text",
        quote_id="text",
        account="text",
        pair="text",
        direction="text",
        amount_in="numeric",
        amount_out="numeric",
        gross_edge="numeric",
        notional_eur="numeric",
        offer_deadline="timestamptz",
        nonce="text",
        generation="numeric",
    ),
)
TRADE_RESULT = Topic(
    name="exec.trade_result",
    payload=TradeResult,
    key=lambda p: p.command_id,
    retention_ms=30 * DAY_MS,
    table="trade_result",
    columns=columns(
        command_id="text",
        quote_id="text",
        account="text",
        pair="text",
        direction="text",
        state="text",
        reason="text",
        quote_hash="text",
        tx_hash="text evidence.tx_hash",
        evidence_height="numeric evidence.height",
        next_check_at="timestamptz",
    ),
)
CONTROL_ACTION = Topic(
    name="ops.control_action",
    payload=ControlRecord,
    key=lambda p: p.service,
    retention_ms=FOREVER,
    table="control_action",
    columns=columns(
        service="text",
        instance="text",
        action="text",
        actor="text",
        reason="text",
        applied="boolean",
        acted_at="timestamptz",
    ),
)
SERVICE_STATUS = Topic(
    name="ops.service_status",
    payload=ServiceStatus,
    key=lambda p: f"{p.service}/{p.instance}",
    retention_ms=7 * DAY_MS,
    compacted=True,
    schema_version=2,
    translate=translated_beat,
    table="service_status",
    columns=columns(
        service="text",
        instance="text",
        active="boolean",
        healthy="boolean",
        ready="boolean",
        generation="numeric",
        lag="numeric details.lag",
        account="text",
    ),
)
DEAD_LETTER = Topic(
    name="dlq.invalid_message",
    payload=DeadLetter,
    key=lambda p: p.source,
    retention_ms=30 * DAY_MS,
    table="dead_letter",
    columns=columns(
        source="text",
        reason="text",
        size_bytes="numeric",
    ),
)

#: Every topic above, by its name and in this order.
TOPICS: dict[str, Topic] = {each.name: each for each in tuple(globals().values()) if isinstance(each, Topic)}
