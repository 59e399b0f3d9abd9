"""The signed object (`MultiPayload`) and its NEP-413 hash."""

import hashlib
import struct
from dataclasses import dataclass

import base58
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from unrip_world.codec import base58_text
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.keys import PublicKey, decode_prefixed, parse_public_key
from unrip_world.verifier.nonces import decode_nonce_text

#: NEP-413: 2^31 + 413 marks the bytes as an off-chain message.
_TAG = 2**31 + 413
_OTHER_STANDARDS = frozenset({"raw_ed25519", "erc191", "tip191", "sep53", "ton_connect", "webauthn"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedPayload:
    """One signed intent, decoded but not yet believed."""

    message: str
    nonce: bytes
    recipient: str
    public_key: PublicKey
    signature: bytes
    digest: bytes

    @property
    def intent_hash(self) -> str:
        """Base58 of the signed hash; for a solver's offer this is the quote hash."""
        return base58_text(self.digest)

    def is_signed(self) -> bool:
        """Whether the signature is the key's over the hash."""
        try:
            VerifyKey(self.public_key.raw).verify(self.digest, self.signature)
        except (CryptoError, ValueError):
            return False
        return True


def _borsh(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw


def nep413_digest(*, message: str, nonce: bytes, recipient: str, callback_url: str | None) -> bytes:
    """Hash that an NEP-413 signature covers."""
    tail = b"\x00" if callback_url is None else b"\x01" + _borsh(callback_url)
    return hashlib.sha256(struct.pack("<I", _TAG) + _borsh(message) + nonce + _borsh(recipient) + tail).digest()


def decode_payload(signed: object) -> SignedPayload:
    """Read a `MultiPayload`; raises PanicError with the reason, as argument decoding of the contract does."""
    try:
        return _decode(signed)
    except (ValueError, TypeError, KeyError) as error:
        raise PanicError(f"Failed to deserialize input from JSON.: {error}") from error


def _decode(signed: object) -> SignedPayload:
    if not isinstance(signed, dict):
        raise TypeError("a signed intent is an object")
    standard = signed.get("standard")
    if standard in _OTHER_STANDARDS:
        raise PanicError(f"unsupported standard '{standard}': this world checks nep413 only")
    if standard != "nep413":
        raise ValueError(f"unknown variant `{standard}`, expected `nep413`")
    payload = signed["payload"]
    message, recipient = _text(payload, "message"), _text(payload, "recipient")
    nonce = decode_nonce_text(_text(payload, "nonce"))
    callback_url = payload.get("callbackUrl")
    if callback_url is not None and not isinstance(callback_url, str):
        raise TypeError("callbackUrl is not a string")
    public_key = parse_public_key(_text(signed, "public_key"))
    if public_key.curve != "ed25519":
        raise ValueError("nep413 takes ed25519 keys only")
    _, signature = decode_prefixed(_text(signed, "signature"), lengths={"ed25519": 64})
    return SignedPayload(
        message=message,
        nonce=nonce,
        recipient=recipient,
        public_key=public_key,
        signature=signature,
        digest=nep413_digest(message=message, nonce=nonce, recipient=recipient, callback_url=callback_url),
    )


def _text(holder: object, field: str) -> str:
    value = holder.get(field) if isinstance(holder, dict) else None
    if not isinstance(value, str):
        raise TypeError(f"field `{field}` is missing or not a string")
    return value


def is_hash(text: object) -> bool:
    """Whether the text is a base58 hash of 32 bytes."""
    try:
        return isinstance(text, str) and len(base58.b58decode(text)) == 32
    except ValueError:
        return False
