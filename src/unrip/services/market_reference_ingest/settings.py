"""The sections of market-reference-ingest: its two sources, and when it distrusts them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from unrip.frame.settings import HttpUrl, Rate, Section, WsUrl


class KrakenSettings(Section):
    """The primary price source."""

    #: Where ticks come from.
    ws_url: WsUrl = "wss://ws.kraken.com/v2"
    #: Asked when ticks are missing.
    rest_url: HttpUrl = "https://api.kraken.com"
    #: The market's name on the socket.
    ws_symbol: str = "BTC/EUR"
    #: The same market's name on REST.
    rest_pair: str = "XBTEUR"


class CoinGeckoSettings(Section):
    """The second opinion."""

    #: The service's address: with `pro-api.` in it the key is sent as a paid one, otherwise as a demo one.
    api_url: HttpUrl = "https://api.coingecko.com/api/v3"
    #: An API key, readable by its owner only; none is needed for the free service.
    key_file: Path | None = None
    #: 10 000 free credits a month allow one call per 260 s (sources/coingecko section 5).
    poll_interval_s: int = Field(default=260, ge=1)
    #: CoinGecko's id of the base.
    base_id: str = "bitcoin"
    #: CoinGecko's id of the quote, whose peg is read with it.
    quote_id: str = "monerium-eur-money-2"


class PriceSettings(Section):
    """When market-reference-ingest distrusts what it reads. Every price carries its verdict, with these numbers."""

    #: How far EURe may be from what is assumed; further is a broken peg.
    peg_breaks_beyond: Rate = Decimal("0.02")
    #: Within what a broken peg heals: CoinGecko's number of a thinly traded token is off by 1 % on a normal day
    #: (sources/coingecko section 7).
    peg_heals_within: Rate = Decimal("0.01")
    #: How far the mids of one window may be apart; further is a jump. It is half of the default edge: the edge pays for
    #: less.
    jump_limit: Rate = Decimal("0.01")
    #: How long the mids must then have stayed within the limit.
    jump_window_s: int = Field(default=60, ge=2)
    #: In how many seconds of the window Kraken must have been read: REST alone gives one every two seconds.
    jump_readings_min: int = Field(default=10, ge=1)

    @model_validator(mode="after")
    def _can_heal_and_settle(self) -> Self:
        if self.peg_heals_within > self.peg_breaks_beyond:
            raise ValueError("peg_heals_within is above peg_breaks_beyond: a peg would be broken and whole at once")
        if 2 * self.jump_readings_min > self.jump_window_s:
            raise ValueError(
                f"jump_readings_min {self.jump_readings_min} is more than REST alone gives in jump_window_s "
                f"{self.jump_window_s}: a jump would never end"
            )
        return self
