"""`unrip near`: the client's vectors through the command line, and one line for everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.vectors import cases, label
from unrip.cli.app import app
from unrip.cli.exits import CommandFailed, Exit

VERBATIM = cases("nep413_token_diff")
BUILT = [case for case in VERBATIM if case["message_style"] == "sdk"]
REJECTED = cases("sdk_rejections")
INTENTS = '[{"intent":"token_diff","diff":{"nep141:a.near":"5","nep141:b.near":"-3"}}]'
NONCE = "Vij2xgAlKBKzADZykFdbpB8CcBXsE9wRhklzE4/mgS8="


def run(*arguments: str, stdin: str | bytes | None = None) -> Any:
    """What the command says with `--json`."""
    result = CliRunner().invoke(app, ["near", *arguments, "--json"], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def refusal(*arguments: str, stdin: str | bytes | None = None) -> str:
    """The one line of a command that refuses what it was given."""
    with pytest.raises(CommandFailed) as failed:
        CliRunner().invoke(app, ["near", *arguments], input=stdin, catch_exceptions=False)
    assert failed.value.code is Exit.USAGE
    assert "\n" not in str(failed.value)
    return str(failed.value)


def key_file(folder: Path, private_key: str) -> str:
    path = folder / "desk.key"
    path.write_text(private_key)
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def key(tmp_path: Path) -> str:
    return key_file(tmp_path, VERBATIM[0]["private_key"])


def under(case: dict[str, Any], folder: Path) -> list[str]:
    """The options that say under what a case is signed."""
    callback = [] if case["callback_url"] is None else ["--callback-url", case["callback_url"]]
    key = key_file(folder, case["private_key"])
    return ["--key-file", key, "--nonce", case["nonce"], "--recipient", case["verifying_contract"], *callback]


@pytest.mark.parametrize("case", VERBATIM, ids=label)
def test_a_message_is_signed_letter_by_letter(case: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    file.write_text(case["message"] + "\n")
    said = run("sign", str(file), *under(case, tmp_path))
    assert said == {"intent_hash": case["intent_hash"], "signed": case["signed_data"]}


@pytest.mark.parametrize("case", BUILT, ids=label)
def test_a_message_is_built_around_intents(case: dict[str, Any], tmp_path: Path) -> None:
    options = [*under(case, tmp_path), "--signer", case["signer_id"], "--deadline", case["deadline"]]
    said = run("sign", *options, stdin=json.dumps(case["intents"]))
    assert said == {"intent_hash": case["intent_hash"], "signed": case["signed_data"]}


@pytest.mark.parametrize("case", cases("versioned_nonce"), ids=label)
def test_nonces_there_and_back(case: dict[str, Any]) -> None:
    options = ["nonce", "encode", "--salt", case["salt_hex"], "--random", case["random_hex"], "--deadline"]
    said = run(*options, str(case["deadline_ms"]))
    assert said == run(*options, case["deadline_iso"]) == run("nonce", "decode", case["nonce_base64"])
    assert said == {
        "nonce": case["nonce_base64"],
        "version": 0,
        "salt": case["salt_hex"],
        "deadline_ns": case["deadline_ns"],
        "random": case["random_hex"],
    }


@pytest.mark.parametrize("case", [case for case in REJECTED if case["kind"] != "intent_hash"], ids=label)
def test_what_the_sdk_rejects_is_refused(case: dict[str, Any], key: str) -> None:
    """All kinds but `intent_hash`, which is about naming a standard: this command knows only nep413."""
    given = case["input"]
    match case["kind"]:
        case "encode_nonce":
            parts = ["--salt", "ab" * given["salt_len"], "--random", "cd" * given["random_len"]]
            refusal("nonce", "encode", "--deadline", "1900000000000", *parts)
        case "decode_nonce" if case["result"]["ok"]:
            assert run("nonce", "decode", given["nonce_base64"])["version"] == 1
        case "decode_nonce":
            refusal("nonce", "decode", given["nonce_base64"])
        case "set_signer":
            at = "2030-01-01T00:00:00.000Z"
            options = ["sign", "--key-file", key, "--nonce", NONCE]
            built = refusal(*options, "--deadline", at, "--signer", given["signer_id"], stdin=INTENTS)
            message = json.dumps({"deadline": at, "intents": [], "signer_id": given["signer_id"]})
            assert built == refusal(*options, stdin=message)
        case "nep413_sign":
            options = ["--key-file", key, "--deadline", "1900000000000", "--nonce", given["nonce_base64"]]
            assert "nonce" in refusal("sign", *options, stdin=INTENTS)
        case _:
            pytest.fail(f"a kind of case that nobody runs: {case['kind']}")


def test_the_default_signer_is_the_key_itself(key: str) -> None:
    said = run("sign", "--key-file", key, "--nonce", NONCE, "--deadline", "1900000000000", stdin=INTENTS)
    message = json.loads(said["signed"]["payload"]["message"])
    assert len(message["signer_id"]) == 64
    assert message["deadline"] == "2030-03-17T17:46:40.000Z"
    assert said["signed"]["payload"]["recipient"] == "intents.near"


def test_a_nonce_is_never_drawn_twice() -> None:
    options = ["nonce", "encode", "--salt", "252812b3", "--deadline", "1900000000000"]
    assert run(*options)["random"] != run(*options)["random"]


def test_without_json_it_is_for_people(key: str) -> None:
    options = ["--key-file", key, "--nonce", NONCE, "--deadline", "1900000000000"]
    signed = CliRunner().invoke(app, ["near", "sign", *options], input=INTENTS, catch_exceptions=False)
    assert signed.output.startswith("intent hash: ")
    made = CliRunner().invoke(app, ["near", "nonce", "encode", "--salt", "252812b3", "--deadline", "1900000000000"])
    told = CliRunner().invoke(app, ["near", "nonce", "decode", made.output.strip()], catch_exceptions=False)
    assert "salt: 252812b3" in told.output.splitlines()


WRONG: dict[str, tuple[list[str], str | bytes, str]] = {
    "no json": (["--deadline", "1"], "{", "not JSON"),
    "no message": (["--deadline", "1"], "7", "not an object"),
    "no UTF-8": (["--deadline", "1"], b"\xff", "UTF-8"),
    "far too much": (["--deadline", "1"], b" " * (1024 * 1024 + 1), "bytes"),
    "nested": (["--deadline", "1"], "[" * 100_000, "too many values"),
    "no deadline": ([], INTENTS, "--deadline"),
    "no intents": (["--deadline", "1"], "[7]", "intent"),
    "a fraction": (["--deadline", "1"], '[{"intent":"transfer","amount":1.5}]', "fraction"),
    "no instant": (["--deadline", "tomorrow"], INTENTS, "instant"),
    "an instant without offset": (["--deadline", "2030-01-01T00:00:00"], INTENTS, "offset"),
    "half a millisecond": (["--deadline", "2030-01-01T00:00:00.0005Z"], INTENTS, "whole millisecond"),
    "the year 10000": (["--deadline", "9" * 20], INTENTS, "no date"),
    "two deadlines": (["--deadline", "1"], '{"deadline":"2030-01-01T00:00:00Z","signer_id":"a.near"}', "--deadline"),
    "a message without deadline": ([], '{"signer_id":"a.near"}', "instant"),
    "a message without signer": ([], '{"deadline":"2030-01-01T00:00:00Z","signer_id":7}', "account"),
    "another recipient": (["--deadline", "1", "--recipient", "Intents.near"], INTENTS, "account"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line(name: str, key: str) -> None:
    options, given, said = WRONG[name]
    assert said in refusal("sign", "--key-file", key, "--nonce", NONCE, *options, stdin=given)


def test_a_missing_file_is_named(key: str) -> None:
    assert "none.json: No such file" in refusal("sign", "none.json", "--key-file", key, "--nonce", NONCE)


def test_an_open_key_file_is_refused_and_never_repeated(key: str) -> None:
    Path(key).chmod(0o644)
    said = refusal("sign", "--key-file", key, "--nonce", NONCE, "--deadline", "1", stdin=INTENTS)
    assert "chmod 600" in said
    assert VERBATIM[0]["private_key"] not in said
