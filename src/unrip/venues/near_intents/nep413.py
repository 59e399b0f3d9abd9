"""NEP-413: the message, the bytes that are signed and their hash (protocol/intents-and-signing sections 2, 4, 5)."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from unrip.venues.near_intents.keys import base58_text, check_account_id
from unrip.venues.near_intents.nonces import nonce_bytes

#: 2^31 + 413: no transaction of the chain begins with it, so a signed message can never be one.
_TAG = struct.pack("<I", 2**31 + 413)


def build_message(*, deadline: str, intents: Sequence[Mapping[str, Any]], signer_id: str) -> str:
    """The message as compact JSON, in the key order of the venue's own SDK; the exact text is signed and sent.

    Raises:
        ValueError: `signer_id` is no account id.

    """
    message = {"deadline": deadline, "intents": list(intents), "signer_id": check_account_id(signer_id)}
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def preimage(message: str, *, nonce: str, recipient: str, callback_url: str | None = None) -> bytes:
    """The borsh bytes under the hash.

    Raises:
        ValueError: the nonce is not base64 of 32 bytes.

    """
    callback = b"\x00" if callback_url is None else b"\x01" + _borsh(callback_url)
    return _TAG + _borsh(message) + nonce_bytes(nonce) + _borsh(recipient) + callback


def message_hash(message: str, *, nonce: str, recipient: str, callback_url: str | None = None) -> bytes:
    """The 32 bytes that are signed."""
    return hashlib.sha256(preimage(message, nonce=nonce, recipient=recipient, callback_url=callback_url)).digest()


def intent_hash(digest: bytes) -> str:
    """The hash as the venue writes it; of a solver's intent it is the quote hash."""
    return base58_text(digest)


def signed_object(
    message: str, *, nonce: str, recipient: str, public_key: str, signature: str, callback_url: str | None = None
) -> dict[str, Any]:
    """The signed intent as the relay and the contract take it."""
    payload = {"message": message, "nonce": nonce, "recipient": recipient}
    if callback_url is not None:
        payload["callbackUrl"] = callback_url
    return {"standard": "nep413", "payload": payload, "public_key": public_key, "signature": signature}


def _borsh(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data
