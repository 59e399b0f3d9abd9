"""What inventory-sync keeps in PostgreSQL: its books, and every piece of evidence by kind and id, judged once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg

from unrip.domain.inventory import EvidenceKey, Judged, KeptBooks
from unrip.domain.values import Value
from unrip.messages.envelope import decode, encode
from unrip.store.connection import Database, Sessions
from unrip.store.nul import json_without_nul


class FoundBooks(Value):
    """What the database has of an account."""

    #: The number of commits; 0 before the first.
    revision: int
    #: Whether an operator declared the first start, or books are kept.
    declared: bool
    kept: KeptBooks | None


class KeepOutcome(Value):
    """The outcome of a commit."""

    #: The revision that was made; None where nothing was changed.
    revision: int | None = None
    #: Evidence that was judged before. If it is empty and nothing was changed, somebody else has kept a later revision.
    known: tuple[EvidenceKey, ...] = ()


class BooksStore(Protocol):
    """The books of accounts. Both calls wait for a database that is away, and may be repeated."""

    async def recall(self, account: str) -> FoundBooks:
        """What was kept last."""
        ...

    async def keep(self, account: str, kept: KeptBooks, judged: Sequence[Judged], *, revision: int) -> KeepOutcome:
        """Keep what follows a revision, with the evidence that makes the difference, in one commit or not at all."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


class PostgresBooks:
    """The same in PostgreSQL."""

    def __init__(self, place: Database | str) -> None:
        self._sessions = Sessions(place, application="books", size=1)

    async def recall(self, account: str) -> FoundBooks:
        """What was kept last."""
        rows = await self._fetch("recall", "reading the books", account)
        if not rows:
            return FoundBooks(revision=0, declared=False, kept=None)
        body = rows[0]["body"]
        kept = None if body is None else decode(body, KeptBooks)
        return FoundBooks(revision=rows[0]["revision"], declared=True, kept=kept)

    async def keep(self, account: str, kept: KeptBooks, judged: Sequence[Judged], *, revision: int) -> KeepOutcome:
        """Keep what follows a revision, with the evidence that makes the difference, in one commit or not at all."""
        rows = [
            {
                "kind": each.change.key.kind.value,
                "asset_id": each.change.key.asset_id,
                "evidence": each.change.key.evidence,
                "part": each.change.key.part,
                "change": str(int(each.change.change)),
                "counted": each.counted,
            }
            for each in judged
        ]
        body = json_without_nul(encode(kept).decode())
        found = await self._fetch("keep", "keeping the books", account, revision, body, json.dumps(rows))
        return decode(found[0]["outcome"], KeepOutcome)

    async def _fetch(self, statement: str, what: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._sessions.fetch_in_the_end(what, self._sessions.statements("books")[statement], *arguments)

    async def close(self) -> None:
        """Give the connection back."""
        self._sessions.give_back()
