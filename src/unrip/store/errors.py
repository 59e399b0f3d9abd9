"""Errors of the store.

* StoreError
  x StoreUnavailable   PostgreSQL did not answer: what was asked may or may not have happened
  x StoreRefused       it answered no: a programming error, a broken promise, or a schema of another version
"""

# ruff: noqa: N818 - each name states what is the case

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg


class StoreError(Exception):
    """PostgreSQL could not be used."""


class StoreUnavailable(StoreError):
    """The outcome is unknown; every write of ours is idempotent and may be made again."""


class StoreRefused(StoreError):
    """PostgreSQL said no; making the same again would not help."""


#: Server-side ends of a session, out of resources, read-only after a fail-over, cancelled by the statement timeout.
#: The client's own "another operation is in progress" is a session whose end it has read but not yet seen closed.
_UNKNOWN_CLASSES = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
)


@contextmanager
def named_errors(what: str) -> Iterator[None]:
    """Turn the driver's errors into ours. No text of ours holds the URL, and so no password.

    Raises:
        StoreUnavailable: the outcome is unknown.
        StoreRefused: the database said no.

    """
    try:
        yield
    except _UNKNOWN_CLASSES as error:
        raise StoreUnavailable(f"{what}: PostgreSQL does not answer ({type(error).__name__}: {error})") from error
    except asyncpg.PostgresError as error:
        raise StoreRefused(f"{what}: PostgreSQL refused ({type(error).__name__}: {error})") from error
