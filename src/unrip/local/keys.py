"""Keys and tokens of a desk on the simulated world, made once and kept in the home's secrets."""

from __future__ import annotations

import secrets
from pathlib import Path

import base58
from nacl.signing import SigningKey

from unrip.net.secret_file import read_secret, write_secret


def ensure_signing_key(path: Path) -> str:
    """Make the key file if it is missing; return the key's implicit account, which needs no registration."""
    if not path.exists():
        key = SigningKey.generate()
        private = base58.b58encode(bytes(key) + bytes(key.verify_key)).decode()
        write_secret(path, f"ed25519:{private}\n")
    private_bytes = base58.b58decode(read_secret(path).removeprefix("ed25519:"))
    return private_bytes[32:].hex()


def ensure_token(path: Path) -> str:
    """Make a random token file if it is missing; return the token."""
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(24) + "\n")
    return read_secret(path)
