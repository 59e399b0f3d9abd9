"""Amounts, rates, instants and ids: what is accepted, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrip.domain.values import (
    Amount,
    Delta,
    Value,
    age_ms,
    decimal_of,
    derived_id,
    epoch_ms,
    format_rate,
    from_epoch_ms,
    parse_rate,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@given(st.integers(min_value=0, max_value=2**200))
def test_amounts_are_read_back_exactly(units: int) -> None:
    assert Amount.parse(str(units)) == units


@given(st.integers(min_value=-(2**200), max_value=2**200))
def test_deltas_are_read_back_exactly(units: int) -> None:
    assert Delta.parse(str(units)) == units


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "-1", "1.0", "1e3", "0x1", "1_000", "\u0661", "\u00b2", "NaN", 1, 1.0, None, True, b"1"],
)
def test_what_is_no_amount_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not an integer amount"):
        Amount.parse(text)


@pytest.mark.parametrize("text", ["", "-", "--1", "+1", "1-", "1.0", "1e3", "-\u0661", 1, -1.5, None])
def test_what_is_no_delta_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not an integer change"):
        Delta.parse(text)


@pytest.mark.parametrize(
    ("text", "fraction"),
    [("2 %", "0.02"), ("200 bps", "0.02"), ("  0.5   % ", "0.005"), ("-1 %", "-0.01"), ("1e1 bps", "0.001")],
)
def test_rates_carry_their_unit(text: str, fraction: str) -> None:
    assert parse_rate(text) == Decimal(fraction)


@pytest.mark.parametrize("text", ["2", "0.02", "", "%", "2%", "2 percent", "two %", "NaN %", "Infinity bps", "2 % %"])
def test_a_rate_without_number_or_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_rate(text)


@given(st.decimals(min_value=0, max_value=100, places=9))
def test_a_rate_is_written_the_way_it_is_read(fraction: Decimal) -> None:
    assert parse_rate(format_rate(fraction)) == fraction


@given(st.fractions(min_value=-(10**30), max_value=10**30), st.integers(min_value=0, max_value=25))
def test_decimals_of_fractions_are_cut_toward_zero(fraction: Fraction, digits: int) -> None:
    cut = Fraction(decimal_of(fraction, digits=digits))
    assert abs(cut) <= abs(fraction)
    assert abs(fraction - cut) < Fraction(1, 10**digits)
    assert cut == 0 or (cut > 0) == (fraction > 0)


def test_the_same_thing_gets_the_same_id_and_another_one_another() -> None:
    assert derived_id("command", "q1") == derived_id("command", "q1")
    others = {
        derived_id(*key)
        for key in (("command", "q1"), ("command", "q2"), ("decision", "q1"), ("a", "b", "c"), ("a", "bc"))
    }
    assert len(others) == 5
    assert derived_id("command", "q1") == "e95e8c60-9a1a-57fa-b0f5-3c8eeb51ad4e", "a changed id names old things anew"


@given(st.integers(min_value=-(10**12), max_value=10**13))
def test_milliseconds_since_1970_are_exact(milliseconds: int) -> None:
    assert epoch_ms(from_epoch_ms(milliseconds)) == milliseconds
    assert epoch_ms(from_epoch_ms(milliseconds) + timedelta(microseconds=999)) == milliseconds


def test_an_age_is_that_of_the_oldest_instant() -> None:
    older, newer = NOW - timedelta(seconds=3), NOW - timedelta(seconds=1)
    assert age_ms(NOW, newer, older) == 3_000
    assert age_ms(NOW, newer, None) == 1_000
    assert age_ms(NOW, NOW + timedelta(seconds=2)) == -2_000


class Priced(Value):
    price: Decimal
    at: datetime


@pytest.mark.parametrize("price", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+101", "1E-101", "1E+999999999"])
def test_no_value_holds_a_number_that_nobody_can_reckon_with(price: str) -> None:
    with pytest.raises(ValueError, match="price is no number to reckon with"):
        Priced(price=Decimal(price), at=NOW)


def test_no_value_holds_an_instant_without_a_time_zone() -> None:
    with pytest.raises(ValueError, match="at has no time zone"):
        Priced(price=Decimal(0), at=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused here
    assert Priced(price=Decimal("0E-60"), at=NOW).price == 0
