"""What market-reference-ingest shows of itself."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.market import MarketPrice
from unrip.domain.values import Value
from unrip.frame.link import LinkState


class ReferenceState(Value):
    """`GET /state` of market-reference-ingest."""

    paused: bool
    connection: LinkState
    #: What would be published now.
    price: MarketPrice
    kraken_age_ms: int | None
    kraken_last_failure: str | None
    #: Kraken is not asked over REST before; null where it may be.
    kraken_rest_not_before: datetime | None
    #: Why to how many ticks were refused.
    kraken_ticks_refused: dict[str, int]
    coingecko_age_ms: int | None
    coingecko_last_failure: str | None
    coingecko_not_before: datetime | None
    coingecko_attribution: str
    last_published_at: datetime | None
    prices_made: int
    #: The id of the last price that the broker has.
    last_acknowledged: str | None
