"""The polls: calls to the sources whose outcomes return as events."""

from __future__ import annotations

from unrip.feeds.coingecko import CoinGecko, CoinGeckoUnavailable
from unrip.feeds.kraken import KrakenRest, KrakenUnavailable
from unrip.frame.contract import Emit
from unrip.net.tasks import Tasks
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

    def __init__(self, kraken: KrakenRest, coingecko: CoinGecko, *, emit: Emit) -> None:
        self._kraken = kraken
        self._coingecko = coingecko
        self._emit = emit
        self._tasks = Tasks()

    def poll_kraken(self, _effect: PollKrakenRest) -> None:
        """Start asking Kraken."""
        self._tasks.start(self._poll_kraken())

    def poll_coingecko(self, _effect: PollCoinGecko) -> None:
        """Start asking CoinGecko."""
        self._tasks.start(self._poll_coingecko())

    async def watch(self) -> None:
        """Raise the fault of a call that ended otherwise than it should: a source for the frame."""
        await self._tasks.watch()

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._tasks.aclose()

    async def _poll_kraken(self) -> None:
        try:
            reading = await self._kraken.ticker()
        except KrakenUnavailable as error:
            self._emit(KrakenRestUnread(reason=str(error), pause_s=error.pause_s))
            return
        system, pause_s = None, None
        try:
            system = await self._kraken.system()
        except KrakenUnavailable as error:  # the price is good, and the state is reported as unknown
            pause_s = error.pause_s
        self._emit(KrakenRestRead(reading=reading, system=system, pause_s=pause_s))

    async def _poll_coingecko(self) -> None:
        try:
            reading = await self._coingecko.read()
        except CoinGeckoUnavailable as error:
            self._emit(CoinGeckoUnread(reason=str(error), retry_after_s=error.retry_after_s))
        else:
            self._emit(CoinGeckoRead(reading=reading))
