from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.vectors import cases, label
from unrip.net.exact import NotExact
from unrip.venues.near_intents.contract_events import (
    AccountEvents,
    IntentFill,
    LedgerMove,
    read_events,
    successful_logs,
)


def _fill(fill: IntentFill) -> dict[str, Any]:
    return {
        "intent_hash": fill.intent_hash,
        "diff": {token: str(int(delta)) for token, delta in fill.diff.items()},
        "fees_collected": {token: str(int(fee)) for token, fee in fill.fees_collected.items()},
        "nonce": fill.nonce,
    }


def _move(move: LedgerMove) -> dict[str, Any]:
    return {"kind": move.kind, "token_id": move.token_id, "amount": str(int(move.amount)), "memo": move.memo}


@pytest.mark.parametrize("case", cases("events"), ids=label)
def test_vectors(case: dict[str, Any]) -> None:
    events, expected = read_events(case["logs"], account=case["own_account"]), case["expected"]
    open_hashes = set(case["open_quote_hashes"])
    assert [_fill(fill) for fill in events.fills if fill.intent_hash in open_hashes] == expected["fills"]
    assert [f.intent_hash for f in events.fills if f.intent_hash not in open_hashes] == expected["own_intents_unknown"]
    assert [_move(move) for move in events.credits] == expected["credits"]
    assert [_move(move) for move in events.debits] == expected["debits"]
    assert events.new_salt == expected.get("new_salt")
    assert list(events.invalidated_salts) == expected.get("invalidated_salts", [])
    assert events.new_fee_pips == expected.get("new_fee_pips")
    assert list(events.keys_added) == expected.get("keys_added", [])


def _receipt(executor: str, status: dict[str, Any], log: str) -> dict[str, Any]:
    return {"outcome": {"executor_id": executor, "status": status, "logs": [log]}}


def test_only_the_contracts_own_successful_receipts_count() -> None:
    transaction = {
        "receipts_outcome": [
            _receipt("intents.near", {"SuccessValue": ""}, "a"),
            _receipt("intents.near", {"SuccessReceiptId": "r"}, "b"),
            _receipt("intents.near", {"Failure": {}}, "failed"),
            _receipt("evil.near", {"SuccessValue": ""}, "forged"),
        ]
    }
    assert successful_logs(transaction, contract="intents.near") == ["a", "b"]


@pytest.mark.parametrize(
    "transaction", [{}, {"receipts_outcome": 7}, {"receipts_outcome": [7]}, {"receipts_outcome": [{}]}]
)
def test_what_is_no_outcome_is_refused(transaction: dict[str, Any]) -> None:
    with pytest.raises(NotExact):
        successful_logs(transaction, contract="intents.near")


def test_a_hash_counts_once() -> None:
    log = next(case["logs"][1] for case in cases("events") if case["id"] == "pub-ev-01")
    assert len(read_events([log, log], account="mm.example.near").fills) == 1


lines = [line for case in cases("events") for line in case["logs"]]


@given(st.sampled_from(lines), st.integers(0, 900), st.text(max_size=4))
def test_no_line_can_hurt(line: str, at: int, put: str) -> None:
    assert isinstance(read_events([line[:at] + put + line[at + len(put) :]], account="mm.example.near"), AccountEvents)


def test_a_line_that_is_cut_off_says_nothing() -> None:
    """Neither a part of a fill nor another one: what it would have said is asked for elsewhere."""
    (account,) = {case["own_account"] for case in cases("events")}
    line = max((line for line in lines if read_events([line], account=account).fills), key=len)
    for end in range(len(line)):
        assert read_events([line[:end]], account=account) == AccountEvents()


@pytest.mark.parametrize("account", ["[]", "{}", "7", "null"])
def test_an_entry_with_an_odd_account_hides_no_other(account: str) -> None:
    odd = f'{{"account_id":{account},"diff":{{}}}}'
    ours = '{"account_id":"a.near","intent_hash":"h","diff":{"t":"-1"}}'
    line = f'EVENT_JSON:{{"standard":"dip4","event":"token_diff","data":[{odd},{ours}]}}'
    (fill,) = read_events([line], account="a.near").fills
    assert fill.diff == {"t": -1}
