"""Texts of the wire: exact JSON, RFC 3339 instants, base58 hashes."""

import base64
import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import base58
import msgspec

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

#: Strict form, as the newer contract build reads it: no spaces, no `+0200`, no leap second.
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]*", re.ASCII)
#: Levels of arrays and objects that the contract's JSON reader takes.
_DEPTH_MAX = 127
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
#: Prices leave as JSON numbers with the digits of their Decimal; integers keep all digits.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode_json(value: object) -> str:
    """Write compact JSON in which Decimals are exact numbers."""
    return _ENCODER.encode(value).decode()


class RepeatingObject(dict[str, Any]):
    """An object with keys that stand more than once; the last value counts for whoever does not mind."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = frozenset(key for key, count in counts.items() if count > 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else RepeatingObject(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def decode_json(text: str | bytes) -> Any:
    """Read strict JSON (no NaN, no lone surrogate, 127 levels), integers exact; raises ValueError.

    It is read twice: one reader is strict, the other one sees keys that are repeated.
    """
    text = text if isinstance(text, str) else text.decode()
    _check_depth(text)
    msgspec.json.decode(text)
    return _DECODER.decode(text)


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= _DEPTH_MAX:  # nearly always
        return
    depth = 0
    for token in _NESTING.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > _DEPTH_MAX:
            raise ValueError("recursion limit exceeded")


def base58_text(raw: bytes) -> str:
    """Bytes as base58 text in the Bitcoin alphabet."""
    return base58.b58encode(raw).decode()


def base58_raw(text: str) -> bytes:
    """Read base58 text and nothing beside it, not even blanks; raises ValueError."""
    if _BASE58.fullmatch(text) is None:
        raise ValueError("invalid base58 text")
    return base58.b58decode(text)


def base64_raw(text: str) -> bytes:
    """Read base64 of the standard alphabet with its padding, and no bit that means nothing; raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("invalid last symbol")
    return raw


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
