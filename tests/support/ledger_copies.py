"""Copies of a ledger: a backup of its rows, put back later or into another database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from unrip.store.migrate import apply

LEDGER = ("inventory", "hold", "attempt", "outbox", "position", "surroundings")

Dump = dict[str, list[tuple[Any, ...]]]


def dump(connection: psycopg.Connection) -> Dump:
    """Every row of the ledger, each as the text of a row."""
    return {
        table: connection.execute(
            sql.SQL("SELECT t::text FROM ledger.{} AS t").format(sql.Identifier(table))
        ).fetchall()
        for table in LEDGER
    }


def restore(connection: psycopg.Connection, dumped: Dump) -> None:
    """Make the ledger what it was when it was dumped."""
    tables = sql.SQL(", ").join(sql.Identifier("ledger", table) for table in LEDGER)
    connection.execute(sql.SQL("TRUNCATE {}").format(tables))
    for table in LEDGER:
        name, written = sql.Identifier("ledger", table), _written(connection, table)
        row_of = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM (SELECT (%s::{}).*) AS t").format(
            name, written, written, name
        )
        for (row,) in dumped[table]:
            connection.execute(row_of, (row,))


def _written(connection: psycopg.Connection, table: str) -> sql.Composed:
    """The columns that are written; the others are generated from them."""
    query = (
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = 'ledger' AND table_name = %s AND is_generated = 'NEVER'"
    )
    return sql.SQL(", ").join(sql.Identifier(column) for (column,) in connection.execute(query, (table,)))


@contextmanager
def copied_to_another_database(url: str) -> Iterator[str]:
    """Another database of the same server with our schema and a copy of the ledger; gives its URL."""
    name = sql.Identifier("unrip_copy")
    other = urlunsplit(urlsplit(url)._replace(path="/unrip_copy"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            asyncio.run(apply(other))
            with psycopg.connect(other) as copy:
                restore(copy, dump(connection))
                copy.execute("SELECT setval('ledger.outbox_seq_seq', max(seq)) FROM ledger.outbox")
            yield other
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
