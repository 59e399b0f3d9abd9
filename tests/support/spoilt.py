"""Records that decode, with values in them that nobody sane would write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, get_args

import msgspec

from unrip.domain.values import Amount, Delta
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import Envelope, InvalidMessage

Path = tuple[Any, ...]

_EXTREME: dict[type, tuple[Any, ...]] = {
    Decimal: tuple(map(Decimal, ("0", "-1", "1E+100", "1E-100", "-1E+100", "0.02"))),
    int: (0, -1, 1, 2**63 - 1, -(2**63), 86_400_001),
    str: ("", "x", "zz" * 4, "\0", "ffffffff0", "25 28 12 b3", "A" * 43 + "=", "\ud7ff", "x" * 70_000),
    bool: (True, False),
    datetime: tuple(datetime(*day, tzinfo=UTC) for day in ((1900, 1, 2), (1970, 1, 1), (9899, 12, 31))),
    Amount: (Amount(0), Amount(1), Amount(2**127), Amount(10**77)),
    Delta: (Delta(0), Delta(-1), Delta(-(10**77)), Delta(10**77)),
}


def spoilt(event: Envelope[Any]) -> Iterator[tuple[str, Envelope[Any]]]:
    """Every event that differs from this one in one place, and still decodes."""
    for path, kind in _places(event, type(event), ("",)):
        for value in _values(kind):
            try:
                wire = encode_event(_with(event, path[1:], value))
                yield f"{'.'.join(map(str, path[1:]))}={value!r:.40}", decode_event(event.event_type, wire)
            except (InvalidMessage, ValueError):
                continue


def _places(value: Any, annotation: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Every place below a value, with what may stand there."""
    if len(path) > 1:
        yield path, annotation
    if isinstance(value, msgspec.Struct):
        for field in msgspec.structs.fields(value):
            yield from _places(getattr(value, field.name), field.type, (*path, field.name))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _places(part, type(part), (*path, key))
    elif isinstance(value, tuple):
        for index, part in enumerate(value[:2]):
            yield from _places(part, type(part), (*path, index))


def _values(annotation: Any) -> Iterator[Any]:
    """What may stand in a place, at its most extreme."""
    kinds = {annotation, *get_args(annotation)}
    kinds |= {part for kind in kinds for part in get_args(kind)}
    for kind in kinds:
        if kind is type(None):
            yield None
        elif isinstance(kind, type) and issubclass(kind, Enum):
            yield from kind
        elif kind in _EXTREME:
            yield from _EXTREME[kind]
    if any(getattr(kind, "__origin__", kind) is dict for kind in {annotation, *get_args(annotation)}):
        yield {}
    if any(getattr(kind, "__origin__", kind) is tuple for kind in {annotation, *get_args(annotation)}):
        yield ()


def _with(value: Any, path: Path, leaf: Any) -> Any:
    """The same value with another one in this place."""
    if not path:
        return leaf
    step, *rest = path
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{step: _with(getattr(value, step), tuple(rest), leaf)})
    if isinstance(value, dict):
        return value | {step: _with(value[step], tuple(rest), leaf)}
    parts = list(value)
    parts[step] = _with(parts[step], tuple(rest), leaf)
    return tuple(parts)
