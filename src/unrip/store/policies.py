"""Policies as append-only rows by hash."""

from __future__ import annotations

import asyncio
from typing import Protocol

from unrip.domain.policy import Policy
from unrip.messages.envelope import encode
from unrip.store.connection import give_back, pool
from unrip.store.errors import StoreUnavailable, named_errors
from unrip.store.sql import statements

_AGAIN_S = 1.0


class PolicyStore(Protocol):
    """What the strategy asks of the store."""

    async def remember(self, policy: Policy, *, actor: str, reason: str) -> None:
        """Keep a policy; the first row of a hash stays. Returns once it is kept."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


class PolicyKeeper:
    """Keeps policies; one that cannot be kept yet is tried again until it can."""

    def __init__(self, url: str) -> None:
        self._pool = pool(url, application="policies", size=1)

    async def remember(self, policy: Policy, *, actor: str, reason: str) -> None:
        """Keep a policy; the first row of a hash stays."""
        while True:
            try:
                with named_errors("keeping a policy"):
                    await self._pool
                    await self._pool.execute(
                        statements("desk")["remember_policy"], policy.hash, encode(policy).decode(), actor, reason
                    )
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def close(self) -> None:
        """Give the connection back."""
        give_back(self._pool)
