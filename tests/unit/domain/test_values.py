"""Amounts, rates, instants and ids: what is accepted, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrip.domain.values import (
    AMOUNT_MAX,
    Amount,
    Delta,
    StoredId,
    StoredInt,
    Value,
    age_ms,
    decimal_of,
    derived_id,
    epoch_ms,
    format_rate,
    from_epoch_ms,
    parse_rate,
)
from unrip.messages.envelope import InvalidMessage, decode, encode

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "fits"), [(StoredInt, 2**63 - 1), (StoredInt, -(2**63)), (StoredId, "x" * 256)])
def test_what_postgresql_can_hold_is_read_to_the_last_and_no_further(kind: object, fits: int | str) -> None:
    assert msgspec.convert(fits, kind) == fits
    beyond = fits + "x" if isinstance(fits, str) else fits + (1 if fits > 0 else -1)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(beyond, kind)


def test_the_verifier_counts_in_signed_128_bits() -> None:
    assert int.from_bytes(b"\x7f" + b"\xff" * 15) == AMOUNT_MAX


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
def test_no_value_holds_a_number_that_nobody_can_use(price: str) -> None:
    with pytest.raises(ValueError, match="price is not a usable number"):
        Priced(price=Decimal(price), at=NOW)


def test_no_value_holds_an_instant_without_a_time_zone() -> None:
    with pytest.raises(ValueError, match="at has no time zone"):
        Priced(price=Decimal(0), at=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused here
    assert Priced(price=Decimal("0E-60"), at=NOW).price == 0


class Stamped(Value):
    """A value with an instant in every place where one can stand."""

    at: datetime
    stages: dict[str, datetime] = {}
    seen: tuple[datetime, ...] = ()
    maybe: datetime | None = None


OFFSETS = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9899, 1, 1), timezones=OFFSETS))  # noqa: DTZ001
def test_every_instant_of_a_value_is_utc_wherever_it_stands(at: datetime) -> None:
    stamped = Stamped(at=at, stages={"decided": at}, seen=(at,), maybe=at)
    kept = [stamped.at, stamped.stages["decided"], stamped.seen[0], stamped.maybe]
    assert all(each is not None and each.tzinfo is UTC and each == at for each in kept)
    assert msgspec.structs.replace(stamped, at=at).at.tzinfo is UTC
    assert decode(encode(stamped), Stamped) == stamped


@pytest.mark.parametrize("text", ["2026-11-24T09:00:00+14:00", "2026-11-23T07:00:00-12:00", "2026-11-23T19:00:00Z"])
def test_a_decoded_instant_of_another_offset_is_the_same_instant_in_utc(text: str) -> None:
    decoded = decode(f'{{"at":"{text}","stages":{{"s":"{text}"}}}}', Stamped)
    assert decoded.at == decoded.stages["s"] == datetime(2026, 11, 23, 19, tzinfo=UTC)
    assert repr(decoded.at) == repr(datetime(2026, 11, 23, 19, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T09:00:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59Z",
    ],
)
def test_an_instant_that_nobody_can_place_is_no_value(text: str) -> None:
    with pytest.raises(InvalidMessage):
        decode(f'{{"at":"{text}"}}', Stamped)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_whole_number_that_no_column_holds_is_no_value(number: int) -> None:
    class Counted(Value):
        count: int | None

    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        Counted(count=number)
    assert Counted(count=2**63 - 1) == Counted(count=2**63 - 1)
    assert Counted(count=-(2**63)).count == -(2**63)


@pytest.mark.parametrize("text", ["1" * 79, "0" * 79])
def test_an_amount_beyond_every_chain_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not an integer amount"):
        Amount.parse(text)
    with pytest.raises(ValueError, match="not an integer change"):
        Delta.parse(f"-1{text}")
