"""Connections to PostgreSQL: every one has a bound for connecting and for each statement."""

from __future__ import annotations

import contextlib
from typing import Any

import asyncpg

from unrip.store.errors import StoreRefused, named_errors

CONNECT_TIMEOUT_S = 3.0


async def connect(url: str, *, application: str, statement_timeout_ms: int = 5_000) -> asyncpg.Connection:
    """One direct connection.

    Raises:
        StoreUnavailable: nobody answers.
        StoreRefused: we are not let in.

    """
    with named_errors("connecting"):
        return await open_connection(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=None,
            server_settings=_settings(application, statement_timeout_ms),
        )


async def open_connection(url: str, **options: Any) -> asyncpg.Connection:
    """The driver's own way to connect, without its words about a URL that it cannot read: they may hold a password.

    Raises:
        StoreRefused: the URL, or an option in it, cannot be used.

    """
    try:
        return await asyncpg.connect(url, **options)
    except ValueError:  # no answer of a server is one
        raise StoreRefused("the database URL cannot be used") from None


def pool(url: str, *, application: str, size: int, statement_timeout_ms: int = 5_000) -> asyncpg.Pool:
    """A pool that connects when first used, so that a database that is away delays no start.

    The client gives up a little after the server must have cancelled a statement: then the connection is gone.
    """
    return asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        connect=open_connection,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=statement_timeout_ms / 1_000 + 1,
        max_inactive_connection_lifetime=0,
        # asyncpg's own reset is one more round trip at the end of every call; nothing of ours changes a session.
        reset=_keep,
        server_settings=_settings(application, statement_timeout_ms),
    )


async def _keep(_connection: asyncpg.Connection) -> None:
    pass


def _settings(application: str, statement_timeout_ms: int) -> dict[str, str]:
    return {
        "application_name": f"unrip {application}",
        "statement_timeout": str(statement_timeout_ms),
        "timezone": "UTC",
        # A client that is gone without a word is noticed within seconds, and with it goes what its session holds.
        "tcp_keepalives_idle": "3",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        # A commit that is acknowledged is on the disk, whatever the server's own default says.
        "synchronous_commit": "on",
    }


def give_back(connections: asyncpg.Pool) -> None:
    """Close a pool's connections at once; one that never connected has none."""
    with contextlib.suppress(asyncpg.InterfaceError):
        connections.terminate()
