"""Read foreign JSON without losing a digit: no float, no surprise, one kind of error."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

#: No amount, price or count of this trade has a power of ten beyond this; larger exponents are attacks on memory.
EXPONENT_MAX = 60
#: With nanoseconds and an offset an instant has 35.
INSTANT_CHARACTERS_MAX = 40

_FRACTION = re.compile(r"(\.\d{6})\d+")


class NotExact(ValueError):  # noqa: N818 - it says what the document is
    """The text is not JSON, or a value in it is not what it must be."""


def decode(data: str | bytes) -> Any:
    """Decode JSON with decimal numbers as `Decimal` and integers exact.

    Raises:
        NotExact: it is not JSON, is nested too deeply, or holds NaN or an infinity.

    """
    try:
        return json.loads(data, parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError:
        raise NotExact("nested too deeply") from None
    except (ValueError, ArithmeticError) as error:
        raise NotExact(f"not JSON: {str(error)[:120]}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise NotExact(f"{name} is not a number")


def shown(value: object) -> str:
    """A foreign value for an error text: short, and without walking through what may be nested deeply."""
    return repr(value)[:40] if isinstance(value, str | int | Decimal | None) else type(value).__name__


def integer(value: object) -> int:
    """An exact integer from a JSON number, also from one written as `2e18` (as JavaScript does from 1e21 on).

    Raises:
        NotExact: it is something else, has a fraction or is absurdly large.

    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Decimal) and abs(value.adjusted()) <= EXPONENT_MAX and value == value.to_integral_value():
        return int(value)
    raise NotExact(f"not an integer: {shown(value)}")


def positive(value: object) -> Decimal:
    """A positive decimal from a JSON number.

    Raises:
        NotExact: it is something else, not above zero, or of an absurd magnitude.

    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise NotExact(f"not a number: {shown(value)}")
    if value <= 0:
        raise NotExact(f"not above zero: {shown(value)}")
    number = Decimal(value)
    if abs(number.adjusted()) > EXPONENT_MAX or len(number.as_tuple().digits) > EXPONENT_MAX:
        raise NotExact("a number of absurd magnitude")
    return number


def instant(value: object) -> datetime:
    """An RFC 3339 instant in UTC; digits finer than a microsecond are cut.

    Raises:
        NotExact: it is something else, or has no offset from UTC.

    """
    if not isinstance(value, str) or len(value) > INSTANT_CHARACTERS_MAX:
        raise NotExact(f"not an instant: {shown(value)}")
    try:
        parsed = datetime.fromisoformat(_FRACTION.sub(r"\1", value))
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise NotExact(f"not an instant with an offset: {shown(value)}")


def epoch_seconds(value: object) -> datetime:
    """The instant of a count of seconds since 1970, integer or with a fraction.

    Raises:
        NotExact: it is something else, or no date that exists.

    """
    try:
        return datetime.fromtimestamp(int(positive(value)), UTC)
    except (ValueError, OverflowError, OSError):
        raise NotExact(f"not seconds since 1970: {shown(value)}") from None


def mapping(value: object, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        NotExact: it is something else.

    """
    if isinstance(value, dict):
        return value
    raise NotExact(f"{what} is not an object")


def text(value: object, what: str) -> str:
    """A JSON string that is not empty.

    Raises:
        NotExact: it is something else.

    """
    if isinstance(value, str) and value:
        return value
    raise NotExact(f"{what} is not a text")
