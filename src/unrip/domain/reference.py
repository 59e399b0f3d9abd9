"""The reference price as one service holds it at one instant: which reading counts, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Generic, TypeVar

from unrip.domain.market import MarketPrice
from unrip.domain.policy import Policy
from unrip.domain.values import Value, age_ms

T = TypeVar("T")


class Observed(Value, Generic[T]):
    """A record as the strategy holds it: its id, when its adapter read the source, and what it says."""

    event_id: str
    observed_at: datetime
    value: T


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The newest price of the pair, judged by a policy. What cannot be known is None."""

    price: Observed[MarketPrice] | None
    policy: Policy
    now: datetime

    @cached_property
    def fair_rate(self) -> Decimal | None:
        """Quote per base."""
        if self.price is None:
            return None
        return self.price.value.coingecko_rate if self.price_fallback else self.price.value.fair_rate

    @cached_property
    def price_fallback(self) -> bool:
        """Kraken gives no usable price, and the policy lets a recent CoinGecko stand in for it."""
        return (
            self.policy.coingecko_fallback
            and not self._kraken_usable
            and self.coingecko_age_ms is not None
            and self.coingecko_age_ms <= self.policy.fallback_age_max_ms
        )

    @cached_property
    def _kraken_usable(self) -> bool:
        """Its matching engine is online, and the reading not too old."""
        return (
            self.price is not None
            and self.price.value.fair_rate is not None
            and self.kraken_age_ms is not None
            and self.kraken_age_ms <= self.policy.kraken_age_max_ms
        )

    @cached_property
    def price_source(self) -> str | None:
        """Which reading the fair rate is from."""
        if self.price_fallback:
            return "coingecko"
        kraken = self.price.value.kraken if self.price else None
        return f"kraken.{kraken.transport}" if kraken else None

    @cached_property
    def price_age_ms(self) -> int | None:
        """Age of the reading that the fair rate is from."""
        return self.coingecko_age_ms if self.price_fallback else self.kraken_age_ms

    @cached_property
    def price_age_max_ms(self) -> int:
        """How old that reading may be."""
        return self.policy.fallback_age_max_ms if self.price_fallback else self.policy.kraken_age_max_ms

    @cached_property
    def kraken_age_ms(self) -> int | None:
        """Age of Kraken's reading by its own time or ours, whichever is older."""
        if self.price is None or self.price.value.kraken is None:
            return None
        reading = self.price.value.kraken
        return age_ms(self.now, reading.observed_at, reading.source_time)

    @cached_property
    def coingecko_age_ms(self) -> int | None:
        """Age of CoinGecko's reading by its own time or ours, whichever is older."""
        if self.price is None or self.price.value.coingecko is None:
            return None
        reading = self.price.value.coingecko
        return age_ms(self.now, reading.observed_at, reading.btc_updated_at)

    @cached_property
    def peg_age_ms(self) -> int | None:
        """Age of the last good reading of EURe's price, by its own time or ours, whichever is older."""
        peg = self.price.value.peg if self.price else None
        if peg is None or peg.updated_at is None:
            return None
        return age_ms(self.now, peg.observed_at, peg.updated_at)

    @cached_property
    def price_degraded(self) -> bool:
        """The price rests on one source."""
        age = self.coingecko_age_ms
        return self.price_fallback or age is None or age > self.policy.coingecko_age_max_ms
