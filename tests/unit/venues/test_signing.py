from __future__ import annotations

import copy
import traceback
from pathlib import Path
from typing import Any

import pytest

from support.vectors import cases, label
from unrip.net.secret_file import SecretFileError
from unrip.venues.near_intents.keys import check_account_id, ed25519_bytes, ed25519_text, implicit_account_id
from unrip.venues.near_intents.nep413 import build_message, intent_hash, message_hash, preimage, signed_object
from unrip.venues.near_intents.signer import Signer

ED25519_KEYS = [case for case in cases("keys") if case["curve"] == "ed25519"]


@pytest.mark.parametrize("case", ED25519_KEYS, ids=label)
def test_key_vectors(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(case["private_key"])
    path.chmod(0o600)
    signer = Signer.from_file(path, verifying_contract="intents.near")
    assert signer.public_key == case["public_key"]
    assert signer.implicit_account_id == implicit_account_id(case["public_key"]) == case["implicit_account_id"]


@pytest.mark.parametrize("case", cases("nep413_token_diff"), ids=label)
def test_signing_vectors(case: dict[str, Any]) -> None:
    message = case["message"]
    if case["message_style"] == "sdk":
        assert message == build_message(deadline=case["deadline"], intents=case["intents"], signer_id=case["signer_id"])
    under = {"nonce": case["nonce"], "recipient": case["verifying_contract"], "callback_url": case["callback_url"]}
    digest = message_hash(message, **under)
    assert preimage(message, **under).hex() == case["nep413_preimage_hex"]
    assert digest.hex() == case["nep413_hash_hex"]
    assert intent_hash(digest) == case["intent_hash"]
    signer = Signer(bytes.fromhex(case["private_key_seed_hex"]), verifying_contract=case["verifying_contract"])
    assert signer.sign(digest) == case["signature"]
    assert case["signed_data"] == signed_object(
        message, **under, public_key=signer.public_key, signature=case["signature"]
    )


@pytest.mark.parametrize("case", [c for c in cases("sdk_rejections") if c["kind"] == "set_signer"], ids=label)
def test_what_is_no_account_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a NEAR account id"):
        build_message(deadline="2030-01-01T00:00:00.000Z", intents=[], signer_id=case["input"]["signer_id"])


@pytest.mark.parametrize("case", [c for c in cases("sdk_rejections") if c["kind"] == "nep413_sign"], ids=label)
def test_what_is_no_nonce_is_not_signed(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="nonce"):
        message_hash("{}", nonce=case["input"]["nonce_base64"], recipient="intents.near")


@pytest.mark.parametrize("account_id", ["a--b.near", "a..near", "-a.near", "a" * 65, "", "a.near\n", "ä.near"])
def test_other_spellings_that_are_no_accounts(account_id: str) -> None:
    with pytest.raises(ValueError, match="not a NEAR account id"):
        check_account_id(account_id)


@pytest.mark.parametrize("account_id", ["desk.example.near", "a1", "mm_1-x.near", "0" * 64])
def test_accounts(account_id: str) -> None:
    assert check_account_id(account_id) == account_id


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "secp256k1:abc", "ed25519:0OIl", "ed25519:" + "2" * 10_000, "ed25519:ü"]
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"ed25519|base58|bytes") as refusal:
        ed25519_bytes(text, length=32)
    assert len(str(refusal.value)) < 60


def _key_file(tmp_path: Path, content: str, mode: int = 0o600) -> Path:
    path = tmp_path / "desk.key"
    path.write_text(content)
    path.chmod(mode)
    return path


SECRET = ED25519_KEYS[0]["private_key"]


@pytest.mark.parametrize(
    ("content", "mode", "remedy"),
    [
        (SECRET, 0o640, "chmod 600"),
        (SECRET, 0o604, "chmod 600"),
        ("", 0o600, "empty"),
        (SECRET[:-4], 0o600, "no NEAR private key"),
        (SECRET.removeprefix("ed25519:"), 0o600, "no NEAR private key"),
        ("secp256k1:abc", 0o600, "no NEAR private key"),
        ('{"private_key": "x"}', 0o600, "one line"),
    ],
)
def test_a_bad_key_file_is_one_line_that_never_repeats_it(tmp_path: Path, content: str, mode: int, remedy: str) -> None:
    with pytest.raises(SecretFileError, match=remedy) as refusal:
        Signer.from_file(_key_file(tmp_path, content, mode), verifying_contract="intents.near")
    message = "".join(traceback.format_exception(refusal.value))
    assert not content or content not in message.replace(str(tmp_path), "")
    assert "\n" not in str(refusal.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match=r"desk\.key: No such file"):
        Signer.from_file(tmp_path / "desk.key", verifying_contract="intents.near")


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    mine, other = (ed25519_bytes(case["private_key"], length=64) for case in ED25519_KEYS[:2])
    content = ed25519_text(mine[:32] + other[32:])
    with pytest.raises(SecretFileError, match="does not belong"):
        Signer.from_file(_key_file(tmp_path, content), verifying_contract="intents.near")


def test_the_key_shows_nowhere(tmp_path: Path) -> None:
    signer = Signer.from_file(_key_file(tmp_path, SECRET), verifying_contract="intents.near")
    shown = repr(signer) + str(signer) + format(signer) + repr([signer]) + repr(copy.copy(signer))
    seed = ed25519_bytes(SECRET, length=64)[:32]
    assert signer.public_key in shown
    assert SECRET not in shown
    assert seed.hex() not in shown
