"""Public keys and account ids in the contract's text forms."""

import re
from dataclasses import dataclass

from unrip_world.codec import base58_raw, base58_text
from unrip_world.verifier.preimages import keccak256

#: Raw key length by curve prefix.
_KEY_BYTES = {"ed25519": 32, "secp256k1": 64, "p256": 64}
_ACCOUNT_ID = re.compile(r"(?:[a-z\d]+[-_])*[a-z\d]+(?:\.(?:[a-z\d]+[-_])*[a-z\d]+)*", re.ASCII)

_IMPLICIT = re.compile(r"[\da-f]{64}|0x[\da-f]{40}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey:
    """A key of one of the contract's curves."""

    curve: str
    raw: bytes

    @property
    def text(self) -> str:
        """The canonical text: prefix and base58."""
        return f"{self.curve}:{base58_text(self.raw)}"

    @property
    def implicit_account(self) -> str:
        """The account that this key owns without registration."""
        if self.curve == "ed25519":
            return self.raw.hex()
        # Ethereum's own rule for secp256k1; p256 gets a tag, so that no two curves share an account.
        tag = b"p256" if self.curve == "p256" else b""
        return "0x" + keccak256(tag + self.raw)[12:].hex()


def decode_prefixed(text: str, *, lengths: dict[str, int]) -> tuple[str, bytes]:
    """Split `curve:base58` (no prefix means ed25519) and check the length. Raises ValueError."""
    curve, _, body = text.partition(":") if ":" in text else ("ed25519", "", text)
    if curve not in lengths:
        raise ValueError(f"unknown curve '{curve}'")
    raw = base58_raw(body)
    if len(raw) != lengths[curve]:
        raise ValueError(f"invalid length: {len(raw)} bytes, expected {lengths[curve]}")
    return curve, raw


def parse_public_key(text: str) -> PublicKey:
    """Read a public key. Raises ValueError."""
    curve, raw = decode_prefixed(text, lengths=_KEY_BYTES)
    return PublicKey(curve=curve, raw=raw)


def is_implicit_account(text: str) -> bool:
    """Whether the account is named after a key, which signs for it from the start."""
    return _IMPLICIT.fullmatch(text) is not None


def is_account_id(text: object) -> bool:
    """Whether the text is a NEAR account id: lower case, 2 to 64 characters."""
    return isinstance(text, str) and 2 <= len(text) <= 64 and _ACCOUNT_ID.fullmatch(text) is not None
