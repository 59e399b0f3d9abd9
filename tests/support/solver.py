"""A hand-made signer of the tests, with its own code: neither the world nor unrip checks itself."""

import base64
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import base58
from nacl.signing import SigningKey

BTC = "nep141:btc.omft.near"
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """An account of the ledger with its key."""

    account_id: str
    key: SigningKey

    @property
    def public_key(self) -> str:
        return "ed25519:" + base58.b58encode(bytes(self.key.verify_key)).decode()

    def sign(
        self,
        intents: Sequence[Mapping[str, Any]],
        *,
        salt: bytes,
        deadline_ms: int,
        unique: bytes,
        recipient: str = "intents.near",
        nonce: bytes | None = None,
    ) -> dict[str, Any]:
        """Sign a message with these intents; the nonce ends with the message."""
        if nonce is None:
            nonce = bytes.fromhex("5628f6c600") + salt + struct.pack("<q", deadline_ms * 10**6) + unique
        moment = datetime.fromtimestamp(deadline_ms // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
        deadline = f"{moment}.{deadline_ms % 1000:03d}Z"
        body = {"deadline": deadline, "intents": intents, "signer_id": self.account_id}
        return self.sign_text(json.dumps(body, separators=(",", ":")), nonce=nonce, recipient=recipient)

    def sign_text(self, message: str, *, nonce: bytes, recipient: str = "intents.near") -> dict[str, Any]:
        """Sign any text, be it a message or not."""
        return {
            "standard": "nep413",
            "payload": {"message": message, "nonce": base64.b64encode(nonce).decode(), "recipient": recipient},
            "public_key": self.public_key,
            "signature": "ed25519:"
            + base58.b58encode(self.key.sign(_digest(message, nonce, recipient)).signature).decode(),
        }


def intent_hash(signed: Mapping[str, Any]) -> str:
    """Give the hash under which the contract tells of this intent."""
    payload = signed["payload"]
    digest = _digest(payload["message"], base64.b64decode(payload["nonce"]), payload["recipient"])
    return base58.b58encode(digest).decode()


def token_diff(diff: Mapping[str, int]) -> dict[str, Any]:
    """Write a token_diff intent."""
    return {"intent": "token_diff", "diff": {token: str(delta) for token, delta in diff.items()}}


def _digest(message: str, nonce: bytes, recipient: str) -> bytes:
    texts = [struct.pack("<I", len(text.encode())) + text.encode() for text in (message, recipient)]
    return hashlib.sha256(struct.pack("<I", 2**31 + 413) + texts[0] + nonce + texts[1] + b"\x00").digest()
