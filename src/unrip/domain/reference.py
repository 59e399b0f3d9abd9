"""The reference price as one service holds it at one instant: which reading counts, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Generic, TypeVar

from unrip.domain.market import MarketPrice, PrimaryReading, disagreement_of, is_rate
from unrip.domain.policy import Policy
from unrip.domain.values import Value, age_ms

T = TypeVar("T")


class Observed(Value, Generic[T]):
    """A record as the strategy holds it: its id, when its adapter read the source, and its value."""

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
        """Quote per base; None also where it is no usable rate."""
        if self.price is None or not self.price.value.reckonable:
            return None
        rate = self.price.value.second_opinion_rate if self.price_fallback else self.price.value.fair_rate
        return rate if rate is not None and is_rate(rate) else None

    @cached_property
    def price_fallback(self) -> bool:
        """Whether Kraken gives no usable price, and the policy lets a recent CoinGecko stand in for it."""
        return (
            self.policy.coingecko_fallback
            and not self._kraken_usable
            and self.coingecko_age_ms is not None
            and self.coingecko_age_ms <= self.policy.fallback_age_max_ms
        )

    @cached_property
    def _kraken_usable(self) -> bool:
        """Whether Kraken's matching engine is online, and the reading not too old."""
        return (
            self.price is not None
            and self.price.value.fair_rate is not None
            and self.kraken_age_ms is not None
            and self.kraken_age_ms <= self.policy.kraken_age_max_ms
        )

    @cached_property
    def price_source(self) -> str | None:
        """Which reading the fair rate is from."""
        if self.price is None:
            return None
        price = self.price.value
        if self.price_fallback:
            return price.second_opinion_source
        return f"{price.primary_source}.{price.primary.transport}" if price.primary else None

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
        if self.price is None or self.price.value.primary is None:
            return None
        reading = self.price.value.primary
        return age_ms(self.now, reading.observed_at, reading.source_time)

    @cached_property
    def coingecko_age_ms(self) -> int | None:
        """Age of CoinGecko's reading by its own time or ours, whichever is older."""
        if self.price is None or self.price.value.second_opinion is None:
            return None
        reading = self.price.value.second_opinion
        return age_ms(self.now, reading.observed_at, reading.base_updated_at)

    @cached_property
    def peg_age_ms(self) -> int | None:
        """Age of the last good reading of EURe's price, by its own time or ours, whichever is older."""
        peg = self.price.value.peg if self.price else None
        if peg is None or peg.broken is None or peg.quote_asset_eur is None or peg.updated_at is None:
            return None
        return age_ms(self.now, peg.observed_at, peg.updated_at)

    @cached_property
    def peg_deviation(self) -> Decimal | None:
        """How far that reading is from what is assumed: as recorded, or by the numbers themselves if that is more."""
        price = self.price.value if self.price else None
        if price is None or price.peg is None or price.peg.quote_asset_eur is None or price.quote_asset_eur <= 0:
            return None
        seen = disagreement_of(price.quote_asset_eur, price.peg.quote_asset_eur)
        return seen if price.peg.deviation is None else max(seen, price.peg.deviation)

    @cached_property
    def disagreement(self) -> Decimal | None:
        """How far the newest readings of the sources are apart: as recorded, or by their numbers where that is more."""
        if self.price is None:
            return None
        known = [each for each in (self.price.value.disagreement, self.price.value.apart) if each is not None]
        return max(known, default=None)

    @cached_property
    def disagreement_max(self) -> Decimal:
        """How far they may be apart; an operator may have accepted more while Kraken is what we price by."""
        accepted = self.price.value.accepted if self.price else None
        if accepted is None or self.price_fallback or not accepted.in_force(self.now):
            return self.policy.disagreement_max
        return max(self.policy.disagreement_max, accepted.up_to)

    @cached_property
    def second_opinion(self) -> bool:
        """Whether CoinGecko's newest reading is recent, and ahead neither of our clock nor of Kraken's reading."""
        if self.price is None or self.price.value.second_opinion is None or self.coingecko_age_ms is None:
            return False
        kraken, dated = self.price.value.primary, self.price.value.second_opinion.base_updated_at
        first = self.now if kraken is None else min(self.now, kraken.source_time or kraken.observed_at)
        ahead_ms = (dated - first) // timedelta(milliseconds=1)
        return ahead_ms <= self.policy.clock_ahead_max_ms and self.coingecko_age_ms <= self.policy.coingecko_age_max_ms

    @cached_property
    def price_degraded(self) -> bool:
        """Whether the price rests on one source."""
        contradicted = self.disagreement is not None and self.disagreement > self.policy.disagreement_max
        return self.price_fallback or contradicted or not self.second_opinion

    @cached_property
    def rate_off(self) -> Fraction | None:
        """How far the fair rate lies outside the prices of its sources, as a fraction of them; None without any."""
        price = self.price.value if self.price else None
        if price is None or self.fair_rate is None:
            return None
        source = price.second_opinion if self.price_fallback else price.primary
        if source is None:
            return None
        if isinstance(source, PrimaryReading):
            low, high = Fraction(source.bid), Fraction(source.ask)
        else:
            low = high = Fraction(source.base_asset_eur)
        if not 0 < low <= high:
            return None
        rate = Fraction(self.fair_rate) * Fraction(price.quote_asset_eur)
        return max(low - rate, rate - high, Fraction(0)) / low
