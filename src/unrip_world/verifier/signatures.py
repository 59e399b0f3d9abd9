"""Proofs that a key signed: ed25519 names its key, secp256k1 yields it."""

from dataclasses import dataclass

import coincurve
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from unrip_world.verifier.keys import PublicKey

#: Half of the order of secp256k1. The contract takes no signature with a greater s, since it would have a twin.
_HALF_ORDER = 0x7FFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_5D576E73_57A4501D_DFE92F46_681B20A0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ed25519Proof:
    """A signature of a named key over some bytes."""

    public_key: PublicKey
    signature: bytes
    signed: bytes

    def signer_key(self) -> PublicKey | None:
        """Give the key, or None if the signature is not its."""
        try:
            VerifyKey(self.public_key.raw).verify(self.signed, self.signature)
        except (CryptoError, ValueError):
            return None
        return self.public_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Secp256k1Proof:
    """A signature r, s, v over a hash; v is 0 or 1."""

    signature: bytes
    digest: bytes

    def signer_key(self) -> PublicKey | None:
        """Recover the key, or None where no key could have signed so."""
        if self.signature[64] > 1 or int.from_bytes(self.signature[32:64]) > _HALF_ORDER:
            return None
        try:
            key = coincurve.PublicKey.from_signature_and_message(self.signature, self.digest, hasher=None)
        except ValueError:
            return None
        return PublicKey(curve="secp256k1", raw=key.format(compressed=False)[1:])


Proof = Ed25519Proof | Secp256k1Proof
