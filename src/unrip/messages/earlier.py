"""Prices and decisions of schema version 1, in the words of this build.

Version 1 named fields after the pair and the sources of its time: EURe per BTC, from Kraken and CoinGecko.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

_PRICE = {
    "kraken": "primary",
    "kraken_health": "primary_health",
    "kraken_system": "primary_system",
    "coingecko": "second_opinion",
    "coingecko_health": "second_opinion_health",
    "coingecko_rate": "second_opinion_rate",
    "eure_eur_assumption": "quote_asset_eur",
    "eure_eur_observed": "quote_asset_eur_observed",
}
_SOURCES = {"primary_source": "kraken", "second_opinion_source": "coingecko"}
_SECOND_OPINION = {
    "btc_eur": "base_asset_eur",
    "btc_updated_at": "base_updated_at",
    "eure_eur": "quote_asset_eur",
    "eure_updated_at": "quote_updated_at",
}
_PEG = {"eure_eur": "quote_asset_eur"}
_DECISION = {"eure_eur_assumption": "quote_asset_eur"}


def price(payload: Any) -> Document | None:
    """A price of version 1 as this build would have written it; None for anything else."""
    if not isinstance(payload, dict) or "kraken_health" not in payload:
        return None
    named: Document = _renamed(payload, _PRICE) | _SOURCES
    return named | {
        "second_opinion": _renamed(named.get("second_opinion"), _SECOND_OPINION),
        "peg": _renamed(named.get("peg"), _PEG),
    }


def decision(payload: Any) -> Document | None:
    """A decision of version 1 as this build would have written it; None for anything else."""
    if not isinstance(payload, dict) or "eure_eur_assumption" not in payload:
        return None
    renamed: Document = _renamed(payload, _DECISION)
    return renamed


def _renamed(document: Any, names: dict[str, str]) -> Any:
    """Every field under its name of today; what is no object stays, for the decoder to judge."""
    if not isinstance(document, dict):
        return document
    return {names.get(name, name): value for name, value in document.items()}
