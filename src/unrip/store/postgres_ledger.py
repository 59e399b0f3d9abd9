"""The ledger in PostgreSQL: each method is one call of one of the functions in `migrations/*.ledger*.sql`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from unrip.domain.attempt import Offer
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.spending import Claimed
from unrip.domain.values import Amount
from unrip.messages.envelope import decode, encode
from unrip.store.connection import Database, Sessions
from unrip.store.errors import StoreRefused
from unrip.store.ledger import (
    ClaimKind,
    ClaimOutcome,
    HeldDifference,
    LedgerState,
    LedgerWentBack,
    NonceEnding,
    NotInLedger,
    OutboxEvent,
    rejection_of,
)
from unrip.store.nul import json_without_nul, without_nul
from unrip.store.outbox import PostgresOutbox

#: How many connections: a claim, a note and the outbox may be under way at a time; one more for the check.
_CONNECTIONS = 4
#: The codes that our functions raise, and the errors they mean (`migrations/0022.ledger-commits.sql`).
_OWN_ERRORS: dict[str | None, type[StoreRefused]] = {"UN001": LedgerWentBack, "UN002": NotInLedger}


class PostgresLedger(PostgresOutbox):
    """See `ledger.Ledger`. It has a pool and a statement timeout of its own, so nothing else can make a claim wait.

    With a `writer` it writes only while the role of the executor is this instance's.
    """

    def __init__(self, place: Database | str, *, statement_timeout_ms: int = 2_000, writer: str = "") -> None:
        sessions = Sessions(
            place,
            application="ledger",
            size=_CONNECTIONS,
            statement_timeout_ms=statement_timeout_ms,
            instance=writer,
        )
        super().__init__(sessions, table="ledger.outbox")

    async def load(self, account: str) -> LedgerState:
        """Everything a start needs, as of one instant."""
        return decode((await self._row("load", account))[0], LedgerState)

    async def claim(
        self,
        offer: Offer,
        *,
        position: CommandPosition,
        generation: int,
        event: OutboxEvent,
        perhaps_sent: bool = False,
        after: int = 0,
    ) -> ClaimOutcome:
        """Claim, hold, signed payload, result row and position in one commit; or a rejection in their place."""
        row = await self._row(
            "claim",
            _json(offer),
            generation,
            position.topic_id,
            position.next_offset,
            _json(event),
            _json(rejection_of(event)),
            perhaps_sent,
            after,
        )
        return _outcome(row)

    async def reject(
        self, command: TradeCommand, *, position: CommandPosition, event: OutboxEvent, after: int = 0
    ) -> ClaimOutcome:
        """Record a command that is not claimed, with its one result, and the position."""
        row = await self._row(
            "reject",
            command.command_id,
            command.quote_id,
            event.result.account,
            command.generation,
            position.topic_id,
            position.next_offset,
            _json(event),
            after,
        )
        return _outcome(row)

    async def note(self, event: OutboxEvent, *, after: int = 0) -> LedgerView:
        """Record a state of an open attempt; it moves forward only."""
        return await self._view("note", _json(event), after)

    async def drop(self, event: OutboxEvent, *, after: int = 0) -> LedgerView:
        """End an attempt of which no byte has left, its hold with it."""
        return await self._view("drop", _json(event), after)

    async def note_revocation(self, account: str, *, nonce: str, revocation: str, after: int = 0) -> LedgerView:
        """Keep what was published to spend a nonce of ours."""
        return await self._view("note_revocation", account, nonce, revocation, after)

    async def note_surroundings(
        self, account: str, *, reason: str, quarantined_until: datetime | None, commits: int = 0
    ) -> LedgerView:
        """Record a quarantine; or, without an end, that this database has the newest ledger."""
        return await self._view("note_surroundings", account, reason, quarantined_until, commits)

    async def apply_reading(
        self,
        account: str,
        *,
        height: int,
        credited: dict[str, Amount],
        endings: Sequence[NonceEnding],
        block_time: datetime | None = None,
        replaces: str | None = None,
        after: int = 0,
    ) -> LedgerView:
        """Take over the balances of a final block, if it is a newer one, and release what it justifies."""
        ended = _json(list(endings))
        return await self._view("apply_reading", account, height, _json(credited), ended, block_time, replaces, after)

    async def claimed_lately(self, account: str) -> list[Claimed]:
        """What was claimed within the last minute, by PostgreSQL's clock."""
        return [
            Claimed(
                nonce=row["nonce"],
                asset_out=row["asset_out"],
                amount_out=Amount(row["amount_out"]),
                claimed_at=row["claimed_at"],
            )
            for row in await self._rows("claimed_lately", account)
        ]

    async def find(self, account: str, quote_hash: str) -> Offer | None:
        """The account's offer with this hash in the state it has come to."""
        rows = await self._rows("find", account, quote_hash)
        return decode(rows[0]["offer"], Offer) if rows else None

    async def check_held(self) -> list[HeldDifference]:
        """Recompute what is held from the open holds; empty unless something is wrong."""
        return [
            HeldDifference(
                account=row["account"],
                asset=row["asset"],
                held=Amount(row["held"]),
                open_holds=Amount(row["open_holds"]),
            )
            for row in await self._rows("check_held")
        ]

    async def close(self) -> None:
        """Give the connections back."""
        self._sessions.give_back()

    async def _view(self, statement: str, *arguments: Any) -> LedgerView:
        return decode((await self._row(statement, *arguments))[0], LedgerView)

    async def _row(self, statement: str, *arguments: Any) -> asyncpg.Record:
        (row,) = await self._rows(statement, *arguments)
        return row

    async def _rows(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        sql = self._sessions.statements("ledger")[statement]
        try:
            return await self._sessions.fetch(f"ledger {statement}", sql, *map(_storable, arguments))
        except StoreRefused as refused:
            own = _OWN_ERRORS.get(getattr(refused.__cause__, "sqlstate", None))
            if own is None:
                raise
            raise own(str(refused)) from refused


def _storable(argument: Any) -> Any:
    """Refuse what PostgreSQL cannot hold: such a command from Kafka would end the executor at every start."""
    return without_nul(argument) if isinstance(argument, str) else argument


def _json(value: object) -> str:
    return json_without_nul(encode(value).decode())


def _outcome(row: asyncpg.Record) -> ClaimOutcome:
    return ClaimOutcome(kind=ClaimKind(row["kind"]), view=decode(row["ledger_view"], LedgerView))
