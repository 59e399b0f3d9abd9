"""Arm leases that survive a restart, and how often they were used; append-only."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

import asyncpg

from unrip.domain.arming import ArmLease
from unrip.messages.envelope import decode, encode
from unrip.store.connection import Database, Sessions

#: How often a lease may be used within an hour: a service that needs it more often does not run well enough to arm
#: itself.
USES_PER_HOUR = 3
_HOUR = timedelta(hours=1)


class LeaseStore(Protocol):
    """Leases and their uses, append-only. Each call raises `StoreRefused` when the database refuses."""

    async def keep(self, service: str, token_hash: str, lease: ArmLease) -> None:
        """Keep a lease under the hash of its token."""
        ...

    async def find(self, service: str, token_hash: str) -> ArmLease | None:
        """The lease under this hash."""
        ...

    async def use(self, service: str, token_hash: str, now: datetime) -> bool:
        """Count one use; False when the last hour already has as many as allowed."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


class PostgresLeases:
    """Leases in PostgreSQL; while it is away each call waits for it. All calls may be repeated."""

    def __init__(self, place: Database | str) -> None:
        self._sessions = Sessions(place, application="leases", size=1)

    async def keep(self, service: str, token_hash: str, lease: ArmLease) -> None:
        """Keep a lease under the hash of its token; the first one stays."""
        body = encode(lease).decode()
        await self._fetch("keep_lease", "keeping a lease", token_hash, service, body, lease.granted_at)

    async def find(self, service: str, token_hash: str) -> ArmLease | None:
        """The lease under this hash."""
        rows = await self._fetch("find_lease", "finding a lease", token_hash, service)
        return decode(rows[0]["body"], ArmLease) if rows else None

    async def use(self, service: str, token_hash: str, now: datetime) -> bool:
        """Count one use; False when the last hour has `USES_PER_HOUR` already. Its instant names it: it counts once."""
        arguments = (token_hash, service, now, now - _HOUR, USES_PER_HOUR)
        return bool((await self._fetch("use_lease", "using a lease", *arguments))[0][0])

    async def close(self) -> None:
        """Give the connection back."""
        self._sessions.give_back()

    async def _fetch(self, statement: str, what: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._sessions.fetch_in_the_end(what, self._sessions.statements("desk")[statement], *arguments)


class MemoryLeases:
    """The same in memory."""

    def __init__(self) -> None:
        self._leases: dict[tuple[str, str], ArmLease] = {}
        self._uses: set[tuple[str, str, datetime]] = set()

    async def keep(self, service: str, token_hash: str, lease: ArmLease) -> None:
        """Keep a lease under the hash of its token; the first one stays."""
        self._leases.setdefault((service, token_hash), lease)

    async def find(self, service: str, token_hash: str) -> ArmLease | None:
        """The lease under this hash."""
        return self._leases.get((service, token_hash))

    async def use(self, service: str, token_hash: str, now: datetime) -> bool:
        """Count one use; False when the last hour has `USES_PER_HOUR` already."""
        if (service, token_hash, now) in self._uses:
            return True
        if sum(who == service and at > now - _HOUR for who, _, at in self._uses) >= USES_PER_HOUR:
            return False
        self._uses.add((service, token_hash, now))
        return True

    async def close(self) -> None:
        """There is nothing to give back."""
