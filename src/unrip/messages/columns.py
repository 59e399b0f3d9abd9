"""Which fields of a payload are columns of their own in the history: plain data of a topic."""

from __future__ import annotations

from unrip.domain.values import Value


class Column(Value):
    """A column that is filled from the payload."""

    name: str
    #: PostgreSQL's name of its type.
    type: str
    #: The path to it from the payload on, with dots; where anything on it is None, the column is NULL.
    path: str


def columns(**described: str) -> tuple[Column, ...]:
    """Columns written as `name="type"`, or `name="type path.to.it"` where the field has another name or lies deeper."""
    made = []
    for name, description in described.items():
        kind, _, path = description.partition(" ")
        made.append(Column(name=name, type=kind, path=path or name))
    return tuple(made)
