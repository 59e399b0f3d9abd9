"""Which database the sessions of a process lead to: checked at each new session, whoever makes it."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg

from unrip.store.sql import statements


class Whereabouts:
    """Judges every new session of a process (`connection.Database`).

    Another cluster has another identifier; one that was promoted or recovered to a point in time has another timeline.
    The judge keeps nobody out: whoever wrote to the database before finds out what this one lacks
    (`ledger.LedgerWentBack`).
    """

    def __init__(self, on_other: Callable[[str], None]) -> None:
        self._on_other = on_other
        self._known: tuple[str, int] | None = None

    async def judge(self, connection: asyncpg.Connection) -> None:
        """Report where the session leads, if that is elsewhere than the one before it."""
        row = await connection.fetchrow(statements("identity")["whereabouts"])
        found = (str(row["system_identifier"]), int(row["timeline"]))
        before, self._known = self._known, found
        if before not in {None, found}:
            self._on_other(f"another database answers: system identifier and timeline are {found}, no longer {before}")
