"""The signed object (`MultiPayload`) in the standards that this world verifies."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from unrip_world.codec import NS_PER_S, base58_text, rfc3339_to_ns
from unrip_world.verifier.errors import PanicError
from unrip_world.verifier.fields import field_of, optional_text_of, text_of
from unrip_world.verifier.keys import PublicKey, decode_prefixed, parse_public_key
from unrip_world.verifier.nonces import decode_nonce_text
from unrip_world.verifier.preimages import (
    erc191_digest,
    nep413_digest,
    sep53_digest,
    sha256,
    tip191_digest,
    ton_connect_digest,
)
from unrip_world.verifier.signatures import Ed25519Proof, Proof, Secp256k1Proof

_TON_ADDRESS = re.compile(r"(-?\d{1,10}):([\da-fA-F]{64})", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What NEP-413 keeps outside the message; every other standard has it inside."""

    nonce: bytes
    recipient: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedPayload:
    """One signed intent, decoded but not yet believed."""

    standard: str
    message: str
    digest: bytes
    proof: Proof
    envelope: Envelope | None = None
    #: When a TON wallet says that it signed; the deadline must not be earlier.
    timestamp_ns: int | None = None

    @property
    def intent_hash(self) -> str:
        """Base58 of the hash; for a solver's offer this is the quote hash."""
        return base58_text(self.digest)

    def signer_key(self) -> PublicKey | None:
        """Give the key that signed, or None if the signature is false."""
        return self.proof.signer_key()


def decode_payload(signed: object) -> SignedPayload:
    """Read a `MultiPayload`; raises PanicError with the reason, as argument decoding of the contract does."""
    try:
        return _decode(signed)
    except (ValueError, TypeError, KeyError) as error:
        raise PanicError(f"Failed to deserialize input from JSON.: {error}") from error


def _decode(signed: object) -> SignedPayload:
    if not isinstance(signed, dict):
        raise TypeError("a signed intent is an object")
    standard = field_of(signed, "standard")
    if standard == "webauthn":
        raise PanicError(f"unsupported standard 'webauthn': this world verifies {', '.join(_DECODERS)}")
    if not isinstance(standard, str) or standard not in _DECODERS:
        raise ValueError(f"unknown variant `{standard}`, expected one of {', '.join(_DECODERS)}")
    return _DECODERS[standard](signed)


def _nep413(signed: Mapping[str, Any]) -> SignedPayload:
    payload = field_of(signed, "payload")
    message, recipient = text_of(payload, "message"), text_of(payload, "recipient")
    nonce = decode_nonce_text(text_of(payload, "nonce"))
    callback_url = optional_text_of(payload, "callbackUrl")
    digest = nep413_digest(message=message, nonce=nonce, recipient=recipient, callback_url=callback_url)
    return SignedPayload(
        standard="nep413",
        message=message,
        digest=digest,
        proof=_ed25519(signed, over=digest),
        envelope=Envelope(nonce=nonce, recipient=recipient),
    )


def _raw_ed25519(signed: Mapping[str, Any]) -> SignedPayload:
    """Here the payload itself is signed, not its hash."""
    payload = text_of(signed, "payload")
    raw = payload.encode()
    proof = _ed25519(signed, over=raw)
    return SignedPayload(standard="raw_ed25519", message=payload, digest=sha256(raw), proof=proof)


def _sep53(signed: Mapping[str, Any]) -> SignedPayload:
    payload = text_of(signed, "payload")
    digest = sep53_digest(payload)
    return SignedPayload(standard="sep53", message=payload, digest=digest, proof=_ed25519(signed, over=digest))


def _erc191(signed: Mapping[str, Any]) -> SignedPayload:
    payload = text_of(signed, "payload")
    digest = erc191_digest(payload)
    return SignedPayload(standard="erc191", message=payload, digest=digest, proof=_secp256k1(signed, over=digest))


def _tip191(signed: Mapping[str, Any]) -> SignedPayload:
    payload = text_of(signed, "payload")
    digest = tip191_digest(payload)
    return SignedPayload(standard="tip191", message=payload, digest=digest, proof=_secp256k1(signed, over=digest))


def _ton_connect(signed: Mapping[str, Any]) -> SignedPayload:
    payload = field_of(signed, "payload")
    if text_of(payload, "type") != "text":
        raise PanicError("JSON: only text payload supported")
    text = text_of(payload, "text")
    address = _TON_ADDRESS.fullmatch(text_of(signed, "address"))
    if address is None:
        raise ValueError("address is not `workchain:64 hex digits`")
    timestamp_ns = _timestamp_ns(field_of(signed, "timestamp"))
    digest = ton_connect_digest(
        workchain=int(address[1]),
        address=bytes.fromhex(address[2]),
        domain=text_of(signed, "domain"),
        timestamp_s=timestamp_ns // NS_PER_S,
        text=text,
    )
    proof = _ed25519(signed, over=digest)
    return SignedPayload(standard="ton_connect", message=text, digest=digest, proof=proof, timestamp_ns=timestamp_ns)


_DECODERS: dict[str, Callable[[Mapping[str, Any]], SignedPayload]] = {
    "nep413": _nep413,
    "raw_ed25519": _raw_ed25519,
    "erc191": _erc191,
    "tip191": _tip191,
    "sep53": _sep53,
    "ton_connect": _ton_connect,
}


def _ed25519(signed: Mapping[str, Any], *, over: bytes) -> Ed25519Proof:
    public_key = parse_public_key(text_of(signed, "public_key"))
    if public_key.curve != "ed25519":
        raise ValueError(f"{signed['standard']} takes ed25519 keys only")
    _, signature = decode_prefixed(text_of(signed, "signature"), lengths={"ed25519": 64})
    return Ed25519Proof(public_key=public_key, signature=signature, signed=over)


def _secp256k1(signed: Mapping[str, Any], *, over: bytes) -> Secp256k1Proof:
    _, signature = decode_prefixed(text_of(signed, "signature"), lengths={"secp256k1": 65})
    return Secp256k1Proof(signature=signature, digest=over)


def _timestamp_ns(value: object) -> int:
    """Read seconds as a number or as decimal text, or an RFC 3339 text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value * NS_PER_S
    if not isinstance(value, str):
        raise TypeError("field `timestamp` is missing or neither text nor a number of seconds")
    return int(value) * NS_PER_S if value.isascii() and value.isdecimal() else rfc3339_to_ns(value)
