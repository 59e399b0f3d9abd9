"""Bitcoin's segwit addresses with their checksums, Bech32 and Bech32m (BIP 173, BIP 350)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unrip.domain.values import Value

_DIGITS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHARACTERS_MAX = 90
_CHECKSUM_DIGITS = 6
#: The checksum's remainder for a good address: version 0 is Bech32, every later one Bech32m (BIP 350).
_BECH32 = 1
_BECH32M = 0x2BC830A3
_VERSION_MAX = 16
_PROGRAM_BYTES = range(2, 41)
_PROGRAM_BYTES_V0 = (20, 32)


class WitnessProgram(Value):
    """What a segwit address contains."""

    #: The human-readable part: `bc` is Bitcoin's main network.
    network: str
    version: int
    program: bytes


def decode_segwit(address: str) -> WitnessProgram:
    """The witness program of an address of any network, in lower or upper case.

    Raises:
        ValueError: it is no segwit address; above all, its checksum is wrong. The address is not repeated.

    """
    network, data = _parts(address)
    version, program = data[0], _bytes_of(data[1:-_CHECKSUM_DIGITS])
    if version > _VERSION_MAX:
        raise ValueError("there is no such witness version")
    if _checksum(network, data) != (_BECH32 if version == 0 else _BECH32M):
        raise ValueError("its checksum is wrong")
    if len(program) not in (_PROGRAM_BYTES_V0 if version == 0 else _PROGRAM_BYTES):
        raise ValueError("its witness program has a wrong length")
    return WitnessProgram(network=network, version=version, program=program)


def _parts(address: str) -> tuple[str, list[int]]:
    """The network, and the digits with those of the checksum."""
    if len(address) > _CHARACTERS_MAX or address not in (address.lower(), address.upper()):
        raise ValueError("it is too long, or mixes capitals with small letters")
    network, _, digits = address.lower().rpartition("1")
    if not network or not address.isascii() or not set(digits) <= set(_DIGITS):
        raise ValueError("a character in it has no meaning")
    if len(digits) <= _CHECKSUM_DIGITS:
        raise ValueError("it is too short")
    return network, [_DIGITS.index(digit) for digit in digits]


def _checksum(network: str, data: Sequence[int]) -> int:
    """The remainder of the checksum's polynomial over everything in the address (BIP 173, "Checksum")."""
    spread = [*(ord(letter) >> 5 for letter in network), 0, *(ord(letter) & 31 for letter in network)]
    remainder = 1
    for value in (*spread, *data):
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(_GENERATOR):
            remainder ^= term if top >> bit & 1 else 0
    return remainder


def _bytes_of(digits: Iterable[int]) -> bytes:
    """Groups of five bits as bytes; what is left over must be fewer than five bits, all zero."""
    bits = "".join(f"{digit:05b}" for digit in digits)
    whole = len(bits) // 8 * 8
    left_over = bits[whole:]
    if len(left_over) > 4 or "1" in left_over:
        raise ValueError("its padding is wrong")
    return bytes(int(bits[start : start + 8], 2) for start in range(0, whole, 8))
