"""Chains written by hand, from the sample trade."""

from __future__ import annotations

from typing import Any

from support.samples import events_of_a_trade
from unrip.store.quote_history import QuoteHistory

PARTS = {
    "quote": "raw.near_intents.quote",
    "demand": "norm.swap_demand",
    "decision": "decision.trade_decision",
    "price": "ref.market_price",
    "inventory": "state.intent_inventory",
    "command": "cmd.execute_trade",
}


def chain_of_a_trade(quote_id: str) -> QuoteHistory:
    """The whole chain of a quote that settled."""
    events = events_of_a_trade(quote_id)
    parts = {part: next(each for each in events if each.event_type == topic) for part, topic in PARTS.items()}
    results = tuple(each for each in events if each.event_type == "exec.trade_result")
    return chain_of(quote_id, results=results, **parts)


def chain_of(quote_id: str, **parts: Any) -> QuoteHistory:
    """A chain of these parts only."""
    return QuoteHistory(quote_id=quote_id, **parts)
