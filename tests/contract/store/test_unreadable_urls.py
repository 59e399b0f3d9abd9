"""What the drivers say about a URL that they cannot read stays with them: it may hold a password."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

import pytest

from unrip.store.connection import Database, Sessions, connect
from unrip.store.errors import StoreError
from unrip.store.first_start import declare_first_start
from unrip.store.leases import PostgresLeases
from unrip.store.migrate import apply, pending
from unrip.store.postgres_ledger import PostgresLedger

URLS = (
    "postgresql://u:SECRET#3@127.0.0.1:1/x",
    "postgresql://u:SECRET?3@127.0.0.1:1/x",
    "postgresql://u:SECRET%zz@127.0.0.1:SECRET/x",
    "postgresql://u:SECRET\u2100@127.0.0.1:1/x",
    "postgresql://u@127.0.0.1:1/x?sslmode=SECRET",
    "SECRET",
)


async def a_pool(url: str) -> None:
    sessions = Sessions(url, application="test", size=1)
    try:
        await sessions.fetch("asking", "SELECT 1")
    finally:
        sessions.give_back()


async def a_ledger(url: str) -> None:
    await PostgresLedger(url).load("desk.near")


async def a_lease(url: str) -> None:
    await PostgresLeases(url).find("service", "hash")


async def a_connection(url: str) -> None:
    await connect(url, application="test")


async def a_first_start(url: str) -> None:
    await declare_first_start(Database(url), "desk.near")


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("use", [a_pool, a_ledger, a_lease, a_connection, a_first_start, apply, pending])
async def test_no_error_and_no_traceback_repeats_it(use: Callable[[str], Awaitable[object]], url: str) -> None:
    with pytest.raises(StoreError) as refused:
        await use(url)
    assert "SECRET" not in "".join(traceback.format_exception(refused.value))
