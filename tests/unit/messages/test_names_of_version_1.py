"""Prices and decisions of schema version 1 say the same in the names of today, which name no pair and no source."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.cases import a_case, a_coingecko, a_decision, a_price, ago, seen
from support.engine import a_record
from unrip.domain.decision import Decision
from unrip.domain.market import MarketPrice
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import InvalidMessage
from unrip.messages.schemas import FOLDER
from unrip.messages.topics import MARKET_PRICE, TRADE_DECISION, Topic

VERSION_1 = Path(__file__).parents[2] / "fixtures" / "messages" / "v1"


def of_version_1(topic: Topic, **payload: Any) -> dict[str, Any]:
    """A record of the last build of version 1, with these fields changed."""
    document: dict[str, Any] = json.loads((VERSION_1 / f"{topic.name}.json").read_text())
    return document | {"payload": document["payload"] | payload}


def understood(topic: Topic, document: dict[str, Any]) -> Any:
    return decode_event(topic.name, json.dumps(document).encode()).payload


def test_everything_that_a_price_said_is_said_in_the_names_of_today() -> None:
    price = a_price(second_opinion=a_coingecko(base_updated_at=ago(7_000)))
    written = encode_event(a_record(MARKET_PRICE, price).message).decode()
    document = json.loads(written)
    said = document["payload"]
    old = {
        "pair": said["pair"],
        "kraken": said["primary"],
        "kraken_health": said["primary_health"],
        "kraken_system": said["primary_system"],
        "coingecko": {
            "btc_eur": said["second_opinion"]["base_asset_eur"],
            "btc_updated_at": said["second_opinion"]["base_updated_at"],
            "eure_eur": said["second_opinion"]["quote_asset_eur"],
            "eure_updated_at": said["second_opinion"]["quote_updated_at"],
            "observed_at": said["second_opinion"]["observed_at"],
        },
        "coingecko_health": said["second_opinion_health"],
        "fair_rate": said["fair_rate"],
        "eure_eur_assumption": said["quote_asset_eur"],
        "eure_eur_observed": said["quote_asset_eur_observed"],
        "disagreement": said["disagreement"],
        "coingecko_rate": said["second_opinion_rate"],
        "peg": {("eure_eur" if name == "quote_asset_eur" else name): value for name, value in said["peg"].items()},
        "jump": said["jump"],
        "accepted": said["accepted"],
        "paused": said["paused"],
    }
    assert understood(MARKET_PRICE, document | {"schema_version": 1, "payload": old}) == price


def test_what_a_price_of_version_1_does_not_know_stays_unknown() -> None:
    unread = {"kraken": None, "coingecko": None, "fair_rate": None, "eure_eur_observed": None, "disagreement": None}
    price: MarketPrice = understood(MARKET_PRICE, of_version_1(MARKET_PRICE, **unread))
    assert (price.primary, price.second_opinion, price.peg, price.quote_asset_eur_observed) == (None, None, None, None)
    assert (price.primary_source, price.second_opinion_source) == ("kraken", "coingecko")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kraken", "online"),
        ("coingecko", {"btc_eur": "80100"}),
        ("peg", {"broken": False}),
        ("eure_eur_assumption", None),
        ("kraken_health", "good"),
    ],
)
def test_a_price_of_version_1_that_is_wrong_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidMessage):
        understood(MARKET_PRICE, of_version_1(MARKET_PRICE, **{field: value}))


def test_a_price_of_today_without_what_it_must_say_is_no_price_of_version_1() -> None:
    document = json.loads(encode_event(a_record(MARKET_PRICE, a_price()).message))
    del document["payload"]["primary_source"]
    with pytest.raises(InvalidMessage, match="primary_source"):
        understood(MARKET_PRICE, document)


def test_a_decision_of_version_1_keeps_its_assumption_and_does_not_know_its_pair() -> None:
    decision: Decision = understood(TRADE_DECISION, of_version_1(TRADE_DECISION, eure_eur_assumption="0.98"))
    assert (str(decision.quote_asset_eur), decision.traded) == ("0.98", None)
    blind = a_decision(a_case(price=None))
    assert blind.quote_asset_eur is None
    assert understood(TRADE_DECISION, json.loads(encode_event(a_record(TRADE_DECISION, blind).message))) == blind


def test_no_field_on_the_wire_is_named_after_a_pair_or_a_source() -> None:
    named = {
        (path.name, name)
        for path in FOLDER.glob("*.json")
        for kind in json.loads(path.read_text())["$defs"].values()
        for name in kind.get("properties", {})
        if re.search(r"btc|eure|kraken|coingecko|bitcoin|satoshi|wei\b", name, re.IGNORECASE)
    }
    assert named == set()


def test_a_price_that_was_seen_is_decided_by_the_names_of_its_sources() -> None:
    price = a_price(primary_source="another", second_opinion_source="a third")
    assert a_decision(a_case(price=seen("price-1", price))).price_source == "another.websocket"
