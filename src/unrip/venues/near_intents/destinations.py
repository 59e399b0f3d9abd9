"""Where a withdrawal may go on the other chain: only what its own checksum confirms, on the right network.

A wrong address is not recoverable (protocol/bridge section 5). No error repeats the address or a corrected one: whoever
mistyped one must look it up again, not copy it from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import base58
from Crypto.Hash import keccak

from unrip.venues.near_intents.segwit import WitnessProgram, decode_segwit

_BITCOIN = "bc"
_BITCOIN_TESTS = {"tb": "testnet", "bcrt": "regtest"}
#: Version bytes of base58check addresses: P2PKH and P2SH.
_BITCOIN_VERSIONS = frozenset({0x00, 0x05})
_BITCOIN_TEST_VERSIONS = frozenset({0x6F, 0xC4})
_BASE58_BYTES = 21
_BASE58_CHARACTERS = range(26, 36)
_TAPROOT_BYTES = 32
_EVM = re.compile(r"0x[0-9a-fA-F]{40}")
_CAPITAL_FROM = 8


class DestinationError(ValueError):
    """Nothing may be sent to this address."""


def check_destination(chain: str, address: str) -> str:
    """The address itself, when its checksum confirms it for the bridge's chain.

    Raises:
        DestinationError: it is no address of that chain, of a test network, mistyped, or of a kind whose coins nobody
            owns; or this version cannot check addresses of the chain.

    """
    check = _CHECKS.get(chain)
    if check is None:
        raise DestinationError(f"addresses of {chain} cannot be checked here; there are: {', '.join(_CHECKS)}")
    if not address.isascii():
        raise DestinationError(f"not an address of {chain}: it holds characters that no address has")
    check(address)
    return address


def _check_bitcoin(address: str) -> None:
    """Bech32 for version 0, Bech32m from version 1 on, base58check for P2PKH and P2SH; the main network only."""
    if address.lower().startswith(tuple(f"{network}1" for network in (_BITCOIN, *_BITCOIN_TESTS))):
        _check_segwit(address)
    else:
        _check_base58(address)


def _check_segwit(address: str) -> None:
    try:
        witness = decode_segwit(address)
    except ValueError as error:
        raise DestinationError(f"not a Bitcoin address: {error}") from None
    if witness.network in _BITCOIN_TESTS:
        raise DestinationError(f"an address of Bitcoin's {_BITCOIN_TESTS[witness.network]}, not of the main network")
    if address != address.lower():
        raise DestinationError("a Bitcoin address in capitals: write it in small letters, the way the bridge pays it")
    if not _is_owned(witness):
        raise DestinationError("a Bitcoin address whose coins anybody could take: its witness version has no rules yet")


def _is_owned(witness: WitnessProgram) -> bool:
    """Versions from 2 on, and version 1 without a whole key, can be spent by anybody (BIP 141, BIP 341)."""
    return witness.version == 0 or (witness.version == 1 and len(witness.program) == _TAPROOT_BYTES)


def _check_base58(address: str) -> None:
    if len(address) not in _BASE58_CHARACTERS:
        raise DestinationError("not a Bitcoin address: neither bc1… nor of the length of 1… and 3…")
    try:
        payload = base58.b58decode_check(address)
    except ValueError:
        raise DestinationError("not a Bitcoin address: its checksum is wrong") from None
    if base58.b58encode_check(payload).decode() != address:  # the library ignores blanks at the end
        raise DestinationError("not a Bitcoin address: something is written after it")
    if len(payload) != _BASE58_BYTES:
        raise DestinationError("not a Bitcoin address: it holds another number of bytes")
    if payload[0] in _BITCOIN_TEST_VERSIONS:
        raise DestinationError("an address of Bitcoin's testnet, not of the main network")
    if payload[0] not in _BITCOIN_VERSIONS:
        raise DestinationError("not a Bitcoin address: its version byte belongs to another network")


def _check_gnosis(address: str) -> None:
    """Check capitals as EIP-55 sets them; without any an address has no checksum, and a wrong digit would go unseen.

    Each letter is one bit of checksum: of a thousand mistyped addresses EIP-55 lets a fraction of one pass.
    """
    if not _EVM.fullmatch(address):
        raise DestinationError("not a Gnosis address: it is 0x and 40 hexadecimal digits")
    digits = address.removeprefix("0x")
    if digits.isdigit():
        raise DestinationError("a Gnosis address without letters has no checksum")
    if digits != _with_capitals(digits.lower()):
        raise DestinationError(
            "a Gnosis address whose capitals are not its checksum (EIP-55): copy it again from your wallet"
        )


def _with_capitals(digits: str) -> str:
    """The address in which a letter is a capital where the hash's digit at its place is 8 or more (EIP-55)."""
    digest = keccak.new(data=digits.encode(), digest_bits=256).hexdigest()
    pairs = zip(digits, digest, strict=False)
    return "".join(digit.upper() if int(place, 16) >= _CAPITAL_FROM else digit for digit, place in pairs)


#: The bridge's names of the chains.
_CHECKS: dict[str, Callable[[str], None]] = {"btc:mainnet": _check_bitcoin, "eth:100": _check_gnosis}
