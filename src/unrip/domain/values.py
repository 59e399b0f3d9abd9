"""The building blocks of every value: amounts, rates, instants and ids."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import cache
from operator import is_
from typing import Annotated, Any, Self, dataclass_transform, get_args

import msgspec

#: Every Decimal computation happens in this context: 60 digits hold 2^127 wei times a price without rounding.
MONEY = Context(prec=60, rounding=ROUND_HALF_EVEN)

#: The namespace of every derived id; it never changes, or a replay would give the same things other ids.
_NAMESPACE = uuid.UUID("6d0b9b2e-3c38-5d5f-9c0e-6b1f2a7d4e10")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class _FrozenByDefault(msgspec.StructMeta):
    """Tells type checkers what `Value` passes on to its subclasses."""


#: How many powers of ten a price, rate or notional may be from 1: `1E+999999999` as a fraction would fill the memory.
_EXPONENT_MAX = 100

#: Whole numbers, amounts apart, must fit the ledger's and the history's columns: larger ones could never be kept.
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1


#: Every instant of ours lies between these, so that adding or taking an hour or a year stays within the calendar.
FIRST_INSTANT, LAST_INSTANT = datetime(1900, 1, 1, tzinfo=UTC), datetime(9900, 1, 1, tzinfo=UTC)


class Value(msgspec.Struct, metaclass=_FrozenByDefault, frozen=True, kw_only=True):
    """A frozen value with named fields: it is copied with `msgspec.structs.replace`, never edited.

    Its instants are UTC, wherever they came from: one of another offset is converted here, and nowhere else.

    Raises:
        ValueError: a field holds what its type cannot exclude: a number that is not finite or absurdly large or small,
            or an instant without a time zone. One such record would otherwise stop every
            service that computes with it.

    """

    def __post_init__(self) -> None:
        for name in _fields_to_check(type(self)):
            given = getattr(self, name)
            kind = type(given)
            if given is None:
                continue
            if kind is datetime and given.tzinfo is UTC and FIRST_INSTANT <= given <= LAST_INSTANT:
                continue  # as most of them are, in every message
            if kind is int and _INT_MIN <= given <= _INT_MAX:
                continue
            if (kept := _checked(name, given)) is not given:
                msgspec.structs.force_setattr(self, name, kept)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Return itself: nobody edits it, so a copy of what holds it may have the same one."""
        return self


@cache
def _fields_to_check(kind: type[Value]) -> tuple[str, ...]:
    """The fields that may hold a number or an instant; every message passes here, and most of its fields cannot."""
    return tuple(field.name for field in msgspec.structs.fields(kind) if _may_hold_one(field.type))


def _may_hold_one(annotation: Any) -> bool:
    if annotation is Decimal or annotation is datetime or annotation is int:
        return True
    return any(_may_hold_one(part) for part in get_args(annotation))


def _checked(name: str, value: Any) -> Any:
    """The value as it may be kept, with whatever stands in a mapping or a tuple checked as well."""
    if isinstance(value, datetime):
        try:
            return utc(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    if isinstance(value, Decimal):
        if not (value.is_finite() and abs(value.adjusted()) <= _EXPONENT_MAX):
            raise ValueError(f"{name} is not a usable number: {value}")
    elif type(value) is int:
        if not _INT_MIN <= value <= _INT_MAX:
            raise ValueError(f"{name} does not fit into 64 bits: {shown(value)}")
    elif isinstance(value, dict):
        kept = {key: _checked(name, part) for key, part in value.items()}
        return value if all(kept[key] is part for key, part in value.items()) else kept
    elif isinstance(value, tuple):
        parts = tuple(_checked(name, part) for part in value)
        return value if all(map(is_, parts, value)) else parts
    return value


def utc(instant: datetime) -> datetime:
    """The same instant in UTC.

    Raises:
        ValueError: it has no time zone, so nobody knows which instant it is, or it lies near an end of the calendar,
            where nobody can compute with it.

    """
    if instant.tzinfo is None:
        raise ValueError(f"has no time zone: {instant.isoformat()}")
    try:
        converted = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"is outside the calendar: {instant.isoformat()}") from None
    if not FIRST_INSTANT <= converted <= LAST_INSTANT:
        raise ValueError(f"is at an end of the calendar: {instant.isoformat()}")
    return converted


def shown(value: object) -> str:
    """A foreign value for an error text: short, and without walking through what may be nested deeply."""
    if isinstance(value, str):
        return repr(value[:40])[:40]
    return repr(value)[:40] if isinstance(value, int | Decimal | None) else type(value).__name__


#: What the ledger keeps must fit its columns: a larger record is refused where it is read, since a refusal by
#: PostgreSQL would end the executor at every start. One is a `bigint`, the other a text that an index can hold.
StoredInt = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
StoredId = Annotated[str, msgspec.Meta(max_length=256)]

#: The verifier counts in signed 128-bit integers; no demand and no offer can be larger.
AMOUNT_MAX = 2**127 - 1
#: No token of any chain counts beyond 256 bits; a longer number is never ours.
_DIGITS_MAX = 78


class Amount(int):
    """A count of an asset's smallest unit (satoshi, wei). On the wire it is a decimal string.

    JSON numbers beyond 2^53 lose digits in most tools, and an EURe amount is beyond that from 0.01 EUR on.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a plain decimal integer; raise `ValueError` for anything else (float, exponent, blank, sign)."""
        if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX:
            raise ValueError(f"not an integer amount in smallest units: {shown(text)}")
        return cls(text)


class Delta(int):
    """A signed change of an asset in smallest units; a decimal string on the wire, like an amount."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a decimal integer with an optional sign; raise `ValueError` for anything else."""
        digits = text.removeprefix("-") if isinstance(text, str) else ""
        if not digits.isascii() or not digits.isdigit() or len(digits) > _DIGITS_MAX + 1:
            raise ValueError(f"not an integer change in smallest units: {shown(text)}")
        return cls(str(text))


def parse_rate(text: str) -> Decimal:
    """Read a rate with its unit, `"2 %"` or `"200 bps"`, as a fraction (0.02).

    A bare number is refused: on this venue 30 has meant both 30 % and 0.3 % (protocol/README, pitfall of units).
    """
    number, _, unit = text.strip().partition(" ")
    scale = {"%": Decimal("0.01"), "bps": Decimal("0.0001")}.get(unit.strip())
    if scale is None:
        raise ValueError(f"rate {text!r} needs its unit: write '2 %' or '200 bps'")
    try:
        value = Decimal(number)
    except ArithmeticError:
        raise ValueError(f"rate {text!r} has no number before its unit") from None
    if not value.is_finite():
        raise ValueError(f"rate {text!r} is not finite")
    return MONEY.multiply(value, scale)


def format_rate(fraction: Decimal) -> str:
    """Write a fraction as percent, the way operators read it: 0.02 is `2 %`."""
    percent = MONEY.multiply(fraction, Decimal(100)).normalize(MONEY)
    return f"{percent:f} %"


def decimal_of(fraction: Fraction, *, digits: int = 18) -> Decimal:
    """The exact fraction as a Decimal with `digits` places, rounded toward zero so that it never flatters an edge."""
    scaled = abs(fraction.numerator) * 10**digits // fraction.denominator
    return Decimal(scaled if fraction >= 0 else -scaled).scaleb(-digits, MONEY)


def derived_id(kind: str, *natural_key: str) -> str:
    """The UUIDv5 of a natural key: the same thing gets the same id again after a crash, a replay, anywhere."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join((kind, *natural_key))))


def age_ms(now: datetime, *seen: datetime | None) -> int:
    """Milliseconds since the oldest of the given instants (blueprint, section 5); negative when that lies ahead."""
    oldest = min(instant for instant in seen if instant is not None)
    return (now - oldest) // timedelta(milliseconds=1)


def epoch_ms(instant: datetime) -> int:
    """Whole milliseconds since 1970, cut toward the past."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_epoch_ms(milliseconds: int) -> datetime:
    """The instant of a whole millisecond since 1970, exact."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
