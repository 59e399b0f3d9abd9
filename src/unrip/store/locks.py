"""The lock of a role: one PostgreSQL session holds it, every other instance that wants it is standby."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

import asyncpg

from unrip.domain.desk_name import prefix_of
from unrip.store.connection import Database, connect, database_of
from unrip.store.driver_errors import named_errors
from unrip.store.errors import StoreError, StoreUnavailable

OnRole = Callable[[bool, int | None], None]
#: Called with the reason why the role is not ours; `STANDBY` where another instance has it.
OnWhyNot = Callable[[str], None]

STANDBY = "standby"
_OWN_SESSION = "PostgreSQL still keeps a session of ours that was lost; it ends within seconds"
_LET_GO = "whoever held the lock has just let it go"

#: How often a standby asks for the lock, and a holder whether its session still lives.
_INTERVAL_S = 0.5
_QUESTION_TIMEOUT_S = 1.0


class SingleActiveLock:
    """Hold the role's advisory lock on a session of its own; needs a direct connection, no transaction pooler.

    `on_change(active, generation)` is called in the loop: with the first answer, at every change, and each time that
    the lock proves to be still ours. A take-over raises the role's generation; an instance that gets the lock back and
    finds the generation as it left it keeps its number, since nobody else was active in between (blueprint, section 3).
    `on_why_not` is called after each attempt without the lock, with what stood in its way.
    """

    def __init__(
        self,
        place: Database | str,
        *,
        role: str,
        instance: str,
        on_change: OnRole,
        on_why_not: OnWhyNot = lambda _why: None,
    ) -> None:
        self._place = database_of(place)
        self._statements = self._place.statements("desk")
        self._role = role
        self._instance = instance
        self._on_change = on_change
        self._on_why_not = on_why_not
        self._key = _key_of(role, self._place.desk)
        self._active: bool | None = None
        self._generation: int | None = None
        self._left = asyncio.Event()
        self._stays_out_s = 0.0

    def leave(self, *, for_s: float) -> None:
        """Give the lock back, and want it again only after a while: another instance may do better."""
        self._stays_out_s = for_s
        self._left.set()

    async def run(self) -> None:
        """Want the lock until cancelled; being cancelled gives it back."""
        while True:
            try:
                await self._session()
            except StoreError as error:
                self._not_ours(str(error))
                await asyncio.sleep(_INTERVAL_S)
            else:
                self._report(active=False)
                self._left.clear()
                await asyncio.sleep(self._stays_out_s)

    async def _session(self) -> None:
        """One session: wait for the lock, then hold it until the session dies or the role is left."""
        connection = await connect(self._place, application=f"lock of {self._role}")
        try:
            while not self._left.is_set():
                if not self._active:
                    await self._try(connection)
                else:
                    await self._hold(connection)
                await self._pause()
        finally:
            connection.terminate()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_INTERVAL_S):
                await self._left.wait()
        except TimeoutError:
            pass

    async def _try(self, connection: asyncpg.Connection) -> None:
        if not await self._ask(connection, "SELECT pg_try_advisory_lock($1)", self._key):
            self._not_ours(await self._whose(connection))
            return
        self._generation = await self._take_over(connection)
        self._report(active=True)

    async def _whose(self, connection: asyncpg.Connection) -> str:
        """Who stands in the way: a server that lost our connection unnoticed keeps our own session for some seconds."""
        unsigned = self._key % 2**64
        held = await self._ask(connection, self._statements["lock_is_held"], unsigned >> 32, unsigned % 2**32)
        if not held:
            return _LET_GO
        last = await self._ask(connection, self._statements["taken_by"], self._role)
        return _OWN_SESSION if last == self._instance else STANDBY

    async def _take_over(self, connection: asyncpg.Connection) -> int:
        """Raise the generation, unless it is still the one we had; both write, so a take-over means that writes go.

        It is raised above ours also in a database that was set back.
        """
        with named_errors(f"taking over {self._role}"):
            row = await connection.fetchrow(self._statements["generation_of"], self._role, timeout=_QUESTION_TIMEOUT_S)
        if row is not None and row["generation"] == self._generation and row["taken_by"] == self._instance:
            await self._hold(connection)
            return int(row["generation"])
        with named_errors(f"taking over {self._role}"):
            return int(
                await connection.fetchval(
                    self._statements["take_over"],
                    self._role,
                    self._instance,
                    self._generation or 0,
                    timeout=_QUESTION_TIMEOUT_S,
                )
            )

    async def _hold(self, connection: asyncpg.Connection) -> None:
        """Check that the role is still ours by writing so: if that is refused, the primary is another server now.

        Raises:
            StoreUnavailable: it is not, or PostgreSQL takes no writes on this session.

        """
        if not await self._ask(connection, self._statements["hold"], self._role, self._instance, self._generation):
            raise StoreUnavailable(f"holding the lock of {self._role}: the last to take it over is another one")
        self._report(active=True)

    async def _ask(self, connection: asyncpg.Connection, question: str, *arguments: object) -> object:
        with named_errors(f"holding the lock of {self._role}"):
            return await connection.fetchval(question, *arguments, timeout=_QUESTION_TIMEOUT_S)

    def _not_ours(self, why: str) -> None:
        self._on_why_not(why)
        self._report(active=False)

    def _report(self, *, active: bool) -> None:
        if active or self._active is not False:
            self._active = active
            self._on_change(active, self._generation if active else None)


def _key_of(role: str, desk: str) -> int:
    """The key of the lock, by which desks that share a database do not keep each other out."""
    whole = f"unrip role {prefix_of(desk, ' ')}{role}"
    return int.from_bytes(hashlib.sha256(whole.encode()).digest()[:8], "big", signed=True)
