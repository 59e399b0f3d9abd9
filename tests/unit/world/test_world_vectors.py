"""The conformance vectors, run through the world's own verifier."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import coincurve
import pytest
from nacl.signing import SigningKey

from support.solver import BTC, Signer, token_diff
from unrip_world.cases import balances_at, read_cases, verifier_in
from unrip_world.codec import rfc3339_to_ns
from unrip_world.verifier.contract import Genesis, Receipt, Verifier
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fees import closure_delta, fee_on, gross_for, net_of, supply_delta
from unrip_world.verifier.keys import PublicKey, parse_public_key
from unrip_world.verifier.nonces import VersionedNonce, decode_nonce_text, decode_versioned, nonce_text
from unrip_world.verifier.payload import decode_payload

Case = dict[str, Any]
VECTORS = Path(__file__).parents[2] / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def named(cases: Iterable[Case]) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases]


def events_in(receipts: list[Receipt], name: str) -> list[Any]:
    lines = [json.loads(line.removeprefix("EVENT_JSON:")) for receipt in receipts for line in receipt.logs]
    return [entry for line in lines if line["event"] == name for entry in line["data"]]


BATCHES = load("verifier_model")["cases"] + load("contract_verdicts")["cases"]


def contract_of(case: Case) -> tuple[Verifier, int]:
    (read,) = read_cases(case)
    return verifier_in(read.state), rfc3339_to_ns(read.state.now)


def balances_of(verifier: Verifier, height: int) -> dict[str, dict[str, str]]:
    return balances_at(verifier.storage.at(height))


@pytest.mark.parametrize("case", named(BATCHES))
def test_a_batch_ends_as_on_the_contract(case: Case) -> None:
    (verifier, now_ns), expected = contract_of(case), case["expected"]
    before = balances_of(verifier, 1)
    if not expected["ok"]:
        with pytest.raises(PanicError) as panic:
            verifier.apply("execute_intents", {"signed": case["signed"]}, height=2, now_ns=now_ns)
        assert panic.value.text == expected.get("error", panic.value.text)
        assert panic.value.text.startswith(expected.get("error_prefix", ""))
        assert balances_of(verifier, 2) == before
        return
    receipts = verifier.apply("execute_intents", {"signed": case["signed"]}, height=2, now_ns=now_ns)
    assert balances_of(verifier, 2) == expected["balances_after"]
    assert events_in(receipts, "token_diff") == expected["token_diff_events"]
    assert events_in(receipts, "intents_executed") == expected["intents_executed"]
    assert balances_of(verifier, 1) == before


@pytest.mark.parametrize("case", named(case for case in BATCHES if "signed" in case))
def test_simulation_decides_as_the_contract(case: Case) -> None:
    verifier, now_ns = contract_of(case)
    expected = case.get("expected_simulation")
    if expected is None:
        error = case["expected"].get("error", case["expected"].get("error_prefix", ""))
        unbalanced = error.startswith("invariant violated")
        expected = {"ok": case["expected"]["ok"] or unbalanced, "balanced": not unbalanced}
    if not expected["ok"]:
        with pytest.raises(PanicError):
            verifier.view("simulate_intents", {"signed": case["signed"]}, height=1, now_ns=now_ns)
        return
    result = verifier.view("simulate_intents", {"signed": case["signed"]}, height=1, now_ns=now_ns)
    assert isinstance(result, dict)
    assert ("invariant_violated" not in result) == expected["balanced"]


@pytest.mark.parametrize("case", named(load("nep413_token_diff")["cases"]))
def test_nep413_hash_and_signature(case: Case) -> None:
    signed = decode_payload(case["signed_data"])
    assert signed.digest.hex() == case["nep413_hash_hex"]
    assert signed.intent_hash == case["intent_hash"]
    assert signed.signer_key() == parse_public_key(case["signed_data"]["public_key"])
    forged = {**case["signed_data"], "payload": {**case["signed_data"]["payload"], "recipient": "other.near"}}
    assert decode_payload(forged).signer_key() is None


@pytest.mark.parametrize("case", named(load("versioned_nonce")["cases"]))
def test_versioned_nonce(case: Case) -> None:
    parts = VersionedNonce(
        salt=bytes.fromhex(case["salt_hex"]),
        deadline_ns=int(case["deadline_ns"]),
        random=bytes.fromhex(case["random_hex"]),
    )
    nonce = parts.encode()
    assert nonce.hex() == case["nonce_hex"]
    assert nonce_text(nonce) == case["nonce_base64"]
    assert decode_nonce_text(case["nonce_base64"].rstrip("=")) == nonce
    assert decode_versioned(nonce) == parts
    assert rfc3339_to_ns(case["deadline_iso"]) == parts.deadline_ns


@pytest.mark.parametrize("case", load("keys")["cases"])
def test_keys_and_their_implicit_accounts(case: Case) -> None:
    seed = bytes.fromhex(case["seed_hex"])
    if case["curve"] == "ed25519":
        raw = bytes(SigningKey(seed).verify_key)
    else:
        raw = coincurve.PrivateKey(seed).public_key.format(compressed=False)[1:]
    key = parse_public_key(case["public_key"])
    assert key == PublicKey(curve=case["curve"], raw=raw)
    assert key.text == case["public_key"]
    assert key.implicit_account == case["implicit_account_id"]


def test_fee_on_one_token() -> None:
    for case in load("fee_closure")["single"]:
        token, fee, amount = case["token_id"], case["fee_pips"], int(case["amount"])
        assert str(fee_on(token, amount, fee)) == case["fee_on_giving_amount"]
        assert str(net_of(token, amount, fee)) == case["counterparty_receives_if_giving"]
        assert str(closure_delta(token, -amount, fee)) == case["closure_of_negative"]
        assert str(gross_for(token, amount, fee)) == case["gross_to_deliver_amount"]
        assert str(closure_delta(token, amount, fee)) == case["closure_of_positive"]


def test_fee_by_token_standard() -> None:
    for case in load("fee_closure")["multi_token_types"]:
        token, fee, delta = case["token_id"], case["fee_pips"], int(case["delta"])
        assert str(supply_delta(token, delta, fee)) == case["supply_delta"]
        assert str(closure_delta(token, delta, fee)) == case["closure"]


def test_fee_of_batches() -> None:
    for case in load("fee_closure")["batches"]:
        sums: Counter[str] = Counter()
        for diff in case["diffs"]:
            for token, delta in diff.items():
                sums[token] += supply_delta(token, int(delta), case["fee_pips"])
        assert {token: str(rest) for token, rest in sums.items() if rest} == case["unmatched_deltas"]


def test_numbers_of_a_two_party_trade() -> None:
    for case in load("fee_closure")["rfq"]:
        fee, gives, pays = case["fee_pips"], int(case["user_gives"]), int(case["solver_gives"])
        assert str(net_of(case["token_in"], gives, fee)) == case["solver_receives"]
        assert str(net_of(case["token_out"], pays, fee)) == case["user_receives"]


def test_a_nonce_without_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="nonce"):
        decode_nonce_text(base64.b64encode(bytes(31)).decode())


def emitted(verifier: Verifier) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make the verifier send every kind of event that it can."""
    who, other = "desk.near", "other.near"
    trader = Signer(account_id=who, key=SigningKey(bytes(range(32))))
    deposit = {"account_id": who, "token_id": BTC, "amount": "150000", "memo": "deposit"}
    diff = token_diff({BTC: -100}) | {"memo": "m", "referral": "r.near"}
    withdrawal = {"intent": "ft_withdraw", "token": "btc.omft.near", "receiver_id": "btc.omft.near", "amount": "50"}
    moves = [
        {"intent": "transfer", "receiver_id": other, "tokens": {BTC: "7"}},
        diff,
        token_diff({BTC: 99}),
        withdrawal | {"memo": "WITHDRAW_TO:bc1q"},
    ]
    signed = trader.sign(moves, salt=bytes(4), deadline_ms=2 * 10**12, unique=bytes(15))
    calls: list[tuple[str, dict[str, Any]]] = [
        ("mt_mint", deposit),
        ("add_public_key", {"account_id": who, "public_key": trader.public_key}),
        ("execute_intents", {"signed": [signed]}),
        ("set_fee", {"fee_pips": 2}),
        ("rotate_salt", {"salt": "76e533af", "invalidate": True}),
    ]
    for height, (method, arguments) in enumerate(calls, start=2):
        receipts = verifier.apply(method, arguments, height=height, now_ns=10**18)
        for receipt in receipts:
            for line in receipt.logs:
                yield receipt.executor_id, json.loads(line.removeprefix("EVENT_JSON:"))


def fields(event: dict[str, Any]) -> frozenset[str]:
    data = event["data"]
    return frozenset(data if isinstance(data, dict) else data[0])


def test_events_have_the_documented_shapes() -> None:
    known: dict[str, list[dict[str, Any]]] = {}
    for case in load("events")["cases"]:
        for line in case["logs"]:
            if line.startswith("EVENT_JSON:") and line.endswith("}"):
                event = json.loads(line.removeprefix("EVENT_JSON:"))
                known.setdefault(event["event"], []).append(event)
    genesis = Genesis(fee_pips=1, fee_collector="fees.near", salt=bytes(4))
    verifier = Verifier(contract_id="intents.near", genesis=genesis, height=1, keep_blocks=10)
    compared = set()
    for executor, event in emitted(verifier):
        if executor != "intents.near" or event["event"] not in known:
            continue
        compared.add(event["event"])
        samples = known[event["event"]]
        optional = {"memo", "referral", "fees_collected", "intent_hash"}
        assert fields(event) - optional in {fields(sample) - optional for sample in samples}
        assert (event["standard"], event["version"]) in {(item["standard"], item["version"]) for item in samples}
        assert type(event["data"]) in {type(sample["data"]) for sample in samples}
    assert compared == set(known) - {"ft_transfer", "future_event"}
