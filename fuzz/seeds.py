"""Writes the kept corpus anew from the venue's vectors, our published samples and the answers of the documentations.

PYTHONPATH=src:tests python -m fuzz.seeds
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fuzz.crashes import PREFIX
from fuzz.targets import CORPUS, corpus

TESTS = Path(__file__).resolve().parents[1] / "tests"
EURE = "gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
#: Vectors beyond this many of a file repeat what the others hold.
EVENTS_MAX = 6

KRAKEN = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/EUR","bid":71204.3,"bid_qty":0.4125,"ask":71204.4,'
    '"ask_qty":4e-8,"last":71204.4,"timestamp":"2026-11-22T10:15:42.318204Z"}]}',
    '{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2","connection_id":1,'
    '"version":"2.0.10"}]}',
    '{"channel":"heartbeat"}',
    '{"method":"subscribe","req_id":1,"success":true,"result":{"channel":"ticker","symbol":"BTC/EUR"},'
    '"time_in":"2026-11-22T10:15:42.318204Z"}',
    '{"error":"Currency pair not supported","method":"subscribe","success":false,"req_id":1}',
    '{"error":[],"result":{"XXBTZEUR":{"a":["71204.40000","1","1.000"],"b":["71204.30000","1","1.000"]}}}',
    '{"error":["EQuery:Unknown asset pair"]}',
    '{"error":[],"result":{"status":"online","timestamp":"2026-11-22T10:15:42Z"}}',
)
COINGECKO = (
    '{"bitcoin":{"eur":71204.35,"last_updated_at":1795342498},"monerium-eur-money":{"eur":0.9991,'
    '"last_updated_at":1795342490.5}}',
    '{"error":"coin not found"}',
    '{"status":{"error_code":429,"error_message":"You have exceeded the Rate Limit."}}',
    '{"error":{"status":{"error_code":10005,"error_message":"no such plan"}}}',
)
_DEPOSIT = {
    "tx_hash": "",
    "chain": "btc:mainnet",
    "near_token_id": "btc.omft.near",
    "decimals": 8,
    "amount": 150_000,
    "account_id": "solver.near",
    "address": "bc1qdesk",
    "status": "PENDING",
    "created_at": "2026-11-22T10:00:00.000Z",
}
_WITHDRAWAL = {
    "chain": "eth:100",
    "tx_hash": "9k",
    "transfer_tx_hash": "0xaa",
    "near_token_id": EURE,
    "amount": 84_000_000_000_000_000_000_001,
    "address": "0x00",
}
_TOKEN = {
    "intents_token_id": f"nep141:{EURE}",
    "min_deposit_amount": "1000",
    "min_withdrawal_amount": "1100",
    "withdrawal_fee": "100",
}
BRIDGE: tuple[Any, ...] = (
    {"result": {"deposits": [_DEPOSIT, {**_DEPOSIT, "status": "CREDITED"}], "total": 2}},
    {"result": {"withdrawals": [{"status": "COMPLETED", "data": _WITHDRAWAL}]}},
    {"result": {"tokens": [_TOKEN]}},
    {"result": {"address": "bc1qdesk"}},
    {"result": {"withdrawalFee": "1500", "withdrawalFeeDecimals": 8, "token": _TOKEN}},
    {"result": {"status": "NOT_FOUND", "data": None}},
    {"error": "Withdrawals not found"},
    {"error": "unknown chain"},
    {"error": {"code": -32000, "message": "unknown chain"}},
)
RPC: tuple[Any, ...] = (
    {
        "result": {
            "header": {
                "height": 140_000_123,
                "timestamp_nanosec": "1795341600123456789",
                "hash": "7jQ2hZ5Xc9sR1bW4nT8eKfGmLpUvYaD3oHiJxNzCqBt",
                "prev_hash": "3oHiJxNzCqBt7jQ2hZ5Xc9sR1bW4nT8eKfGmLpUvYaD",
            }
        }
    },
    {"result": {"block_height": 140_000_123, "logs": [], "result": [34, 50, 53, 34]}},
    {"result": {"error": "wasm execution failed: Smart contract panicked", "block_height": 140_000_123}},
    {
        "error": {
            "name": "HANDLER_ERROR",
            "cause": {"name": "CONTRACT_EXECUTION_ERROR", "info": {"vm_error": "panicked"}},
        }
    },
    {"error": {"name": "REQUEST_VALIDATION_ERROR", "cause": {"name": "PARSE_ERROR", "info": {}}}},
)
_SIMULATION = {
    "intents_executed": [],
    "logs": [],
    "invariant_violated": {"error": "unmatched_deltas", "unmatched_deltas": {"nep141:btc.omft.near": "-5"}},
    "state": {"fee": 1, "current_salt": "252812b3"},
}
CONTRACT: tuple[Any, ...] = (
    ["152000000", "84000000000000000000001"],
    "252812b3",
    _SIMULATION,
    {
        "mt_batch_balance_of": ["152000000", "84000000000000000000001"],
        "current_salt": "252812b3",
        "fee": 1,
        "has_public_key": True,
        "is_account_locked": False,
        "is_nonce_used": False,
        "is_valid_salt": True,
        "simulate_intents": _SIMULATION,
    },
)
RELAY_RPC: tuple[Any, ...] = (
    {"result": {"status": "OK", "intent_hash": "4LKE"}},
    {"result": {"status": "FAILED", "reason": "nonce was already used", "intent_hash": ""}},
    {"result": {"status": "FAILED", "reason": "Intent already processed"}},
    {"result": {"intent_hash": "4LKE", "status": "TX_BROADCASTED", "data": {"hash": "8yFNEk7G"}}},
    {"result": {"intent_hash": "4LKE", "status": "SETTLED", "data": {"hash": "8yFNEk7G"}}},
    {"result": {"intent_hash": "4LKE", "status": "NOT_FOUND_OR_NOT_VALID", "status_details": "FAILED", "data": {}}},
    {"error": {"code": -32602, "message": "params must be an array with one object"}},
)


def seeds() -> dict[str, list[str]]:
    """The texts of every target's corpus."""
    frames = [case["frame"] for case in _vectors("relay_messages", "frames")]
    logs = [_logged(case) for case in _vectors("events", "cases")[:EVENTS_MAX]]
    outcome = {
        "final_execution_status": "FINAL",
        "receipts_outcome": [
            {"outcome": {"executor_id": "intents.near", "status": {"SuccessValue": ""}, "logs": log.splitlines()}}
            for log in logs
        ],
    }
    samples = sorted((TESTS / "fixtures" / "messages" / "v1").glob("*.json"))
    return {
        "relay": [frame if isinstance(frame, str) else json.dumps(frame) for frame in frames],
        "relay_rpc": [json.dumps(reply) for reply in RELAY_RPC],
        "rpc": [json.dumps(reply) for reply in (*RPC, {"result": outcome})],
        "contract": [json.dumps(returned) for returned in CONTRACT] + logs,
        "bridge": [json.dumps(reply) for reply in BRIDGE],
        "kraken": list(KRAKEN),
        "coingecko": list(COINGECKO),
        "records": [sample.read_text() for sample in samples],
    }


def _vectors(name: str, part: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((TESTS / "vectors" / f"{name}.json").read_text())[part]
    return found


def _logged(case: dict[str, Any]) -> str:
    """The lines of a case, told about the account that the targets ask for."""
    return "\n".join(case["logs"]).replace(case["own_account"], "solver.near")


def main() -> None:
    """Replace the seeds; inputs of crashes stay."""
    for name, texts in seeds().items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in corpus(name):
            if not path.name.startswith(PREFIX):
                path.unlink()
        for number, text in enumerate(texts):
            (folder / f"seed-{number:02}.json").write_text(text)


if __name__ == "__main__":
    main()
