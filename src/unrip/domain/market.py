"""Reference prices: what each source said, when, and the fair value that follows."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from unrip.domain.values import MONEY, Value


class SourceHealth(StrEnum):
    """Unknown is not no: `unknown` means never read since the start, and counts as not good."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


class KrakenReading(Value):
    """The best bid and ask of BTC/EUR, in EUR per BTC."""

    bid: Decimal
    ask: Decimal
    #: When we read it.
    observed_at: datetime
    #: Kraken's own time of it; REST answers and old builds carry none (sources/kraken section 4.3 and 9).
    source_time: datetime | None
    #: `websocket` or `rest`.
    transport: str

    @property
    def mid(self) -> Decimal:
        """The middle of bid and ask."""
        return MONEY.divide(MONEY.add(self.bid, self.ask), Decimal(2))


class CoinGeckoReading(Value):
    """CoinGecko's averages, in EUR."""

    btc_eur: Decimal
    btc_updated_at: datetime
    #: The wrapper's own price; missing when CoinGecko left it out.
    eure_eur: Decimal | None
    eure_updated_at: datetime | None
    observed_at: datetime


class MarketPrice(Value):
    """Everything known about the price of the pair at one moment. A missing reading is None, never zero."""

    pair: str
    kraken: KrakenReading | None
    kraken_health: SourceHealth
    #: Kraken's matching engine state (`online` is the only one in which prices are discovered), None when unknown.
    kraken_system: str | None
    coingecko: CoinGeckoReading | None
    coingecko_health: SourceHealth
    #: Fair value in quote per base (EURe per BTC) from Kraken's mid, None without a usable reading.
    fair_rate: Decimal | None
    #: The explicit assumption of R5: EUR per EURe. It is recorded in every decision.
    eure_eur_assumption: Decimal
    #: CoinGecko's reading of the same thing, None when unknown.
    eure_eur_observed: Decimal | None
    #: |CoinGecko / Kraken - 1|, None unless both are known.
    disagreement: Decimal | None


def disagreement_of(kraken_mid: Decimal, coingecko: Decimal) -> Decimal:
    """How far the second opinion is from the first, as a fraction of the first."""
    return MONEY.abs(MONEY.subtract(MONEY.divide(coingecko, kraken_mid), Decimal(1)))
