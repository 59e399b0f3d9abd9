from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from support.json_service import client_of
from support.near_node import (
    BTC,
    EURE,
    HEADER,
    HEIGHT,
    NESTED,
    NONCE,
    NOW,
    PAUSED,
    Node,
    an_error,
    endpoints_of,
    verifier_at,
)
from unrip.domain.values import Amount
from unrip.venues.near_intents.rpc import (
    BlockUnknown,
    ContractPanic,
    NearRpc,
    RpcContradicted,
    RpcRefused,
    RpcUnavailable,
)
from unrip.venues.near_intents.verifier import TRANSACTIONS_MAX, Verifier


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def verifier(node: Node) -> Verifier:
    return verifier_at(endpoints_of(node))


async def test_one_reading_is_of_one_block(node: Node, verifier: Verifier) -> None:
    reading = await verifier.read(nonces=[NONCE], salts=["252812b3"])
    assert (reading.height, reading.observed_at) == (HEIGHT, NOW)
    assert reading.block_time == datetime(2026, 11, 22, 10, 0, 0, 123_456, tzinfo=UTC)
    assert reading.credited == {BTC: Amount(152_000_000), EURE: Amount(84_000_000_000_000_000_000_001)}
    assert (reading.salt, reading.fee_pips) == ("252812b3", 1)
    assert (reading.key_registered, reading.account_locked, reading.contract_paused) == (True, False, False)
    assert reading.nonces == {NONCE: True}
    assert reading.salts == {"252812b3": False}
    assert ("is_nonce_used", {"account_id": "desk.example.near", "nonce": NONCE}) in node.asked


async def test_many_nonces_keep_their_own_answers(node: Node, verifier: Verifier) -> None:
    reading = await verifier.read(nonces=[f"nonce {number}" for number in range(40)])
    assert len(reading.nonces) == 40
    assert reading.salts == {}


async def test_a_paused_contract_is_told_by_its_panic(node: Node, verifier: Verifier) -> None:
    node.panics["simulate_intents"] = PAUSED
    assert (await verifier.read()).contract_paused


async def test_another_panic_is_not_a_pause(node: Node, verifier: Verifier) -> None:
    node.panics["simulate_intents"] = "wasm execution failed: MethodNotFound"
    with pytest.raises(ContractPanic, match="MethodNotFound"):
        await verifier.read()


async def test_a_node_that_answers_for_another_block_says_nothing(node: Node, verifier: Verifier) -> None:
    node.height = HEIGHT - 1
    with pytest.raises(RpcUnavailable, match="answered for block"):
        await verifier.read()


@pytest.mark.parametrize(
    ("view", "answer"),
    [
        ("mt_batch_balance_of", ["152000000"]),
        ("mt_batch_balance_of", ["152000000", "-1"]),
        ("mt_batch_balance_of", [152000000, 1]),
        ("mt_batch_balance_of", None),
        ("current_salt", "252812"),
        ("current_salt", None),
        ("fee", "1"),
        ("fee", 0.5),
        ("fee", 2**63),
        ("has_public_key", None),
        ("is_account_locked", "false"),
        ("is_nonce_used", 1),
    ],
)
async def test_a_value_of_another_type_is_unknown(node: Node, verifier: Verifier, view: str, answer: Any) -> None:
    node.views[view] = answer
    with pytest.raises(RpcUnavailable):
        await verifier.read(nonces=[NONCE])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (an_error("HANDLER_ERROR", "UNKNOWN_BLOCK"), RpcUnavailable),
        (an_error("HANDLER_ERROR", "NO_SYNCED_BLOCKS"), RpcUnavailable),
        (an_error("INTERNAL_ERROR", "INTERNAL_ERROR"), RpcUnavailable),
        (an_error("HANDLER_ERROR", "UNKNOWN_ACCOUNT"), RpcRefused),
        (an_error("HANDLER_ERROR", "NO_CONTRACT_CODE"), RpcRefused),
        (an_error("REQUEST_VALIDATION_ERROR", "PARSE_ERROR"), RpcRefused),
        (an_error("HANDLER_ERROR", "CONTRACT_EXECUTION_ERROR", vm_error="panicked: no"), ContractPanic),
        ({"error": "plain"}, RpcUnavailable),
        ({"error": {"cause": 7}}, RpcUnavailable),
        ({}, RpcUnavailable),
        ([], RpcUnavailable),
        ({"result": {"header": {}}}, RpcUnavailable),
        ({"result": {"header": {**HEADER, "timestamp_nanosec": "9" * 40}}}, RpcUnavailable),
        ({"result": {"header": {**HEADER, "height": 2**63}}}, RpcUnavailable),
        ({"result": {"header": {**HEADER, "height": -1}}}, RpcUnavailable),
        ({"result": {"header": {**HEADER, "hash": ""}}}, RpcUnavailable),
        ({"result": {"header": {**HEADER, "prev_hash": None}}}, RpcUnavailable),
        (an_error("HANDLER_ERROR", "UNKNOWN_BLOCK"), BlockUnknown),
        (an_error("HANDLER_ERROR", "GARBAGE_COLLECTED_BLOCK"), BlockUnknown),
        ({"result": 7}, RpcUnavailable),
        (an_error("HANDLER_ERROR", []), RpcUnavailable),
        (an_error([], {}), RpcUnavailable),
        (an_error(NESTED, NESTED), RpcUnavailable),
        (an_error("HANDLER_ERROR", "CONTRACT_EXECUTION_ERROR", vm_error=NESTED), ContractPanic),
    ],
)
async def test_panics_refusals_and_unknown_are_told_apart(
    node: Node, verifier: Verifier, answer: Any, kind: type[Exception]
) -> None:
    node.raw = answer
    with pytest.raises(kind):
        await verifier.read()


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_an_error_counts_whatever_the_http_status(status: int) -> None:
    rpc = NearRpc(
        client_of(lambda _: an_error("HANDLER_ERROR", "UNKNOWN_ACCOUNT"), status=status), "http://127.0.0.1:9/"
    )
    with pytest.raises(RpcRefused):
        await rpc.final_block()


@pytest.mark.parametrize("returned", [10**12, 10**30, True, "[]", None, {}, [256], [-1], [[]], [10**30], [1.5]])
async def test_what_is_no_list_of_bytes_is_unknown(returned: Any) -> None:
    """`bytes` of a number would be that many zeros."""
    reply = {"result": {"block_height": HEIGHT, "result": returned}}
    with pytest.raises(RpcUnavailable, match="not readable"):
        await NearRpc(client_of(lambda _: reply), "http://127.0.0.1:9/").view("c", "fee", {}, height=HEIGHT)


@pytest.mark.parametrize("status", [429, 500])
async def test_a_gateway_page_is_unknown(status: int) -> None:
    rpc = NearRpc(client_of(lambda _: "<html>", status=status), "http://127.0.0.1:9/")
    with pytest.raises(RpcUnavailable):
        await rpc.final_block()


async def test_a_simulated_offer_leaves_its_own_amounts_unmatched(node: Node, verifier: Verifier) -> None:
    node.views["simulate_intents"] = {
        "intents_executed": [],
        "invariant_violated": {"error": "unmatched_deltas", "unmatched_deltas": {EURE: "5", BTC: "-4"}},
        "state": {"fee": 1, "current_salt": "252812b3"},
    }
    simulation = await verifier.simulate([{"standard": "nep413"}])
    assert simulation.refusal is None
    assert simulation.unmatched == {EURE: 5, BTC: -4}
    assert (simulation.current_salt, simulation.fee_pips) == ("252812b3", 1)
    assert node.asked == [("simulate_intents", {"signed": [{"standard": "nep413"}]})]


async def test_a_refused_simulation_is_an_outcome(node: Node, verifier: Verifier) -> None:
    node.panics["simulate_intents"] = "Smart contract panicked: invalid salt"
    simulation = await verifier.simulate([{}])
    assert simulation.refusal is not None
    assert "invalid salt" in simulation.refusal


async def test_a_simulation_that_cannot_be_read_is_unknown(node: Node, verifier: Verifier) -> None:
    node.views["simulate_intents"] = {"state": None}
    with pytest.raises(RpcUnavailable):
        await verifier.simulate([{}])


async def test_the_fills_of_a_transaction(node: Node, verifier: Verifier) -> None:
    entry = {"intent_hash": "qh", "account_id": "desk.example.near", "diff": {BTC: "-9", EURE: "10"}}
    log = "EVENT_JSON:" + json.dumps({"standard": "dip4", "event": "token_diff", "data": [entry]})
    outcome = {"executor_id": "intents.near", "status": {"SuccessValue": ""}, "logs": [log]}
    forged = {**outcome, "executor_id": "evil.near", "logs": [log.replace("qh", "forged")]}
    node.views["tx"] = {
        "final_execution_status": "FINAL",
        "receipts_outcome": [{"outcome": forged}, {"outcome": outcome}],
    }
    (fill,) = await verifier.transaction_fills("tx", "desk.example.near")
    assert (fill.quote_hash, fill.tx_hash, fill.diff, fill.nonce) == ("qh", "tx", {BTC: -9, EURE: 10}, None)


async def test_an_executed_intent_without_a_movement_is_told_with_its_nonce(node: Node, verifier: Verifier) -> None:
    """Somebody with the account's key, or our own revocation: it says who used the nonce."""
    entry = {"intent_hash": "stranger's", "account_id": "desk.example.near", "nonce": "n1"}
    log = "EVENT_JSON:" + json.dumps({"standard": "dip4", "event": "intents_executed", "data": [entry]})
    outcome = {"executor_id": "intents.near", "status": {"SuccessValue": ""}, "logs": [log]}
    node.views["tx"] = {"final_execution_status": "FINAL", "receipts_outcome": [{"outcome": outcome}]}
    (told,) = await verifier.transaction_fills("tx", "desk.example.near")
    assert (told.quote_hash, told.nonce, told.diff) == ("stranger's", "n1", None)


@pytest.mark.parametrize("status", ["EXECUTED_OPTIMISTIC", "INCLUDED_FINAL", "NONE", None])
async def test_a_transaction_that_is_not_final_proves_nothing(
    node: Node, verifier: Verifier, status: str | None
) -> None:
    """A node may answer before it is what was asked for; what it tells may still be undone."""
    node.views["tx"] = {"final_execution_status": status, "receipts_outcome": []}
    with pytest.raises(RpcUnavailable):
        await verifier.transaction_fills("tx", "desk.example.near")


@pytest.mark.parametrize("other", ["another", "the same"])
async def test_with_a_cross_check_two_nodes_must_tell_the_same_of_a_transaction(other: str) -> None:
    nodes = Node(), Node()
    for node, intent in zip(nodes, ("qh", "qh" if other == "the same" else "forged"), strict=True):
        entry = {"intent_hash": intent, "account_id": "desk.example.near", "nonce": "n1"}
        log = "EVENT_JSON:" + json.dumps({"standard": "dip4", "event": "intents_executed", "data": [entry]})
        outcome = {"executor_id": "intents.near", "status": {"SuccessValue": ""}, "logs": [log]}
        node.views["tx"] = {"final_execution_status": "FINAL", "receipts_outcome": [{"outcome": outcome}]}
    verifier = verifier_at(endpoints_of(*nodes), cross_check=True)
    if other == "the same":
        assert len(await verifier.transaction_fills("tx", "desk.example.near")) == 1
        return
    with pytest.raises(RpcContradicted):
        await verifier.transaction_fills("tx", "desk.example.near")


async def test_a_transaction_that_cannot_be_read_is_unknown(node: Node, verifier: Verifier) -> None:
    node.views["tx"] = {"final_execution_status": "FINAL", "receipts_outcome": None}
    with pytest.raises(RpcUnavailable):
        await verifier.transaction_fills("tx", "desk.example.near")


class BlocksOfTransactions(Node):
    """A node that keeps blocks with transactions to the contract, some of which used a nonce of ours."""

    def __init__(self, transactions: dict[int, list[str]], *, used_by: str = "") -> None:
        super().__init__()
        self._transactions, self._used_by = transactions, used_by

    def __call__(self, request: Any) -> Any:
        method, params = request["method"], request["params"]
        if method == "block" and "block_id" in params:
            if params["block_id"] not in self._transactions:
                return {"error": {"name": "HANDLER_ERROR", "cause": {"name": "UNKNOWN_BLOCK", "info": {}}}}
            return {"result": {"chunks": [{"chunk_hash": f"chunk of {params['block_id']}"}]}}
        if method == "chunk":
            height = int(params["chunk_id"].removeprefix("chunk of "))
            held = [
                {"hash": each, "signer_id": "s", "receiver_id": "intents.near"} for each in self._transactions[height]
            ]
            return {"result": {"transactions": held}}
        intent = {"intent_hash": "who", "account_id": "desk.example.near", "nonce": NONCE}
        log = "EVENT_JSON:" + json.dumps({"standard": "dip4", "event": "intents_executed", "data": [intent]})
        logs = [log] if params["tx_hash"] == self._used_by else []
        outcome = {"executor_id": "intents.near", "status": {"SuccessValue": ""}, "logs": logs}
        return {"result": {"final_execution_status": "FINAL", "receipts_outcome": [{"outcome": outcome}]}}


@pytest.mark.parametrize(
    ("transactions", "used_by", "found"),
    [
        ({8: [], 9: ["a", "b"], 10: []}, "b", True),
        ({8: ["c"], 9: ["a"], 10: []}, "c", True),
        ({8: ["a"], 10: ["b"]}, "b", True),
        ({8: ["a"], 9: ["b"], 10: ["c"]}, "", False),
        ({8: ["a"], 10: []}, "", False),
        ({8: [], 9: []}, "", None),
        ({10: []}, "", None),
        ({}, "", None),
        ({8: [], 9: [f"tx {n}" for n in range(TRANSACTIONS_MAX + 1)], 10: []}, f"tx {TRANSACTIONS_MAX}", None),
    ],
)
async def test_none_used_a_nonce_only_where_every_transaction_was_looked_into(
    transactions: dict[int, list[str]], used_by: str, found: bool | None
) -> None:
    """True: found, False: none did, None: not all could be read, which is unknown."""
    verifier = verifier_at(endpoints_of(BlocksOfTransactions(transactions, used_by=used_by)))
    if found is None:
        with pytest.raises(RpcUnavailable):
            await verifier.fills_of_use(NONCE, 10)
        return
    fills = await verifier.fills_of_use(NONCE, 10)
    assert [(fill.nonce, fill.tx_hash) for fill in fills] == ([(NONCE, used_by)] if found else [])


@pytest.mark.parametrize("knows", [0, 1])
async def test_with_a_cross_check_no_node_alone_says_that_none_used_a_nonce(knows: int) -> None:
    kept = {8: [], 9: ["a"], 10: []}
    nodes = [BlocksOfTransactions(kept if n == knows else {8: [], 9: [], 10: []}, used_by="a") for n in range(2)]
    (fill,) = await verifier_at(endpoints_of(*nodes), cross_check=True).fills_of_use(NONCE, 10)
    assert fill.nonce == NONCE
