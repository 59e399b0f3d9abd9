"""What is wrong with Kraken's prices when a fault says so, on the socket and by REST, and what our feed calls it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.logic import T0
from support.virtual_world import START_NS, world
from unrip.feeds.kraken import KrakenSession, KrakenTick, KrakenUnavailable, TickRefused, parse_rest_ticker
from unrip.net.exact import decode
from unrip_world.codec import NS_PER_S, encode_json
from unrip_world.config import ConfigError
from unrip_world.effects import Send
from unrip_world.world import World


def with_fault(*, kind: str | None = None, **parameters: object) -> World:
    script = [] if kind is None else [{"at_s": 0, "service": "kraken", "kind": kind, **parameters}]
    subject = world(script=script)
    subject.advance(START_NS + NS_PER_S)
    return subject


def ticker_frame(subject: World) -> str:
    """What a new subscriber is told first."""
    now_ns = START_NS + NS_PER_S
    subject.kraken.on_open(1, now_ns)
    (subscribe,) = KrakenSession("BTC/EUR").opened()
    frames = [effect.text for effect in subject.kraken.on_frame(1, subscribe, now_ns) if isinstance(effect, Send)]
    return next(frame for frame in frames if json.loads(frame).get("channel") == "ticker")


def rest_answer(subject: World) -> Any:
    return decode(encode_json(subject.kraken.rest("Ticker", "XBTEUR", START_NS + NS_PER_S)))


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "crossed"}, "crossed"),
        ({"kind": "zero"}, "not_positive"),
        ({"kind": "zero", "side": "ask"}, "not_positive"),
        ({"kind": "one_sided"}, "one_sided"),
        ({"kind": "one_sided", "side": "ask"}, "one_sided"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(map(str, value.values())),
)
def test_a_price_that_is_none_is_told_by_both_transports(fault: dict[str, Any], named: str) -> None:
    subject = with_fault(**fault)
    assert KrakenSession("BTC/EUR").receive(ticker_frame(subject), T0) == TickRefused(name=named)
    with pytest.raises(KrakenUnavailable):
        parse_rest_ticker(rest_answer(subject), T0)


def test_without_a_fault_it_is_a_price() -> None:
    subject = with_fault()
    tick = KrakenSession("BTC/EUR").receive(ticker_frame(subject), T0)
    assert isinstance(tick, KrakenTick)
    assert parse_rest_ticker(rest_answer(subject), T0).mid == tick.reading.mid


def test_a_side_is_bid_or_ask() -> None:
    with pytest.raises(ConfigError, match="side: must be bid or ask"):
        with_fault(kind="zero", side="both")
