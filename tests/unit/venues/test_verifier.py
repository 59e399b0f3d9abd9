from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.json_service import client_of
from unrip.domain.values import Amount
from unrip.venues.near_intents.endpoints import BACK_TO_FIRST_AFTER, LAG_MAX, Endpoints
from unrip.venues.near_intents.rpc import (
    BlockUnknown,
    ContractPanic,
    NearRpc,
    RpcContradicted,
    RpcRefused,
    RpcUnavailable,
)
from unrip.venues.near_intents.verifier import TRANSACTIONS_MAX, Verifier

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


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def verifier(node: Node) -> Verifier:
    return verifier_at(endpoints_of(node))


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


def _error(name: Any, cause: Any, **info: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": "unrip",
        "error": {"name": name, "cause": {"name": cause, "info": info}, "code": -1},
    }


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_error("HANDLER_ERROR", "UNKNOWN_BLOCK"), RpcUnavailable),
        (_error("HANDLER_ERROR", "NO_SYNCED_BLOCKS"), RpcUnavailable),
        (_error("INTERNAL_ERROR", "INTERNAL_ERROR"), RpcUnavailable),
        (_error("HANDLER_ERROR", "UNKNOWN_ACCOUNT"), RpcRefused),
        (_error("HANDLER_ERROR", "NO_CONTRACT_CODE"), RpcRefused),
        (_error("REQUEST_VALIDATION_ERROR", "PARSE_ERROR"), RpcRefused),
        (_error("HANDLER_ERROR", "CONTRACT_EXECUTION_ERROR", vm_error="panicked: no"), ContractPanic),
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
        (_error("HANDLER_ERROR", "UNKNOWN_BLOCK"), BlockUnknown),
        (_error("HANDLER_ERROR", "GARBAGE_COLLECTED_BLOCK"), BlockUnknown),
        ({"result": 7}, RpcUnavailable),
        (_error("HANDLER_ERROR", []), RpcUnavailable),
        (_error([], {}), RpcUnavailable),
        (_error(NESTED, NESTED), RpcUnavailable),
        (_error("HANDLER_ERROR", "CONTRACT_EXECUTION_ERROR", vm_error=NESTED), ContractPanic),
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
    rpc = NearRpc(client_of(lambda _: _error("HANDLER_ERROR", "UNKNOWN_ACCOUNT"), status=status), "http://127.0.0.1:9/")
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


# --- several nodes ---------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def forward(clock: Clock, by: timedelta, *nodes: Node) -> None:
    """Let time pass, also on these nodes' chain."""
    clock.now += by
    for node in nodes:
        node.nanoseconds += by // timedelta(microseconds=1) * 1_000


def down() -> Node:
    node = Node()
    node.raw = _error("HANDLER_ERROR", "NO_SYNCED_BLOCKS")
    return node


def places(counts: Counts) -> list[tuple[str, str]]:
    assert {name for name, *_ in counts} == {"rpc_questions"}
    return [(endpoint, outcome) for _name, endpoint, outcome in counts]


async def test_the_next_node_is_asked_where_one_is_unavailable_and_stays_for_a_while() -> None:
    first, second, third, clock, counts = down(), down(), Node(), Clock(), Counts()
    verifier = verifier_at(endpoints_of(first, second, third, clock=clock, counts=counts))
    assert (await verifier.read()).height == HEIGHT
    assert places(counts) == [("1", "unavailable"), ("2", "unavailable"), ("3", "answered")]
    first.raw = None
    counts.clear()
    forward(clock, BACK_TO_FIRST_AFTER - timedelta(seconds=1), first, third)
    await verifier.read()
    assert places(counts) == [("3", "answered")]
    counts.clear()
    forward(clock, timedelta(seconds=1), first, third)
    await verifier.read()
    assert places(counts) == [("1", "answered")], "back to the first"
    counts.clear()
    forward(clock, BACK_TO_FIRST_AFTER * 2, first, third)
    await verifier.read()
    assert places(counts) == [("1", "answered")]


async def test_a_first_node_that_is_still_away_is_left_for_another_while() -> None:
    first, second, clock, counts = down(), Node(), Clock(), Counts()
    verifier = verifier_at(endpoints_of(first, second, clock=clock, counts=counts))
    await verifier.read()
    forward(clock, BACK_TO_FIRST_AFTER, first, second)
    await verifier.read()
    counts.clear()
    await verifier.read()
    assert places(counts) == [("2", "answered")]
    second.raw = first.raw
    first.raw = None
    counts.clear()
    await verifier.read()
    assert places(counts) == [("2", "unavailable"), ("1", "answered")], "any other, when the one that stood in is away"


async def test_a_node_that_lags_behind_our_clock_is_passed_over_while_another_is_further() -> None:
    first, second, clock, counts = Node(), Node(), Clock(), Counts()
    verifier = verifier_at(endpoints_of(first, second, clock=clock, counts=counts))
    forward(clock, LAG_MAX, second)
    await verifier.read()
    assert places(counts) == [("1", "answered")], "at the bound it does not lag yet"
    counts.clear()
    forward(clock, timedelta(seconds=1), second)
    reading = await verifier.read()
    assert (clock.now - reading.block_time) < LAG_MAX
    assert places(counts) == [("1", "lagging"), ("2", "answered")]
    counts.clear()
    await verifier.read()
    assert places(counts) == [("2", "answered")], "and the other one stays for a while"


async def test_a_node_that_lags_behind_another_is_passed_over_whatever_our_clock_says() -> None:
    ahead, behind, other, clock, counts = Node(), Node(), Node(), Clock(), Counts()
    forward(clock, LAG_MAX + timedelta(seconds=1), ahead, other)
    clock.now = NOW
    verifier = verifier_at(endpoints_of(ahead, behind, other, clock=clock, counts=counts))
    await verifier.read()
    ahead.raw = down().raw
    await verifier.read()
    assert places(counts) == [("1", "answered"), ("1", "unavailable"), ("2", "lagging"), ("3", "answered")]


async def test_where_every_node_lags_the_newest_answer_counts() -> None:
    """A chain that stands still is no reason to forget what it said: its age is judged by those who use it."""
    first, second, clock, counts = Node(), Node(), Clock(), Counts()
    forward(clock, timedelta(seconds=1), second)
    verifier = verifier_at(endpoints_of(first, second, clock=clock, counts=counts))
    forward(clock, LAG_MAX * 2)
    reading = await verifier.read()
    assert clock.now - reading.block_time < LAG_MAX * 2
    assert places(counts) == [("1", "lagging"), ("2", "lagging")]


async def test_a_node_that_is_not_believed_is_turned_away_from_whatever_time_it_gave() -> None:
    """Its time would make every other node lag for ever."""
    liar, other, clock = Node(), Node(), Clock()
    forward(clock, timedelta(minutes=5), liar)
    clock.now = NOW
    verifier = verifier_at(named(liar, other, clock=clock))
    assert (await verifier.read()).node == "1"
    assert (await verifier.read(elsewhere=True)).node == "2"
    assert (await verifier.read()).node == "2", "as if it stood in for the first"
    clock.now += BACK_TO_FIRST_AFTER
    other.nanoseconds += BACK_TO_FIRST_AFTER // timedelta(microseconds=1) * 1_000
    assert (await verifier.read()).node == "1"


async def test_two_nodes_that_had_to_agree_are_both_named() -> None:
    verifier = verifier_at(named(Node(), Node(), clock=lambda: NOW), cross_check=True)
    assert (await verifier.read()).node == "1+2"


async def test_two_nodes_together_lag_by_the_block_that_both_have() -> None:
    first, second, clock, counts = Node(), Node(), Clock(), Counts()
    clock.now += LAG_MAX * 2
    reading = await verifier_at(endpoints_of(first, second, clock=clock, counts=counts), cross_check=True).read()
    assert reading.height == HEIGHT
    assert places(counts) == [("1", "lagging"), ("2", "lagging")]


async def test_a_reading_never_comes_from_two_nodes() -> None:
    first, second = Node(), Node()
    first.views["is_account_locked"] = None
    await verifier_at(endpoints_of(first, second)).read()
    assert len(second.asked) == 6


async def test_without_any_node_the_last_reason_stands() -> None:
    with pytest.raises(RpcUnavailable, match="NO_SYNCED_BLOCKS"):
        await verifier_at(endpoints_of(down(), down())).read()


async def test_a_definite_word_is_not_asked_about_elsewhere() -> None:
    first, second, counts = Node(), Node(), Counts()
    first.panics["simulate_intents"] = "wasm execution failed: MethodNotFound"
    with pytest.raises(ContractPanic):
        await verifier_at(endpoints_of(first, second, counts=counts)).read()
    assert places(counts) == [("1", "answered")]
    assert second.asked == []


async def test_simulations_and_transactions_fail_over_too() -> None:
    node = Node()
    node.views["tx"] = {"final_execution_status": "FINAL", "receipts_outcome": []}
    verifier = verifier_at(endpoints_of(down(), node))
    assert (await verifier.simulate([{}])).refusal is None
    assert await verifier.transaction_fills("tx", "desk.example.near") == []


@pytest.mark.parametrize("ahead", ["neither", "first", "second"])
async def test_two_nodes_that_agree_are_believed_at_the_block_that_both_have(ahead: str) -> None:
    first, second = Node(), Node()
    if ahead != "neither":
        (first if ahead == "first" else second).final = HEIGHT + 2
    reading = await verifier_at(endpoints_of(first, second), cross_check=True).read(nonces=[NONCE], salts=["252812b3"])
    assert (reading.height, reading.nonces) == (HEIGHT, {NONCE: True})
    assert sorted(name for name, _ in first.asked) == sorted(name for name, _ in second.asked)


CONTRADICTIONS: dict[str, Any] = {
    "mt_batch_balance_of": ["152000000", "84000000000000000000000"],
    "is_nonce_used": False,
    "is_valid_salt": True,
    "current_salt": "252812b4",
}


@pytest.mark.parametrize("view", CONTRADICTIONS)
async def test_two_nodes_that_differ_are_both_not_believed(view: str) -> None:
    first, second, counts = Node(), Node(), Counts()
    second.views[view] = CONTRADICTIONS[view]
    with pytest.raises(RpcContradicted, match=f"block {HEIGHT}"):
        await verifier_at(endpoints_of(first, second, Node(), counts=counts), cross_check=True).read(
            nonces=[NONCE], salts=["252812b3"]
        )
    assert places(counts) == [("1", "contradicted")], "a third node is not asked until somebody agrees"


async def test_two_nodes_must_agree_about_the_time_of_a_block() -> None:
    first, second = Node(), Node()
    second.nanoseconds += 10**9
    with pytest.raises(RpcContradicted, match="times"):
        await verifier_at(endpoints_of(first, second), cross_check=True).read()


async def test_what_one_node_says_alone_is_unknown() -> None:
    with pytest.raises(RpcUnavailable):
        await verifier_at(endpoints_of(Node(), down()), cross_check=True).read()


async def test_a_third_node_stands_in_for_either_of_two() -> None:
    for nodes in ((down(), Node(), Node()), (Node(), down(), Node()), (Node(), Node(), down())):
        assert (await verifier_at(endpoints_of(*nodes), cross_check=True).read()).height == HEIGHT
