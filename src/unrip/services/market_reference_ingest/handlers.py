"""The polls: calls to the sources whose outcomes return as events."""

from __future__ import annotations

from unrip.feeds.coingecko import CoinGecko, CoinGeckoUnavailable
from unrip.feeds.kraken import KrakenRest, KrakenUnavailable
from unrip.frame.asking import Ask
from unrip.services.market_reference_ingest.effects import (
    CoinGeckoRead,
    CoinGeckoUnread,
    KrakenRestRead,
    KrakenRestUnread,
    PollCoinGecko,
    PollKrakenRest,
)


class Polls:
    """Ask Kraken's REST service and CoinGecko."""

    def __init__(self, kraken: KrakenRest, coingecko: CoinGecko, *, ask: Ask) -> None:
        self._kraken = kraken
        self._coingecko = coingecko
        self._ask = ask

    def poll_kraken(self, _effect: PollKrakenRest) -> None:
        """Start asking Kraken."""
        self._ask(
            self._poll_kraken,
            on=KrakenUnavailable,
            unread=lambda error: KrakenRestUnread(reason=str(error), pause_s=error.pause_s),
        )

    def poll_coingecko(self, _effect: PollCoinGecko) -> None:
        """Start asking CoinGecko."""
        self._ask(
            self._poll_coingecko,
            on=CoinGeckoUnavailable,
            unread=lambda error: CoinGeckoUnread(reason=str(error), retry_after_s=error.retry_after_s),
        )

    async def _poll_kraken(self) -> KrakenRestRead:
        reading = await self._kraken.ticker()
        system, pause_s = None, None
        try:
            system = await self._kraken.system()
        except KrakenUnavailable as error:  # the price is good, and the state is reported as unknown
            pause_s = error.pause_s
        return KrakenRestRead(reading=reading, system=system, pause_s=pause_s)

    async def _poll_coingecko(self) -> CoinGeckoRead:
        return CoinGeckoRead(reading=await self._coingecko.read())
