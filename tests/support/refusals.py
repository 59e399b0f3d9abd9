"""What a test says of one refusal: what puts it in force, and the numbers that must be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from support.cases import (
    a_demand,
    a_desk,
    a_price,
    an_inventory,
    seen,
)
from unrip.domain.decision import Refusal
from unrip.domain.policy import Policy
from unrip.domain.values import Amount


@dataclass
class Refused:
    """A case that is refused for one reason, and the numbers that must be shown."""

    reason: Refusal
    changes: dict[str, Any]
    numbers: dict[str, str]
    #: Guards that refuse for the same cause, after the one that is named.
    also: set[Refusal] = field(default_factory=set)
    name: str = ""


def desk(**changes: Any) -> dict[str, Any]:
    return {"desk": a_desk(**changes)}


def demand(**changes: Any) -> dict[str, Any]:
    return {"demand": a_demand(**changes)}


def price(**changes: Any) -> dict[str, Any]:
    return {"price": seen("price-1", a_price(**changes))}


def inventory(**changes: Any) -> dict[str, Any]:
    return {"inventory": seen("inventory-1", an_inventory(**changes), 1_200)}


def band(**bounds: str) -> dict[str, Any]:
    return {"policy": msgspec.structs.replace(Policy(), **{name: Decimal(bound) for name, bound in bounds.items()})}


EXECUTOR_FINE = {
    "executor_age_ms": "600",
    "limit": "5000",
    "ready": "true",
    "paused": "false",
    "halted": "false",
    "armed": "base_in,base_out",
}
STORE_FINE = {
    "store_up": "true",
    "history_database_up": "true",
    "history_age_ms": "600",
    "limit": "5000",
    "history_lag": "3",
    "lag_limit": "5000",
}
JUMP_FINE = {
    "move": "0.0005",
    "limit": "0.01",
    "window_s": "60",
    "readings": "60",
    "readings_needed": "10",
    "contradicted": "false",
}
PEG_FINE = {
    "quote_asset_eur": "0.999",
    "assumed": "1",
    "deviation": "0.001",
    "breaks_beyond": "0.02",
    "heals_within": "0.01",
}
ABOUT_PRICE = {
    Refusal.PRICE_MISSING,
    Refusal.PRICE_STALE,
    Refusal.PRICE_SOURCES_DISAGREE,
    Refusal.PRICE_JUMP,
    Refusal.PEG_BROKEN,
    Refusal.PEG_UNKNOWN,
}
#: What cannot be worked out without a price, after the price itself.
WITHOUT_PRICE = ABOUT_PRICE | {
    Refusal.INSUFFICIENT_INVENTORY,
    Refusal.INVENTORY_HELD,
    Refusal.EDGE_BELOW_THRESHOLD,
    Refusal.NOTIONAL_ABOVE_CAP,
    Refusal.EXPOSURE_ABOVE_CAP,
}
WITHOUT_PROPOSAL = WITHOUT_PRICE - ABOUT_PRICE | {Refusal.BELOW_MINIMUM}
WITHOUT_SNAPSHOT = {
    Refusal.INVENTORY_STALE,
    Refusal.INVENTORY_UNRECONCILED,
    Refusal.INSUFFICIENT_INVENTORY,
    Refusal.INVENTORY_HELD,
    Refusal.KEY_NOT_REGISTERED,
    Refusal.VENUE_PAUSED,
}

ONE = 10**18
#: What a demand here would leave of 5 000 EURe, and make of 0.1 BTC.
IN_BAND = {
    "spent": "EURe",
    "lowest": "4988.260157801675675312",
    "lower_bound": "none",
    "received": "BTC",
    "highest": "0.1002",
    "upper_bound": "none",
}

#: What 20 000 sat at 60 000 EUR with the edge of a 70 s offer buy.
OUT = Amount(11_739_842_198_324_324_688)
