"""The lock of a role: one PostgreSQL session holds it, whoever else wants it is standby."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import asyncpg

from unrip.store.connection import connect
from unrip.store.errors import StoreError, named_errors
from unrip.store.sql import statements

OnRole = Callable[[bool, int | None], None]

#: How often a standby asks for the lock, and a holder whether its session still lives.
_INTERVAL_S = 0.5
_QUESTION_TIMEOUT_S = 1.0


class SingleActiveLock:
    """Hold the role's advisory lock on a session of its own; needs a direct connection, no transaction pooler.

    `on_change(active, generation)` is called in the loop: first with the first answer, then at every change. A take-
    over raises the role's generation; who gets the lock back and finds the generation as it left it keeps its number,
    since nobody else was active in between (blueprint, section 3).
    """

    def __init__(self, url: str, *, role: str, instance: str, on_change: OnRole) -> None:
        self._url = url
        self._role = role
        self._instance = instance
        self._on_change = on_change
        self._key = int.from_bytes(hashlib.sha256(f"unrip role {role}".encode()).digest()[:8], "big", signed=True)
        self._active: bool | None = None
        self._generation: int | None = None

    async def run(self) -> None:
        """Want the lock until cancelled; being cancelled gives it back."""
        while True:
            try:
                await self._session()
            except StoreError:
                self._report(active=False)
                await asyncio.sleep(_INTERVAL_S)

    async def _session(self) -> None:
        """One session: wait for the lock, then hold it until the session dies."""
        connection = await connect(self._url, application=f"lock of {self._role}")
        try:
            while True:
                if not self._active:
                    await self._try(connection)
                else:
                    await self._ask(connection, "SELECT 1")
                await asyncio.sleep(_INTERVAL_S)
        finally:
            connection.terminate()

    async def _try(self, connection: asyncpg.Connection) -> None:
        if not await self._ask(connection, "SELECT pg_try_advisory_lock($1)", self._key):
            self._report(active=False)
            return
        self._generation = await self._take_over(connection)
        self._report(active=True)

    async def _take_over(self, connection: asyncpg.Connection) -> int:
        """Raise the generation, unless it is still the one we had."""
        with named_errors(f"taking over {self._role}"):
            row = await connection.fetchrow(
                statements("desk")["generation_of"], self._role, timeout=_QUESTION_TIMEOUT_S
            )
            if row is not None and row["generation"] == self._generation and row["taken_by"] == self._instance:
                return int(row["generation"])
            return int(
                await connection.fetchval(
                    statements("desk")["take_over"], self._role, self._instance, timeout=_QUESTION_TIMEOUT_S
                )
            )

    async def _ask(self, connection: asyncpg.Connection, question: str, *arguments: object) -> object:
        with named_errors(f"holding the lock of {self._role}"):
            return await connection.fetchval(question, *arguments, timeout=_QUESTION_TIMEOUT_S)

    def _report(self, *, active: bool) -> None:
        if active != self._active:
            self._active = active
            self._on_change(active, self._generation if active else None)
