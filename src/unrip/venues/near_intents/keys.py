"""Texts of keys, signatures, hashes and accounts (protocol/intents-and-signing section 3)."""

from __future__ import annotations

import re

import base58

_PREFIX = "ed25519:"
_ACCOUNT = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_ACCOUNT_CHARACTERS = range(2, 65)
#: The length of our longest text: a private key has 88 base58 digits.
_BASE58_CHARACTERS_MAX = 128


def ed25519_text(raw: bytes) -> str:
    """The text of an ed25519 key or signature."""
    return _PREFIX + base58_text(raw)


def ed25519_bytes(text: str, *, length: int) -> bytes:
    """The bytes of an ed25519 key (32), private key (64) or signature (64).

    Raises:
        ValueError: another curve, not base58, or another length. The text itself is not repeated.

    """
    if not text.startswith(_PREFIX) or len(text) > _BASE58_CHARACTERS_MAX:
        raise ValueError(f"not an {_PREFIX} text")
    try:
        raw = base58.b58decode(text.removeprefix(_PREFIX))
    except ValueError:
        raise ValueError("not base58") from None
    if len(raw) != length:
        raise ValueError(f"{len(raw)} bytes instead of {length}")
    return raw


def base58_text(raw: bytes) -> str:
    """The base58 text of a hash."""
    return base58.b58encode(raw).decode()


def implicit_account_id(public_key: str) -> str:
    """The account that an ed25519 public key owns without registration: its hex."""
    return ed25519_bytes(public_key, length=32).hex()


def check_account_id(account_id: str) -> str:
    """The account id itself.

    Raises:
        ValueError: it is no NEAR account id (lower case, digits, single separators, 2 to 64 characters).

    """
    if len(account_id) not in _ACCOUNT_CHARACTERS or not _ACCOUNT.fullmatch(account_id):
        raise ValueError(f"{account_id[:80]!r} is not a NEAR account id")
    return account_id
