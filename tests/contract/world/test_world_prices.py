"""Kraken and CoinGecko as a client of another author meets them."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from support.world import StartWorld


def receive(socket: ClientConnection, *, until: Callable[[Any], bool], timeout_s: float = 5) -> Any:
    while True:
        frame = json.loads(socket.recv(timeout=timeout_s), parse_float=Decimal)
        if until(frame):
            return frame


def subscription(req_id: int = 17, symbol: str = "BTC/EUR", trigger: str = "bbo") -> str:
    return json.dumps(
        {
            "method": "subscribe",
            "req_id": req_id,
            "params": {"channel": "ticker", "symbol": [symbol], "event_trigger": trigger},
        }
    )


def test_kraken_socket_speaks_in_the_documented_order(start_world: StartWorld) -> None:
    world = start_world()
    with connect(world.urls["kraken_ws"], compression=None) as socket:
        status = json.loads(socket.recv(timeout=5))
        assert (status["channel"], status["data"][0]["system"]) == ("status", "online")
        socket.send(json.dumps({"method": "ping"}))
        pong = json.loads(socket.recv(timeout=5))
        assert (pong["method"], "req_id" in pong) == ("pong", False)
        socket.send(subscription())
        acknowledged = json.loads(socket.recv(timeout=5))
        assert (acknowledged["success"], acknowledged["req_id"]) == (True, 17)
        assert acknowledged["result"]["symbol"] == "BTC/EUR"
        snapshot = json.loads(socket.recv(timeout=5), parse_float=Decimal)
        assert (snapshot["channel"], snapshot["type"]) == ("ticker", "snapshot")
        update = receive(socket, until=lambda frame: frame.get("type") == "update")["data"][0]
        assert isinstance(update["bid"], Decimal)
        assert update["ask"] - update["bid"] == Decimal("0.1")
        socket.send(subscription(req_id=18, symbol="XBT/EUR"))
        refused = receive(socket, until=lambda frame: frame.get("req_id") == 18)
        assert (refused["success"], refused["error"]) == (False, "Currency pair not supported XBT/EUR")


def test_a_frozen_feed_beats_without_prices_and_a_jump_is_told(start_world: StartWorld) -> None:
    world = start_world()
    with connect(world.urls["kraken_ws"], compression=None) as socket:
        socket.send(subscription())
        receive(socket, until=lambda frame: frame.get("type") == "update" and frame["channel"] == "ticker")
        world.fault("kraken", "freeze")
        receive(socket, until=lambda frame: frame["channel"] == "heartbeat")
        second = json.loads(socket.recv(timeout=5))
        assert second == {"channel": "heartbeat"}
        world.delete("/faults")
        world.fault("kraken", "price", mid="50000")
        jumped = receive(
            socket, until=lambda frame: frame["channel"] == "ticker" and frame["data"][0]["bid"] < Decimal(51_000)
        )
        assert jumped["data"][0]["bid"] > Decimal(49_000)
        world.fault("kraken", "system_status")
        changed = receive(socket, until=lambda frame: frame["channel"] == "status")
        assert changed["data"][0]["system"] == "maintenance"


def test_kraken_rest(start_world: StartWorld) -> None:
    base = start_world().urls["kraken_rest"] + "/0/public"
    ticker = httpx.get(f"{base}/Ticker", params={"pair": "XBTEUR"}, timeout=5).json()
    assert Decimal(ticker["result"]["XXBTZEUR"]["a"][0]) > Decimal(ticker["result"]["XXBTZEUR"]["b"][0])
    assert "BTC/EUR" in httpx.get(f"{base}/AssetPairs", params={"pair": "BTC/EUR"}, timeout=5).json()["result"]
    assert httpx.get(f"{base}/Assets", timeout=5).json()["result"]["XXBT"]["altname"] == "XBT"
    assert httpx.get(f"{base}/SystemStatus", timeout=5).json()["result"]["status"] == "online"
    assert httpx.get(f"{base}/Time", timeout=5).json()["error"] == []
    unknown = httpx.get(f"{base}/Ticker", params={"pair": "NOPE"}, timeout=5)
    assert (unknown.status_code, unknown.json()) == (200, {"error": ["EQuery:Unknown asset pair"]})


def test_coingecko(start_world: StartWorld) -> None:
    world = start_world()
    base = world.urls["coingecko"]
    query = {
        "ids": "bitcoin,monerium-eur-money-2,nothing",
        "vs_currencies": "eur",
        "include_last_updated_at": "true",
        "precision": "full",
    }
    prices = httpx.get(f"{base}/simple/price", params=query, timeout=5).json()
    assert set(prices) == {"bitcoin", "monerium-eur-money-2"}
    assert isinstance(prices["bitcoin"]["last_updated_at"], int)
    world.fault("coingecko", "eure_price", price="0.9")
    world.fault("coingecko", "price_factor", factor="2")
    doubled = httpx.get(f"{base}/simple/price", params=query, timeout=5).json()
    assert doubled["monerium-eur-money-2"]["eur"] == 0.9
    assert doubled["bitcoin"]["eur"] > 1.9 * prices["bitcoin"]["eur"]
    coin = httpx.get(f"{base}/coins/monerium-eur-money-2/", timeout=5).json()
    assert coin["platforms"] == {"xdai": "0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430"}
    assert httpx.get(f"{base}/coins/nothing", timeout=5).status_code == 404
