"""Kraken's WebSocket v2 (ticker, heartbeat, ping) and the public REST answers, as frames and bodies."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from email.utils import formatdate
from random import Random
from typing import Any

from unrip_world.assets import KrakenMarket
from unrip_world.codec import NS_PER_MS, NS_PER_S, decode_json, encode_json, ns_to_rfc3339
from unrip_world.effects import Effect, Send
from unrip_world.exchange.walk import TICK, Tick, Walk
from unrip_world.faults import Faults

_TRIGGERS = ("bbo", "trades")


@dataclass(kw_only=True)
class _Session:
    trigger: str | None = None
    #: When something on a channel was sent last; heartbeats fill the silence.
    spoke_at_ns: int = 0


class Kraken:
    """All sockets of the exchange."""

    def __init__(self, *, walk: Walk, market: KrakenMarket, faults: Faults, rng: Random) -> None:
        self._walk, self._faults, self._rng = walk, faults, rng
        self._market = market
        #: v1's `XBT/EUR` is understood here, and refused on WebSocket v2.
        self._rest_names = dict.fromkeys((market.altname, market.key, *market.also), market.key)
        self._rest_names[market.symbol] = market.symbol
        self._sessions: dict[int, _Session] = {}

    def on_open(self, connection: int, now_ns: int) -> list[Effect]:
        """Greet a new socket with the system status."""
        self._sessions[connection] = _Session(spoke_at_ns=now_ns)
        return [self._send(connection, self._status_frame())]

    def on_close(self, connection: int) -> None:
        """Forget a socket."""
        self._sessions.pop(connection, None)

    def on_frame(self, connection: int, text: str, now_ns: int) -> list[Effect]:
        """Answer one request."""
        stamp = self._stamp(now_ns)
        try:
            request = decode_json(text)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            return [self._send(connection, {"error": "Malformed request", "success": False, **stamp})]
        method, session = request.get("method"), self._sessions[connection]
        echo = {"method": method} | ({"req_id": request["req_id"]} if "req_id" in request else {})
        parameters = request.get("params") if isinstance(request.get("params"), dict) else {}
        if method == "ping":
            return [self._send(connection, {**echo, "method": "pong", **stamp})]
        if method == "subscribe":
            return self._subscribe(connection, session, echo, parameters or {}, now_ns)
        if method == "unsubscribe":
            session.trigger = None
            result = {"channel": "ticker", "symbol": self._market.symbol}
            return [self._send(connection, {**echo, "result": result, "success": True, **stamp})]
        return [self._send(connection, {"error": "Method not supported", **echo, "success": False, **stamp})]

    def _subscribe(
        self, connection: int, session: _Session, echo: dict[str, Any], parameters: Mapping[str, Any], now_ns: int
    ) -> list[Effect]:
        stamp = self._stamp(now_ns)
        trigger, snapshot = parameters.get("event_trigger", "trades"), parameters.get("snapshot", True)
        if parameters.get("channel") != "ticker" or trigger not in _TRIGGERS:
            problem = "Channel not supported" if trigger in _TRIGGERS else "Event trigger not supported"
            return [self._send(connection, {"error": problem, **echo, "success": False, **stamp})]
        frames: list[dict[str, Any]] = []
        for symbol in parameters.get("symbol") or []:
            if symbol != self._market.symbol:
                problem = f"Currency pair not supported {symbol}"
                frames.append({"error": problem, **echo, "success": False, "symbol": symbol, **stamp})
                continue
            session.trigger = trigger
            result = {"channel": "ticker", "event_trigger": trigger, "snapshot": snapshot, "symbol": symbol}
            frames.append({**echo, "result": result, "success": True, **stamp})
            if snapshot and self._faults.get("kraken", "freeze") is None:
                frames.append(self._ticker_frame("snapshot", self._walk.tick))
        session.spoke_at_ns = now_ns
        return [self._send(connection, frame) for frame in frames]

    def on_tick(self, tick: Tick, now_ns: int) -> list[Effect]:
        """Send the tick to every subscriber whose trigger it is, and a heartbeat to the others."""
        effects: list[Effect] = []
        frozen = self._faults.get("kraken", "freeze") is not None
        for connection, session in self._sessions.items():
            if session.trigger is None:
                continue
            if not frozen and (session.trigger == "bbo" or tick.traded):
                effects.append(self._send(connection, self._ticker_frame("update", tick)))
                session.spoke_at_ns = now_ns
            elif now_ns - session.spoke_at_ns >= NS_PER_S:
                effects.append(self._send(connection, {"channel": "heartbeat"}))
                session.spoke_at_ns = now_ns
        return effects

    def on_status_changed(self) -> list[Effect]:
        """Send everybody the engine's new state."""
        return [self._send(connection, self._status_frame()) for connection in self._sessions]

    @property
    def system(self) -> str:
        """State of the matching engine."""
        fault = self._faults.get("kraken", "system_status")
        return "online" if fault is None else str(fault["status"])

    def _status_frame(self) -> dict[str, Any]:
        entry = {
            "api_version": "v2",
            "connection_id": self._rng.getrandbits(63),
            "system": self.system,
            "version": "2.0.10",
        }
        return {"channel": "status", "type": "update", "data": [entry]}

    def _ticker_frame(self, kind: str, tick: Tick) -> dict[str, Any]:
        bid, ask = self._sides(tick)
        entry = {
            "symbol": self._market.symbol,
            "bid": bid,
            "bid_qty": tick.bid_qty,
            "ask": ask,
            "ask_qty": tick.ask_qty,
            "last": tick.last,
            "volume": tick.volume,
            "vwap": tick.vwap,
            "low": tick.low,
            "high": tick.high,
            "change": tick.last - tick.open,
            "change_pct": round((tick.last - tick.open) / tick.open * 100, 2),
            "timestamp": ns_to_rfc3339(tick.at_ns + self._skew_ns()),
        }
        return {"channel": "ticker", "type": kind, "data": [entry]}

    def _sides(self, tick: Tick) -> tuple[Decimal | None, Decimal | None]:
        """Bid and ask as they are sent, faults included; None is a side that the book does not have."""
        sides: dict[str, Decimal | None] = {"bid": tick.bid, "ask": tick.ask}
        if self._faults.get("kraken", "crossed") is not None:
            sides = {"bid": tick.ask, "ask": tick.bid}
        for kind, price in (("zero", Decimal(0)), ("one_sided", None)):
            if (fault := self._faults.get("kraken", kind)) is not None:
                sides[fault["side"]] = price
        return sides["bid"], sides["ask"]

    def _skew_ns(self) -> int:
        fault = self._faults.get("kraken", "timestamp_skew_ms")
        return 0 if fault is None else fault["ms"] * NS_PER_MS

    def _stamp(self, now_ns: int) -> dict[str, str]:
        moment = ns_to_rfc3339(now_ns + self._skew_ns())
        return {"time_in": moment, "time_out": moment}

    def _send(self, connection: int, frame: Mapping[str, Any]) -> Send:
        return Send(service="kraken", connection=connection, text=encode_json(frame))

    def rest(self, endpoint: str, pair: str | None, now_ns: int) -> dict[str, Any]:
        """Answer `/0/public/<endpoint>`; errors come as a list with HTTP 200."""
        if (refusing := self._faults.get("kraken", "rest_error")) is not None:
            return {"error": [refusing["error"]]}
        now_ns += self._skew_ns()
        if endpoint == "Time":
            seconds = now_ns // NS_PER_S
            return _ok({"unixtime": seconds, "rfc1123": formatdate(seconds, usegmt=True)})
        if endpoint == "SystemStatus":
            return _ok({"status": self.system, "timestamp": ns_to_rfc3339(now_ns, digits=0)})
        if endpoint == "Assets":
            return _ok({"XXBT": _asset("XBT", 10, 5), "ZEUR": _asset("EUR", 4, 2)})
        key = self._rest_names.get(pair or self._market.altname)
        if endpoint not in ("Ticker", "AssetPairs"):
            return {"error": ["EGeneral:Unknown method"]}
        if key is None:
            return {"error": ["EQuery:Unknown asset pair"]}
        return _ok({key: _PAIR | self._names() if endpoint == "AssetPairs" else self._rest_ticker()})

    def _names(self) -> dict[str, Any]:
        return {"altname": self._market.altname}

    def _rest_ticker(self) -> dict[str, Any]:
        tick = self._walk.tick
        bid, ask = self._sides(tick)

        def price(value: object) -> str:
            return f"{value:.5f}"

        return {
            "a": [] if ask is None else [price(ask), "1", f"{tick.ask_qty:.3f}"],
            "b": [] if bid is None else [price(bid), "1", f"{tick.bid_qty:.3f}"],
            "c": [price(tick.last), f"{tick.last_qty:.8f}"],
            "v": [f"{tick.volume:.8f}"] * 2,
            "p": [price(tick.vwap)] * 2,
            "t": [tick.trades] * 2,
            "l": [price(tick.low)] * 2,
            "h": [price(tick.high)] * 2,
            "o": price(tick.open),
        }


def _ok(result: dict[str, Any]) -> dict[str, Any]:
    return {"error": [], "result": result}


def _asset(name: str, decimals: int, shown: int) -> dict[str, Any]:
    return {
        "aclass": "currency",
        "altname": name,
        "decimals": decimals,
        "display_decimals": shown,
        "status": "enabled",
    }


_PAIR = {
    "altname": "XBTEUR",
    "wsname": "XBT/EUR",
    "aclass_base": "currency",
    "base": "XXBT",
    "aclass_quote": "currency",
    "quote": "ZEUR",
    "lot": "unit",
    "cost_decimals": 5,
    "pair_decimals": 1,
    "lot_decimals": 8,
    "lot_multiplier": 1,
    "leverage_buy": [],
    "leverage_sell": [],
    "fees": [[0, "0.4"]],
    "fees_maker": [[0, "0.25"]],
    "fee_volume_currency": "ZUSD",
    "margin_call": 80,
    "margin_stop": 40,
    "ordermin": "0.00005",
    "costmin": "0.45",
    "tick_size": str(TICK),
    "status": "online",
}
