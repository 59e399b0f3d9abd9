"""A stranger's solver trades on the real process, speaking raw WebSocket and HTTP."""

import base64
import json
import os
import time
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.relay_socket import relay_socket
from support.solver import BTC, EURE, Signer, intent_hash, token_diff
from support.world import StartWorld, WorldClient

SALT = bytes.fromhex("252812b3")


def signed_offer(
    desk: Signer, event: dict[str, Any], *, amount_out: int, min_deadline_ms: int = 70_000, **changes: Any
) -> tuple[dict[str, Any], str]:
    """Answer an exact_in event with this amount."""
    diff = {
        event["defuse_asset_identifier_in"]: int(event["exact_amount_in"]),
        event["defuse_asset_identifier_out"]: -amount_out,
    }
    signed = desk.sign(
        [token_diff(diff)],
        salt=changes.pop("salt", SALT),
        deadline_ms=int(time.time() * 1000) + min_deadline_ms,
        unique=os.urandom(15),
        **changes,
    )
    answer = {"quote_id": event["quote_id"], "quote_output": {"amount_out": str(amount_out)}, "signed_data": signed}
    return answer, intent_hash(signed)


def view(world: WorldClient, method: str, finality: str = "optimistic", **arguments: Any) -> Any:
    encoded = base64.b64encode(json.dumps(arguments).encode()).decode()
    reply = world.near(
        "query",
        {
            "request_type": "call_function",
            "finality": finality,
            "account_id": "intents.near",
            "method_name": method,
            "args_base64": encoded,
        },
    )
    result = reply["result"]
    return result if "error" in result else json.loads(bytes(result["result"]))


def test_an_offer_is_accepted_settled_told_and_readable_on_chain(start_world: StartWorld, desk: Signer) -> None:
    world = start_world()
    with relay_socket(world.urls["relay_ws"]) as relay:
        assert isinstance(relay.ask("subscribe", "quote")["result"], str)
        assert isinstance(relay.ask("subscribe", "quote_status")["result"], str)
        quote_id = world.demand(direction="btc_to_eure", amount_in="100000", min_wait_ms=300)
        event = relay.event("quote_id")["data"]
        assert event["quote_id"] == quote_id
        # The taker gives 100000 and the fee of 1 pip, rounded up, is taken before the solver sees it.
        assert event["exact_amount_in"] == "99999"
        answer, quote_hash = signed_offer(desk, event, amount_out=70 * 10**18)
        assert relay.ask("quote_response", answer)["result"] == "OK"
        status = relay.event("quote_hash")["data"]
        assert status["quote_hash"] == quote_hash
        # Told only when the new balance is visible at `optimistic`.
        balances = view(world, "mt_batch_balance_of", account_id=desk.account_id, token_ids=[BTC, EURE])
        assert balances == [str(10**8 + 99_999), str((50_000 - 70) * 10**18)]
    demand = world.get(f"/demands/{quote_id}")
    assert demand["status"] == "settled"
    assert (demand["winner"], demand["tx_hash"]) == (quote_hash, status["tx_hash"])
    assert view(world, "is_nonce_used", account_id=desk.account_id, nonce=answer["signed_data"]["payload"]["nonce"])
    outcome = world.near("EXPERIMENTAL_tx_status", {"tx_hash": status["tx_hash"], "sender_account_id": "any.near"})
    (receipt,) = outcome["result"]["receipts_outcome"]
    fills = [json.loads(line.removeprefix("EVENT_JSON:")) for line in receipt["outcome"]["logs"]]
    own = [entry for line in fills if line["event"] == "token_diff" for entry in line["data"]]
    assert {"intent_hash": quote_hash, "account_id": desk.account_id}.items() <= own[0].items()
    verdict = world.get("/judge", account_id=desk.account_id)["accounts"][desk.account_id]
    assert (verdict["settlements"], verdict["failed"], verdict["nonces_used"]) == (1, {}, 1)
    (submission,) = world.get("/submissions")["submissions"]
    assert json.loads(submission["raw"])["params"] == [answer]


def test_an_exact_out_demand_settles_with_the_gross_amount(start_world: StartWorld, desk: Signer) -> None:
    world = start_world()
    with relay_socket(world.urls["relay_ws"]) as relay:
        relay.ask("subscribe", "quote", {"tokens_in": [EURE], "tokens_out": [BTC]})
        world.demand(direction="btc_to_eure", amount_in="1000")
        quote_id = world.demand(direction="eure_to_btc", amount_out="100000", min_wait_ms=300)
        event = relay.event("quote_id")["data"]
        assert (event["quote_id"], event["exact_amount_out"]) == (quote_id, "100001")
        amount_in = 72 * 10**18
        signed = desk.sign(
            [token_diff({EURE: amount_in, BTC: -100_001})],
            salt=SALT,
            deadline_ms=int(time.time() * 1000) + 70_000,
            unique=os.urandom(15),
        )
        answer = {"quote_id": quote_id, "quote_output": {"amount_in": str(amount_in)}, "signed_data": signed}
        assert relay.ask("quote_response", answer)["result"] == "OK"
    world.until(lambda: world.get(f"/demands/{quote_id}")["status"] == "settled")
    assert world.balance(desk.account_id, BTC) == 10**8 - 100_001


def test_a_late_answer_and_a_bad_one_are_refused_by_name(start_world: StartWorld, desk: Signer) -> None:
    world = start_world()
    with relay_socket(world.urls["relay_ws"]) as relay:
        relay.ask("subscribe", "quote")
        quote_id = world.demand(direction="btc_to_eure", amount_in="100000", max_wait_ms=300, min_wait_ms=300)
        event = relay.event("quote_id")["data"]
        short, _ = signed_offer(desk, event, amount_out=10**18, min_deadline_ms=1_000)
        assert "min_deadline_ms" in relay.ask("quote_response", short)["error"]["message"]
        world.until(lambda: world.get(f"/demands/{quote_id}")["status"] == "no_answer")
        late, _ = signed_offer(desk, event, amount_out=10**18)
        assert relay.ask("quote_response", late)["error"]["message"] == "quote not found or already finished"
    assert world.get("/state")["solvers"]["anonymous"]["late"] == 1


def test_a_shared_nonce_settles_once_and_the_second_batch_fails(start_world: StartWorld, desk: Signer) -> None:
    world = start_world()
    hashes = []
    with relay_socket(world.urls["relay_ws"]) as relay:
        relay.ask("subscribe", "quote")
        quotes = [world.demand(direction="btc_to_eure", amount_in="100000", min_wait_ms=300) for _ in range(2)]
        for _ in quotes:
            answer, quote_hash = signed_offer(
                desk, relay.event("quote_id")["data"], amount_out=70 * 10**18, nonce=b"legacy".ljust(32, b"-")
            )
            assert relay.ask("quote_response", answer)["result"] == "OK"
            hashes.append(quote_hash)

    def both_ended() -> list[Any] | None:
        ends = [world.get(f"/demands/{quote_id}") for quote_id in quotes]
        return ends if {"settled", "failed"} == {item["status"] for item in ends} else None

    ends = world.until(both_ended)
    assert [item["error"] for item in ends if item["status"] == "failed"] == ["nonce was already used"]


def test_an_offer_that_the_balance_does_not_cover_is_judged(start_world: StartWorld, desk: Signer) -> None:
    world = start_world(market={"start_eur_per_btc": 71000})
    with relay_socket(world.urls["relay_ws"]) as relay:
        relay.ask("subscribe", "quote")
        quote_id = world.demand(direction="btc_to_eure", amount_in=str(10**8), min_wait_ms=300)
        answer, _ = signed_offer(desk, relay.event("quote_id")["data"], amount_out=70_000 * 10**18)
        assert relay.ask("quote_response", answer)["result"] == "OK"
    world.until(lambda: world.get(f"/demands/{quote_id}")["status"] == "failed")
    verdict = world.get("/judge", account_id=desk.account_id)["accounts"][desk.account_id]
    assert (verdict["insufficient_balance"], verdict["nonces_used"]) == (1, 0)


def test_tokens_are_asked_for_and_identify_the_solver(start_world: StartWorld) -> None:
    world = start_world(relay={"auth": "token", "tokens": {"desk": "secret"}, "one_connection_per_token": True})
    for token in (None, "wrong"):
        with pytest.raises(InvalidStatus) as refused, relay_socket(world.urls["relay_ws"], token=token):
            pass
        assert refused.value.response.status_code == 403
    with relay_socket(world.urls["relay_ws"], token="secret") as relay:
        relay.ask("quote_response", {"quote_id": "x"})
        with pytest.raises(InvalidStatus), relay_socket(world.urls["relay_ws"], token="secret"):
            pass
    assert list(world.get("/state")["solvers"]) == ["desk"]


def test_guaranteed_delivery_repeats_until_acknowledged(start_world: StartWorld, desk: Signer) -> None:
    world = start_world(relay={"ack_window_ms": 300})
    url = world.urls["relay_ws"] + "?instance_id=one"
    with relay_socket(url) as relay:
        relay.ask("subscribe", "quote")
        subscription = relay.ask("subscribe", "quote_status", None, True)["result"]
        world.demand(direction="btc_to_eure", amount_in="100000", min_wait_ms=300)
        answer, quote_hash = signed_offer(desk, relay.event("quote_id")["data"], amount_out=70 * 10**18)
        relay.ask("quote_response", answer)
        first, again = relay.event("quote_hash"), relay.event("quote_hash")
        assert (first["seq"], first["data"]["quote_hash"]) == (1, quote_hash)
        assert again == first
    with relay_socket(url) as relay:
        subscription = relay.ask("subscribe", "quote_status", None, True)["result"]
        assert relay.event("quote_hash")["seq"] == 1
        assert relay.ask("acknowledge", subscription, 1)["result"] == "OK"
        relay.events.clear()
        with pytest.raises(TimeoutError):
            relay.event("quote_hash", timeout_s=0.8)


def test_an_asker_by_rpc_gets_quotes_and_publishes(start_world: StartWorld, desk: Signer) -> None:
    world = start_world()
    rpc = httpx.Client(timeout=10)

    def call(method: str, **parameters: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": "dontcare", "method": method, "params": [parameters]}
        return rpc.post(world.urls["relay_rpc"] + f"?method={method}", json=body).json()

    with rpc, relay_socket(world.urls["relay_ws"]) as relay:
        # The asker of this test is the desk itself: one account gives and takes.
        relay.ask("subscribe", "quote")
        burn = desk.sign([], salt=SALT, deadline_ms=int(time.time() * 1000) + 60_000, unique=os.urandom(15))
        published = call("publish_intent", quote_hashes=[], signed_data=burn)
        assert published["id"] == "dontcare"
        assert published["result"] == {"status": "OK", "intent_hash": intent_hash(burn)}
        world.until(lambda: call("get_status", intent_hash=intent_hash(burn))["result"]["status"] == "SETTLED")
        repeated = call("publish_intent", quote_hashes=[], signed_data=burn)["result"]
        assert (repeated["status"], repeated["reason"]) == ("FAILED", "already processed")
        several = call("publish_intents", quote_hashes=[], signed_datas=[burn])["result"]
        assert several == {"status": "FAILED", "reason": "already processed", "intent_hashes": [intent_hash(burn)]}
        lost = desk.sign([], salt=SALT, deadline_ms=int(time.time() * 1000) + 60_000, unique=os.urandom(15))
        body = {"jsonrpc": "2.0", "id": "1", "method": "publish_intent"}
        world.fault("relay", "lose_replies")
        gateway = rpc.post(
            world.urls["relay_rpc"], json={**body, "params": [{"quote_hashes": [], "signed_data": lost}]}
        )
        assert gateway.status_code == 504
        world.delete("/faults")
        # The effect stayed; whoever asks again is told so.
        assert call("publish_intent", quote_hashes=[], signed_data=lost)["result"]["reason"] == "already processed"
        assets = {"defuse_asset_identifier_in": BTC, "defuse_asset_identifier_out": EURE}
        nobody = call("quote", **assets, exact_amount_in="100000", max_wait_ms=300)
        assert nobody == {"jsonrpc": "2.0", "id": "dontcare", "result": None}
        both = call("quote", **assets, exact_amount_in="1", exact_amount_out="1")
        assert "result" not in both


def test_views_fail_inside_result_and_blocks_stay_readable(start_world: StartWorld, desk: Signer) -> None:
    world = start_world()
    height = world.near("block", {"finality": "final"})["result"]["header"]["height"]
    world.fault("verifier", "pause")
    paused = world.until(lambda: result if "error" in (result := view(world, "simulate_intents", signed=[])) else None)
    assert "Smart contract panicked: Pausable: Method is paused" in paused["error"]
    world.delete("/faults/verifier/pause")
    assert "MethodNotFound" in view(world, "no_such_method")["error"]
    assert world.near("block", {"block_id": height})["result"]["header"]["height"] == height
    unknown = world.near("block", {"block_id": height + 10_000})["error"]
    assert (unknown["name"], unknown["cause"]["name"]) == ("HANDLER_ERROR", "UNKNOWN_BLOCK")
    world.post(f"/accounts/{desk.account_id}/credit", token_id=BTC, amount="1")
    world.until(lambda: world.balance(desk.account_id, BTC, at="final") == 10**8 + 1)
    arguments = base64.b64encode(json.dumps({"account_id": desk.account_id, "token_id": BTC}).encode()).decode()
    old = world.near(
        "query",
        {
            "request_type": "call_function",
            "block_id": height,
            "account_id": "intents.near",
            "method_name": "mt_balance_of",
            "args_base64": arguments,
        },
    )["result"]
    assert json.loads(bytes(old["result"])) == str(10**8)


def test_faults_of_the_transport(start_world: StartWorld) -> None:
    world = start_world()
    with relay_socket(world.urls["relay_ws"]) as relay:
        world.fault("relay", "mute")
        relay.send("subscribe", "quote")
        with pytest.raises(TimeoutError):
            relay.receive(timeout_s=0.4)
        world.delete("/faults/relay/mute")
        world.fault("relay", "malformed_frame", text="{not json")
        with pytest.raises(json.JSONDecodeError):
            relay.receive()
        world.fault("relay", "down")
        with pytest.raises(ConnectionClosed):
            relay.receive(timeout_s=3)
    with pytest.raises(InvalidStatus) as refused, relay_socket(world.urls["relay_ws"]):
        pass
    assert refused.value.response.status_code == 503
    world.delete("/faults")
    with relay_socket(world.urls["relay_ws"]) as relay:
        assert "result" in relay.ask("subscribe", "quote")
    unknown = world.http.post("/faults", json={"service": "relay", "kind": "nonsense"})
    assert (unknown.status_code, "nonsense" in unknown.json()["error"]) == (400, True)


def test_a_deposit_waits_for_its_credit(start_world: StartWorld, desk: Signer) -> None:
    world = start_world()

    def bridge(method: str, **parameters: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": [parameters]}
        return httpx.post(world.urls["bridge"], json=body, timeout=10).json()

    address = bridge("deposit_address", account_id=desk.account_id, chain="btc:mainnet")["result"]["address"]
    deposit = world.post("/bridge/deposits", account_id=desk.account_id, chain="btc:mainnet", amount="150000")
    (pending,) = bridge("recent_deposits", account_id=desk.account_id)["result"]["deposits"]
    assert (pending["status"], pending["amount"], pending["address"]) == ("PENDING", 150_000, address)
    assert world.balance(desk.account_id, BTC) == 10**8
    world.post(f"/bridge/deposits/{deposit['id']}/credit")
    world.until(lambda: world.balance(desk.account_id, BTC) == 10**8 + 150_000)
    (credited,) = bridge("recent_deposits", account_id=desk.account_id)["result"]["deposits"]
    assert credited["status"] == "COMPLETED"
    assert world.near("tx", [credited["mint_tx_hash"], "any.near"])["result"]["status"] == {"SuccessValue": ""}
    assert bridge("withdrawal_status", withdrawal_hash="x")["error"] == "Withdrawals not found"


def test_a_withdrawal_is_burned_and_paid(start_world: StartWorld, desk: Signer) -> None:
    world = start_world(bridge={"withdraw_after_s": 0.5})
    intent = {
        "intent": "ft_withdraw",
        "token": "btc.omft.near",
        "receiver_id": "btc.omft.near",
        "amount": "21500",
        "memo": "WITHDRAW_TO:bc1qexample",
    }
    signed = desk.sign([intent], salt=SALT, deadline_ms=int(time.time() * 1000) + 60_000, unique=os.urandom(15))
    body = {
        "jsonrpc": "2.0",
        "id": "1",
        "method": "publish_intent",
        "params": [{"quote_hashes": [], "signed_data": signed}],
    }
    assert httpx.post(world.urls["relay_rpc"], json=body, timeout=10).json()["result"]["status"] == "OK"
    status_body = {**body, "method": "get_status", "params": [{"intent_hash": intent_hash(signed)}]}
    tx_hash = httpx.post(world.urls["relay_rpc"], json=status_body, timeout=10).json()["result"]["data"]["hash"]

    def withdrawal() -> Any:
        query = {**body, "method": "withdrawal_status", "params": [{"withdrawal_hash": tx_hash}]}
        found = httpx.post(world.urls["bridge"], json=query, timeout=10).json().get("result")
        return found and found["withdrawals"][0]["status"] == "COMPLETED" and found["withdrawals"][0]["data"]

    paid = world.until(withdrawal)
    assert (paid["amount"], paid["withdraw_amount"], paid["address"]) == (21_500, "20000", "bc1qexample")
    assert world.balance(desk.account_id, BTC) == 10**8 - 21_500


def test_a_refused_offer_executed_by_a_stranger_and_a_gift_that_vanishes(start_world: StartWorld, desk: Signer) -> None:
    world = start_world(chain={"block_ms": 200, "final_lag_blocks": 500})
    world.fault("relay", "refuse_answers", message="not today")
    world.fault("relay", "stranger", after_ms=100)
    with relay_socket(world.urls["relay_ws"]) as relay:
        relay.ask("subscribe", "quote")
        quote_id = world.demand(direction="btc_to_eure", amount_in="100000", min_wait_ms=300)
        answer, _ = signed_offer(desk, relay.event("quote_id")["data"], amount_out=70 * 10**18)
        assert relay.ask("quote_response", answer)["error"]["message"] == "not today"
    world.until(lambda: world.balance(desk.account_id, BTC) == 10**8 + 99_999)
    assert world.until(lambda: world.get(f"/demands/{quote_id}")["status"] != "open")
    assert world.get(f"/demands/{quote_id}")["status"] == "no_answer"
    world.fault("verifier", "gift", account_id=desk.account_id, token_id=BTC)
    world.until(lambda: world.balance(desk.account_id, BTC) == 10**8 + 100_000)
    world.fault("chain", "reorg", blocks=500)
    assert world.balance(desk.account_id, BTC) == world.balance(desk.account_id, BTC, at="final") == 10**8
    refused = world.http.post("/faults", json={"service": "chain", "kind": "reorg"})
    assert (refused.status_code, refused.json()["error"]) == (400, "parameter blocks is required")
