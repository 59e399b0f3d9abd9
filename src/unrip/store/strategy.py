"""What the strategy keeps in PostgreSQL, and reads from it once at its start."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Protocol

import asyncpg

from unrip.domain.attempt import TradeResult
from unrip.domain.equity import HighestEquity
from unrip.domain.market import MarketPrice
from unrip.domain.policy import Policy
from unrip.domain.values import Delta
from unrip.messages.codec import decode_event
from unrip.messages.envelope import decode, encode
from unrip.messages.topics import MARKET_PRICE, TRADE_RESULT
from unrip.store.connection import Database, Sessions


class StrategyStore(Protocol):
    """Policies by hash, which of them is in force, the day's fills, and the highest equity."""

    async def remember(
        self, policy: Policy, *, base: str, generation: int, change: int, actor: str, reason: str
    ) -> None:
        """Keep a policy, and that it is in force; `base` is the hash of the configured one it was changed from.

        Returns when it is durable. What comes into force last is the highest `change` of the highest `generation`.
        """
        ...

    async def in_force(self, base: str) -> Policy | None:
        """The policy that came into force last, if it was changed from this configured one."""
        ...

    async def fills(
        self, account: str, pair: str, *, since: datetime, markout: timedelta
    ) -> list[tuple[TradeResult, MarketPrice | None]]:
        """Executed offers since an instant, each with the first settled price at or after its markout, if any."""
        ...

    async def keep_highest_equity(
        self, account: str, pair: str, highest: HighestEquity, *, generation: int, change: int
    ) -> None:
        """Keep it in the place of the one before; returns when it is durable.

        Nothing happens where a higher `change` of this `generation`, or any of a higher one, is kept.
        """
        ...

    async def highest_equity(self, account: str, pair: str) -> HighestEquity | None:
        """What was kept last, None while nothing was."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


class PostgresStrategy:
    """The same in PostgreSQL. What is not possible yet is tried again."""

    def __init__(self, place: Database | str) -> None:
        self._sessions = Sessions(place, application="strategy", size=1)
        #: One call at a time: when a change is reported as kept, every earlier one is kept too.
        self._in_order = asyncio.Lock()

    async def remember(
        self, policy: Policy, *, base: str, generation: int, change: int, actor: str, reason: str
    ) -> None:
        """Keep a policy, and that it is in force; `base` is the hash of the configured one it was changed from.

        Returns when it is durable. What comes into force last is the highest `change` of the highest `generation`.
        """
        arguments = (policy.hash, encode(policy).decode(), actor, reason, base, generation, change)
        async with self._in_order:
            await self._fetch("remember_policy", "keeping a policy", *arguments)

    async def in_force(self, base: str) -> Policy | None:
        """The policy that came into force last, if it was changed from this configured one."""
        rows = await self._fetch("policy_in_force", "reading the policy in force", base)
        return decode(rows[0]["body"], Policy) if rows else None

    async def fills(
        self, account: str, pair: str, *, since: datetime, markout: timedelta
    ) -> list[tuple[TradeResult, MarketPrice | None]]:
        """Executed offers since an instant, each with the first settled price at or after its markout, if any."""
        rows = await self._fetch("fills", "reading fills", account, pair, since, markout)
        return [
            (
                decode_event(TRADE_RESULT.name, row["result"].encode()).payload,
                None if row["price"] is None else decode_event(MARKET_PRICE.name, row["price"].encode()).payload,
            )
            for row in rows
        ]

    async def keep_highest_equity(
        self, account: str, pair: str, highest: HighestEquity, *, generation: int, change: int
    ) -> None:
        """Keep it in the place of the one before; returns when it is durable.

        Nothing happens where a higher `change` of this `generation`, or any of a higher one, is kept.
        """
        transferred = encode(highest.transferred).decode()
        arguments = (account, pair, str(highest.eur), transferred, generation, change, highest.begun_at)
        await self._fetch("keep_highest_equity", "keeping the highest equity", *arguments)

    async def highest_equity(self, account: str, pair: str) -> HighestEquity | None:
        """What was kept last, None while nothing was."""
        rows = await self._fetch("highest_equity", "reading the highest equity", account, pair)
        if not rows:
            return None
        transferred = decode(rows[0]["transferred"], dict[str, Delta])
        begun_at = rows[0]["books_begun_at"]
        return HighestEquity(eur=Fraction(rows[0]["eur"]), transferred=transferred, begun_at=begun_at)

    async def _fetch(self, statement: str, what: str, *arguments: Any) -> list[asyncpg.Record]:
        return await self._sessions.fetch_in_the_end(what, self._sessions.statements("desk")[statement], *arguments)

    async def close(self) -> None:
        """Give the connection back."""
        self._sessions.give_back()
