"""The world reads JSON as the contract does: no field twice, no depth without end, every field of its type."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.strict_contract import (
    BACK,
    DIFF,
    MESSAGE,
    NEW_KEY,
    SIGNED,
    TRANSFER,
    WITHDRAWAL,
    contract,
    refusal,
    said_to,
    said_to_intent,
)
from support.virtual_world import DESK, Driver, ask, fair_answer, world
from unrip_world.assets import BTC
from unrip_world.codec import decode_json
from unrip_world.rpc.core import RpcError
from unrip_world.verifier.state import BALANCES


def paths(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of every object in a document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        if isinstance(value, dict):
            yield (*path, key)
        yield from paths(below, (*path, key))


class Twice(dict[str, Any]):
    """An object one of whose keys is written twice, with another value first."""

    def __init__(self, body: dict[str, Any], key: str, other: object) -> None:
        super().__init__(body)
        self._pairs = [(key, other), *body.items()]

    def items(self) -> Any:
        return self._pairs


def twice(document: Any, path: tuple[Any, ...], other: object) -> Any:
    """The same document with one key of it repeated."""
    key, *rest = path
    if not rest:
        return Twice(document, key, other)
    below = twice(document[key], tuple(rest), other)
    if isinstance(document, list):
        return [below if index == key else each for index, each in enumerate(document)]
    return {**document, key: below}


# -- JSON


def test_the_messages_of_this_file_are_executed() -> None:
    assert said_to(MESSAGE) is None
    for intent in (WITHDRAWAL, NEW_KEY):
        assert said_to_intent(**intent) is None


EVERY_INTENT = {**MESSAGE, "intents": [DIFF, BACK, TRANSFER, WITHDRAWAL, NEW_KEY]}


@pytest.mark.parametrize("path", [path for path in paths(EVERY_INTENT) if ":" not in path[-1]], ids=str)
@pytest.mark.parametrize("other", ["same", "x", None, []])
def test_no_field_of_a_message_stands_twice(path: tuple[Any, ...], other: object) -> None:
    body: Any = EVERY_INTENT
    for step in path if other == "same" else ():
        body = body[step]
    text = json.dumps(twice(EVERY_INTENT, path, body if other == "same" else other))
    assert text.count(f'"{path[-1]}"') > json.dumps(EVERY_INTENT).count(f'"{path[-1]}"')
    assert said_to(text) == f"JSON: duplicate field `{path[-1]}`"


def test_the_form_of_a_repeated_key_that_once_executed() -> None:
    text = json.dumps(MESSAGE)
    assert said_to(text[:-1] + ', "intents": []}') == "JSON: duplicate field `intents`"
    assert said_to('{"intents": [], ' + text[1:]) == "JSON: duplicate field `intents`"


def test_unknown_fields_may_repeat_and_of_a_repeated_token_the_last_amount_counts() -> None:
    assert said_to(json.dumps(MESSAGE)[:-1] + ', "x": 1, "x": {"y": 2, "y": 3}}') is None
    verifier = contract()
    text = json.dumps({**MESSAGE, "intents": [twice(TRANSFER, ("tokens", BTC), "999999999")]})
    assert said_to(text, verifier) is None
    assert verifier.storage.at(2).get(BALANCES, (DESK.account_id, BTC)) == 10**6 - 5


def simulated(text: str, *, encoded: str | None = None) -> dict[str, Any]:
    """What a node answers to the view of these arguments, given as text."""
    parameters = {
        "request_type": "call_function",
        "finality": "optimistic",
        "account_id": "intents.near",
        "method_name": "simulate_intents",
        "args_base64": encoded or base64.b64encode(text.encode()).decode(),
    }
    subject = world()
    subject.verifier.storage.put("keys", (DESK.account_id, DESK.public_key), True, height=subject.chain.head.height)
    answer: dict[str, Any] = subject.near_rpc.call("query", parameters)
    return answer


@pytest.mark.parametrize("path", list(paths({"signed": [SIGNED]})), ids=str)
def test_no_field_of_a_signed_object_or_of_its_call_stands_twice(path: tuple[Any, ...]) -> None:
    arguments = {"signed": [SIGNED]}
    assert "result" in simulated(json.dumps(arguments))
    text = json.dumps(twice(arguments, path, "x"))
    assert f"duplicate field `{path[-1]}`" in simulated(text)["error"]
    if path[0] == "signed" and len(path) > 1:
        assert f"duplicate field `{path[-1]}`" in str(refusal(decode_json(text)["signed"][0]))


@pytest.mark.parametrize("encoded", ["eyJzaWduZWQiOltdfR==", "eyJzaWduZWQiOltdfQ", "eyJzaWduZWQiOltdfQ==\n", "e30", 5])
def test_a_node_reads_arguments_in_base64_with_nothing_left_over(encoded: Any) -> None:
    assert "result" in simulated("", encoded="eyJzaWduZWQiOltdfQ==")
    with pytest.raises(RpcError, match="args_base64"):
        simulated("", encoded=encoded)


def test_the_relay_takes_no_answer_with_a_repeated_key() -> None:
    driver = Driver(world())
    ask(driver)
    (event,) = driver.events("quote_id")
    driver.frames.clear()
    fair_answer(driver, event)
    (accepted,) = driver.frames
    frame = json.loads(driver.world.relay.journal.submissions[-1].raw)
    text = json.dumps(twice(frame, ("params", 0, "signed_data", "payload", "nonce"), "x"))
    driver.frames.clear()
    driver.take(driver.world.relay.on_frame(1, text, driver.now_ns))
    (refused,) = driver.frames
    assert accepted["result"] == "OK"
    assert "duplicate field `nonce`" in refused["error"]["message"]


def nested(levels: int) -> str:
    """A message that is so deep, in a field that means nothing."""
    return json.dumps(MESSAGE)[:-1] + ', "deep": ' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def test_json_is_read_to_a_depth_of_127() -> None:
    assert said_to(nested(127)) is None
    for levels in (128, 129, 10_000):
        assert said_to(nested(levels)) == "JSON: recursion limit exceeded"
    assert said_to(json.dumps(MESSAGE)[:-1] + ', "text": "' + "[{" * 200 + '\\""}') is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "NaN",
        json.dumps(MESSAGE) + "x",
        json.dumps(MESSAGE)[:-1] + ",}",
        json.dumps(MESSAGE)[:-1] + ', "x": NaN}',
        json.dumps(MESSAGE)[:-1] + ', "x": 01}',
        json.dumps(MESSAGE)[:-1] + ', "x": "\n"}',
        json.dumps(MESSAGE)[:-1] + ', "x": "\\ud800"}',
        "\ufeff" + json.dumps(MESSAGE),
    ],
)
def test_what_is_no_json_object_is_no_message(text: str) -> None:
    assert str(said_to(text)).startswith("JSON: ")


@given(st.text(max_size=20), st.integers(0, 400))
def test_no_text_in_a_message_breaks_the_contract(inserted: str, place: int) -> None:
    text = json.dumps(MESSAGE)
    said = said_to(text[: place % len(text)] + inserted + text[place % len(text) :])
    assert said is None or isinstance(said, str)


# -- fields

MISSING: list[tuple[dict[str, Any], str]] = [
    ({"signer_id": None}, "signer_id"),
    ({"signer_id": "Upper.near"}, "account id"),
    ({"signer_id": "a"}, "account id"),
    ({"signer_id": "a..near"}, "account id"),
    ({"signer_id": " desk.near"}, "account id"),
    ({"signer_id": "a" * 65}, "account id"),
    ({"deadline": None}, "deadline"),
    ({"deadline": {"timestamp": 1_900_000_000}}, "deadline"),
    ({"deadline": 1_900_000_000}, "deadline"),
    ({"intents": None}, "intents"),
    ({"intents": {}}, "intents"),
    ({"intents": [7]}, "intent is not an object"),
    ({"intents": [{}]}, "intent"),
    ({"intents": [{"intent": "token_dif"}]}, "unknown variant"),
    ({"intents": [{"intent": "Token_diff", "diff": {BTC: "5"}}]}, "unknown variant"),
    ({"intents": [{"intent": "token_diff"}]}, "diff"),
    ({"intents": [{"intent": "token_diff", "diff": []}]}, "diff"),
    ({"intents": [{**DIFF, "memo": 5}]}, "memo"),
    ({"intents": [{**DIFF, "referral": "Upper.near"}]}, "account id"),
    ({"intents": [{**DIFF, "referral": 5}]}, "referral"),
    ({"intents": [{**TRANSFER, "receiver_id": "X"}]}, "account id"),
    ({"intents": [{**TRANSFER, "msg": 5}]}, "msg"),
    ({"intents": [{**TRANSFER, "min_gas": 5}]}, "amount"),
    ({"intents": [{**WITHDRAWAL, "token": "nep141:btc.omft.near"}]}, "account id"),
    ({"intents": [{**WITHDRAWAL, "receiver_id": None}]}, "receiver_id"),
    ({"intents": [{**NEW_KEY, "public_key": "ed25519:x"}]}, "length"),
]


@pytest.mark.parametrize(("changes", "named"), MISSING, ids=str)
def test_a_field_is_there_and_of_its_type(changes: dict[str, Any], named: str) -> None:
    said = str(said_to({**MESSAGE, **changes}))
    assert said.startswith("JSON: ")
    assert named in said


def test_absent_and_unknown_fields() -> None:
    without = {name: value for name, value in MESSAGE.items() if name != "intents"}
    assert said_to(without) is None
    strange = {**MESSAGE, "nonce": 7, "verifying_contract": "other.near", "intents": [{**TRANSFER, "more": [1]}]}
    assert said_to(strange) is None


@pytest.mark.parametrize(
    ("intent", "said"),
    [
        ({**DIFF, "diff": {}}, "invalid intent"),
        ({**DIFF, "diff": {BTC: "0"}}, "invalid intent"),
        ({**DIFF, "diff": {BTC: "-0"}}, "invalid intent"),
        ({**TRANSFER, "tokens": {}}, "invalid intent"),
        ({**TRANSFER, "tokens": {BTC: "0"}}, "invalid intent"),
        ({**TRANSFER, "receiver_id": DESK.account_id}, "invalid intent"),
        ({**WITHDRAWAL, "amount": "0"}, "invalid intent"),
        ({**WITHDRAWAL, "storage_deposit": "0"}, "invalid intent"),
        ({**WITHDRAWAL, "storage_deposit": "00"}, "invalid intent"),
        ({**WITHDRAWAL, "amount": "1000001"}, "insufficient balance or overflow"),
        ({**WITHDRAWAL, "storage_deposit": "1000001"}, "insufficient balance or overflow"),
        ({**WITHDRAWAL, "amount": "1000001", "storage_deposit": "0"}, "insufficient balance or overflow"),
        ({**WITHDRAWAL, "min_gas": "300000000000001"}, "Exceeded the prepaid gas."),
        ({**NEW_KEY, "public_key": DESK.public_key}, f"public key '{DESK.public_key}' already exists for account"),
        ({**NEW_KEY, "intent": "remove_public_key"}, f"public key '{NEW_KEY['public_key']}' doesn't exist for account"),
        ({**DIFF, "intent": "auth_call"}, "unsupported intent 'auth_call'"),
    ],
    ids=str,
)
def test_nothing_is_moved_by_an_intent_that_says_nothing_or_too_much(intent: dict[str, Any], said: str) -> None:
    assert str(said_to_intent(**intent)).startswith(said)
