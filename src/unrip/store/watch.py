"""Is PostgreSQL there? A cheap question twice a second on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from unrip.store.connection import connect
from unrip.store.errors import StoreError, named_errors

_INTERVAL_S = 0.5
_QUESTION_TIMEOUT_S = 1.0


class DatabaseWatch:
    """Calls `on_change(up, reason)` in the loop, once at the first answer and then at every change."""

    def __init__(self, url: str, *, on_change: Callable[[bool, str], None]) -> None:
        self._url = url
        self._on_change = on_change
        self._up: bool | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                await self._session()
            except StoreError as error:
                self._report(up=False, reason=str(error))
                await asyncio.sleep(_INTERVAL_S)

    async def _session(self) -> None:
        connection = await connect(self._url, application="watch")
        try:
            while True:
                await self._ask(connection)
                self._report(up=True, reason="it answers")
                await asyncio.sleep(_INTERVAL_S)
        finally:
            connection.terminate()

    @staticmethod
    async def _ask(connection: asyncpg.Connection) -> None:
        with named_errors("watching"):
            await connection.fetchval("SELECT 1", timeout=_QUESTION_TIMEOUT_S)

    def _report(self, *, up: bool, reason: str) -> None:
        if up != self._up:
            self._up = up
            self._on_change(up, reason)
