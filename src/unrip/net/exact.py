"""Foreign JSON is read without losing a digit: no float, no surprise, one kind of error."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from unrip.domain.values import shown, utc

#: The largest power of ten that is read: no amount, price or count of this trade has a larger one; it would only be an
#: attack on memory.
EXPONENT_MAX = 60
#: The longest text of an instant: with nanoseconds and an offset it has 35.
INSTANT_CHARACTERS_MAX = 40
#: A ticker has ten.
DECIMALS_MAX = 1_000
#: The longest number: room for `EXPONENT_MAX` digits on both sides of the point.
DECIMAL_CHARACTERS_MAX = 200
#: Up to this size a text may be as dense as it likes: all its values fit into a megabyte.
DENSE_BYTES_MAX = 32 * 1024
#: Up to this size marks inside of texts are told apart from those that make values.
EXACT_BYTES_MAX = 1024 * 1024
#: The most that each mark can add to the memory on CPython: a list, an object, an element, a key that occurs once.
_COSTS_BYTES = ((b"[", 100), (b"{", 80), (b",", 73), (b'":', 100))

_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TEXTS = re.compile(rb'(?:[^"]*+"(?:[^"\\]++|\\.)*+"){1,256}+', re.DOTALL)
_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * DECIMAL_CHARACTERS_MAX
_FRACTION = re.compile(r"(\.\d{6})\d+")


class NotExact(ValueError):  # noqa: N818 - it says what the document is
    """The text is not JSON, or a value in it is not what it must be."""


def decode(data: str | bytes) -> Any:
    """Decode JSON with decimal numbers as `Decimal` and integers exact.

    What it makes in memory stays below eight times the size of the text, or below a megabyte for a small one.

    Raises:
        NotExact: it is not JSON in UTF-8, is nested too deeply, holds NaN, an infinity or a lone surrogate, or consists
            of so many tiny values that it would fill the memory.

    """
    try:
        encoded = data.encode() if isinstance(data, str) else data
        _refuse_dense(encoded)
        return msgspec.json.Decoder(float_hook=_Decimals()).decode(encoded)
    except NotExact:
        raise
    except RecursionError:
        raise NotExact("nested too deeply") from None
    except (msgspec.MsgspecError, ValueError, ArithmeticError) as error:
        raise NotExact(f"not JSON: {str(error)[:120]}") from None


class _Decimals:
    """Makes the decimals of one document, up to a bound: four characters of text become 112 bytes."""

    def __init__(self) -> None:
        self._left = DECIMALS_MAX

    def __call__(self, number: str) -> Decimal:
        self._left -= 1
        if self._left < 0:
            raise NotExact(f"more than {DECIMALS_MAX} decimal numbers")
        if len(number) > DECIMAL_CHARACTERS_MAX:
            raise NotExact(f"a number of {len(number)} characters")
        return Decimal(number)


def _refuse_dense(encoded: bytes) -> None:
    if len(encoded) > DENSE_BYTES_MAX and _is_dense(encoded):
        raise NotExact("too many values or digits for its size")


def _is_dense(encoded: bytes) -> bool:
    """Whether the values of a document could take more than eight times its size, or long to compute.

    `[],` is three bytes of text and 73 of memory. What venues send stays well below, but a stranger may write anything
    into a memo, and must not hide a trade from us by that: only marks outside of texts count in the end.
    """
    # One character beyond ASCII makes four bytes of each in its text.
    wide = not encoded.isascii() or b"\\u" in encoded
    budget_bytes = (5 if wide else 8) * len(encoded)
    if len(encoded) > EXACT_BYTES_MAX:
        # No answer to a question of ours is that long: a rough count does. A number of 4,000 digits takes 80 us.
        return _cost_bytes(encoded) > budget_bytes or _LONG_NUMBER in encoded.translate(_TO_ZERO)
    return _cost_bytes(encoded) > budget_bytes and _cost_outside_texts_bytes(encoded) > budget_bytes


def _cost_bytes(encoded: bytes) -> int:
    return sum(cost * encoded.count(mark) for mark, cost in _COSTS_BYTES)


def _cost_outside_texts_bytes(encoded: bytes) -> int:
    """The same without what texts hold; it works in blocks, since the pieces take memory too."""
    cost, start = 0, 0
    while block := _TEXTS.match(encoded, start):
        cost += _cost_bytes(_TEXT.sub(b'""', block[0]))
        start = block.end()
    return cost + _cost_bytes(encoded[start:])


def integer(value: object) -> int:
    """An exact integer from a JSON number, also from one written as `2e18` (as JavaScript does from 1e21 on).

    Raises:
        NotExact: it is something else, has a fraction or is absurdly large.

    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10 ** (EXPONENT_MAX + 1):
        return value
    if isinstance(value, Decimal) and abs(value.adjusted()) <= EXPONENT_MAX and value == value.to_integral_value():
        return int(value)
    raise NotExact(f"not an integer: {shown(value)}")


def whole(value: object) -> int:
    """An exact integer that is no amount: a number, a code, a count. It must fit into 64 bits to be kept.

    Raises:
        NotExact: see `integer`, or it does not fit.

    """
    number = integer(value)
    if abs(number) < 2**63:
        return number
    raise NotExact(f"an integer of more than 64 bits: {shown(value)}")


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
        return utc(datetime.fromisoformat(_FRACTION.sub(r"\1", value)))
    except ValueError:
        raise NotExact(f"not an instant with an offset: {shown(value)}") from None


def epoch_seconds(value: object) -> datetime:
    """The instant of a count of seconds since 1970, integer or with a fraction.

    Raises:
        NotExact: it is something else, or no date that exists.

    """
    try:
        return utc(datetime.fromtimestamp(int(positive(value)), UTC))
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
