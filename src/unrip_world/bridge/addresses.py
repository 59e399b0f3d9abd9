"""Deposit addresses: one per account and chain, always the same."""

import hashlib
from collections.abc import Sequence

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def deposit_address(*, account_id: str, chain: str) -> str:
    """Give a well-formed address that belongs to nobody: P2WPKH for Bitcoin, 20 bytes of hex for EVM chains."""
    program = hashlib.sha256(f"deposit/{chain}/{account_id}".encode()).digest()[:20]
    return _segwit_v0("bc", program) if chain.startswith("btc:") else "0x" + program.hex()


def _segwit_v0(prefix: str, program: bytes) -> str:
    """Encode as BIP 173 does: version 0, then the program in groups of five bits, then the checksum."""
    bits = "".join(f"{byte:08b}" for byte in program)
    data = [0, *(int(bits[start : start + 5].ljust(5, "0"), 2) for start in range(0, len(bits), 5))]
    expanded = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    remainder = _polymod([*expanded, *data, 0, 0, 0, 0, 0, 0]) ^ 1
    checksum = [(remainder >> shift) & 31 for shift in (25, 20, 15, 10, 5, 0)]
    return prefix + "1" + "".join(_CHARSET[value] for value in [*data, *checksum])


def _polymod(values: Sequence[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= term
    return state
