"""Addresses by their checksums: the published vectors of BIP 173, BIP 350 and EIP-55, and every single typing error."""

from __future__ import annotations

import base58
import pytest

from unrip.venues.near_intents.destinations import DestinationError, check_destination
from unrip.venues.near_intents.segwit import decode_segwit

BITCOIN, GNOSIS = "btc:mainnet", "eth:100"

#: BIP 350, "Test vectors for v0-v16 native segregated witness addresses", with their output scripts.
SEGWIT_VALID = {
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4": "0014751e76e8199196d454941c45d1b3a323f1433bd6",
    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7": (
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"
    ),
    "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y": (
        "5128751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6"
    ),
    "BC1SW50QGDZ25J": "6002751e",
    "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs": "5210751e76e8199196d454941c45d1b3a323",
    "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy": (
        "0020000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"
    ),
    "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c": (
        "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433"
    ),
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0": (
        "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    ),
}
#: BIP 173 and BIP 350, invalid segwit addresses; one of an unknown network is refused by name below.
SEGWIT_INVALID = [
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
    "bc1rw5uspcuh",
    "bc10w508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kw5rljs90",
    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sL5k7",
    "bc1zw508d6qejxtdg4y5r3zarvaryvqyzf3du",
    "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3pjxtptv",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
    "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf",
    "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
    "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47",
    "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
    "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
    "bc1pw5dgrnzv",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
    "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
    "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
    "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
    "bc1gmk9yu",
]
#: EIP-55, "Test Cases". These have so few letters that they happen to be of one case.
EIP55_OF_ONE_CASE = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
]
EIP55 = [
    *EIP55_OF_ONE_CASE,
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]
GOOD = [
    *((BITCOIN, address) for address in SEGWIT_VALID if address.startswith(("bc1q", "bc1p0"))),
    (BITCOIN, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    (BITCOIN, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    (BITCOIN, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
    *((GNOSIS, address) for address in EIP55),
]
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(("address", "script"), SEGWIT_VALID.items())
def test_segwit_addresses_as_published(address: str, script: str) -> None:
    witness = decode_segwit(address)
    opcode = witness.version and 0x50 + witness.version
    assert bytes([opcode, len(witness.program)]) + witness.program == bytes.fromhex(script)
    assert witness.network == address[:2].lower()


@pytest.mark.parametrize("address", SEGWIT_INVALID)
def test_segwit_addresses_published_as_invalid(address: str) -> None:
    with pytest.raises(ValueError, match=r"it|there"):
        decode_segwit(address)
    with pytest.raises(DestinationError):
        check_destination(BITCOIN, address)


@pytest.mark.parametrize(("chain", "address"), GOOD)
def test_an_address_whose_checksum_is_right_is_itself(chain: str, address: str) -> None:
    assert check_destination(chain, address) == address


@pytest.mark.parametrize(("chain", "address"), [case for case in GOOD if case[1] not in EIP55_OF_ONE_CASE])
def test_any_single_character_changed_left_out_or_put_in_is_refused(chain: str, address: str) -> None:
    """For EIP-55 this is so for nearly every address, not for all: each letter is one bit of checksum."""
    changed = {address[:at] + letter + address[at + 1 :] for at in range(len(address)) for letter in LETTERS}
    shorter = {address[:at] + address[at + 1 :] for at in range(len(address))}
    longer = {address[:at] + letter + address[at:] for at in range(len(address) + 1) for letter in LETTERS + " \n"}
    for mistyped in (changed | shorter | longer) - {address}:
        with pytest.raises(DestinationError) as refused:
            check_destination(chain, mistyped)
        assert address not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", "testnet"),
        ("bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6", "regtest"),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "testnet"),
        ("2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", "testnet"),
        ("LVg2kJoFNg45Nbpy53h7Fe1wKyeXVRhMH9", "another network"),
        ("tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut", "neither"),
        ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "small letters"),
        ("bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "anybody could take"),
        ("bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y", "anybody could take"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "neither"),
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa\n", "written after"),
        ("bc1\N{KELVIN SIGN}w508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "no address has"),
        ("", "neither"),
        (base58.b58encode_check(b"\x05" * 20).decode(), "number of bytes"),
    ],
)
def test_what_bitcoin_addresses_are_refused_for(address: str, named: str) -> None:
    with pytest.raises(DestinationError, match=named):
        check_destination(BITCOIN, address)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "EIP-55"),
        ("0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED", "EIP-55"),
        ("0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "hexadecimal"),
        ("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "hexadecimal"),
        ("0x0000000000000000000000000000000000000000", "no checksum"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "hexadecimal"),
    ],
)
def test_what_gnosis_addresses_are_refused_for(address: str, named: str) -> None:
    with pytest.raises(DestinationError, match=named) as refused:
        check_destination(GNOSIS, address)
    assert "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" not in str(refused.value), "it must not say how it would be right"


def test_a_chain_whose_addresses_cannot_be_checked_is_named() -> None:
    with pytest.raises(DestinationError, match="sol:mainnet cannot be checked here; there are: btc:mainnet, eth:100"):
        check_destination("sol:mainnet", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
