"""Arm leases that survive a restart, and how often they were used; append-only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from unrip.domain.arming import ArmLease
from unrip.messages.envelope import decode, encode
from unrip.store.connection import give_back, pool
from unrip.store.errors import StoreUnavailable, named_errors
from unrip.store.sql import statements

#: A service that needs arming more often than this does not run well enough to be armed by itself.
USES_PER_HOUR = 3
_HOUR = timedelta(hours=1)
_AGAIN_S = 1.0
T = TypeVar("T")


class LeaseStore(Protocol):
    """Leases and their uses, append-only. Each call raises `StoreRefused` when the database says no."""

    async def keep(self, service: str, token_hash: str, lease: ArmLease) -> None:
        """Keep a lease under the hash of its token."""
        ...

    async def find(self, service: str, token_hash: str) -> ArmLease | None:
        """The lease under this hash."""
        ...

    async def use(self, service: str, token_hash: str, now: datetime) -> bool:
        """Count one use, False when the last hour already has as many as allowed."""
        ...


class PostgresLeases:
    """Leases in PostgreSQL; while it is away each call waits for it. All calls may be repeated."""

    def __init__(self, url: str) -> None:
        self._pool = pool(url, application="leases", size=1)

    async def keep(self, service: str, token_hash: str, lease: ArmLease) -> None:
        """Keep a lease under the hash of its token; the first one stays."""
        await self._until_answered(
            "keeping a lease",
            lambda: self._pool.execute(
                statements("desk")["keep_lease"], token_hash, service, encode(lease).decode(), lease.granted_at
            ),
        )

    async def find(self, service: str, token_hash: str) -> ArmLease | None:
        """The lease under this hash."""
        body = await self._until_answered(
            "finding a lease", lambda: self._pool.fetchval(statements("desk")["find_lease"], token_hash, service)
        )
        return None if body is None else decode(body, ArmLease)

    async def use(self, service: str, token_hash: str, now: datetime) -> bool:
        """Count one use, False when the last hour has `USES_PER_HOUR` already. Named by its instant: once only."""
        counted = await self._until_answered(
            "using a lease",
            lambda: self._pool.fetchval(
                statements("desk")["use_lease"], token_hash, service, now, now - _HOUR, USES_PER_HOUR
            ),
        )
        return bool(counted)

    async def close(self) -> None:
        """Give the connection back."""
        give_back(self._pool)

    async def _until_answered(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                with named_errors(what):
                    await self._pool
                    return await ask()
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)


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
        """Count one use, False when the last hour has `USES_PER_HOUR` already."""
        if (service, token_hash, now) in self._uses:
            return True
        if sum(who == service and at > now - _HOUR for who, _, at in self._uses) >= USES_PER_HOUR:
            return False
        self._uses.add((service, token_hash, now))
        return True
