"""A strategy-engine fed with events by hand: no broker, no clock, every effect in a list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from support.cases import ACCOUNT, BOTH, NOW, PAIR, a_demand, a_price, a_view, an_inventory
from support.switches import a_switchboard
from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.desk_state import LedgerView
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.status import Details, ExecutorVitals, HistoryVitals, ServiceStatus, StrategyVitals, SwitchView
from unrip.frame.contract import (
    CaughtUp,
    Control,
    Effect,
    Event,
    Publish,
    Published,
    PublishFailed,
    RecordReceived,
    Started,
)
from unrip.messages.envelope import Envelope, Producer
from unrip.messages.topics import (
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    MARKET_PRICE,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TRADE_DECISION,
    TRADE_RESULT,
    Topic,
)
from unrip.services.strategy_engine.effects import HighestRestored, PolicyPersisted, RememberPolicy, Restored
from unrip.services.strategy_engine.logic import StrategyEngine
from unrip.venues.near_intents.nonces import encode_nonce

Fills = tuple[tuple[TradeResult, MarketPrice | None], ...]
E = TypeVar("E", bound=Effect)


def a_record(topic: Topic, payload: Any, *, offset: int = 0, event_id: str = "event", **changes: Any) -> RecordReceived:
    fields: dict[str, Any] = {
        "event_id": event_id,
        "event_type": topic.name,
        "schema_version": 1,
        "producer": Producer(service="test", instance="test-1", version="0"),
        "occurred_at": None,
        "observed_at": NOW,
        "published_at": NOW,
        "venue": "near_intents",
        "pair": PAIR.name,
        "correlation_id": getattr(payload, "quote_id", event_id),
        "causation_id": None,
        "stages": {},
        "payload": payload,
    }
    return RecordReceived(
        topic=topic.name, topic_id=f"{topic.name}-1", offset=offset, message=Envelope(**(fields | changes))
    )


def details_of(
    service: str,
    *,
    view: LedgerView | None = None,
    halted: bool = False,
    armed: tuple[Direction, ...] = BOTH,
    recovering: bool = False,
    lag: int | None = 0,
) -> Details | None:
    switches = SwitchView(halted=halted, armed=armed, arm_expires_at=None)
    details: dict[str, Details] = {
        "strategy-engine": StrategyVitals(switches=switches),
        "trade-executor": ExecutorVitals(switches=switches, recovering=recovering, lag=lag or 0, ledger=view),
        "history-writer": HistoryVitals(lag=lag),
    }
    return details.get(service)


def a_beat(service: str, *, view: LedgerView | None = None, **changes: Any) -> ServiceStatus:
    """What is none of its own fields is told of its details."""
    fields: dict[str, Any] = {
        "service": service,
        "instance": f"{service}-1",
        "active": True,
        "started_at": NOW,
        "healthy": True,
        "ready": True,
        "not_ready": (),
        "account": ACCOUNT,
        "paused": False,
        "generation": 1,
        "database_up": True,
    }
    own = {name: value for name, value in changes.items() if name in fields}
    details = {name: value for name, value in changes.items() if name not in fields}
    return ServiceStatus(**(fields | own), details=details_of(service, view=view, **details))


def a_control(action: str, **arguments: Any) -> Control:
    return Control(action=action, arguments=arguments, actor="operator", reason="a test")


ARM = a_control("arm", directions=list(BOTH), lease_minutes=60)


class Engine:
    """The logic with what it asked for, and a broker that acknowledges when told to."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.logic = StrategyEngine(
            pair=PAIR,
            account=ACCOUNT,
            policy=policy or Policy(),
            encode_nonce=encode_nonce,
            switchboard=a_switchboard("strategy-engine"),
        )
        self.now = NOW
        self.effects: list[Effect] = []
        self._offset = 100

    def state(self, now: datetime | None = None) -> Any:
        return self.logic.state(now or self.now)

    def feed(self, event: Event) -> Sequence[Effect]:
        effects = list(self.logic.on_event(event, self.now))
        self.effects += effects
        return effects

    def start(self, *, generation: int = 1) -> None:
        self.feed(Started(active=True, generation=generation, start_id="strategy-engine-1"))

    def caught_up(self, *, policy: Policy | None = None, fills: Fills = ()) -> None:
        self.feed(CaughtUp(topic=TRADE_DECISION.name, topic_id=f"{TRADE_DECISION.name}-1"))
        self.feed(CaughtUp(topic=EXECUTE_TRADE.name, topic_id=f"{EXECUTE_TRADE.name}-1"))
        self.feed(CaughtUp(topic=TRADE_RESULT.name, topic_id=f"{TRADE_RESULT.name}-1"))
        self.feed(Restored(policy=policy, fills=fills))

    def ready(self, *, fills: Fills = ()) -> Engine:
        """Started, read back, armed, and with everything in order."""
        self.start()
        self.caught_up(fills=fills)
        self.feed(HighestRestored(highest=None, generation=1))
        self.inputs()
        self.feed(ARM)
        self.keep()
        self.effects.clear()
        return self

    def inputs(self, *, view: LedgerView | None = None) -> None:
        """The newest of everything, as of now."""
        age = self.now - NOW
        price = a_price()
        kraken = price.primary
        assert kraken is not None
        price = a_price(primary=_later(kraken, age, "observed_at", "source_time"))
        self.feed(a_record(MARKET_PRICE, price, event_id="price-1"))
        inventory = _later(an_inventory(), age, "block_time")
        self.feed(a_record(INTENT_INVENTORY, inventory, event_id="inventory-1", observed_at=self.now))
        beat = a_beat("trade-executor", view=view or a_view())
        self.feed(a_record(SERVICE_STATUS, beat, observed_at=self.now))
        self.feed(a_record(SERVICE_STATUS, a_beat("history-writer"), observed_at=self.now))

    def keep(self) -> None:
        """PostgreSQL acknowledges every policy that it was given so far."""
        for remembered in only(RememberPolicy, self.effects):
            self.feed(PolicyPersisted(change=remembered.change))

    def demand(self, quote_id: str = "quote-1", *, offset: int = 0, **changes: Any) -> Sequence[Effect]:
        demand = a_demand(quote_id=quote_id, **changes)
        return self.feed(a_record(SWAP_DEMAND, demand, offset=offset, event_id=demand.demand_id))

    def acknowledge(self, publish: Publish) -> Sequence[Effect]:
        assert publish.token is not None
        self._offset += 1
        return self.feed(Published(token=publish.token, offset=self._offset))

    def fail(self, publish: Publish) -> Sequence[Effect]:
        assert publish.token is not None
        return self.feed(PublishFailed(token=publish.token, reason="timed out"))

    def published(self, topic: Topic) -> list[Publish]:
        return [each for each in self.effects if isinstance(each, Publish) and each.topic == topic]

    @property
    def decisions(self) -> list[Publish]:
        return self.published(TRADE_DECISION)

    @property
    def commands(self) -> list[Publish]:
        return self.published(EXECUTE_TRADE)


def only(kind: type[E], effects: Sequence[Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def _later(value: Any, age: timedelta, *fields: str) -> Any:
    moved = {name: getattr(value, name) + age for name in fields if isinstance(getattr(value, name), datetime)}
    return msgspec.structs.replace(value, **moved)


def engine() -> Engine:
    return Engine().ready()


def restarted(*records: Any, inputs: bool = True) -> Engine:
    """A new life that has read these records back and is armed again."""
    desk = Engine()
    desk.start()
    for record in records:
        desk.feed(record)
    desk.caught_up()
    if inputs:
        desk.inputs()
    return desk


def decision_record(quote_id: str = "quote-1", *, offset: int = 7) -> tuple[Any, Decision]:
    desk = engine()
    desk.demand(quote_id, offset=offset)
    publish = desk.decisions[0]
    record = a_record(TRADE_DECISION, publish.payload, event_id=publish.event_id, correlation_id=quote_id)
    return record, publish.payload


def command_record(command: TradeCommand | None) -> Any:
    assert command is not None
    return a_record(EXECUTE_TRADE, command, event_id=command.command_id, offset=3)
