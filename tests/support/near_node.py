"""A NEAR node that answers what a test gives it, and a verifier client in front of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from support.json_service import client_of
from unrip.venues.near_intents.endpoints import Endpoints
from unrip.venues.near_intents.rpc import NearRpc
from unrip.venues.near_intents.verifier import Verifier

BTC, EURE = "nep141:btc.omft.near", "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HEIGHT = 140_000_123
NONCE = "Vij2xgAlKBKzADZykFdbpB8CcBXsE9wRhklzE4/mgS8="
HEADER = {"height": 1, "timestamp_nanosec": "1", "hash": "1", "prev_hash": "0"}
PAUSED = "wasm execution failed: Smart contract panicked: Pausable: Method is paused"
NESTED: list[Any] = []
for _ in range(900):
    NESTED = [NESTED]
Counts = list[tuple[str, str, str]]


class Node:
    """A NEAR node with the verifier on it."""

    def __init__(self) -> None:
        self.views: dict[str, Any] = {
            "mt_batch_balance_of": ["152000000", "84000000000000000000001"],
            "current_salt": "252812b3",
            "fee": 1,
            "has_public_key": True,
            "is_account_locked": False,
            "simulate_intents": {"intents_executed": [], "logs": [], "state": {"fee": 1, "current_salt": "252812b3"}},
            "is_nonce_used": True,
            "is_valid_salt": False,
        }
        self.panics: dict[str, str] = {}
        self.height = HEIGHT
        #: The newest final block as this node sees it.
        self.final = HEIGHT
        self.nanoseconds = 1_795_341_600_123_456_789
        self.asked: list[tuple[str, Any]] = []
        self.raw: Any = None

    def __call__(self, request: Any) -> Any:
        method, params = request["method"], request["params"]
        if self.raw is not None:
            return self.raw
        if method == "block":
            height = params.get("block_id", self.final)
            assert params == ({"finality": "final"} if height == self.final else {"block_id": height})
            header = {"height": height, "timestamp": 1, "timestamp_nanosec": str(self.nanoseconds)}
            header |= {"hash": f"block {height}", "prev_hash": f"block {height - 1}"}
            return {"jsonrpc": "2.0", "id": "unrip", "result": {"header": header}}
        if method == "EXPERIMENTAL_tx_status":
            assert params.get("wait_until") == "FINAL", "the node's own default is less than final"
            return {"jsonrpc": "2.0", "id": "unrip", "result": self.views["tx"]}
        assert params["block_id"] == HEIGHT
        self.asked.append((params["method_name"], json.loads(base64.b64decode(params["args_base64"]))))
        return {"jsonrpc": "2.0", "id": "unrip", "result": self._view(params["method_name"])}

    def _view(self, name: str) -> Any:
        where = {"block_height": self.height, "block_hash": "h", "logs": []}
        if name in self.panics:
            return {"error": self.panics[name], **where}
        return {"result": list(json.dumps(self.views[name]).encode()), **where}


def endpoints_of(*nodes: Node, clock: Callable[[], datetime] = lambda: NOW, counts: Counts | None = None) -> Endpoints:
    counted = [] if counts is None else counts
    return Endpoints(
        [NearRpc(client_of(node), "http://127.0.0.1:9/") for node in nodes],
        clock=clock,
        count=lambda name, labels: counted.append((name, labels["endpoint"], labels["outcome"])),
    )


def named(*nodes: Node, clock: Callable[[], datetime]) -> Endpoints:
    """Endpoints that know their places, as in the settings."""
    rpcs = [NearRpc(client_of(node), "http://127.0.0.1:9/", name=str(place)) for place, node in enumerate(nodes, 1)]
    return Endpoints(rpcs, clock=clock, count=lambda _name, _labels: None)


def verifier_at(endpoints: Endpoints, *, cross_check: bool = False) -> Verifier:
    return Verifier(
        endpoints,
        contract="intents.near",
        account="desk.example.near",
        public_key="ed25519:abc",
        asset_ids=[BTC, EURE],
        clock=lambda: NOW,
        cross_check=cross_check,
    )


def an_error(name: Any, cause: Any, **info: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": "unrip",
        "error": {"name": name, "cause": {"name": cause, "info": info}, "code": -1},
    }


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def places(counts: Counts) -> list[tuple[str, str]]:
    assert {name for name, *_ in counts} == {"rpc_questions"}
    return [(endpoint, outcome) for _name, endpoint, outcome in counts]
