"""What JSON may hold and PostgreSQL's text may not: the character NUL."""

from __future__ import annotations

import re

#: An escaped NUL that is not itself escaped.
_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def without_nul(text: str) -> str:
    """The text with a replacement character in the place of each NUL."""
    return text.replace("\0", "\ufffd")


def json_without_nul(document: str) -> str:
    """The JSON document with the same done to its strings."""
    if r"\u0000" not in document:
        return document  # the search for backslashes costs more than all the rest of a row
    return _ESCAPED.sub(r"\1\\ufffd", document)
