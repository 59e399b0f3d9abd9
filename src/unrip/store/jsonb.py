"""JSON texts as PostgreSQL can hold them."""

from __future__ import annotations

import re

#: An escaped NUL that is not itself escaped: JSON can carry it, PostgreSQL's text cannot.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def storable(json_text: str) -> str:
    """The same document, with the replacement character in place of each NUL."""
    return _NUL.sub(r"\1\\ufffd", json_text)
