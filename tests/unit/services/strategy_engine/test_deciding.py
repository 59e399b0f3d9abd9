"""Every demand is decided once, in order; a decision is acknowledged before its command, and that before anything."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from support.cases import BTC, EURE, NOW, a_decision, a_demand, a_price, a_view, an_inventory
from support.engine import (
    ARM,
    Engine,
    a_beat,
    a_control,
    a_record,
    command_record,
    decision_record,
    engine,
    only,
    restarted,
)
from unrip.domain.decision import Decision, Refusal
from unrip.domain.desk_state import CommandPosition
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount
from unrip.frame.contract import (
    ROLE_LEFT,
    ROLE_NOT_HELD,
    ROLE_UNCONFIRMED,
    STANDBY,
    CaughtUp,
    ControlRefused,
    Count,
    CrashPoint,
    DatabaseChanged,
    Draining,
    Log,
    Publish,
    Published,
    RoleChanged,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
)
from unrip.messages.envelope import encode
from unrip.messages.topics import (
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    MARKET_PRICE,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TRADE_DECISION,
)
from unrip.services.strategy_engine.effects import RememberPolicy


def test_a_decision_is_acknowledged_before_its_command_is_produced() -> None:
    desk = engine()
    desk.demand()
    (decision,) = desk.decisions
    assert decision.payload.accepted
    assert desk.commands == []
    effects = desk.acknowledge(decision)
    (command,) = desk.commands
    assert only(CrashPoint, effects) == [CrashPoint(name="strategy.decision_acknowledged")]
    assert list(effects).index(CrashPoint(name="strategy.decision_acknowledged")) < list(effects).index(command)
    assert command.payload == decision.payload.command
    assert (command.event_id, command.causation_id) == (command.payload.command_id, decision.event_id)
    assert command.correlation_id == decision.correlation_id == "quote-1"
    assert {"decided", "decision_acknowledged"} <= set(command.stages)


def test_nothing_else_is_decided_until_decision_and_command_are_acknowledged() -> None:
    desk = engine()
    for number in range(3):
        desk.demand(f"quote-{number}", offset=number)
    assert len(desk.decisions) == 1
    desk.acknowledge(desk.decisions[0])
    assert len(desk.decisions) == 1
    desk.acknowledge(desk.commands[0])
    assert [each.payload.quote_id for each in desk.decisions] == ["quote-0", "quote-1"]
    assert not desk.logic.idle()


def test_records_read_after_a_restart_are_as_old_as_they_are() -> None:
    """The tail of a topic is what was true when it was observed, not when it is read."""
    desk = Engine()
    desk.now = NOW + timedelta(hours=1)
    desk.start()
    desk.caught_up()
    desk.feed(a_record(MARKET_PRICE, a_price()))
    desk.feed(a_record(INTENT_INVENTORY, an_inventory()))
    for service in ("trade-executor", "history-writer"):
        desk.feed(a_record(SERVICE_STATUS, a_beat(service, view=a_view() if service == "trade-executor" else None)))
    desk.feed(ARM)
    desk.demand(received_at=desk.now, answer_by=desk.now + timedelta(seconds=1))
    (decision,) = desk.decisions
    numbers = {guard.reason: guard.numbers for guard in decision.payload.guards if not guard.passed}
    assert decision.payload.reason is Refusal.PRICE_STALE
    assert numbers[Refusal.PRICE_STALE]["price_age_ms"] == "3600450"
    assert numbers[Refusal.INVENTORY_STALE]["inventory_age_ms"] == "3601500"
    assert numbers[Refusal.EXECUTOR_NOT_READY]["executor_age_ms"] == "3600000"
    assert numbers[Refusal.AUDIT_STORE_UNAVAILABLE]["history_age_ms"] == "3600000"


def test_a_refusal_waits_for_its_acknowledgement_too_and_has_no_command() -> None:
    desk = engine()
    desk.demand("refused", amount_in=Amount(1))
    desk.demand("next", offset=1)
    assert [each.payload.reason for each in desk.decisions] == [Refusal.BELOW_MINIMUM]
    desk.acknowledge(desk.decisions[0])
    assert desk.commands == []
    assert desk.decisions[1].payload.quote_id == "next"


def test_what_was_not_acknowledged_is_produced_again_byte_for_byte_and_nothing_else_meanwhile() -> None:
    desk = engine()
    desk.demand("first")
    desk.demand("second", offset=1)
    for topic in (TRADE_DECISION, EXECUTE_TRADE):
        publish = desk.published(topic)[0]
        (timer,) = only(SetTimer, desk.fail(publish))
        assert timer.at > desk.now
        desk.now = timer.at
        assert list(desk.feed(TimerFired(name=timer.name))) == [publish]
        desk.acknowledge(publish)
    assert [each.payload.quote_id for each in desk.decisions] == ["first", "first", "second"]
    assert len({encode(each.payload) for each in desk.commands}) == 1


def test_an_acknowledgement_of_something_else_is_nobodys() -> None:
    desk = engine()
    desk.demand()
    assert not desk.feed(Published(token="other", offset=3))
    assert desk.commands == []


def test_a_quote_is_decided_once_and_another_pair_never() -> None:
    desk = engine()
    desk.demand()
    desk.acknowledge(desk.decisions[0])
    desk.acknowledge(desk.commands[0])
    assert list(desk.demand(offset=1)) == [Count(name="demands_skipped", labels={"why": "decided_before"})]
    assert list(desk.demand("other", offset=2, pair="ETH/EURe")) == [
        Count(name="demands_skipped", labels={"why": "other_pair"})
    ]
    assert len(desk.decisions) == 1


@pytest.mark.parametrize("direction", list(Direction))
def test_the_next_decision_counts_what_the_last_one_promised(direction: Direction) -> None:
    desk = engine()
    desk.demand("first", direction=direction)
    first: Decision = desk.decisions[0].payload
    desk.acknowledge(desk.decisions[0])
    desk.acknowledge(desk.commands[0])
    desk.demand("second", offset=1, direction=direction)
    second: Decision = desk.decisions[1].payload
    assert first.spendable is not None
    assert first.required is not None
    assert second.spendable == first.spendable - first.required


def position(offset: int) -> CommandPosition:
    return CommandPosition(topic_id=f"{EXECUTE_TRADE.name}-1", next_offset=offset)


def test_a_command_is_counted_until_the_ledger_counts_it_whatever_order_the_views_come_in() -> None:
    """Beats and results are two topics: an older view can follow a newer one."""
    desk = engine()
    desk.demand("first")
    promised = desk.decisions[0].payload.required
    desk.acknowledge(desk.decisions[0])
    desk.acknowledge(desk.commands[0])  # stands at offset 102
    held = a_view(held={EURE.asset_id: promised}, position=position(103))
    before = a_view(position=position(102))
    for number, view in enumerate((before, held, before, held, a_view(position=position(103)))):
        desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", view=view)))
        desk.demand(f"probe-{number}", offset=number + 1, amount_in=Amount(1))
        decision: Decision = desk.decisions[-1].payload
        freed = number == 4
        assert decision.spendable == 5_000 * 10**18 - (0 if freed else promised)
        desk.acknowledge(desk.decisions[-1])


def test_a_start_reads_back_and_goes_on_after_the_last_decisions_demand() -> None:
    record, decision = decision_record(offset=7)
    desk = Engine()
    desk.start(generation=5)
    subscribed = {each.topic.name: each for each in only(Subscribe, desk.effects)}
    assert {name for name, each in subscribed.items() if each.until_end} == {TRADE_DECISION.name, EXECUTE_TRADE.name}
    assert SWAP_DEMAND.name not in subscribed
    assert desk.logic.not_ready(NOW) == ["reading_back"]
    desk.feed(record)
    desk.feed(command_record(decision.command))
    desk.caught_up()
    assert [each.policy for each in only(RememberPolicy, desk.effects)] == [Policy()]
    (demands,) = [each for each in only(Subscribe, desk.effects) if each.topic == SWAP_DEMAND]
    assert (demands.topic_id, demands.offset) == (decision.demand_topic_id, 8)
    assert desk.commands == []
    assert desk.logic.not_ready(NOW) == []


def test_a_first_start_begins_at_the_beginning() -> None:
    desk = restarted()
    (demands,) = [each for each in only(Subscribe, desk.effects) if each.topic == SWAP_DEMAND]
    assert (demands.topic_id, demands.offset, demands.tail) == (None, None, None)


def test_a_missing_command_is_commanded_after_a_restart_with_the_same_bytes_also_late() -> None:
    record, decision = decision_record()
    desk = Engine()
    desk.now = NOW + timedelta(hours=2)
    desk.start()
    desk.feed(record)
    desk.caught_up()
    (command,) = desk.commands
    assert encode(command.payload) == encode(decision.command)
    assert (command.event_id, command.causation_id) == (command.payload.command_id, decision.decision_id)
    desk.inputs()
    desk.demand("next", offset=8)
    assert desk.decisions == [], "the command comes first"
    desk.acknowledge(command)
    assert len(desk.decisions) == 1


def test_a_decision_that_has_its_command_is_not_commanded_again_and_not_decided_again() -> None:
    record, decision = decision_record()
    desk = restarted(record, command_record(decision.command))
    assert desk.commands == []
    assert only(Count, desk.demand("quote-1", offset=9)) == [
        Count(name="demands_skipped", labels={"why": "decided_before"})
    ]


def test_decisions_and_commands_of_another_desk_are_neither_made_up_for_nor_counted() -> None:
    """Its decision at the end of the topic would be commanded once more, and its command spend what is ours."""
    record, decision = decision_record()
    assert decision.command is not None
    theirs = msgspec.structs.replace(decision.command, account="other.near")
    commanded = command_record(theirs)
    decided = a_record(TRADE_DECISION, msgspec.structs.replace(decision, command=theirs))
    for records in ((decided,), (commanded,), (decided, commanded)):
        desk = restarted(*records)
        assert (desk.commands, desk.state().commands_uncounted, desk.state().desk.offers_last_minute) == ([], 0, 0)
    desk = restarted(record, command_record(decision.command), commanded)
    assert (desk.commands, desk.state().commands_uncounted) == ([], 1), "our own is counted, and commanded once"


def test_a_refusal_at_the_end_needs_no_command() -> None:
    refused = a_decision()
    desk = restarted(a_record(TRADE_DECISION, engine_refusal(refused)))
    assert desk.commands == []


def engine_refusal(_accepted: Decision) -> Decision:
    desk = engine()
    desk.demand("refused", amount_in=Amount(1))
    found: Decision = desk.decisions[0].payload
    return found


def test_a_topic_that_is_made_anew_is_no_second_start() -> None:
    record, _decision = decision_record()
    desk = restarted(record)
    desk.acknowledge(desk.commands[0])
    desk.effects.clear()
    desk.feed(CaughtUp(topic=TRADE_DECISION.name, topic_id="anew"))
    desk.feed(CaughtUp(topic=EXECUTE_TRADE.name, topic_id="anew"))
    assert desk.effects == []
    desk.feed(ARM)
    desk.demand("next", offset=9)
    desk.acknowledge(desk.decisions[-1])
    desk.acknowledge(desk.commands[-1])
    promised = desk.decisions[-1].payload.required
    view = a_view(held={EURE.asset_id: promised}, position=CommandPosition(topic_id="anew", next_offset=104))
    desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", view=view)))
    assert desk.state(NOW).commands_uncounted == 0, "the executor has handled what it read of the lost topic"


def test_every_start_is_disarmed_and_still_decides() -> None:
    desk = restarted()
    desk.demand()
    assert desk.decisions[0].payload.reason is Refusal.DISARMED
    assert desk.decisions[0].payload.required is not None, "it records what it would have done"


@pytest.mark.parametrize("lost", ["role", "database"])
def test_without_its_store_it_refuses_and_commands_nothing_and_recovers_by_itself(lost: str) -> None:
    desk = engine()
    if lost == "role":
        desk.feed(RoleChanged(active=False, generation=None, why=ROLE_NOT_HELD))
        desk.demand("while lost")
        assert desk.decisions == [], "another instance may be at work as long as PostgreSQL may be there"
    desk.feed(DatabaseChanged(up=False, reason="gone"))
    if lost == "database":
        desk.demand("while lost")
    desk.acknowledge(desk.decisions[0])
    assert desk.decisions[0].payload.reason is Refusal.AUDIT_STORE_UNAVAILABLE
    assert desk.commands == []
    desk.feed(DatabaseChanged(up=True, reason=""))
    if lost == "role":
        desk.demand("lock not yet back", offset=1)
        assert len(desk.decisions) == 1
        desk.feed(RoleChanged(active=True, generation=1))
        assert desk.decisions[1].payload.accepted
    else:
        desk.demand("recovered", offset=2)
        assert desk.decisions[1].payload.accepted


@pytest.mark.parametrize("why", [STANDBY, ROLE_NOT_HELD, ROLE_UNCONFIRMED, ROLE_LEFT])
def test_where_another_instance_may_be_at_work_nothing_is_decided_or_sent(why: str) -> None:
    desk = engine()
    desk.demand("in flight")
    desk.feed(RoleChanged(active=False, generation=None, why=why))
    desk.acknowledge(desk.decisions[0])
    desk.demand("waiting", offset=1)
    desk.feed(TimerFired(name="publish_again"))
    assert (len(desk.decisions), desk.commands) == (1, [])
    assert desk.logic.idle(), "whoever takes over makes up for the command"
    desk.feed(RoleChanged(active=True, generation=1))
    assert [each.payload.quote_id for each in desk.commands] == ["in flight"], "nobody else was at work in between"
    desk.feed(Published(token="command", offset=0))
    assert [each.payload.quote_id for each in desk.decisions] == ["in flight", "waiting"]


@pytest.mark.parametrize("why", [STANDBY, ROLE_UNCONFIRMED, ROLE_LEFT])
def test_who_may_have_lost_the_role_to_another_is_silent_also_once_the_database_is_away(why: str) -> None:
    """That nobody can take the role over now says nothing of who took it before: the lock says that."""
    desk = engine()
    desk.feed(RoleChanged(active=False, generation=None, why=why))
    desk.feed(DatabaseChanged(up=False, reason="gone"))
    desk.feed(RoleChanged(active=False, generation=None, why=ROLE_NOT_HELD))
    desk.demand("the other one decides it, too")
    assert desk.decisions == []
    desk.feed(DatabaseChanged(up=True, reason=""))
    desk.feed(RoleChanged(active=True, generation=1))
    assert [each.payload.quote_id for each in desk.decisions] == ["the other one decides it, too"]


def test_a_command_is_not_sent_while_nobody_can_hold_the_role() -> None:
    desk = engine()
    desk.demand()
    desk.feed(RoleChanged(active=False, generation=None, why=ROLE_NOT_HELD))
    desk.feed(DatabaseChanged(up=False, reason="gone"))
    desk.acknowledge(desk.decisions[0])
    assert desk.commands == []
    desk.feed(RoleChanged(active=True, generation=1))
    assert len(desk.commands) == 1


def test_a_paused_engine_reads_and_refuses() -> None:
    desk = engine()
    desk.feed(a_control("pause"))
    desk.demand()
    assert desk.decisions[0].payload.reason is Refusal.PAUSED
    desk.acknowledge(desk.decisions[0])
    desk.feed(a_control("resume"))
    desk.demand("again", offset=1)
    assert desk.decisions[1].payload.accepted


def test_a_halted_engine_refuses_until_it_is_armed() -> None:
    desk = engine()
    desk.feed(a_control("halt"))
    desk.feed(a_control("resume"))
    desk.demand()
    assert desk.decisions[0].payload.reason is Refusal.HALTED
    desk.acknowledge(desk.decisions[0])
    desk.feed(ARM)
    desk.demand("again", offset=1)
    assert desk.decisions[1].payload.accepted


def test_a_lease_ends_by_itself_and_says_so_once() -> None:
    desk = engine()
    desk.now = NOW + timedelta(minutes=60)
    (line,) = desk.feed(TimerFired(name="lease"))
    assert isinstance(line, Log)
    assert line.event == "disarmed"
    assert not desk.feed(TimerFired(name="lease"))
    desk.inputs()
    desk.demand(answer_by=desk.now + timedelta(milliseconds=300), received_at=desk.now)
    assert desk.decisions[0].payload.reason is Refusal.DISARMED


def test_a_standby_reads_nothing_and_cannot_be_armed() -> None:
    desk = Engine()
    desk.feed(Started(active=False, generation=None, start_id="strategy-engine-1"))
    assert desk.effects == []
    assert "standby" in desk.logic.not_ready(NOW)
    with pytest.raises(ControlRefused, match="standby"):
        desk.feed(ARM)
    desk.feed(RoleChanged(active=True, generation=3))
    assert only(Subscribe, desk.effects)
    assert desk.logic.vitals(NOW).details.switches.armed == ()


def test_a_draining_engine_takes_nothing_new_and_finishes_what_is_in_flight() -> None:
    desk = engine()
    desk.demand("in flight")
    desk.demand("waiting", offset=1)
    desk.feed(Draining())
    assert not desk.logic.idle()
    desk.acknowledge(desk.decisions[0])
    desk.acknowledge(desk.commands[0])
    assert desk.logic.idle()
    assert len(desk.decisions) == 1
    assert desk.logic.not_ready(NOW) == ["draining"]


def test_beats_of_a_standby_and_records_of_others_change_nothing() -> None:
    desk = engine()
    desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", active=False, ready=False)))
    desk.feed(a_record(SERVICE_STATUS, a_beat("liquidity-manager", ready=False)))
    desk.demand()
    assert desk.decisions[0].payload.accepted


@pytest.mark.parametrize("account", ["other.near", None])
def test_the_beat_of_another_desk_is_not_believed(account: str | None) -> None:
    """Of two desks on one broker each would trade by the other's ledger, switches and history."""
    desk = engine()
    known = desk.logic._inputs.executor, desk.logic._inputs.history, desk.logic._inputs.ledger
    theirs = a_view(credited={EURE.asset_id: Amount(999 * 10**18)}, commits=10**6)
    executor = a_beat("trade-executor", account=account, view=theirs, halted=True, armed=(), recovering=True)
    desk.feed(a_record(SERVICE_STATUS, executor))
    history = a_beat("history-writer", account=account, lag=10**6, database_up=False)
    desk.feed(a_record(SERVICE_STATUS, history))
    assert known == (desk.logic._inputs.executor, desk.logic._inputs.history, desk.logic._inputs.ledger)
    desk.demand()
    assert desk.decisions[0].payload.accepted


# --- what is told ---------------------------------------------------------------------------------------------------


def test_ten_thousand_quiet_refusals_a_second_are_five_lines_and_one() -> None:
    desk = engine()
    desk.feed(a_control("pause"))
    desk.effects.clear()
    for number in range(10_000):
        desk.now = NOW + timedelta(microseconds=number * 99)
        effects = desk.demand(f"quote-{number}", offset=number)
        (publish,) = only(Publish, effects)
        desk.acknowledge(publish)
    timers = only(SetTimer, desk.effects)
    assert timers == [SetTimer(name="report", at=NOW + timedelta(seconds=1))]
    desk.now = timers[0].at
    desk.feed(TimerFired(name="report"))
    lines = only(Log, desk.effects)
    assert [line.event for line in lines] == ["decision_rejected"] * 5 + ["decisions_rejected"]
    assert lines[-1].body == {"counts": {"paused": 9_995}}
    assert not desk.feed(TimerFired(name="report"))
    assert desk.state().decisions_refused == {"paused": 10_000}


def test_slow_refusals_have_a_line_each_with_reason_and_numbers() -> None:
    desk = engine()
    for number in range(12):
        desk.now = NOW + timedelta(seconds=number)
        desk.inputs()
        desk.demand(f"quote-{number}", offset=number, router_leg=True, answer_by=desk.now + timedelta(seconds=1))
        desk.acknowledge(desk.decisions[-1])
    lines = only(Log, desk.effects)
    assert len(lines) == 12
    assert all(line.body["reason"] == "router_leg" for line in lines)
    assert lines[0].body["numbers"] == {"router_leg": "true"}


def test_an_accepted_decision_has_a_line_with_its_command() -> None:
    desk = engine()
    desk.demand()
    (line,) = only(Log, desk.effects)
    assert line.event == "decision_accepted"
    assert line.body["command_id"] == desk.decisions[0].payload.command.command_id


def test_a_demand_is_decided_on_the_newest_of_everything() -> None:
    desk = engine()
    desk.feed(a_record(SERVICE_STATUS, a_beat("trade-executor", paused=True)))
    desk.demand()
    assert desk.decisions[0].payload.reason is Refusal.EXECUTOR_NOT_READY
    assert a_demand().asset_in == BTC.asset_id
