"""Trade-ready: what the strategy answers for each direction before any demand."""

from __future__ import annotations

from support.cases import EURE, NOW, a_view
from support.engine import Engine, a_beat, a_control, a_record, engine
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount
from unrip.frame.contract import Hindered, RoleChanged
from unrip.frame.jsonable import jsonable
from unrip.messages.topics import SERVICE_STATUS


def test_trade_ready_is_yes_with_what_could_be_quoted() -> None:
    ready = engine().state(NOW).trade_ready
    assert jsonable(ready["base_in"]) == {
        "ready": True,
        "reasons": [],
        "spends": "EURe",
        "spendable": str(5_000 * 10**18),
        "largest_quotable": "25.00000000",
    }
    assert ready["base_out"].ready
    assert (ready["base_out"].spends, ready["base_out"].largest_quotable) == ("BTC", "0.00041666")


def test_nothing_is_trade_ready_while_the_strategy_itself_is_not() -> None:
    desk = engine()
    desk.feed(Hindered(reasons=("kafka_unreachable",)))
    for answer in desk.state(NOW).trade_ready.values():
        assert (answer.ready, answer.reasons) == (False, ("kafka_unreachable",))
    desk.feed(Hindered(reasons=()))
    desk.feed(RoleChanged(active=False, generation=None, why="role_not_held"))
    assert not any(answer.ready for answer in desk.state(NOW).trade_ready.values())
    desk.feed(RoleChanged(active=True, generation=1))
    assert all(answer.ready for answer in desk.state(NOW).trade_ready.values())


def test_trade_ready_names_every_reason_of_each_direction() -> None:
    desk = Engine()
    desk.start()
    ready = desk.state(NOW).trade_ready
    for direction in Direction:
        assert not ready[direction.value].ready
        assert {"disarmed", "price_missing", "inventory_missing", "executor_not_ready"} <= set(
            ready[direction.value].reasons
        )
        assert ready[direction.value].spendable is None
    desk = engine()
    desk.feed(a_control("arm", directions=["base_out"], lease_minutes=5))
    desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", view=a_view(credited={EURE.asset_id: Amount(1)}))))
    ready = desk.state(NOW).trade_ready
    assert ready["base_in"].reasons == ("direction_disarmed", "insufficient_inventory", "inventory_held")
    assert ready["base_out"].reasons == ("insufficient_inventory", "inventory_held")


def test_trade_ready_says_nothing_about_demands() -> None:
    reasons = Engine(Policy(deadline_max_ms=1)).ready().state(NOW).trade_ready["base_in"].reasons
    assert reasons == ()
