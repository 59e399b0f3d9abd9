"""The name of a desk: several desks share one Kafka and one PostgreSQL, each under names of its own."""

from __future__ import annotations

import re

#: What a desk is called that was given no name. Everything of it is called as it was before desks had names.
MAIN_DESK = "main"

_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")
#: PostgreSQL keeps what begins with `pg_` for itself.
_KEPT_BY_POSTGRES = "pg"


def checked_desk_name(text: str) -> str:
    """The name as it is; raises ValueError unless every name that is made of it can be used."""
    if not _NAME.fullmatch(text) or text == _KEPT_BY_POSTGRES:
        raise ValueError(
            f"{text!r} is no name of a desk: 1 to 16 small letters and digits, a letter first, and not"
            f" {_KEPT_BY_POSTGRES!r}"
        )
    return text


def prefix_of(desk: str, joint: str) -> str:
    """What stands before a name that only this desk may use: nothing for the main desk."""
    return "" if desk == MAIN_DESK else f"{desk}{joint}"


def topic_prefix_fault(prefix: str, desk: str) -> str | None:
    """Why the topics of this desk cannot begin so, None where they can.

    No two desks have the same one: it is the desk's own, or it ends with the desk's name and a dot.
    """
    if prefix == prefix_of(desk, ".") or f".{prefix}".endswith(f".{desk}."):
        return None
    return (
        f"topics that begin with {prefix!r} may be another desk's: leave it out, or let it end with '{desk}.', the"
        " desk's name"
    )
