"""A market-reference-ingest fed by hand, with its timers, on a clock that moves only when told."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from support.cases import a_case
from support.engine import a_record
from support.logic import PAIR, T0, of, published
from support.refusals import ABOUT_PRICE
from unrip.domain.case import Case
from unrip.domain.decision import Refusal
from unrip.domain.guards import GUARDS
from unrip.domain.market import MarketPrice, PrimaryReading, SecondReading
from unrip.domain.policy import Policy
from unrip.domain.reference import Observed
from unrip.frame.contract import (
    BusChanged,
    CaughtUp,
    Effect,
    Event,
    Published,
    SetTimer,
    Started,
    TimerFired,
)
from unrip.messages.topics import MARKET_PRICE
from unrip.net.events import FrameReceived, SocketOpened
from unrip.services.market_reference_ingest.effects import CoinGeckoRead, KrakenRestRead
from unrip.services.market_reference_ingest.jump import JumpGuard
from unrip.services.market_reference_ingest.logic import KRAKEN, MarketReferenceIngest
from unrip.services.market_reference_ingest.peg import PegGuard

ONLINE = json.dumps({"channel": "status", "data": [{"system": "online"}]})


class Market:
    """The logic with its timers, driven by a clock that moves only in `run`."""

    def __init__(
        self,
        *,
        connected: bool = True,
        assumption: str = "1",
        acknowledging: bool = True,
        at: datetime = T0,
        remembers: MarketPrice | None = None,
        published_at: datetime | None = None,
        caught_up: bool = True,
        coingecko_interval_s: int = 260,
        peg_breaks_beyond: str = "0.02",
        peg_heals_within: str = "0.01",
    ) -> None:
        """At this instant, with the record that its topic ends with, if there is one."""
        self.acknowledging = acknowledging
        self.logic = MarketReferenceIngest(
            pair=PAIR,
            symbol="BTC/EUR",
            quote_asset_eur=Decimal(assumption),
            kraken_age_max_ms=10_000,
            coingecko_age_max_ms=600_000,
            coingecko_interval_s=coingecko_interval_s,
            peg=PegGuard(
                assumed=Decimal(assumption),
                breaks_beyond=Decimal(peg_breaks_beyond),
                heals_within=Decimal(peg_heals_within),
            ),
            jump=JumpGuard(limit=Decimal("0.01"), window_s=60, readings_min=10),
        )
        self.now = at
        self.timers: dict[str, datetime] = {}
        self.effects: list[Effect] = []
        self.emit(Started(active=True, generation=None, start_id="market-1"))
        self.emit(BusChanged(up=True, reason=""))
        if remembers is not None:
            self.emit(a_record(MARKET_PRICE, remembers, published_at=published_at or at - timedelta(seconds=1)))
        if caught_up:
            self.emit(CaughtUp(topic=MARKET_PRICE.name, topic_id="prices-1"))
        if connected:
            self.emit(SocketOpened(connection=KRAKEN))
            self.hear(ONLINE)

    def emit(self, event: Event) -> list[Effect]:
        effects = list(self.logic.on_event(event, self.now))
        self.timers |= {timer.name: timer.at for timer in of(SetTimer, effects)}
        self.effects += effects
        if self.acknowledging:
            for record in published(effects, "ref.market_price"):
                self.emit(Published(token=record.token or "", offset=1))
        return effects

    def hear(self, text: str) -> list[Effect]:
        return self.emit(FrameReceived(connection=KRAKEN, text=text, size_bytes=len(text), received_at=self.now))

    def told(self, system: str) -> list[Effect]:
        """The socket tells the state of the matching engine."""
        return self.hear(json.dumps({"channel": "status", "data": [{"system": system}]}))

    def tick(self, bid: str = "70000.0", ask: str = "70000.2", **fields: Any) -> list[Effect]:
        prices = f'"symbol":"BTC/EUR","bid":{bid},"ask":{ask}'
        more = "".join(f',"{name}":{json.dumps(value)}' for name, value in fields.items())
        return self.hear('{"channel":"ticker","type":"update","data":[{' + prices + more + "}]}")

    def run(self, **units: float) -> list[Effect]:
        """Let time pass; timers fire in order."""
        end, seen = self.now + timedelta(**units), len(self.effects)
        while self.timers:
            name = min(self.timers, key=lambda timer: self.timers[timer])
            if self.timers[name] > end:
                break
            self.now = max(self.now, self.timers.pop(name))
            self.emit(TimerFired(name=name))
        self.now = end
        return self.effects[seen:]

    def prices(self, effects: list[Effect] | None = None) -> list[MarketPrice]:
        records = published(self.effects if effects is None else effects, "ref.market_price")
        return [record.payload for record in records]

    def coingecko(self, btc: str = "70100", *, age_s: int = 30, eure: str | None = "0.999") -> list[Effect]:
        then = self.now - timedelta(seconds=age_s)
        return self.emit(
            CoinGeckoRead(
                reading=SecondReading(
                    base_asset_eur=Decimal(btc),
                    base_updated_at=then,
                    quote_asset_eur=None if eure is None else Decimal(eure),
                    quote_updated_at=None if eure is None else then,
                    observed_at=self.now,
                )
            )
        )

    def rest(self, bid: str = "69000", system: str | None = "online") -> list[Effect]:
        reading = PrimaryReading(
            bid=Decimal(bid), ask=Decimal(bid) + 1, observed_at=self.now, source_time=None, transport="rest"
        )
        return self.read_rest(reading, system)

    def read_rest(self, reading: PrimaryReading, system: str | None = "online") -> list[Effect]:
        """Kraken answered by REST."""
        return self.emit(KrakenRestRead(reading=reading, system=system))

    def ticks(self, mid: str | Decimal, *, seconds: int) -> None:
        """One tick a second at a mid."""
        for _ in range(seconds):
            self.tick(bid=str(mid), ask=str(mid))
            self.run(seconds=1)


def case_of(market: Market, policy: Policy | None = None) -> Case:
    """A decision about the newest price that was published."""
    record = published(market.effects, MARKET_PRICE.name)[-1]
    price = Observed(event_id=record.event_id, observed_at=record.observed_at, value=record.payload)
    return a_case(price=price, now=market.now, policy=policy or Policy())


def refused(case: Case) -> Refusal | None:
    """The first guard of the price that refuses."""
    return next((reason for reason in GUARDS if reason in ABOUT_PRICE and not GUARDS[reason](case)[0]), None)
