"""Whether PostgreSQL does its work: a cheap write twice a second on a connection of its own.

A server that only answers is of no use to a service that must record before it acts: after a fail-over it may refuse
every write. So the question is a commit in the schema that the service writes to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from unrip.store.connection import Database, connect, database_of
from unrip.store.driver_errors import named_errors
from unrip.store.errors import StoreError

_INTERVAL_S = 0.5
_QUESTION_TIMEOUT_S = 1.0

#: Called with whether it does, and the reason.
OnAnswer = Callable[[bool, str], None]


class DatabaseWatch:
    """Calls `on_change(up, reason)` in the loop, once at the first answer and then at every change.

    `on_answer` is called with every answer: the reason for an outage changes while it lasts. `schema` is where
    `service` writes.
    """

    def __init__(
        self,
        place: Database | str,
        *,
        on_change: OnAnswer = lambda _up, _reason: None,
        on_answer: OnAnswer = lambda _up, _reason: None,
        schema: str = "desk",
        service: str = "watch",
    ) -> None:
        self._place = database_of(place)
        self._on_change = on_change
        self._on_answer = on_answer
        self._pulse = self._place.statements("pulse")[schema]
        self._service = service
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
        """Ask on one session; what it refuses once may be allowed on a new one."""
        connection = await connect(self._place, application="watch")
        try:
            while True:
                await self._ask(connection)
                self._report(up=True, reason="it takes writes")
                await asyncio.sleep(_INTERVAL_S)
        finally:
            connection.terminate()

    async def _ask(self, connection: asyncpg.Connection) -> None:
        with named_errors("watching"):
            await connection.execute(self._pulse, self._service, timeout=_QUESTION_TIMEOUT_S)

    def _report(self, *, up: bool, reason: str) -> None:
        self._on_answer(up, reason)
        if up != self._up:
            self._up = up
            self._on_change(up, reason)
