"""The value of the explained inventory, and how far it has fallen from its highest. Nothing here does I/O.

The highest is kept in PostgreSQL and read once at start; nothing waits for either. No write begins before the last one
is acknowledged, and then the newest is written: a database that is away grows no queue, and a crash loses only what
came since the last write.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from unrip.domain.equity import HighestEquity
from unrip.domain.inventory import Books
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Pair
from unrip.domain.pricing import value_eur
from unrip.domain.values import decimal_of
from unrip.frame.contract import Count, Effect, Event, Log
from unrip.services.strategy_engine.effects import HighestPersisted, HighestRestored, PersistHighest


@dataclass
class Equity:
    """Value of what evidence explains, in EUR by the reference price, and its highest, also of earlier lives.

    A transfer (credit, withdrawal, what an operator accepted) moves the highest by its value at that moment: what
    comes or goes is neither a gain nor a loss. One of a time without a strategy does so at the next snapshot's price.
    Books that were begun anew count their transfers from nothing, and so does the highest then.
    A price that has jumped and is not confirmed leaves the highest as it is, which would outlive the jump: a transfer
    seen meanwhile moves it once the price has settled.
    """

    pair: Pair
    #: How far it is below the highest; None until that is known.
    drawdown_eur: Fraction | None = None
    _now_eur: Fraction | None = None
    #: Whether the highest of earlier lives is known; snapshots mean nothing before.
    _recalled: bool = False
    #: None before the first snapshot of the first life.
    _highest: HighestEquity | None = None
    #: The highest that PostgreSQL has, or is being given.
    _sent: HighestEquity | None = None
    _under_way: bool = False
    _generation: int = 0
    _changes: int = 0
    _over: bool = False

    def on_event(self, event: Event) -> list[Effect]:
        """Take in the outcome of a write of the highest to PostgreSQL; other events have no meaning here."""
        match event:
            case HighestRestored():
                self._highest = self._sent = event.highest
                self._generation, self._recalled = event.generation, True
            case HighestPersisted():
                self._under_way = False
                return self._keep()
        return []

    def again(self) -> list[Effect]:
        """Keep the highest once more in a new session: PostgreSQL may have been set back."""
        if not self._recalled:
            return []
        self._sent = None
        return self._keep()

    def seen(self, books: Books, price: MarketPrice, *, drawdown_max_eur: Decimal) -> list[Effect]:
        """Take in a snapshot; a drawdown beyond the limit is logged once in each life, and once that it is over."""
        if (
            price.fair_rate is None
            or not price.reckonable
            or not self._recalled
            or (self._highest is None and price.has_jumped)
        ):
            return []
        self._now_eur = self._value(books.explained, price)
        moved = self._moved(books, price, self._now_eur)
        if not price.has_jumped:
            self._highest = moved
        self.drawdown_eur = max(Fraction(0), moved.eur - self._now_eur)
        return [*self._keep(), *self._tell(self.drawdown_eur, drawdown_max_eur)]

    def _moved(self, books: Books, price: MarketPrice, now_eur: Fraction) -> HighestEquity:
        eur = now_eur
        if self._highest is not None:
            known = None not in {self._highest.begun_at, books.begun_at}
            anew = known and self._highest.begun_at != books.begun_at
            before = books.transferred if anew else self._highest.transferred
            assets = before.keys() | books.transferred.keys()
            moved = {asset: books.transferred.get(asset, 0) - before.get(asset, 0) for asset in assets}
            eur = max(now_eur, self._highest.eur + self._value(moved, price))
        return HighestEquity(eur=eur, transferred=books.transferred, begun_at=books.begun_at)

    def _keep(self) -> list[Effect]:
        if self._highest is None or self._highest == self._sent or self._under_way:
            return []
        self._sent, self._under_way = self._highest, True
        self._changes += 1
        return [PersistHighest(highest=self._highest, generation=self._generation, change=self._changes)]

    def _tell(self, drawdown_eur: Fraction, drawdown_max_eur: Decimal) -> list[Effect]:
        over = drawdown_eur > drawdown_max_eur
        if over == self._over:
            return []
        self._over = over
        body = {"drawdown_eur": str(decimal_of(drawdown_eur, digits=2)), "limit": str(drawdown_max_eur)}
        if not over:
            return [Log(event="drawdown_over", component="equity", pair=self.pair.name, body=body)]
        line = Log(event="drawdown", level="warning", component="equity", pair=self.pair.name, body=body)
        return [Count(name="drawdowns"), line]

    def _value(self, amounts: dict[str, Any], price: MarketPrice) -> Fraction:
        return sum(
            (
                value_eur(
                    self.pair,
                    asset,
                    amounts.get(asset.asset_id, 0),
                    fair_rate=price.fair_rate or Decimal(0),
                    eur_per_quote=price.quote_asset_eur,
                )
                for asset in self.pair.assets()
            ),
            Fraction(0),
        )

    def state(self) -> dict[str, Decimal | None]:
        """For `GET /state`."""
        values = {"equity_eur": self._now_eur, "drawdown_eur": self.drawdown_eur}
        return {name: None if eur is None else decimal_of(eur, digits=2) for name, eur in values.items()}
