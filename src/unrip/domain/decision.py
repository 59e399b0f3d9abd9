"""A decision and the reasons that can refuse one."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import DeskState
from unrip.domain.pairs import Direction, Pair
from unrip.domain.values import Amount, Delta, Value


class Refusal(StrEnum):
    """Why a demand gets no offer: stable strings, counted, in the order in which the guards are evaluated."""

    PAUSED = "paused"
    DISARMED = "disarmed"
    DIRECTION_DISARMED = "direction_disarmed"
    HALTED = "halted"
    RECOVERING = "recovering"
    TOO_MANY_UNKNOWN = "too_many_unknown"
    """A command with an unknown outcome only keeps its own amount held; more of them than the limit stop the desk."""
    ROUTER_LEG = "router_leg"
    DEMAND_INVALID = "demand_invalid"
    BELOW_MINIMUM = "below_minimum"
    WINDOW_CLOSED = "window_closed"
    WINDOW_TOO_SHORT = "window_too_short"
    DEADLINE_TOO_LONG = "deadline_too_long"
    CLOCK_SKEWED = "clock_skewed"
    PRICE_MISSING = "price_missing"
    PRICE_STALE = "price_stale"
    PRICE_SOURCES_DISAGREE = "price_sources_disagree"
    """The newest readings of the sources contradict each other, however old they are, or the rate contradicts its
    source.
    """
    PRICE_JUMP = "price_jump"
    """Kraken's mid moved too fast and the new level is not confirmed, or there are too few readings to know."""
    PEG_BROKEN = "peg_broken"
    """EURe is not worth what we assume."""
    PEG_UNKNOWN = "peg_unknown"
    """The last good reading of EURe's price is too old, or no reading was ever judged."""
    INVENTORY_MISSING = "inventory_missing"
    INVENTORY_STALE = "inventory_stale"
    INVENTORY_UNRECONCILED = "inventory_unreconciled"
    """Less of the asset is credited than evidence and open offers explain, or that is not known."""
    INSUFFICIENT_INVENTORY = "insufficient_inventory"
    """We never had that much."""
    INVENTORY_HELD = "inventory_held"
    """We have it, but it is promised elsewhere."""
    EDGE_BELOW_THRESHOLD = "edge_below_threshold"
    NOTIONAL_ABOVE_CAP = "notional_above_cap"
    EXPOSURE_ABOVE_CAP = "exposure_above_cap"
    """All open offers that spend this asset, with this one, are worth more than the limit."""
    INVENTORY_OUT_OF_BAND = "inventory_out_of_band"
    """What we spend could fall below the least we want of it, or what we receive could rise above the most."""
    DAILY_LOSS_HALT = "daily_loss_halt"
    """Today's fills have brought less than the limit, or it is not known what they brought."""
    RATE_LIMITED = "rate_limited"
    EXECUTOR_NOT_READY = "executor_not_ready"
    AUDIT_STORE_UNAVAILABLE = "audit_store_unavailable"
    KEY_NOT_REGISTERED = "key_not_registered"
    VENUE_PAUSED = "venue_paused"


class Guard(Value):
    """One guard that was asked, with the numbers that answered it."""

    reason: Refusal
    passed: bool
    numbers: dict[str, str]


class Decision(Value):
    """What was decided about one demand, with every input of `decide` by value or id.

    `offset` and `topic_id` name the demand's record, so that a restart goes on right after it.
    """

    decision_id: str
    demand_id: str
    quote_id: str
    pair: str
    direction: Direction
    accepted: bool
    #: The first guard that refused; None when accepted.
    reason: Refusal | None
    guards: tuple[Guard, ...]
    decided_at: datetime
    demand_topic_id: str
    demand_offset: int
    price_id: str | None
    inventory_id: str | None
    policy_hash: str
    desk: DeskState
    #: `kraken.websocket`, `kraken.rest`, or `coingecko` where the policy lets it stand in.
    price_source: str | None
    price_age_ms: int | None
    #: The price rests on one source: there is no second opinion, or CoinGecko stands in for Kraken.
    price_degraded: bool
    inventory_age_ms: int | None
    #: R5: what EUR per whole of the quote asset is assumed to be.
    quote_asset_eur: Decimal | None
    fair_rate: Decimal | None
    implied_rate: Decimal | None
    gross_edge: Decimal | None
    #: The policy's own threshold, plus its `fallback_edge` where CoinGecko stands in for Kraken.
    edge_threshold: Decimal
    notional_eur: Decimal | None
    #: What the offer would spend, and what could be spent.
    required: Amount | None
    spendable: Delta | None
    #: The whole command, when accepted.
    command: TradeCommand | None
    #: Whether CoinGecko stands in for Kraken.
    price_fallback: bool = False
    #: What the pair's name meant then: ids and decimals of both assets. None, unknown, in records of schema version 1.
    traded: Pair | None = None
