"""Whole tokens as people write them, and smallest units: there and back without a float."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.logic import PAIR
from unrip.domain.values import AMOUNT_MAX, Amount

EURE = PAIR.quote


@given(amount=st.integers(0, AMOUNT_MAX), decimals=st.integers(0, 36))
def test_an_amount_is_read_as_it_was_written(amount: int, decimals: int) -> None:
    asset = msgspec.structs.replace(EURE, decimals=decimals)
    assert asset.parse_whole(asset.whole_text(Amount(amount))) == amount


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1", 10**18),
        ("001.50", 15 * 10**17),
        ("0.000000000000000001", 1),
        ("9007199254740993.000000000000000001", 9_007_199_254_740_993 * 10**18 + 1),
        ("0", 0),
    ],
)
def test_whole_tokens_in_smallest_units(text: str, units: int) -> None:
    assert EURE.parse_whole(text) == units


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".5", "1.0000000000000000000", "1e3", "+1", "-1", " 1", "1,5", "٣", "²"]
)
def test_everything_else_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match="EURe"):
        EURE.parse_whole(text)
