"""The errors of PostgreSQL's drivers, turned into ours (`errors.py`, which loads no driver)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from unrip.store.errors import Away, StoreRefused, StoreUnavailable

#: The first characters of a SQLSTATE and what they mean; the longest that fits counts. Every other state is a refusal.
#: (PostgreSQL, appendix A.) A session that a pooler exchanged under us no longer knows our prepared statements: 26.
_AWAY_BY_STATE = {
    "08": Away.CONNECTION,
    "25P03": Away.CONNECTION,
    "26": Away.CONNECTION,
    "28": Away.AUTHORISATION,
    "42501": Away.AUTHORISATION,
    "3D": Away.MISSING,
    "3F": Away.MISSING,
    "0A000": Away.MISSING,
    "42P01": Away.MISSING,
    "42703": Away.MISSING,
    "42704": Away.MISSING,
    "42883": Away.MISSING,
    "25P04": Away.LOCKS,
    "40": Away.LOCKS,
    "55": Away.LOCKS,
    "57014": Away.LOCKS,
    "53": Away.RESOURCES,
    "57": Away.INTERVENTION,
    "58": Away.IO,
    "F0": Away.IO,
    "XX": Away.IO,
    "25006": Away.READ_ONLY,
    "UN003": Away.ROLE,  # our own, `migrations/0028.role-fence.sql`
}

#: The client's own texts for a connection that is none; "another operation is in progress" is a session whose end it
#: has read but not yet seen closed.
_NO_CONNECTION = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
)


def away_by(sqlstate: str | None) -> Away | None:
    """What a SQLSTATE shows about the server; None where it is about what was asked."""
    state = sqlstate or ""
    return next((_AWAY_BY_STATE[state[:n]] for n in range(len(state), 1, -1) if state[:n] in _AWAY_BY_STATE), None)


def _away(error: BaseException) -> Away | None:
    if isinstance(error, asyncpg.PostgresError):
        return away_by(error.sqlstate)
    if isinstance(error, ValueError):  # the driver found by itself that PostgreSQL has no such value
        return None
    return Away.CONNECTION if isinstance(error, _NO_CONNECTION) else None


@contextmanager
def named_errors(what: str) -> Iterator[None]:
    """Turn the driver's errors into ours. No text of ours holds the URL, and so no password.

    Raises:
        StoreUnavailable: the outcome is unknown.
        StoreRefused: the database said no.

    """
    try:
        yield
    except (asyncpg.PostgresError, *_NO_CONNECTION) as error:
        away = _away(error)
        words = f"({type(error).__name__}: {error})"
        if away is not None:
            raise StoreUnavailable(f"{what}: PostgreSQL {away} {words}", away=away) from error
        raise StoreRefused(f"{what}: PostgreSQL refused {words}") from error
