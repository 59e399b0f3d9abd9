"""The signing key: read from a private file at start, used here, shown nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from unrip.domain.command import TradeCommand
from unrip.domain.values import Value
from unrip.net.secret_file import SecretFileError, read_secret
from unrip.venues.near_intents.keys import ed25519_bytes, ed25519_text, implicit_account_id
from unrip.venues.near_intents.nep413 import intent_hash, message_hash, signed_object
from unrip.venues.near_intents.offers import SignedOffer, complete_offer, draft_offer

_SEED_BYTES = 32
_PRIVATE_KEY_BYTES = 64


class SignedMessage(Value):
    """Any message with our signature."""

    intent_hash: str
    signed_data: dict[str, Any]


class Signer:
    """Sign offers for one verifying contract with one ed25519 key."""

    __slots__ = ("_key", "public_key", "verifying_contract")

    def __init__(self, seed: bytes, *, verifying_contract: str) -> None:
        self._key = SigningKey(seed)
        self.public_key = ed25519_text(bytes(self._key.verify_key))
        self.verifying_contract = verifying_contract

    @classmethod
    def from_file(cls, path: Path, *, verifying_contract: str) -> Signer:
        """Read a key in NEAR's private form, `ed25519:` and base58 of seed and public key.

        Raises:
            SecretFileError: the file is missing, open to others or not such a key; one line that never repeats it.

        """
        text = read_secret(path)
        try:
            private_key = ed25519_bytes(text, length=_PRIVATE_KEY_BYTES)
        except ValueError as error:
            raise SecretFileError(f"key file {path} holds no NEAR private key (ed25519:…): {error}") from None
        signer = cls(private_key[:_SEED_BYTES], verifying_contract=verifying_contract)
        if bytes(signer._key.verify_key) != private_key[_SEED_BYTES:]:
            raise SecretFileError(f"key file {path}: the public half does not belong to the private one")
        return signer

    @property
    def implicit_account_id(self) -> str:
        """The account this key owns without registration."""
        return implicit_account_id(self.public_key)

    def sign(self, digest: bytes) -> str:
        """The signature of a NEP-413 hash, as text."""
        return ed25519_text(self._key.sign(digest).signature)

    def sign_message(self, message: str, *, nonce: str, callback_url: str | None = None) -> SignedMessage:
        """Sign the very text of a message for our contract.

        Raises:
            ValueError: the nonce is not base64 of 32 bytes.

        """
        digest = message_hash(message, nonce=nonce, recipient=self.verifying_contract, callback_url=callback_url)
        return SignedMessage(
            intent_hash=intent_hash(digest),
            signed_data=signed_object(
                message,
                nonce=nonce,
                recipient=self.verifying_contract,
                public_key=self.public_key,
                signature=self.sign(digest),
                callback_url=callback_url,
            ),
        )

    def sign_offer(self, command: TradeCommand) -> SignedOffer:
        """The signed offer of a command; the same command always gives the same bytes.

        Raises:
            OfferError: the command would give an offer that is invalid on chain.

        """
        draft = draft_offer(command, verifying_contract=self.verifying_contract)
        return complete_offer(draft, public_key=self.public_key, signature=self.sign(draft.digest))

    def __repr__(self) -> str:
        return f"Signer({self.public_key})"
