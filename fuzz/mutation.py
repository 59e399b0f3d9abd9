"""Changes to JSON texts that keep them JSON: bytes flipped at random rarely get past the first brace."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

#: Values that a careless parser trips over, each as the JSON text it is sent as.
ODD_VALUES = (
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    "1e-400",
    "1.5",
    "2e18",
    "1e99999999999999999999",
    "1" * 30,
    "9" * 5_000,
    "1" * 5_000 + ".5",
    "1000000000000",
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"-1"',
    '"' + "9" * 5_000 + '"',
    '"1e5"',
    '"\N{ARABIC-INDIC DIGIT THREE}"',
    '"2026-11-22T10:15:42.318204Z"',
    '"0001-01-01T00:00:00+23:59"',
    '"solver.near"',
    "[]",
    "{}",
    "[[]]",
    "[null]",
    '{"":{}}',
    "[" * 900 + "]" * 900,
    "[" * 5_000,
    "NaN",
)
_LOG_PREFIX = b"EVENT_JSON:"
_MARK = "\N{WHITE SQUARE}"
_STAND_IN = re.compile(rf'"(?:{_MARK}|\\u25a1)(\d+)"', re.ASCII)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The text with one to four changes; of the lines of a log, one line."""
    if data.startswith(_LOG_PREFIX):
        lines = data.split(b"\n")
        number = chance.randrange(len(lines))
        lines[number] = _LOG_PREFIX + mutated(lines[number].removeprefix(_LOG_PREFIX), chance)
        return b"\n".join(lines)
    try:
        document = json.loads(data)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            document = _changed(document, chance)
        written = json.dumps(document, ensure_ascii=chance.random() < 0.5)
    except (ValueError, RecursionError):
        return _bytes_changed(data, chance)
    changed = _STAND_IN.sub(lambda found: ODD_VALUES[int(found[1]) % len(ODD_VALUES)], written)
    encoded = changed.encode(errors="surrogatepass")
    return _bytes_changed(encoded, chance) if chance.random() < 0.1 else encoded


def replaced(data: bytes, text: str, chance: random.Random) -> bytes:
    """The JSON text of an object or a list with another text, of whatever kind, in place of one of its values."""
    document = json.loads(data)
    holder, key = chance.choice(list(_places(document)))
    holder[key] = _MARK
    return json.dumps(document, ensure_ascii=False).replace(f'"{_MARK}"', text).encode(errors="surrogatepass")


def reordered(data: bytes, chance: random.Random) -> bytes:
    """The same values everywhere, each somewhere else among its neighbours."""
    document = json.loads(data)
    for holder in [document, *(holder[key] for holder, key in _places(document))]:
        if isinstance(holder, dict | list):
            _reordered(holder, chance)
    return json.dumps(document).encode()


def _bytes_changed(data: bytes, chance: random.Random) -> bytes:
    """Cut short, a piece removed, a piece doubled, or a byte replaced."""
    start = chance.randint(0, len(data))
    end = min(len(data), start + chance.randint(1, 20))
    return chance.choice(
        (
            data[:start],
            data[:start] + data[end:],
            data[:end] + data[start:],
            data[:start] + bytes((chance.randrange(256),)) + data[start + 1 :],
        )
    )


def _changed(document: Any, chance: random.Random) -> Any:
    """The document after one change at one place."""
    places = list(_places(document))
    if not places:
        return _odd(chance)
    holder, key = chance.choice(places)
    kind = chance.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = json.loads(json.dumps(chance.choice(places)[0]))
    elif kind == 2:
        _reordered(holder, chance)
    elif kind == 3 and isinstance(holder[key], str):
        holder[key] = mutated(holder[key].encode(errors="replace"), chance).decode(errors="replace")
    else:
        holder[key] = _odd(chance)
    return document


def _odd(chance: random.Random) -> str:
    """A stand-in for an odd value, whose text no JSON writer would write."""
    return f"{_MARK}{chance.randrange(len(ODD_VALUES))}"


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys: list[Any] = []
        if isinstance(holder, dict):
            keys = list(holder)
        elif isinstance(holder, list):
            keys = list(range(len(holder)))
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


def _reordered(holder: Any, chance: random.Random) -> None:
    if isinstance(holder, list):
        chance.shuffle(holder)
        return
    values = list(holder.values())
    chance.shuffle(values)
    holder.update(zip(holder, values, strict=True))
