"""The two kinds of nonce: versioned (salt and deadline inside) and legacy (any other 32 bytes)."""

import base64
import struct
from dataclasses import dataclass

from unrip_world.codec import base64_raw

#: Magic bytes and the one version byte that exists; any other start makes a legacy nonce.
_VERSIONED_PREFIX = bytes.fromhex("5628f6c600")


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionedNonce:
    """What is written in a versioned nonce."""

    salt: bytes
    deadline_ns: int
    random: bytes

    def encode(self) -> bytes:
        """Give the 32 bytes; raises ValueError where a part has the wrong length."""
        if len(self.salt) != 4 or len(self.random) != 15:
            raise ValueError("a versioned nonce has 4 bytes of salt and 15 random bytes")
        return _VERSIONED_PREFIX + self.salt + struct.pack("<q", self.deadline_ns) + self.random


def decode_versioned(nonce: bytes) -> VersionedNonce | None:
    """Read a versioned nonce, or None for a legacy one."""
    if not nonce.startswith(_VERSIONED_PREFIX):
        return None
    (deadline_ns,) = struct.unpack("<q", nonce[9:17])
    return VersionedNonce(salt=nonce[5:9], deadline_ns=deadline_ns, random=nonce[17:])


def decode_nonce_text(text: str) -> bytes:
    """Read base64 (padding may be missing, as the contract allows); raises ValueError unless 32 bytes."""
    try:
        nonce = base64_raw(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise ValueError(f"nonce is not base64: {error}") from error
    if len(nonce) != 32:
        raise ValueError(f"nonce has {len(nonce)} bytes, expected 32")
    return nonce


def nonce_text(nonce: bytes) -> str:
    """Write a nonce as base64."""
    return base64.b64encode(nonce).decode()
