"""Whatever decodes from any topic makes no service raise: it would meet the same record again after each restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import samples
from support.cases import ACCOUNT, NOW, PAIR, a_case, a_decision, a_demand, a_price, a_view, an_inventory, seen
from support.engine import Engine, a_beat, a_record
from support.executor import Executor, a_command
from support.histories import a_record as recorded
from support.market import Market
from support.spoilt import spoilt
from unrip.domain.pairs import Direction
from unrip.frame.contract import BusChanged, CaughtUp, Effect, Publish, RecordReceived, Started
from unrip.frame.jsonable import jsonable
from unrip.frame.logic import Logic
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import Envelope, decode_hook
from unrip.messages.topics import TOPICS
from unrip.services.history_writer.rows import Beats, batch_of
from unrip.services.inventory_sync.logic import InventorySync
from unrip.services.liquidity_manager.logic import LiquidityManager
from unrip.services.trade_executor.effects import SignOffer
from unrip.store.history import Position
from unrip.venues.near_intents.signer import Signer

Life = tuple[Logic, Callable[[], None]]


def strategy() -> Life:
    engine = Engine().ready()

    def goes_on() -> None:
        for number, way in enumerate(Direction):
            engine.demand(f"after-{way}", direction=way, offset=number + 1)
            waiting = deque(each for each in engine.effects if isinstance(each, Publish) and each.token)
            while waiting:
                waiting += (e for e in engine.acknowledge(waiting.popleft()) if isinstance(e, Publish) and e.token)
            engine.effects.clear()

    return engine.logic, goes_on


def executor() -> Life:
    desk, signer = Executor().ready(), Signer(bytes(32), verifying_contract="intents.near")

    def goes_on() -> None:
        desk.command(a_command("after"))
        for sign in [each for each in desk.effects if isinstance(each, SignOffer)]:
            signer.sign_offer(sign.command)

    return desk.logic, goes_on


def inventory_sync() -> Life:
    logic = InventorySync(
        pair=PAIR, account=ACCOUNT, interval_ms=1_000, bridge_interval_s=15, inventory_age_max_ms=10_000
    )
    logic.on_event(BusChanged(up=True, reason=""), NOW)
    logic.on_event(Started(active=True, generation=None, start_id="sync-1"), NOW)
    return logic, lambda: None


def liquidity_manager() -> Life:
    logic = LiquidityManager(pair=PAIR, account=ACCOUNT, interval_s=30)
    logic.on_event(BusChanged(up=True, reason=""), NOW)
    logic.on_event(Started(active=True, generation=None, start_id="liquidity-1"), NOW)
    return logic, lambda: None


def market_reference() -> Life:
    market = Market(at=NOW, caught_up=False, connected=False)

    def goes_on() -> None:
        market.tick()
        market.run(seconds=2)

    return market.logic, goes_on


#: What each service reads. history-writer takes bytes, and its rows are tried below.
READS: dict[Callable[[], Life], tuple[str, ...]] = {
    strategy: (
        "norm.swap_demand",
        "ref.market_price",
        "state.intent_inventory",
        "ops.service_status",
        "decision.trade_decision",
        "cmd.execute_trade",
        "exec.trade_result",
    ),
    executor: ("cmd.execute_trade", "ref.market_price", "exec.trade_result"),
    inventory_sync: ("state.intent_inventory", "exec.trade_result", "ops.liquidity_action"),
    liquidity_manager: ("state.treasury", "ops.liquidity_action"),
    market_reference: ("ref.market_price",),
}
#: The good record that is spoilt: one that the service under test takes for its own.
GOOD: dict[str, Any] = {
    "norm.swap_demand": a_demand(),
    "ref.market_price": a_price(),
    "state.intent_inventory": an_inventory(),
    "ops.service_status": a_beat("trade-executor", view=a_view()),
    "cmd.execute_trade": a_command("commanded", generation=1),
}


@cache
def records(topic: str) -> tuple[tuple[str, Envelope[Any]], ...]:
    """The good record of a topic, spoilt in every place in every way."""
    event = samples.one_of_each_topic()[topic]
    payload = GOOD.get(topic, event.payload)
    if hasattr(payload, "account"):
        payload = msgspec.structs.replace(payload, account=ACCOUNT)
    instants = {"observed_at": NOW, "published_at": NOW}
    good = msgspec.structs.replace(event, payload=payload, **instants)
    return (("as it is", good), *spoilt(good))


def meets(make: Callable[[], Life], *met: Envelope[Any]) -> None:
    """A service in its stride reads these records, goes on and is looked at."""
    logic, goes_on = make()
    for offset, message in enumerate(met):
        topic = message.event_type
        record = RecordReceived(topic=topic, topic_id=f"{topic}-1", offset=offset, message=message)
        written(logic.on_event(record, NOW))
        written(logic.on_event(CaughtUp(topic=topic, topic_id=f"{topic}-1"), NOW))
    goes_on()
    state = logic.state(NOW)
    assert msgspec.convert(jsonable(state), type(state), dec_hook=decode_hook) is not None, "as its type says"
    jsonable({"vitals": logic.vitals(NOW), "controls": logic.control_state(NOW), "reasons": logic.not_ready(NOW)})


def written(effects: Sequence[Effect]) -> None:
    """What is to be published can be written."""
    for each in effects:
        if isinstance(each, Publish):
            decode_event(each.topic.name, encode_event(a_record(each.topic, each.payload).message))
        elif isinstance(each, SignOffer):
            Signer(bytes(32), verifying_contract="intents.near").sign_offer(each.command)


@pytest.mark.parametrize("topic", ["ref.market_price", "state.intent_inventory", "norm.swap_demand"])
def test_no_input_in_any_one_place_makes_a_decision_raise(topic: str) -> None:
    """Every place in every way, as the strategy holds it: a decision comes out, and it can be written and read."""
    for _name, event in records(topic):
        held = {
            "ref.market_price": {"price": seen("price-1", event.payload)},
            "state.intent_inventory": {"inventory": seen("inventory-1", event.payload)},
            "norm.swap_demand": {"demand": event.payload},
        }[topic]
        for way in Direction:
            decision = a_decision(a_case(**({"demand": a_demand(way)} | held)))
            decode_event(
                "decision.trade_decision", encode_event(a_record(TOPICS["decision.trade_decision"], decision).message)
            )


@pytest.mark.parametrize("topic", TOPICS)
def test_the_history_takes_whatever_decodes(topic: str) -> None:
    told = [recorded(event, offset) for offset, (_name, event) in enumerate(records(topic))]
    batch, _effects = batch_of(told, Position(topic_id="topic-1", next_offset=0), Beats())
    assert (batch.next_offset, batch.invalid) == (len(told), ())


@pytest.mark.parametrize("make", READS, ids=lambda make: make.__name__)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_that_decodes_makes_a_service_raise(make: Callable[[], Life], data: st.DataObject) -> None:
    topics = data.draw(st.lists(st.sampled_from(READS[make]), min_size=1, max_size=3))
    drawn = [data.draw(st.sampled_from(records(topic)), label=topic) for topic in topics]
    meets(make, *(event for _name, event in drawn))
