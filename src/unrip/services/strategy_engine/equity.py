"""What is explained of the inventory is worth, and how far it has fallen from its highest since the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from unrip.domain.inventory import Books
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Pair
from unrip.domain.pricing import value_eur
from unrip.domain.values import decimal_of
from unrip.service.contract import Count, Effect, Log


@dataclass
class Equity:
    """Value of what evidence explains, in EUR by the reference price, and its highest since the start.

    A transfer (credit, withdrawal, what an operator accepted) moves the highest by its value at that moment: what
    comes or goes is neither a gain nor a loss.
    """

    pair: Pair
    _now_eur: Fraction | None = None
    _highest_eur: Fraction = Fraction(0)
    _transferred: dict[str, int] = field(default_factory=dict)
    _over: bool = False

    def seen(self, books: Books, price: MarketPrice, *, drawdown_max_eur: Decimal) -> list[Effect]:
        """Take in a snapshot; a drawdown beyond the limit is told once, and once that it is over."""
        if price.fair_rate is None:
            return []
        self._now_eur, first = self._value(books.explained, price), self._now_eur is None
        moved = {asset: amount - self._transferred.get(asset, 0) for asset, amount in books.transferred.items()}
        self._transferred = {asset: int(amount) for asset, amount in books.transferred.items()}
        transfer = Fraction(0) if first else self._value(moved, price)
        self._highest_eur = max(self._now_eur, self._highest_eur + transfer)
        over = self.drawdown_eur > drawdown_max_eur
        if over == self._over:
            return []
        self._over = over
        body = {"drawdown_eur": str(decimal_of(self.drawdown_eur, digits=2)), "limit": str(drawdown_max_eur)}
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
                    eur_per_quote=price.eure_eur_assumption,
                )
                for asset in self.pair.assets()
            ),
            Fraction(0),
        )

    @property
    def drawdown_eur(self) -> Fraction:
        """How far below the highest."""
        return Fraction(0) if self._now_eur is None else self._highest_eur - self._now_eur

    def state(self) -> dict[str, Decimal | None]:
        """For `GET /state`."""
        equity = None if self._now_eur is None else decimal_of(self._now_eur, digits=2)
        return {"equity_eur": equity, "drawdown_eur": decimal_of(self.drawdown_eur, digits=2)}
