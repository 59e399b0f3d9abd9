"""The schema's migrations: plain SQL, forward only, applied by yoyo."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
import yoyo
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from yoyo.backends import DatabaseBackend
from yoyo.migrations import MigrationList

from unrip.domain.desk_name import MAIN_DESK, prefix_of
from unrip.store.driver_errors import away_by
from unrip.store.errors import Away, StoreRefused, StoreUnavailable
from unrip.store.sql import of_desk

#: yoyo logs each migration's text at DEBUG and SQL faults with it; our own error says what is needed.
logging.getLogger("yoyo").setLevel(logging.CRITICAL)


_CONNECT_TIMEOUT_S = 3
#: How long another process may migrate before we give up.
_WAIT_FOR_OTHERS_S = 60
#: libpq's text, before the value that it quotes, for an option with which it does not even try to connect.
_OPTION_REFUSED = "connection is bad: invalid"


async def apply(url: str, desk: str = MAIN_DESK) -> list[str]:
    """Apply what is missing; return the ids that were applied.

    Raises:
        StoreUnavailable: nobody answers.
        StoreRefused: a migration failed; the database is as it was before it.

    """
    return await asyncio.to_thread(_apply, url, desk)


async def pending(url: str, desk: str = MAIN_DESK) -> list[str]:
    """Ids that are not applied yet; raises as `apply`."""
    return await asyncio.to_thread(_pending, url, desk)


def _apply(url: str, desk: str) -> list[str]:
    with _migrations("migrating", url, desk) as (backend, missing):
        backend.apply_migrations(missing)
        return [migration.id for migration in missing]


def _pending(url: str, desk: str) -> list[str]:
    with _migrations("asking for migrations", url, desk) as (_, missing):
        return [migration.id for migration in missing]


@contextmanager
def _migrations(what: str, url: str, desk: str = MAIN_DESK) -> Iterator[tuple[DatabaseBackend, MigrationList]]:
    """Yoyo's connection and what is missing, with everybody else kept out.

    The lock is not yoyo's own, which is a row: a process that is killed leaves it behind. A session's lock ends with
    it.
    """
    _require_readable(what, url)
    try:
        with (
            TemporaryDirectory() as folder,
            psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S, autocommit=True) as gate,
        ):
            gate.execute(f"SET lock_timeout = '{_WAIT_FOR_OTHERS_S}s'")
            gate.execute("SELECT pg_advisory_lock(hashtextextended('unrip migrations', 0))")
            _write_migrations(Path(folder), desk)
            options = {"host": gate.info.host, "port": gate.info.port}
            if desk != MAIN_DESK:
                options["schema"] = _own_record(gate, desk)
            with yoyo.get_backend(_driver_url(url, options)) as backend:
                yield backend, backend.to_apply(yoyo.read_migrations(folder))
    except psycopg.OperationalError as error:
        if _OPTION_REFUSED in str(error):
            raise StoreRefused(f"{what}: an option in the database URL cannot be used") from None
        away = away_by(error.sqlstate) or Away.CONNECTION
        raise StoreUnavailable(f"{what}: PostgreSQL {away} ({_first_line(error)})", away=away) from None
    except psycopg.Error as error:
        raise StoreRefused(f"{what}: PostgreSQL refused ({_first_line(error)})") from None


def _write_migrations(folder: Path, desk: str) -> None:
    """Each migration as the desk's own, under the name that it has for every desk."""
    for file in files("unrip.store").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            (folder / file.name).write_text(of_desk(file.read_text(), desk))


def _own_record(gate: psycopg.Connection, desk: str) -> str:
    """The schema where yoyo keeps what it has applied for this desk; the main desk's record is in `public`."""
    schema = f"{prefix_of(desk, '_')}migrations"
    gate.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    return schema


def _require_readable(what: str, url: str) -> None:
    """Refuse a URL that cannot be read: a driver's error quotes it, perhaps with a password, so none is passed on."""
    try:
        conninfo_to_dict(url)
    except (psycopg.Error, ValueError):
        raise StoreRefused(f"{what}: the database URL cannot be used") from None


def _driver_url(url: str, ours: dict[str, Any]) -> str:
    """The URL for yoyo, which chooses the driver by the scheme: ours is psycopg 3. It names the one host in use."""
    parts = urlsplit(url)
    options = {"connect_timeout": str(_CONNECT_TIMEOUT_S), **dict(parse_qsl(parts.query)), **ours}
    return urlunsplit(
        parts._replace(
            scheme="postgresql+psycopg",
            netloc="".join(parts.netloc.rpartition("@")[:2]),
            query=urlencode(options),
        )
    )


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
