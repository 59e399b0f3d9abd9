from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.vectors import cases, label
from unrip.venues.near_intents.nonces import decode_nonce, encode_nonce, nonce_bytes


@pytest.mark.parametrize("case", cases("versioned_nonce"), ids=label)
def test_vectors(case: dict[str, Any]) -> None:
    text = encode_nonce(case["salt_hex"], case["deadline_ms"], bytes.fromhex(case["random_hex"]))
    assert text == case["nonce_base64"]
    assert nonce_bytes(text).hex() == case["nonce_hex"]
    decoded = decode_nonce(text)
    assert (decoded.version, decoded.salt, str(decoded.deadline_ns), decoded.free.hex()) == (
        0,
        case["salt_hex"],
        case["deadline_ns"],
        case["random_hex"],
    )


@pytest.mark.parametrize("case", [c for c in cases("sdk_rejections") if c["kind"] == "encode_nonce"], ids=label)
def test_parts_of_another_length_are_refused(case: dict[str, Any]) -> None:
    lengths = case["input"]
    with pytest.raises(ValueError, match="bytes"):
        encode_nonce("ab" * lengths["salt_len"], 1_900_000_000_000, bytes(lengths["random_len"]))


@pytest.mark.parametrize("case", [c for c in cases("sdk_rejections") if c["kind"] == "decode_nonce"], ids=label)
def test_what_is_no_versioned_nonce_is_refused(case: dict[str, Any]) -> None:
    text = case["input"]["nonce_base64"]
    if case["result"]["ok"]:
        assert decode_nonce(text).version == 1  # the contract would take it for a legacy nonce
        return
    with pytest.raises(ValueError, match="nonce"):
        decode_nonce(text)


@pytest.mark.parametrize("deadline_ms", [-1, 2**63 // 1_000_000 + 1])
def test_a_deadline_outside_64_bits_is_refused(deadline_ms: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        encode_nonce("252812b3", deadline_ms, bytes(15))


def test_a_second_text_of_the_same_nonce_is_refused() -> None:
    text = encode_nonce("252812b3", 1, bytes(15))
    assert text.endswith("AA=")
    with pytest.raises(ValueError, match="canonical"):
        nonce_bytes(text.replace("AA=", "AB="))


@given(st.binary(min_size=4, max_size=4), st.integers(0, 2**63 // 1_000_000 - 1), st.binary(min_size=15, max_size=15))
def test_what_is_encoded_is_decoded(salt: bytes, deadline_ms: int, free: bytes) -> None:
    decoded = decode_nonce(encode_nonce(salt.hex(), deadline_ms, free))
    assert (decoded.salt, decoded.deadline_ns, decoded.free) == (salt.hex(), deadline_ms * 1_000_000, free)
