"""Mistakes about prices that only a plan shows, beside those of `planted_inputs.py`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from simulation.planted import Patches, Planted, passes, patched
from unrip.domain.decision import Refusal
from unrip.domain.market import SecondReading
from unrip.feeds.kraken import Heartbeat
from unrip.frame.contract import Effect
from unrip.net.events import FrameReceived
from unrip.services.market_reference_ingest.logic import MarketReferenceIngest

#: CoinGecko has a new price every ten.
_OLD = timedelta(seconds=15)


def _heartbeats_are_ticks() -> Patches:
    def make(original: Any) -> Any:
        def on_frame(self: MarketReferenceIngest, frame: FrameReceived, now: datetime) -> list[Effect]:
            effects: list[Effect] = original(self, frame, now)
            said = self._session.receive(frame.text or "", frame.received_at)
            last = self._kraken.reading
            if not isinstance(said, Heartbeat) or last is None:
                return effects
            again = msgspec.structs.replace(last, observed_at=frame.received_at, source_time=frame.received_at)
            return [*effects, *self._on_tick(again, now)]

        return on_frame

    return [patched(MarketReferenceIngest, "_on_frame", make)]


def _old_news_ends_asking() -> Patches:
    def read(original: Any) -> Any:
        def read_coingecko(self: MarketReferenceIngest, reading: SecondReading, now: datetime) -> list[Effect]:
            if reading.observed_at - reading.base_updated_at > _OLD:
                self.__dict__["given_up"] = True
            effects: list[Effect] = original(self, reading, now)
            return effects

        return read_coingecko

    def asked(original: Any) -> Any:
        def poll(self: MarketReferenceIngest, now: datetime) -> list[Effect]:
            effects: list[Effect] = [] if self.__dict__.get("given_up") else original(self, now)
            return effects

        return poll

    return [
        patched(MarketReferenceIngest, "_read_coingecko", read),
        patched(MarketReferenceIngest, "_poll_coingecko", asked),
    ]


#: By a short name, in the order of docs/simulation.md.
ON_PRICES = {
    "dated-ahead": Planted(
        mistake="nobody asks whether an input is dated ahead of our clock",
        patches=lambda: [passes(Refusal.CLOCK_SKEWED)],
        under={"kraken/timestamp_skew_ms": 2},
        breaks=("priced",),
    ),
    "heartbeat": Planted(
        mistake="a heartbeat of Kraken's says that the last price is still the price",
        patches=_heartbeats_are_ticks,
        under={"kraken/freeze": 1},
        breaks=("priced",),
    ),
    "any-jump": Planted(
        mistake="nobody asks whether a price has jumped, or CoinGecko bears it out",
        patches=lambda: [passes(Refusal.PRICE_JUMP, Refusal.PRICE_SOURCES_DISAGREE)],
        under={"kraken/price": 1},
        breaks=("priced",),
    ),
    "old-news": Planted(
        mistake="CoinGecko is asked no more once a price that it tells is more than fifteen seconds old",
        patches=_old_news_ends_asking,
        under={"coingecko/freeze": 1},
        breaks=("recovery",),
    ),
}
