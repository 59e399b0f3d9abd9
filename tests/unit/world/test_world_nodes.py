"""Two NEAR nodes of one chain: each lies for itself, about time, height and state; transactions and where they are."""

import base64
import json
from typing import Any

import pytest

from support.virtual_world import DESK, Driver, ask, clear, fair_answer, strike, until, verdict, world
from unrip_world.assets import BTC
from unrip_world.config import ChainSettings
from unrip_world.faults import NODES
from unrip_world.rpc.core import NotYetError, RpcError


def call(driver: Driver, node: str, method: str, **parameters: Any) -> Any:
    return driver.world.nodes[node].call(method, parameters)


def final(driver: Driver, node: str) -> dict[str, Any]:
    header: dict[str, Any] = call(driver, node, "block", finality="final")["header"]
    return header


def view(driver: Driver, node: str, method: str, *, block_id: object = None, **arguments: Any) -> tuple[int, Any]:
    """The height that the node tells, and what the view gave."""
    where = {"finality": "optimistic"} if block_id is None else {"block_id": block_id}
    encoded = base64.b64encode(json.dumps(arguments).encode()).decode()
    answer = call(
        driver,
        node,
        "query",
        request_type="call_function",
        account_id="intents.near",
        method_name=method,
        args_base64=encoded,
        **where,
    )
    return answer["block_height"], json.loads(bytes(answer["result"]))


def test_both_nodes_tell_the_same_while_nothing_is_wrong() -> None:
    driver = Driver(world())
    driver.run(5)
    first, second = (final(driver, node) for node in NODES)
    assert first == second


@pytest.mark.parametrize("kind", ["lag_blocks", "timestamp_skew_ms", "height_shift", "false_view"])
@pytest.mark.parametrize(("liar", "honest"), [NODES, NODES[::-1]])
def test_one_of_them_lies_alone(kind: str, liar: str, honest: str) -> None:
    driver = Driver(world())
    driver.run(10)

    def told(node: str) -> tuple[object, ...]:
        return final(driver, node), view(driver, node, "current_salt")

    truth = told(honest)
    parameters: dict[str, dict[str, Any]] = {
        "lag_blocks": {"blocks": 3},
        "timestamp_skew_ms": {"ms": -70_000},
        "height_shift": {"by": 10**15},
        "false_view": {"method": "current_salt", "result": '"00000000"'},
    }
    strike(driver, liar, kind, **parameters[kind])
    assert told(honest) == truth
    assert told(liar) != truth
    clear(driver, liar, kind)
    assert told(liar) == truth


@pytest.mark.parametrize("by", [10**15, -1_000])
def test_a_node_with_other_heights_is_asked_by_them(by: int) -> None:
    driver = Driver(world())
    driver.run(5)
    true, chain = final(driver, "rpc"), driver.world.chain
    strike(driver, "rpc", "height_shift", by=by)
    told = final(driver, "rpc")
    assert told == true | {"height": true["height"] + by}
    arguments = {"account_id": DESK.account_id, "token_id": BTC}
    assert view(driver, "rpc", "mt_balance_of", block_id=told["height"], **arguments) == (told["height"], str(10**9))
    assert view(driver, "rpc", "current_salt", block_id=chain.head.hash)[0] == chain.head.height + by
    status = driver.world.nodes["rpc"].call("status", [])
    assert status["sync_info"]["latest_block_height"] == chain.head.height + by
    with pytest.raises(RpcError, match="DB Not Found"):
        call(driver, "rpc", "block", block_id=true["height"])


def test_a_false_view_is_of_one_method_and_changes_nothing() -> None:
    driver = Driver(world())
    driver.run(1)
    strike(driver, "rpc2", "false_view", method="is_nonce_used", result="true")
    arguments = {"account_id": DESK.account_id, "nonce": base64.b64encode(bytes(32)).decode()}
    assert [view(driver, node, "is_nonce_used", **arguments)[1] for node in NODES] == [False, True]
    assert view(driver, "rpc2", "mt_balance_of", account_id=DESK.account_id, token_id=BTC)[1] == str(10**9)


# -- transactions

UNTIL_FINAL = ("INCLUDED_FINAL", "EXECUTED", "FINAL")


def settle(driver: Driver) -> dict[str, str]:
    until(driver, quote_id := ask(driver), "settled")
    tx_hash = driver.world.relay.auctions[quote_id].tx_hash
    assert tx_hash is not None
    return {"tx_hash": tx_hash, "sender_account_id": "any.near"}


@pytest.mark.parametrize("method", ["tx", "EXPERIMENTAL_tx_status"])
def test_a_transaction_is_told_when_it_is_as_far_as_it_was_asked_for(method: str) -> None:
    driver = Driver(world(chain=ChainSettings(final_lag_blocks=4)), respond=fair_answer)
    driver.run(5)
    asked = settle(driver)
    for until_ in ("NONE", "INCLUDED", "EXECUTED_OPTIMISTIC", None):
        early = asked if until_ is None else {**asked, "wait_until": until_}
        assert call(driver, "rpc", method, **early)["final_execution_status"] == "EXECUTED_OPTIMISTIC"
    for until_ in UNTIL_FINAL:
        with pytest.raises(NotYetError):
            call(driver, "rpc", method, **asked, wait_until=until_)
    driver.run(3)
    for until_ in UNTIL_FINAL:
        assert call(driver, "rpc", method, **asked, wait_until=until_)["final_execution_status"] == "FINAL"
    # A node that lags has not seen what the other one takes for final.
    strike(driver, "rpc2", "lag_blocks", blocks=4)
    with pytest.raises(NotYetError):
        call(driver, "rpc2", method, **asked, wait_until="FINAL")


@pytest.mark.parametrize("wrong", ["final", "SETTLED", 1, None])
def test_an_unknown_wait_is_refused(wrong: object) -> None:
    driver = Driver(world(), respond=fair_answer)
    with pytest.raises(RpcError, match="unknown variant"):
        call(driver, "rpc", "tx", **settle(driver), wait_until=wrong)


def test_a_hasty_node_tells_what_may_vanish() -> None:
    driver = Driver(world(chain=ChainSettings(final_lag_blocks=4)), respond=fair_answer)
    asked = settle(driver)
    strike(driver, "rpc", "hasty")
    told = call(driver, "rpc", "tx", **asked, wait_until="FINAL")
    assert (told["final_execution_status"], told["status"]) == ("EXECUTED_OPTIMISTIC", {"SuccessValue": ""})
    strike(driver, "chain", "reorg", blocks=2)
    with pytest.raises(RpcError, match="doesn't exist"):
        call(driver, "rpc", "tx", **asked, wait_until="FINAL")


def test_a_node_that_keeps_few_blocks_has_no_older_one() -> None:
    driver = Driver(world())
    driver.run(20)
    newest = call(driver, "rpc", "block", finality="optimistic")["header"]
    oldest = call(driver, "rpc", "block", block_id=newest["height"] - 5)
    strike(driver, "rpc", "keep_blocks", blocks=5)
    assert call(driver, "rpc", "block", block_id=newest["height"] - 4)["header"]["height"] == newest["height"] - 4
    with pytest.raises(RpcError, match="BLOCK"):
        call(driver, "rpc", "block", block_id=oldest["header"]["height"])
    with pytest.raises(RpcError, match="is unknown"):
        call(driver, "rpc", "chunk", chunk_id=oldest["chunks"][0]["chunk_hash"])
    assert call(driver, "rpc2", "block", block_id=oldest["header"]["height"])


def test_the_use_of_a_nonce_whose_notice_was_lost_is_found_in_its_block() -> None:
    driver = Driver(world(), respond=fair_answer)
    strike(driver, "relay", "drop_status")
    asked = settle(driver)
    driver.run(10)
    assert (driver.events("quote_hash"), verdict(driver)["nonces_used"]) == ([], 1)
    signed: Any = driver.world.relay.journal.submissions[-1].signed
    of_ours = {"account_id": DESK.account_id, "nonce": signed["payload"]["nonce"]}
    newest = final(driver, "rpc")["height"]
    heights = range(driver.world.settings.chain.genesis_height, newest + 1)
    used_at = next(h for h in heights if view(driver, "rpc", "is_nonce_used", block_id=h, **of_ours)[1])
    included = call(driver, "rpc", "block", block_id=used_at - 1)
    (chunk,) = included["chunks"]
    by_hash = call(driver, "rpc", "chunk", chunk_id=chunk["chunk_hash"])
    assert call(driver, "rpc", "chunk", block_id=used_at - 1, shard_id=chunk["shard_id"]) == by_hash
    assert call(driver, "rpc", "chunk", block_id=used_at, shard_id=0)["transactions"] == []
    (transaction,) = by_hash["transactions"]
    assert (transaction["hash"], transaction["receiver_id"]) == (asked["tx_hash"], "intents.near")
    action = transaction["actions"][0]["FunctionCall"]
    assert action["method_name"] == "execute_intents"
    assert json.loads(base64.b64decode(action["args"]))["signed"][0] == signed
    told = call(driver, "rpc", "tx", **asked)
    assert told["transaction"] == transaction
    assert told["transaction_outcome"]["block_hash"] == included["header"]["hash"]
    assert told["receipts_outcome"][0]["block_hash"] == call(driver, "rpc", "block", block_id=used_at)["header"]["hash"]


@pytest.mark.parametrize("wrong", [{"chunk_id": "Unknown"}, {"block_id": 1, "shard_id": 0}, {"block_id": 1}, {}])
def test_a_chunk_that_nobody_has_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RpcError):
        call(Driver(world()), "rpc", "chunk", **wrong)
