"""What today's fills have brought: their value at the markout, less the value given (blueprint, section 10)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from unrip.domain.attempt import TradeResult
from unrip.domain.command import Exchange
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Pair
from unrip.domain.pricing import value_eur
from unrip.domain.values import decimal_of


def midnight_before(now: datetime) -> datetime:
    """The beginning of the UTC day."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass
class DailyPnl:
    """The sum over the fills of one UTC day, in EUR by the reference price.

    A fill belongs to the day of the final block that showed it. Both its sides are valued by the first price that was
    observed at or after that block's time plus the markout, once and for good; until then by the newest price. A price
    that has jumped and is not confirmed is neither. Where nobody knows which of several offers was taken, the worst of
    them counts.
    """

    pair: Pair
    markout: timedelta
    #: Whether the day's fills of an earlier life are known.
    complete: bool = False
    #: The block's time of each command, and what may have moved: exactly one of it did.
    _waiting: dict[str, tuple[datetime, tuple[Exchange, ...]]] = field(default_factory=dict)
    _marked: dict[date, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    _days: dict[str, date] = field(default_factory=dict)
    _newest: MarketPrice | None = None

    def filled(self, result: TradeResult, mark: MarketPrice | None = None) -> None:
        """Take in a result; a repeated fill counts once, and other results not at all."""
        if not result.state.moved or result.evidence is None:
            return
        moved = (result.exchange,) if result.exchange is not None else result.candidates
        ours = tuple(each for each in moved if self.pair.direction_of(each.asset_in, each.asset_out) is not None)
        if not ours:
            return
        if result.command_id not in self._days:
            at = result.evidence.block_time
            self._days[result.command_id] = at.astimezone(UTC).date()
            self._waiting[result.command_id] = (at, ours)
        if mark is not None and result.command_id in self._waiting:
            self._mark(result.command_id, mark)

    def priced(self, price: MarketPrice, observed_at: datetime) -> None:
        """Take in a price; it marks the fills whose markout has passed."""
        if price.fair_rate is None or price.has_jumped or not price.reckonable:
            return
        self._newest = price
        for command_id, (at, _moved) in list(self._waiting.items()):
            if at + self.markout <= observed_at:
                self._mark(command_id, price)

    def _mark(self, command_id: str, price: MarketPrice) -> None:
        _at, moved = self._waiting.pop(command_id)
        self._marked[self._days[command_id]] += _gain(moved, self._values_eur(price))

    def _values_eur(self, price: MarketPrice) -> dict[str, Fraction]:
        """What the smallest unit of each asset is worth."""
        return {
            asset.asset_id: value_eur(
                self.pair,
                asset,
                1,
                fair_rate=price.fair_rate or Decimal(0),
                eur_per_quote=price.quote_asset_eur,
            )
            for asset in self.pair.assets()
        }

    def result_eur(self, now: datetime) -> Decimal | None:
        """Today's sum, None while it cannot be known."""
        today = now.astimezone(UTC).date()
        self._forget_before(today)
        waiting = [moved for command_id, (_at, moved) in self._waiting.items() if self._days[command_id] == today]
        newest = self._newest
        if not self.complete or (waiting and newest is None):
            return None
        values = self._values_eur(newest) if newest is not None else {}
        unmarked = sum((_gain(each, values) for each in waiting), Fraction(0))
        return decimal_of(self._marked[today] + unmarked)

    def _forget_before(self, today: date) -> None:
        if any(day < today for day in self._days.values()):
            self._days = {command_id: day for command_id, day in self._days.items() if day >= today}
            self._waiting = {command_id: each for command_id, each in self._waiting.items() if command_id in self._days}
            self._marked = defaultdict(Fraction, {day: gain for day, gain in self._marked.items() if day >= today})

    def state(self) -> dict[str, int]:
        """For `GET /state`."""
        return {"fills_today": len(self._days), "fills_unmarked": len(self._waiting)}


def _gain(moved: Sequence[Exchange], values_eur: dict[str, Fraction]) -> Fraction:
    """What a fill brought; the worst where it may be one of several."""
    return min(
        each.amount_in * values_eur[each.asset_in] - each.amount_out * values_eur[each.asset_out] for each in moved
    )
