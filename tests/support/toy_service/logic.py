from collections.abc import Sequence
from datetime import datetime

from support.toy_service.definition import PRICE_COUNT, SERVICE, PriceCount, ToyState, ToyVitals
from unrip.frame.contract import Control, Effect, Event, Publish, RecordReceived, Started, Subscribe
from unrip.frame.logic import Logic
from unrip.messages.topics import MARKET_PRICE


class PriceCounter(Logic):
    def __init__(self, *, every: int) -> None:
        self._every, self._prices, self._hushed = every, 0, False

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        match event:
            case Started():
                return [Subscribe(topic=MARKET_PRICE, tail=1)]
            case RecordReceived():
                self._prices += 1
                if self._prices % self._every == 0 and not self._hushed:
                    return [self._count(event, now)]
        return []

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        if control.action in {"hush", "speak"}:
            self._hushed = control.action == "hush"
            return []
        return super().act(control, now)

    def _count(self, price: RecordReceived, now: datetime) -> Publish:
        return Publish(
            topic=PRICE_COUNT,
            event_id=self.life.numbered("count"),
            payload=PriceCount(counter=SERVICE.name, prices=self._prices),
            observed_at=now,
            correlation_id=price.message.correlation_id,
        )

    def state(self, now: datetime) -> ToyState:
        return ToyState(prices=self._prices)

    def stands_in_the_way(self, now: datetime) -> list[str]:
        return ["hushed"] if self._hushed else []

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        if control.action in {"hush", "speak"}:
            return {"hushed": str(control.action == "hush").lower()}
        return super().follow(control, now)

    def details(self, now: datetime) -> ToyVitals:
        return ToyVitals(hushed=self._hushed)

    def controlled(self, now: datetime) -> dict[str, str]:
        return {"hushed": str(self._hushed).lower()}
