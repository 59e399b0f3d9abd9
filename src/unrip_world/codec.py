"""Texts of the wire: exact JSON, RFC 3339 instants, base58 hashes."""

import re
from datetime import UTC, datetime
from typing import Any

import base58
import msgspec

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

#: Strict form, as the newer contract build reads it: no spaces, no `+0200`, no leap second.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
#: Prices leave as JSON numbers with the digits of their Decimal; integers keep all digits.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode_json(value: object) -> str:
    """Write compact JSON in which Decimals are exact numbers."""
    return _ENCODER.encode(value).decode()


def decode_json(text: str | bytes) -> Any:
    """Read strict JSON (no NaN, no lone surrogate), integers exact; raises ValueError."""
    try:
        return msgspec.json.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def base58_text(raw: bytes) -> str:
    """Bytes as base58 text in the Bitcoin alphabet."""
    return base58.b58encode(raw).decode()


def rfc3339_to_ns(text: str) -> int:
    """Unix nanoseconds of an RFC 3339 instant; digits beyond nanoseconds are cut. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("premature end of input or invalid RFC 3339 text")
    day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    moment = datetime.fromisoformat(f"{day}T{hour}:{minute}:{second}+00:00")
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    if sign is not None:
        shift = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds -= shift if sign == "+" else -shift
    return seconds * NS_PER_S + int((fraction or "0")[:9].ljust(9, "0"))


def ns_to_rfc3339(ns: int, *, digits: int = 6) -> str:
    """UTC text with `digits` decimals of a second and a final Z."""
    seconds, rest = divmod(ns, NS_PER_S)
    text = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}"[: len(text) + 1 + digits].rstrip(".") + "Z"
