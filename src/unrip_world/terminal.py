"""What this program writes to a terminal: messages of strangers are no control characters there, in any encoding."""

import sys


def say(text: str, *, err: bool = False) -> None:
    """Write one line; what does not print is shown as its escape."""
    _write("".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text), err=err)


def say_json(text: str) -> None:
    """Write one line of JSON; what does not print becomes JSON's own escape."""
    _write("".join(char if char.isprintable() and char.isascii() else _json_escape(char) for char in text))


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _write(line: str, *, err: bool = False) -> None:
    stream = sys.stderr if err else sys.stdout
    encoding = stream.encoding or "ascii"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
