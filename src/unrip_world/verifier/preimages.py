"""What each signing standard hashes (protocol: intents and signing, sections 1 and 2)."""

import hashlib
import struct

from Crypto.Hash import keccak

#: NEP-413: 2^31 + 413 marks the bytes as an off-chain message.
_NEP413_TAG = 2**31 + 413


def sha256(data: bytes) -> bytes:
    """Give the hash that most standards use."""
    return hashlib.sha256(data).digest()


def keccak256(data: bytes) -> bytes:
    """Give Ethereum's hash, which is not the standardised SHA-3."""
    return keccak.new(digest_bits=256, data=data).digest()


def _borsh(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw


def nep413_digest(*, message: str, nonce: bytes, recipient: str, callback_url: str | None) -> bytes:
    """Hash that an NEP-413 signature covers."""
    tail = b"\x00" if callback_url is None else b"\x01" + _borsh(callback_url)
    return sha256(struct.pack("<I", _NEP413_TAG) + _borsh(message) + nonce + _borsh(recipient) + tail)


def _announced(chain: str, payload: str) -> bytes:
    """Write a text as wallets show it: the chain's name and the length in bytes come first."""
    raw = payload.encode()
    return f"\x19{chain} Signed Message:\n{len(raw)}".encode() + raw


def erc191_digest(payload: str) -> bytes:
    """Hash that an Ethereum wallet signs."""
    return keccak256(_announced("Ethereum", payload))


def tip191_digest(payload: str) -> bytes:
    """Hash that a TRON wallet signs."""
    return keccak256(_announced("TRON", payload))


def sep53_digest(payload: str) -> bytes:
    """Hash that a Stellar wallet signs."""
    return sha256(b"Stellar Signed Message:\n" + payload.encode())


def ton_connect_digest(*, workchain: int, address: bytes, domain: str, timestamp_s: int, text: str) -> bytes:
    """Hash that a TON wallet signs; all lengths and numbers are big endian. Raises ValueError out of their ranges."""
    raw_domain, raw_text = domain.encode(), text.encode()
    try:
        head = struct.pack(">i32sI", workchain, address, len(raw_domain))
        middle = struct.pack(">Q3sI", timestamp_s, b"txt", len(raw_text))
    except struct.error as error:
        raise ValueError(f"ton_connect field out of range: {error}") from error
    return sha256(b"\xff\xffton-connect/sign-data/" + head + raw_domain + middle + raw_text)
