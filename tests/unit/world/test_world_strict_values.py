"""The world refuses what the contract refuses: forms of numbers, instants, keys and ids, limits; and in its order."""

import base64
import json
from typing import Any

import pytest
from nacl.signing import SigningKey

from support.solver import Signer
from support.strict_contract import (
    BACK,
    DIFF,
    MESSAGE,
    NEW_KEY,
    NONCE,
    SIGNED,
    TRANSFER,
    WITHDRAWAL,
    WRAP,
    contract,
    direct,
    refusal,
    said_to,
    said_to_intent,
)
from support.virtual_world import DESK, START_NS, Driver, fair_answer, strike, world
from unrip_world.assets import BTC, EURE
from unrip_world.codec import ns_to_rfc3339
from unrip_world.config import ConfigError, VerifierSettings
from unrip_world.demands import read_demand
from unrip_world.faults import FaultError, read_fault
from unrip_world.verifier.contract import Verifier
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.nonces import VersionedNonce
from unrip_world.verifier.state import SETTINGS

# -- numbers

LARGEST = {"i128": 2**127 - 1, "u128": 2**128 - 1, "u64": 2**64 - 1}
FORMS = ["", "+", "-", " 5", "5 ", "5\n", "5.0", "5e0", "0x5", "5_0", "\u0665", "--5", "1,000", "five", "9" * 5_000]


@pytest.mark.parametrize("form", [*FORMS, 5, 5.0, None, True, ["5"], {"5": 5}], ids=repr)
@pytest.mark.parametrize(
    "intent",
    [
        lambda form: {**DIFF, "diff": {BTC: form}},
        lambda form: {**TRANSFER, "tokens": {BTC: form}},
        lambda form: {**WITHDRAWAL, "amount": form},
        lambda form: {**WITHDRAWAL, "storage_deposit": form},
        lambda form: {**WITHDRAWAL, "min_gas": form},
    ],
)
def test_an_amount_is_decimal_text(intent: Any, form: object) -> None:
    body = intent(form)
    optional = form is None and body.get("amount", form) is not None
    said = said_to_intent(**body)
    assert (said is None) if optional else str(said).startswith("JSON: ")


@pytest.mark.parametrize("form", ["5", "+5", "05", "+0005"])
def test_a_plus_and_leading_zeros_are_taken(form: str) -> None:
    assert said_to({**MESSAGE, "intents": [{**BACK, "diff": {BTC: form}}, DIFF]}) is None
    for intent in ({**TRANSFER, "tokens": {BTC: form}}, {**WITHDRAWAL, "amount": form, "storage_deposit": form}):
        assert said_to_intent(**intent) is None


@pytest.mark.parametrize("form", ["-0", "-1", "-5"])
def test_what_has_no_sign_takes_no_minus(form: str) -> None:
    for intent in (
        {**TRANSFER, "tokens": {BTC: form}},
        {**WITHDRAWAL, "amount": form},
        {**WITHDRAWAL, "storage_deposit": form},
        {**WITHDRAWAL, "min_gas": form},
    ):
        assert str(said_to_intent(**intent)).startswith("JSON: ")


def test_the_ranges_of_integers() -> None:
    short, large = "insufficient balance or overflow", "JSON: number too large"
    for form, said in (
        (str(2**127 - 1), short),
        (str(-(2**127)), short),
        (str(2**127), large),
        (str(-(2**127) - 1), large),
    ):
        fresh = contract(balances=((DESK.account_id, BTC, 2**128 - 1),) if form[0] != "-" else ())
        assert str(said_to({**MESSAGE, "intents": [{**DIFF, "diff": {BTC: form}}]}, fresh)).startswith(said)
    assert said_to_intent(**{**TRANSFER, "tokens": {BTC: str(2**128 - 1)}}) == short
    assert str(said_to_intent(**{**TRANSFER, "tokens": {BTC: str(2**128)}})).startswith(large)
    assert str(said_to_intent(**{**WITHDRAWAL, "min_gas": str(2**64)})).startswith(large)


# -- instants


@pytest.mark.parametrize(
    ("deadline", "taken"),
    [
        ("2031-01-01T00:00:00Z", True),
        ("2031-01-01t00:00:00z", True),
        ("2031-01-01T00:00:00.123456789Z", True),
        ("2031-01-01T00:00:00+02:00", True),
        ("2031-01-01T00:00:00-23:59", True),
        ("2031-01-01T00:00:00+24:00", False),
        ("2031-01-01T00:00:00+00:60", False),
        ("2031-01-01T00:00:00+0200", False),
        ("2031-01-01T00:00:00", False),
        ("2031-01-01T00:00:00 Z", False),
        (" 2031-01-01T00:00:00Z", False),
        ("2031-01-01T00:00:00Z\n", False),
        ("2031-01-01T00:00:60Z", False),
        ("2031-01-01T24:00:00Z", False),
        ("2031-02-29T00:00:00Z", False),
        ("2031-13-01T00:00:00Z", False),
        ("2031-1-1T00:00:00Z", False),
        ("2031-01-01T00:00:00.Z", False),
        ("2031-01-01T00:00Z", False),
        ("2031-01-01", False),
        ("2031-01-01T00:00:00 UTC", False),
        ("\u0662\u0660\u0663\u0661-01-01T00:00:00Z", False),
        ("1925000000", False),
        ("1925000000000", False),
    ],
)
def test_a_deadline_is_strict_rfc_3339(deadline: str, taken: bool) -> None:
    said = said_to({**MESSAGE, "deadline": deadline})
    assert (said is None) if taken else str(said).startswith("JSON: ")


def test_a_deadline_is_an_instant_wherever_it_is_written() -> None:
    """START_NS is 17:46:40 UTC: equal is still valid, a nanosecond earlier is not."""
    for deadline, said in [
        ("2030-03-17T17:46:40Z", None),
        ("2030-03-17T19:46:40+02:00", None),
        ("2030-03-17T17:46:39.999999999Z", "deadline has expired"),
        ("2030-03-17T17:46:40+00:01", "deadline has expired"),
    ]:
        assert said_to({**MESSAGE, "deadline": deadline}) == said


# -- keys, signatures, nonces


@pytest.mark.parametrize("field", ["public_key", "signature"])
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + " ",
        lambda text: text + "\n",
        lambda text: text + "\t",
        lambda text: " " + text,
        lambda text: text.replace(":", ": "),
        lambda text: text.replace("ed25519", ""),
        lambda text: text.replace("ed25519", "ED25519"),
        lambda text: text.replace("ed25519", "secp256k1"),
        lambda text: text.replace("ed25519", "x"),
        lambda text: text.replace("ed25519:", "ed25519:ed25519:"),
        lambda text: text[:-1] + "0",
        lambda text: text[:-1] + "é",
        lambda text: text + "1",
        lambda _: "",
        lambda _: 5,
        lambda _: None,
    ],
)
def test_a_key_or_signature_has_nothing_beside_it(field: str, change: Any) -> None:
    changed = {**SIGNED, field: change(SIGNED[field])}
    assert str(refusal(changed)).startswith("Failed to deserialize input from JSON.")


def test_a_key_or_signature_without_a_prefix_is_ed25519() -> None:
    bare = {name: SIGNED[name].removeprefix("ed25519:") for name in ("public_key", "signature")}
    assert refusal({**SIGNED, **bare}) is None


def of_nonce(text: object) -> str | None:
    return refusal({**SIGNED, "payload": {**SIGNED["payload"], "nonce": text}})


def test_the_bits_that_base64_does_not_use_are_zero() -> None:
    text = SIGNED["payload"]["nonce"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(text[-2])
    assert last % 4 == 0
    assert of_nonce(text) is None
    assert of_nonce(text.rstrip("=")) is None
    for unused in (1, 2, 3):
        for end in ("=", ""):
            said = str(of_nonce(text[:-2] + alphabet[last + unused] + end))
            assert said.startswith("Failed to deserialize input from JSON.")


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(bytes(31)).decode(),
        base64.b64encode(bytes(33)).decode(),
        base64.b64encode(b"\xff" * 32).decode().replace("/", "_"),
        base64.b64encode(bytes(32)).decode() + "=",
        base64.b64encode(bytes(32)).decode() + "\n",
        " " + base64.b64encode(bytes(32)).decode(),
        base64.b64encode(bytes(16)).decode() + base64.b64encode(bytes(16)).decode(),
        bytes(32).hex(),
        "",
        None,
        5,
        [0] * 32,
    ],
)
def test_a_nonce_is_32_bytes_in_base64(text: object) -> None:
    assert str(of_nonce(text)).startswith("Failed to deserialize input from JSON.")


# -- token ids


@pytest.mark.parametrize(
    ("token_id", "taken"),
    [
        ("nep141:a.near", True),
        ("nep141:a.near:", False),
        ("nep141:a.near:1", False),
        ("nep141:", False),
        ("nep141", False),
        ("NEP141:a.near", False),
        ("nep141: a.near", False),
        ("nep141:A.near", False),
        ("nep171:a.near:1", True),
        ("nep171:a.near", False),
        ("nep245:a.near:1:2", True),
        ("imt:a.near:" + "x" * 200, True),
        ("nep999:a.near", False),
        ("a.near", False),
        ("", False),
    ],
)
def test_token_ids(token_id: str, taken: bool) -> None:
    fresh = contract(balances=((DESK.account_id, token_id, 5),))
    said = said_to({**MESSAGE, "intents": [{**TRANSFER, "tokens": {token_id: "5"}}]}, fresh)
    assert (said is None) if taken else str(said).startswith("JSON: invalid token id")


def test_a_token_id_is_bounded_where_it_enters_the_ledger() -> None:
    for length, said in ((127, None), (128, "token_id is too long: max length is 127, got 128")):
        token_id = "nep245:a.near:" + "x" * length
        assert direct("mt_mint", account_id=DESK.account_id, token_id=token_id, amount="1") == said


# -- limits of a call


@pytest.mark.parametrize("filler", ["x", "é"])
def test_a_line_of_the_log_has_at_most_16384_bytes(filler: str) -> None:
    def with_memo(size: int) -> dict[str, Any]:
        memo = filler * (size // len(filler.encode())) + "x" * (size % len(filler.encode()))
        return {**MESSAGE, "intents": [{**TRANSFER, "memo": memo}]}

    empty = contract()
    signed = DESK.sign_text(json.dumps(with_memo(0)), nonce=NONCE)
    receipts = empty.apply("execute_intents", {"signed": [signed]}, height=2, now_ns=START_NS)
    (line,) = [line for receipt in receipts for line in receipt.logs if '"event":"transfer"' in line]
    # The hash in the line has 43 or 44 characters, as it comes.
    fits = 16_384 - len(line) - 1
    assert said_to(with_memo(fits)) is None
    said = str(said_to(with_memo(fits + 3)))
    assert said.startswith("The length of a log message")
    assert said.endswith("exceeds the limit 16384")
    simulated_ = contract()
    too_long = DESK.sign_text(json.dumps(with_memo(fits + 3)), nonce=NONCE)
    with pytest.raises(PanicError, match="exceeds the limit"):
        simulated_.view("simulate_intents", {"signed": [too_long]}, height=1, now_ns=START_NS)


def test_the_first_thing_that_is_wrong_is_told() -> None:
    """Everything is wrong at first, and what was told is put right, one after another (protocol: section 8)."""
    salt, other = bytes(4), Signer(account_id=DESK.account_id, key=SigningKey(bytes(32)))
    now_ms = START_NS // 10**6

    def nonce(salt: bytes, deadline_ms: int) -> bytes:
        return VersionedNonce(salt=salt, deadline_ns=deadline_ms * 10**6, random=bytes(15)).encode()

    short, expired = nonce(salt, now_ms - 1_000), nonce(b"none", now_ms - 2_000)
    late, early = (ns_to_rfc3339(now_ms * 10**6 + s * 10**9) for s in (60, -60))
    body = {"signer_id": DESK.account_id, "deadline": early, "intents": [{**DIFF, "diff": {BTC: "0"}}]}
    said = [
        refusal({**other.sign_text("?", nonce=expired, recipient="x.near"), "signature": "1" * 64}),
        refusal(other.sign_text("?", nonce=expired, recipient="x.near")),
        refusal(other.sign_text(json.dumps(body), nonce=expired, recipient="x.near")),
        refusal(other.sign_text(json.dumps(body), nonce=expired)),
        refusal(other.sign_text(json.dumps({**body, "deadline": late}), nonce=expired)),
        refusal(DESK.sign_text(json.dumps({**body, "deadline": late}), nonce=expired)),
        refusal(DESK.sign_text(json.dumps({**body, "deadline": late}), nonce=short)),
    ]
    good = nonce(salt, now_ms + 120_000)
    signed = DESK.sign_text(json.dumps({**body, "deadline": late}), nonce=good)
    used = {"used_nonces": ((DESK.account_id, good),)}
    states: tuple[dict[str, Any], ...] = ({**used, "locked": (DESK.account_id,)}, used, {})
    said += [refusal(signed, contract(**state)) for state in states]
    short_of = {**body, "deadline": late, "intents": [{**DIFF, "diff": {BTC: "-1000001"}}]}
    said.append(refusal(DESK.sign_text(json.dumps(short_of), nonce=good)))
    unbalanced = {**short_of, "intents": [DIFF]}
    said.append(refusal(DESK.sign_text(json.dumps(unbalanced), nonce=good)))
    assert [str(each).partition(" '")[0].partition(": ")[0] for each in said] == [
        "invalid signature",
        "JSON",
        "wrong verifying_contract",
        "deadline has expired",
        "public key",
        "invalid salt",
        "deadline is greater than nonce",
        "account",
        "nonce was already used",
        "invalid intent",
        "insufficient balance or overflow",
        "invariant violated",
    ]


# -- direct calls


@pytest.mark.parametrize("method", ["mt_mint", "mt_burn"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"amount": "0"}, "invalid intent"),
        ({"amount": "-5"}, "Failed to deserialize"),
        ({"amount": 5}, "Failed to deserialize"),
        ({"amount": str(2**128)}, "Failed to deserialize"),
        ({"amount": str(2**128 - 1)}, "insufficient balance or overflow"),
        ({"account_id": "Upper.near"}, "Failed to deserialize"),
        ({"token_id": "btc"}, "Failed to deserialize"),
        ({"token_id": None}, "Failed to deserialize"),
    ],
)
def test_deposits_and_withdrawals_by_call(method: str, changes: dict[str, Any], said: str | None) -> None:
    arguments = {"account_id": DESK.account_id, "token_id": BTC, "amount": "5", **changes}
    told = direct(method, **arguments)
    assert told is None if said is None else str(told).startswith(said)


def test_a_locked_account_is_given_to_and_gives_nothing() -> None:
    locked = f"account '{DESK.account_id}' is locked"
    moved = {"account_id": DESK.account_id, "token_id": BTC, "amount": "5"}
    key = {"account_id": DESK.account_id, "public_key": NEW_KEY["public_key"]}

    def fresh() -> Verifier:
        return contract(locked=(DESK.account_id,))

    assert direct("mt_mint", fresh(), **moved) is None
    assert direct("mt_burn", fresh(), **moved) == locked
    assert direct("add_public_key", fresh(), **key) == locked
    assert direct("remove_public_key", fresh(), **{**key, "public_key": DESK.public_key}) == locked
    assert said_to(MESSAGE, fresh()) == locked


@pytest.mark.parametrize("fee_pips", [-1, 1_000_001, 10**30, 1.5, "1", None, True])
def test_a_fee_out_of_range_is_refused(fee_pips: object) -> None:
    verifier = contract()
    assert str(direct("set_fee", verifier, fee_pips=fee_pips)).startswith("Failed to deserialize")
    assert verifier.storage.at(2).get(SETTINGS, "fee") == 0
    with pytest.raises(FaultError, match="pips"):
        read_fault({"service": "verifier", "kind": "set_fee", "pips": fee_pips}, now_ns=START_NS)


def test_a_fee_of_everything_leaves_nothing_to_trade_and_the_world_turning() -> None:
    driver = Driver(world(), respond=fair_answer)
    strike(driver, "verifier", "set_fee", pips=1_000_000)
    strike(driver, "relay", "stranger")
    driver.run(1)
    for amount in ({"amount_in": "100000"}, {"amount_out": "70000000000000000000"}):
        _, effects = driver.world.demand(read_demand({"direction": "btc_to_eure", **amount}), driver.now_ns)
        driver.take(effects)
    driver.run(10)
    assert "settled" not in {auction.status for auction in driver.world.relay.auctions.values()}
    assert driver.world.verifier.storage.at(driver.world.chain.head.height).get(SETTINGS, "fee") == 1_000_000


@pytest.mark.parametrize("salt", ["", "25", "252812b", "252812b3f", "25 28 12 b3", "252812bg", " 252812b3", None, 5])
def test_a_salt_is_eight_hex_digits(salt: Any) -> None:
    assert str(direct("rotate_salt", salt=salt, invalidate=False)).startswith("Failed to deserialize")
    with pytest.raises(PanicError):
        contract().view("is_valid_salt", {"salt": salt}, height=1, now_ns=START_NS)


@pytest.mark.parametrize("section", [{"salt": "25 28 12 b3"}, {"salt": "2528"}])
def test_a_world_begins_with_a_salt_that_is_one(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"verifier.salt: .* is not 4 bytes"):
        world(verifier=VerifierSettings(**section))


# -- views

ACCOUNT = {"account_id": DESK.account_id}


@pytest.mark.parametrize(
    ("method", "good", "bad"),
    [
        ("mt_balance_of", {**ACCOUNT, "token_id": "misspelt"}, {"token_id": 5}),
        ("mt_balance_of", {**ACCOUNT, "token_id": BTC}, {"account_id": "Upper.near"}),
        ("mt_batch_balance_of", {**ACCOUNT, "token_ids": [BTC, EURE]}, {"token_ids": BTC}),
        ("mt_batch_balance_of", {**ACCOUNT, "token_ids": []}, {"token_ids": [5]}),
        ("mt_supply", {"token_id": BTC}, {"token_id": []}),
        ("mt_tokens", {"from_index": "1", "limit": 1}, {"from_index": 1}),
        ("mt_tokens", {"from_index": None, "limit": None}, {"limit": -1}),
        ("mt_tokens", {"from_index": str(2**128 - 1), "limit": 0}, {"limit": "1"}),
        ("mt_tokens_for_owner", {**ACCOUNT, "limit": 2**32 - 1}, {"limit": 2**32}),
        ("has_public_key", {**ACCOUNT, "public_key": DESK.public_key}, {"public_key": 5}),
        ("has_public_key", {**ACCOUNT, "public_key": DESK.public_key}, {"public_key": DESK.public_key + " "}),
        ("public_keys_of", ACCOUNT, {"account_id": []}),
        ("is_nonce_used", {**ACCOUNT, "nonce": base64.b64encode(NONCE).decode()}, {"nonce": "AAAA"}),
        ("is_nonce_used", {**ACCOUNT, "nonce": base64.b64encode(NONCE).decode()}, {"nonce": None}),
        ("is_account_locked", ACCOUNT, {"account_id": None}),
        ("is_auth_by_predecessor_id_enabled", ACCOUNT, {"account_id": "x y"}),
        ("is_valid_salt", {"salt": "0000000A"}, {"salt": "0x000000"}),
        ("simulate_intents", {"signed": []}, {"signed": {}}),
    ],
)
def test_a_view_reads_its_arguments_strictly(method: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    contract().view(method, good, height=1, now_ns=START_NS)
    with pytest.raises(PanicError, match=r"^Failed to deserialize input from JSON\."):
        contract().view(method, {**good, **bad}, height=1, now_ns=START_NS)


def test_the_entries_of_a_list_are_told_by_place() -> None:
    told = [
        contract().view("mt_tokens", {"from_index": start, "limit": limit}, height=1, now_ns=START_NS)
        for start, limit in ((None, None), ("0", 1), ("1", 5), ("2", None), ("0", 0))
    ]
    btc, wrap = {"token_id": BTC}, {"token_id": WRAP}
    assert told == [[btc, wrap], [btc], [wrap], [], []]
