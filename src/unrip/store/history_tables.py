"""What the history keeps of each topic: a row per event, in the table and with the columns that the topic names.

The topics and `migrations/*.history.sql` must agree; a test compares them.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from unrip.domain.values import Value
from unrip.messages.columns import Column, columns
from unrip.messages.envelope import Envelope, encode
from unrip.messages.topics import TOPICS
from unrip.store.nul import json_without_nul, without_nul


class HistoryTable(Value):
    """A topic's table in the schema `history`."""

    name: str
    columns: tuple[Column, ...]


class HistoryRow(Value):
    """One event on its way into its table."""

    event_id: str
    offset: int
    correlation_id: str
    causation_id: str | None
    observed_at: datetime
    published_at: datetime
    #: SHA-256 of the payload's canonical bytes: equal for a repeat, whatever the envelope's stamps.
    payload_digest: bytes
    #: The whole event as JSON, as it stood on the topic.
    event: str
    #: The values of the table's own columns.
    values: tuple[Any, ...]


TABLES: dict[str, HistoryTable] = {
    topic.name: HistoryTable(name=topic.table, columns=topic.columns) for topic in TOPICS.values()
}

#: The columns that every table has, in the order of `HistoryRow`'s fields; its own columns follow.
ENVELOPE = columns(
    event_id="text",
    offset="bigint",
    correlation_id="text",
    causation_id="text",
    observed_at="timestamptz",
    published_at="timestamptz",
    payload_digest="bytea",
    event="jsonb",
)


def _value_of(column: Column, payload: Any) -> Any:
    """The column's value for a payload."""
    value = payload
    for step in column.path.split("."):
        value = getattr(value, step, None)
    if column.type == "numeric" and value is not None:
        return str(value)
    return without_nul(value) if isinstance(value, str) else value


def _cast_of(column: Column) -> str:
    """The cast from the parameter's type to an array of the column's.

    A number travels as text and is read by PostgreSQL, which refuses what it cannot hold: the driver's own encoding
    would make another number of it.
    """
    return "::text[]::numeric[]" if column.type == "numeric" else f"::{column.type}[]"


def row_of(topic: str, offset: int, message: Envelope[Any], data: bytes) -> HistoryRow:
    """The row of a decoded record; `data` are the record's bytes."""
    return HistoryRow(
        event_id=without_nul(message.event_id),
        offset=offset,
        correlation_id=without_nul(message.correlation_id),
        causation_id=None if message.causation_id is None else without_nul(message.causation_id),
        observed_at=message.observed_at,
        published_at=message.published_at,
        payload_digest=hashlib.sha256(encode(message.payload)).digest(),
        event=json_without_nul(data.decode(errors="replace")),
        values=tuple(_value_of(column, message.payload) for column in TABLES[topic].columns),
    )


def insert_statement(table: HistoryTable) -> str:
    """Insert any number of rows, one array per column after `$1`, the topic's id. The first row of an id stays."""
    columns = (*ENVELOPE, *table.columns)
    names = ", ".join(f'"{column.name}"' for column in columns)
    arrays = ", ".join(f"${number}{_cast_of(column)}" for number, column in enumerate(columns, start=2))
    # Every name is one of the constants above.
    return (
        f"INSERT INTO history.{table.name} (topic_id, {names}) "  # noqa: S608
        f"SELECT $1, rows.* FROM UNNEST({arrays}) AS rows ({names}) ON CONFLICT (event_id) DO NOTHING"
    )


def insert_arguments(topic_id: str, rows: tuple[HistoryRow, ...]) -> list[Any]:
    """The arguments of `insert_statement`."""
    fixed = [[getattr(row, column.name) for row in rows] for column in ENVELOPE]
    own = [list(column) for column in zip(*(row.values for row in rows), strict=True)]
    return [topic_id, *fixed, *own]


INSERTS: dict[str, str] = {topic: insert_statement(table) for topic, table in TABLES.items()}
