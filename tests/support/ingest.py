"""A near-intents-ingest on its own, and the frames that it receives."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from support.logic import BTC, EURE, PAIR, T0, of, published
from unrip.domain.pairs import Asset, Pair
from unrip.frame.contract import BusChanged, Effect, Started, TimerFired
from unrip.net.events import FrameReceived, SendFrame, SocketOpened
from unrip.services.near_intents_ingest.logic import NearIntentsIngest
from unrip.services.relay_link import RELAY

CLASSES = (
    "quotes_published",
    "quotes_filtered",
    "status_notices",
    "replies",
    "dead_letters",
    "dropped_broker_away",
)
OTHER = Pair(
    base=Asset(symbol="ETH", asset_id="nep141:eth.omft.near", decimals=18, chain="eth:1"),
    quote=PAIR.quote,
)


def ingest(*, connected: bool = True, pairs: tuple[Pair, ...] = (PAIR,), raw_cap_per_s: int = 2) -> NearIntentsIngest:
    logic = NearIntentsIngest(pairs=pairs, raw_cap_per_s=raw_cap_per_s, mute_after_ms=60_000, subscribe_again_ms=30_000)
    logic.on_event(Started(active=True, generation=None, start_id="ingest-1"), T0)
    logic.on_event(BusChanged(up=True, reason=""), T0)
    if connected:
        logic.on_event(SocketOpened(connection=RELAY), T0)
    return logic


def quote(quote_id: str, **changes: Any) -> str:
    data = {
        "quote_id": quote_id,
        "defuse_asset_identifier_in": EURE,
        "defuse_asset_identifier_out": BTC,
        "exact_amount_in": "25000000000000000000",
        "min_deadline_ms": 60_000,
        **changes,
    }
    return json.dumps({"jsonrpc": "2.0", "method": "event", "params": {"subscription": "s", "data": data}})


def heard(logic: NearIntentsIngest, text: str) -> list[Effect]:
    frame = FrameReceived(connection=RELAY, text=text, size_bytes=len(text), received_at=T0)
    return list(logic.on_event(frame, T0))


def confirmed(logic: NearIntentsIngest, effects: list[Effect], number: str) -> None:
    """The relay confirms the quote subscription among these frames under a number."""
    (asked,) = [
        json.loads(frame.text)
        for frame in of(SendFrame, effects)
        if json.loads(frame.text)["params"][0] == "quote" and json.loads(frame.text)["method"] == "subscribe"
    ]
    heard(logic, json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": number}))


STATUS = json.dumps({"method": "event", "params": {"data": {"quote_hash": "qh", "tx_hash": "tx"}}})
FOREIGN = {"defuse_asset_identifier_in": "nep141:wrap.near"}


def hear(logic: NearIntentsIngest, text: str | None, now: datetime = T0) -> list[Effect]:
    frame = FrameReceived(connection=RELAY, text=text, size_bytes=len(text or ""), received_at=now)
    return list(logic.on_event(frame, now))


def counts(logic: NearIntentsIngest) -> dict[str, int]:
    frames: dict[str, int] = logic.state(T0).frames
    assert sum(frames[kind] for kind in CLASSES) == frames["frames_received"]
    return {kind: frames[kind] for kind in CLASSES if frames[kind]}


def of_records(effects: list[Effect]) -> list[Any]:
    return [*published(effects, "norm.swap_demand"), *published(effects, "raw.near_intents.quote")]


def fire(logic: NearIntentsIngest, now: datetime) -> list[Effect]:
    return list(logic.on_event(TimerFired(name="relay-mute"), now))
