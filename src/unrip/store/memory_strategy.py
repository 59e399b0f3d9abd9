"""The strategy's store in memory; `tests/contract/store/test_strategy_store.py` holds both to the same promises."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from unrip.domain.attempt import TradeResult
from unrip.domain.equity import HighestEquity
from unrip.domain.market import MarketPrice
from unrip.domain.policy import Policy
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope
from unrip.messages.topics import MARKET_PRICE, TRADE_RESULT, Topic
from unrip.store.memory_history import MemoryRecord


class MemoryStrategy:
    """See `desk.StrategyStore`."""

    def __init__(self, record: MemoryRecord) -> None:
        self._record = record
        #: Policies by generation and change, each with the hash of its base.
        self._in_force: dict[tuple[int, int], tuple[str, Policy]] = {}
        #: By account and pair, each with its generation and change.
        self._highest: dict[tuple[str, str], tuple[tuple[int, int], HighestEquity]] = {}

    async def remember(
        self, policy: Policy, *, base: str, generation: int, change: int, actor: str, reason: str
    ) -> None:
        """Keep a policy, and that it is in force."""
        del actor, reason
        self._in_force.setdefault((generation, change), (base, policy))

    async def in_force(self, base: str) -> Policy | None:
        """The policy that came into force last, if it was changed from this configured one."""
        last = self._in_force[max(self._in_force)] if self._in_force else None
        return last[1] if last is not None and last[0] == base else None

    async def fills(
        self, account: str, pair: str, *, since: datetime, markout: timedelta
    ) -> list[tuple[TradeResult, MarketPrice | None]]:
        """Executed offers since an instant, each with the first settled price at or after its markout, if any."""
        events = self._events(MARKET_PRICE)
        prices = [each for each in events if each.payload.fair_rate is not None and not each.payload.has_jumped]
        prices.sort(key=lambda price: price.observed_at)
        found = []
        for event in sorted(self._events(TRADE_RESULT), key=lambda event: event.published_at):
            result: TradeResult = event.payload
            ours = (result.account, result.pair) == (account, pair)
            if not ours or not result.state.moved or event.published_at < since or result.evidence is None:
                continue
            due = result.evidence.block_time + markout
            marked = (each.payload for each in prices if each.payload.pair == pair and each.observed_at >= due)
            found.append((result, next(marked, None)))
        return found

    async def keep_highest_equity(
        self, account: str, pair: str, highest: HighestEquity, *, generation: int, change: int
    ) -> None:
        """Keep it in place of the one before."""
        kept = self._highest.get((account, pair))
        if kept is None or kept[0] < (generation, change):
            self._highest[account, pair] = (generation, change), highest

    async def highest_equity(self, account: str, pair: str) -> HighestEquity | None:
        """What was kept last; None while nothing was."""
        kept = self._highest.get((account, pair))
        return None if kept is None else kept[1]

    def _events(self, topic: Topic) -> list[Envelope[Any]]:
        rows = self._record.rows.get(topic.name, {}).values()
        return [decode_event(topic.name, row.event.encode()) for row in rows]

    async def close(self) -> None:
        """There is nothing to give back."""
