"""Versioned nonces: salt, deadline and 15 free bytes in 32.

Layout: magic (4 bytes), version (1), salt (4), deadline in nanoseconds as a little-endian signed 64-bit integer (8),
free bytes (15); protocol/intents-and-signing section 7.2.
"""

from __future__ import annotations

import base64
import binascii
import struct

from unrip.domain.values import Value

NONCE_BYTES = 32
FREE_BYTES = 15
_MAGIC = bytes.fromhex("5628f6c6")
_VERSION = 0
_LAYOUT = struct.Struct("<4sB4sq15s")
_SALT_BYTES = 4
_NANOSECONDS_PER_MS = 1_000_000


class VersionedNonce(Value):
    """What is written in a nonce."""

    #: The contract knows version 0 only; it treats any other as a legacy nonce, without salt and deadline.
    version: int
    #: 8 hex digits.
    salt: str
    deadline_ns: int
    free: bytes


def encode_nonce(salt_hex: str, deadline_ms: int, free: bytes) -> str:
    """The nonce as base64 text, from salt (8 hex digits), deadline (milliseconds since 1970) and 15 free bytes.

    Raises:
        ValueError: a part has another length, or the deadline does not fit.

    """
    salt = bytes.fromhex(salt_hex)
    if len(salt) != _SALT_BYTES:
        raise ValueError(f"a salt has {_SALT_BYTES} bytes, not {len(salt)}")
    if len(free) != FREE_BYTES:
        raise ValueError(f"a nonce has {FREE_BYTES} free bytes, not {len(free)}")
    deadline_ns = deadline_ms * _NANOSECONDS_PER_MS
    if not 0 <= deadline_ns < 2**63:
        raise ValueError(f"deadline_ms={deadline_ms} does not fit into 64 bits of nanoseconds")
    return base64.b64encode(_LAYOUT.pack(_MAGIC, _VERSION, salt, deadline_ns, free)).decode()


def decode_nonce(text: str) -> VersionedNonce:
    """Read a nonce back.

    Raises:
        ValueError: it is not base64 of 32 bytes, or does not begin with the magic bytes (a legacy nonce).

    """
    magic, version, salt, deadline_ns, free = _LAYOUT.unpack(nonce_bytes(text))
    if magic != _MAGIC:
        raise ValueError("not a versioned nonce: other magic bytes")
    return VersionedNonce(version=version, salt=salt.hex(), deadline_ns=deadline_ns, free=free)


def nonce_bytes(text: str) -> bytes:
    """The 32 bytes of a nonce of either kind.

    Raises:
        ValueError: it is not canonical base64 of 32 bytes: one nonce must never have two texts in our books.

    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a nonce is base64 with padding") from None
    if len(raw) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(raw)}")
    if base64.b64encode(raw).decode() != text:
        raise ValueError("the base64 of the nonce is not canonical")
    return raw
