"""The signing standards beside NEP-413: the vectors through the whole contract, and everything that must be refused."""

import hashlib
import json
from typing import Any

import base58
import coincurve
import pytest
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from support.solver import token_diff
from support.vectors import cases, label
from support.virtual_world import DESK, SALT, Driver, fair_answer, world
from unrip_world.assets import BTC, EURE
from unrip_world.codec import ns_to_rfc3339, rfc3339_to_ns
from unrip_world.config import AccountSettings
from unrip_world.verifier.contract import Genesis, Verifier
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.keys import PublicKey, is_account_id, parse_public_key
from unrip_world.verifier.nonces import VersionedNonce, decode_nonce_text, decode_versioned, nonce_text
from unrip_world.verifier.payload import decode_payload

Case = dict[str, Any]
CASES = cases("other_standards")
#: Order of secp256k1.
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


def text_of(signed: Case) -> str:
    payload = signed["payload"]
    return str(payload["text"] if signed["standard"] == "ton_connect" else payload)


def with_text(signed: Case, text: str) -> Case:
    return {**signed, "payload": {"type": "text", "text": text} if signed["standard"] == "ton_connect" else text}


def executed(case: Case, signed: Case) -> list[Any]:
    """Run the intent alone, its amounts covered and with the fee at zero; gives the contract's receipts."""
    message = json.loads(text_of(case["signed_data"]))
    nonce = decode_versioned(decode_nonce_text(message["nonce"]))
    assert nonce is not None
    diff = message["intents"][0]["diff"]
    held = tuple((message["signer_id"], token, -int(delta)) for token, delta in diff.items() if int(delta) < 0)
    genesis = Genesis(fee_pips=0, fee_collector="fees.near", salt=nonce.salt, balances=held)
    verifier = Verifier(contract_id="intents.near", genesis=genesis, height=1, keep_blocks=2)
    now_ns = rfc3339_to_ns(message["deadline"])
    return list(verifier.apply("execute_intents", {"signed": [signed]}, height=2, now_ns=now_ns))


def refusal(case: Case, signed: Case) -> str:
    with pytest.raises(PanicError) as panic:
        executed(case, signed)
    return panic.value.text


def test_all_standards_are_in_the_vectors() -> None:
    assert len(CASES) == 21
    assert {case["standard"] for case in CASES} == {"raw_ed25519", "erc191", "tip191", "sep53", "ton_connect"}


@pytest.mark.parametrize("case", CASES, ids=label)
def test_hash_signature_and_signer(case: Case) -> None:
    signed = decode_payload(case["signed_data"])
    assert signed.digest.hex() == case["hash_hex"]
    assert signed.intent_hash == case["intent_hash"]
    key = signed.signer_key()
    assert key == parse_public_key(case["public_key"])
    assert key is not None
    assert key.implicit_account == case["implicit_account_id"]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_the_contract_passes_all_checks_up_to_the_sums(case: Case) -> None:
    assert refusal(case, case["signed_data"]).startswith("invariant violated")


@pytest.mark.parametrize("case", CASES, ids=label)
def test_another_text_is_not_what_was_signed(case: Case) -> None:
    forged = with_text(case["signed_data"], text_of(case["signed_data"]) + " ")
    # A recovered key is always some key, only not one of the account.
    told = "doesn't exist for account" if "public_key" not in forged else "invalid signature"
    assert told in refusal(case, forged)


@pytest.mark.parametrize("case", [case for case in CASES if case["standard"] in ("erc191", "tip191")], ids=label)
def test_the_twin_of_a_recoverable_signature_is_refused(case: Case) -> None:
    raw = base58.b58decode(case["signed_data"]["signature"].removeprefix("secp256k1:"))
    twin = raw[:32] + (ORDER - int.from_bytes(raw[32:64])).to_bytes(32) + bytes([raw[64] ^ 1])
    # The twin would yield the same key: it is refused for its form alone.
    recovered = coincurve.PublicKey.from_signature_and_message(twin, bytes.fromhex(case["hash_hex"]), hasher=None)
    key = PublicKey(curve="secp256k1", raw=recovered.format(compressed=False)[1:])
    assert key == parse_public_key(case["public_key"])
    signature = "secp256k1:" + base58.b58encode(twin).decode()
    assert refusal(case, {**case["signed_data"], "signature": signature}) == "invalid signature"


@given(raw=st.binary(min_size=65, max_size=65))
def test_any_65_bytes_are_a_key_or_a_refusal(raw: bytes) -> None:
    signature = "secp256k1:" + base58.b58encode(raw).decode()
    key = decode_payload({"standard": "erc191", "payload": "{}", "signature": signature}).signer_key()
    assert key is None or is_account_id(key.implicit_account)


def ton_case() -> Case:
    return next(case for case in CASES if case["standard"] == "ton_connect")


def test_the_forms_of_a_ton_timestamp_are_one() -> None:
    case = ton_case()
    assert case["signed_data"]["timestamp"] == 1_899_999_400
    for form in ("1899999400", "2030-03-17T17:36:40Z", "2030-03-17T18:36:40+01:00"):
        assert decode_payload({**case["signed_data"], "timestamp": form}).intent_hash == case["intent_hash"]


def test_a_ton_deadline_before_the_signing_is_refused() -> None:
    case = ton_case()
    deadline_s = rfc3339_to_ns(json.loads(text_of(case["signed_data"]))["deadline"]) // 10**9
    key = SigningKey(bytes.fromhex(case["private_key_hex"]))

    def signed_at(timestamp_s: int) -> Case:
        changed = {**case["signed_data"], "timestamp": timestamp_s}
        signature = key.sign(decode_payload(changed).digest).signature
        return {**changed, "signature": "ed25519:" + base58.b58encode(signature).decode()}

    assert refusal(case, signed_at(deadline_s + 1)) == "JSON: deadline < timestamp"
    assert refusal(case, signed_at(deadline_s)).startswith("invariant violated")


RAW = next(case for case in CASES if case["standard"] == "raw_ed25519")
ERC = next(case for case in CASES if case["standard"] == "erc191")
TON = ton_case()


@pytest.mark.parametrize(
    ("case", "changes", "told"),
    [
        (RAW, {"standard": "webauthn"}, "unsupported standard 'webauthn'"),
        (RAW, {"standard": "pgp"}, "unknown variant `pgp`"),
        (RAW, {"standard": ["nep413"]}, "unknown variant"),
        (RAW, {"payload": {"text": "{}"}}, "field `payload`"),
        (RAW, {"public_key": ERC["public_key"]}, "ed25519 keys only"),
        (RAW, {"signature": ERC["signed_data"]["signature"]}, "unknown curve 'secp256k1'"),
        (ERC, {"signature": RAW["signed_data"]["signature"]}, "unknown curve 'ed25519'"),
        (ERC, {"signature": "secp256k1:111"}, "invalid length"),
        (TON, {"address": "0:12"}, "address"),
        (TON, {"address": "99999999999:" + "0" * 64}, "address"),
        (TON, {"address": "9999999999:" + "0" * 64}, "out of range"),
        (TON, {"timestamp": -1}, "out of range"),
        (TON, {"timestamp": True}, "timestamp"),
        (TON, {"timestamp": "yesterday"}, "RFC 3339"),
        (TON, {"domain": None}, "field `domain`"),
        (TON, {"payload": {"type": "binary", "bytes": "AA=="}}, "only text payload supported"),
        (TON, {"payload": "text"}, "field `type`"),
        (TON, {"domain": "\ud800"}, "surrogates"),
    ],
)
def test_what_is_not_such_an_object_is_refused_with_a_reason(case: Case, changes: Case, told: str) -> None:
    assert told in refusal(case, {**case["signed_data"], **changes})


@pytest.mark.parametrize("field", ["signer_id", "verifying_contract", "deadline", "nonce"])
def test_the_message_must_carry_what_nep413_has_outside(field: str) -> None:
    key = SigningKey(bytes.fromhex(RAW["private_key_hex"]))
    body = json.loads(RAW["signed_data"]["payload"])
    del body[field]
    payload = json.dumps(body)
    signature = "ed25519:" + base58.b58encode(key.sign(payload.encode()).signature).decode()
    told = refusal(RAW, {**RAW["signed_data"], "payload": payload, "signature": signature})
    assert told == f"JSON: field `{field}` is missing or not a string"


def test_a_p256_key_has_an_account_of_its_own() -> None:
    raw = bytes(range(64))
    account = PublicKey(curve="p256", raw=raw).implicit_account
    assert account != PublicKey(curve="secp256k1", raw=raw).implicit_account
    assert account == "0x" + keccak.new(digest_bits=256, data=b"p256" + raw).hexdigest()[24:]


def test_an_asker_with_an_ethereum_wallet_trades_without_registering_a_key() -> None:
    key = coincurve.PrivateKey(hashlib.sha256(b"asker").digest())
    account = PublicKey(curve="secp256k1", raw=key.public_key.format(compressed=False)[1:]).implicit_account
    accounts = [
        AccountSettings(account_id=account, balances={BTC: str(10**8)}),
        AccountSettings(account_id=DESK.account_id, public_keys=[DESK.public_key], balances={EURE: str(10**23)}),
    ]
    driver = Driver(world(accounts=accounts), respond=fair_answer)
    wanted = {"defuse_asset_identifier_in": BTC, "defuse_asset_identifier_out": EURE, "exact_amount_in": "100000"}
    driver.take(driver.world.askers.quote(wanted, ticket=1, now_ns=driver.now_ns))
    driver.run(1)
    ((quote,),) = driver.replies
    deadline_ns = driver.now_ns + 60 * 10**9
    body = {
        "signer_id": account,
        "verifying_contract": "intents.near",
        "deadline": ns_to_rfc3339(deadline_ns, digits=3),
        "nonce": nonce_text(VersionedNonce(salt=SALT, deadline_ns=deadline_ns, random=bytes(15)).encode()),
        "intents": [token_diff({BTC: -100_000, EURE: int(quote["amount_out"])})],
    }
    payload = json.dumps(body)
    told = f"\x19Ethereum Signed Message:\n{len(payload)}{payload}".encode()
    signature = key.sign_recoverable(keccak.new(digest_bits=256, data=told).digest(), hasher=None)
    signed = {
        "standard": "erc191",
        "payload": payload,
        "signature": "secp256k1:" + base58.b58encode(signature).decode(),
    }
    published = driver.world.askers.publish(quote_hashes=[quote["quote_hash"]], signed=[signed], now_ns=driver.now_ns)
    assert published["status"] == "OK"
    driver.run(1)
    assert driver.world.askers.get_status(published["intent_hashes"][0])["status"] == "SETTLED"
    held = driver.world.balances(account, height=driver.world.chain.head.height)
    assert held == {BTC: str(10**8 - 100_000), EURE: quote["amount_out"]}
