"""Effects and events that only this service knows."""

from __future__ import annotations

from unrip.domain.market import PrimaryReading, SecondReading
from unrip.domain.values import Value


class PollKrakenRest(Value):
    """Effect: ask Kraken's REST service; `KrakenRestRead` or `KrakenRestUnread` follows."""


class PollCoinGecko(Value):
    """Effect: ask CoinGecko; `CoinGeckoRead` or `CoinGeckoUnread` follows."""


class KrakenRestRead(Value):
    """Kraken answered by REST."""

    reading: PrimaryReading
    #: The state of its matching engine, None where that could not be read.
    system: str | None
    #: How long to keep away, if we asked too much meanwhile.
    pause_s: int | None = None


class KrakenRestUnread(Value):
    """There is no REST reading."""

    reason: str
    pause_s: int | None = None


class CoinGeckoRead(Value):
    """CoinGecko answered."""

    reading: SecondReading


class CoinGeckoUnread(Value):
    """There is no reading of CoinGecko."""

    reason: str
    #: How long asking again is pointless.
    retry_after_s: int | None
