"""The schema's migrations: plain SQL, forward only, applied by yoyo."""

from __future__ import annotations

import asyncio
import logging
from importlib.resources import as_file, files
from urllib.parse import urlsplit, urlunsplit

import psycopg
import yoyo
from yoyo.migrations import MigrationList

from unrip.store.errors import StoreRefused, StoreUnavailable

#: yoyo logs each migration's text at DEBUG and SQL faults with it; our own error says what is needed.
logging.getLogger("yoyo").setLevel(logging.CRITICAL)


async def apply(url: str) -> list[str]:
    """Apply what is missing; return the ids that were applied.

    Raises:
        StoreUnavailable: nobody answers.
        StoreRefused: a migration failed; the database is as it was before it.

    """
    return await asyncio.to_thread(_apply, url)


async def pending(url: str) -> list[str]:
    """Ids that are not applied yet; raises as `apply`."""
    return await asyncio.to_thread(_pending, url)


def _apply(url: str) -> list[str]:
    with as_file(files("unrip.store").joinpath("migrations")) as folder:
        try:
            backend = yoyo.get_backend(_driver_url(url))
            with backend.lock():
                missing: MigrationList = backend.to_apply(yoyo.read_migrations(str(folder)))
                backend.apply_migrations(missing)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"migrating: PostgreSQL does not answer ({_first_line(error)})") from None
        except psycopg.Error as error:
            raise StoreRefused(f"migrating: PostgreSQL refused ({_first_line(error)})") from None
        return [migration.id for migration in missing]


def _pending(url: str) -> list[str]:
    with as_file(files("unrip.store").joinpath("migrations")) as folder:
        try:
            backend = yoyo.get_backend(_driver_url(url))
            return [migration.id for migration in backend.to_apply(yoyo.read_migrations(str(folder)))]
        except psycopg.OperationalError as error:
            raise StoreUnavailable(
                f"asking for migrations: PostgreSQL does not answer ({_first_line(error)})"
            ) from None


def _driver_url(url: str) -> str:
    """Yoyo chooses the driver by the scheme; ours is psycopg 3."""
    return urlunsplit(urlsplit(url)._replace(scheme="postgresql+psycopg"))


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
