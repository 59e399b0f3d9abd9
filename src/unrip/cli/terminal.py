"""The one place that writes to a terminal. Nothing that comes from outside is markup, colour or control there.

Reasons, quote ids, partners' names, log lines and answers of services are other people's text. A character that is not
printable (an escape sequence, a carriage return, a right-to-left override) is shown as its escape, and no library that
reads markup sees any text. Lines are never wrapped, cut or padded to the width of a terminal, so that what is piped or
read in a narrow window has every character.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len

_GAP = "  "
#: Between the values of a JSON text; inside its strings they are escapes already.
_JSON_SPACE = re.compile(r"[\r\n\t]")


def take_any_encoding() -> None:
    """Let stdout and stderr escape what their encoding lacks: a terminal that is not UTF-8 breaks nothing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def plain(text: str) -> str:
    """The text with every character that does not print as its escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def write(*lines: str, err: bool = False) -> None:
    """Write lines."""
    stream = sys.stderr if err else sys.stdout
    for line in lines:
        stream.write(f"{plain(line)}\n")
    stream.flush()


def write_json(document: Any, *, indent: int | None = 2) -> None:
    """Write a document for programs: exact in any encoding, since JSON has escapes of its own."""
    # No string in it holds a line break of its own, so that every line of it is JSON without one.
    for line in json.dumps(document, indent=indent, ensure_ascii=False).split("\n"):
        write_json_text(line)


def write_json_text(text: str) -> None:
    """Write JSON that somebody else wrote, on one line: what does not print becomes JSON's own escape."""
    all_of_unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    written = (
        char if char.isprintable() and (all_of_unicode or char.isascii()) else _json_escape(char)
        for char in _JSON_SPACE.sub(" ", text)
    )
    sys.stdout.write(f"{''.join(written)}\n")
    sys.stdout.flush()


def columns(rows: Iterable[Sequence[str]], *, indent: str = "") -> list[str]:
    """Rows as lines with aligned columns; the last column keeps its own length."""
    shown = [[plain(cell) for cell in row] for row in rows]
    widths = [max(cell_len(cell) for cell in column) for column in zip_longest(*shown, fillvalue="")]
    return [
        (
            indent + _GAP.join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=False))
        ).rstrip()
        for row in shown
    ]


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
