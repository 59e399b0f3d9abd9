"""Operators' actions: the brake acts first, the rest is recorded first, and a brake wins over what it overtook."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from support.buses import eventually
from support.control_bench import Armable, Bench, Broker, Kept, control
from unrip.frame.contract import Control, ControlRefused, Effect, Event
from unrip.frame.logic import Logic

ARM = control("arm", directions=["base_in"], lease_minutes=60)


async def test_an_arm_is_recorded_before_it_acts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Broker(answers=False))
    acting = asyncio.create_task(bench.desk.act(ARM))
    await eventually(lambda: len(bench.broker.records) == 1)
    assert not bench.armed()
    bench.broker.acknowledge()
    outcome = await acting
    assert bench.armed()
    assert (outcome.applied, outcome.recorded, outcome.refusal) == (True, "published", None)
    record = bench.broker.records[0]
    assert (record.actor, record.reason, record.action, record.applied) == ("operator", "a test", "arm", True)
    assert record.arguments == {"directions": "base_in", "lease_minutes": "60"}
    assert (record.before["armed"], record.after["armed"]) == ("none", "base_in")
    assert [line.event for line in bench.logs] == ["armed"]


@pytest.mark.parametrize("how", ["down", "refused", "silent"])
async def test_an_arm_that_cannot_be_recorded_is_not_followed(tmp_path: Path, how: str) -> None:
    bench = Bench(tmp_path, Broker(up=how != "down", answers=False))
    acting = asyncio.create_task(bench.desk.act(ARM))
    if how == "refused":
        await eventually(lambda: len(bench.broker.waiting) == 1)
        bench.broker.acknowledge("no leader")
    outcome = await acting
    assert not bench.armed()
    assert not outcome.applied
    assert outcome.refusal is not None
    assert "cannot be recorded" in outcome.refusal
    assert outcome.recorded == "spooled"
    (kept,) = bench.spool.kept()
    assert not kept.payload.applied
    assert [line.event for line in bench.logs] == ["control_failed"]


@pytest.mark.parametrize("action", ["disarm", "halt", "pause", "drain"])
async def test_a_brake_acts_before_anything_is_recorded(tmp_path: Path, action: str) -> None:
    bench = Bench(tmp_path)
    await bench.desk.act(ARM)
    bench.broker.answers = False
    acting = asyncio.create_task(bench.desk.act(control(action)))
    await eventually(lambda: len(bench.broker.records) == 2)
    if action != "drain":
        switches = bench.logic.switches
        assert switches.paused or switches.halted or switches.lease is None
    assert not acting.done()
    bench.broker.acknowledge()
    assert (await acting).recorded == "published"


BRAKES = [control("pause"), control("drain"), control("disarm"), control("halt"), control("limits", limit=50)]


@pytest.mark.parametrize("brake", BRAKES, ids=lambda brake: brake.action)
async def test_nothing_that_can_fail_keeps_a_brake_from_acting(
    tmp_path: Path, brake: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what it would change nor how things stand need be known."""
    bench = Bench(tmp_path)
    await bench.desk.act(ARM)
    acted: list[Event] = []

    def act(event: Event, now: datetime) -> Sequence[Effect]:
        acted.append(event)
        return Logic.on_event(bench.logic, event, now)

    def fail(*_: object) -> dict[str, str]:
        raise AssertionError("asked")

    monkeypatch.setattr(bench.logic, "on_event", act)
    monkeypatch.setattr(bench.logic, "follow", fail)
    monkeypatch.setattr(bench.logic, "control_state", fail)
    outcome = await bench.desk.act(brake)
    assert brake in acted
    assert (outcome.applied, outcome.recorded, outcome.before) == (True, "published", outcome.after)
    assert outcome.after == {"unknown": "the state cannot be read: AssertionError"}


@pytest.mark.parametrize("brake", BRAKES, ids=lambda brake: brake.action)
async def test_a_brake_is_the_first_thing_that_the_logic_is_asked_beside_how_it_stands(
    tmp_path: Path, brake: Control
) -> None:
    bench = Bench(tmp_path)
    asked: list[str] = []

    class Watched(Armable):
        def __getattribute__(self, name: str) -> Any:
            if name in {"on_event", "follow", "control_state", "state", "not_ready", "kept", "__deepcopy__"}:
                asked.append(name)
            return super().__getattribute__(name)

    bench.runner.logic = Watched()
    assert (await bench.desk.act(brake)).applied
    assert asked[:2] == ["control_state", "on_event"]
    assert not {"follow", "__deepcopy__"} & set(asked)


async def test_a_brake_that_the_logic_refuses_is_no_brake_that_was_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)

    def refuse(_event: Event, _now: datetime) -> Sequence[Effect]:
        raise ControlRefused("not read yet")

    monkeypatch.setattr(bench.logic, "on_event", refuse)
    outcome = await bench.desk.act(control("limits", limit=50))
    assert (outcome.applied, outcome.refusal, outcome.after) == (False, "not read yet", outcome.before)
    assert [(record.applied, record.reason_refused) for record in bench.broker.records] == [(False, "not read yet")]


async def test_a_brake_that_breaks_the_service_is_not_said_to_have_been_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, faults = Bench(tmp_path), list[BaseException]()
    monkeypatch.setattr(bench.runner, "_on_fault", faults.append)
    monkeypatch.setattr(bench.logic, "on_event", lambda _event, _now: 1 / 0)
    outcome = await bench.desk.act(control("halt"))
    assert isinstance(faults[0], ZeroDivisionError)
    assert (outcome.applied, outcome.recorded) == (False, "published")
    assert "broke" in str(outcome.refusal)


async def test_a_brake_holds_and_is_kept_in_the_spool_while_the_broker_is_away(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.desk.act(ARM)
    bench.broker.up = False
    outcome = await bench.desk.act(control("halt"))
    assert (outcome.applied, outcome.recorded) == (True, "spooled")
    assert bench.logic.switches.halted
    bench.broker.up = True
    await bench.desk.publish_spooled()
    assert [record.action for record in bench.broker.records] == ["arm", "halt"]
    assert bench.spool.kept() == []


async def test_a_brake_holds_even_where_it_can_be_recorded_nowhere(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where a folder should be")
    bench = Bench(tmp_path, Broker(up=False))
    outcome = await bench.desk.act(control("halt"))
    assert (outcome.applied, outcome.recorded) == (True, "not_recorded")
    assert bench.logic.switches.halted


@pytest.mark.parametrize("brake", ["halt", "disarm", "pause"])
async def test_a_brake_wins_over_an_arm_that_is_still_being_recorded(tmp_path: Path, brake: str) -> None:
    bench = Bench(tmp_path, Broker(answers=False))
    arming = asyncio.create_task(bench.desk.act(ARM))
    await eventually(lambda: len(bench.broker.records) == 1)
    braking = asyncio.create_task(bench.desk.act(control(brake)))
    await eventually(lambda: len(bench.broker.records) == 2)
    bench.broker.answers = True
    bench.broker.acknowledge()
    outcome = await arming
    await braking
    assert not bench.armed()
    assert not outcome.applied
    assert outcome.refusal is not None
    assert "a brake was pulled" in outcome.refusal
    assert bench.logic.switches.halted == (brake == "halt")
    assert [(r.action, r.applied) for r in bench.broker.records] == [("arm", True), (brake, True), ("arm", False)]


async def test_what_became_impossible_while_it_was_recorded_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Broker(answers=False))
    arming = asyncio.create_task(bench.desk.act(ARM))
    await eventually(lambda: len(bench.broker.records) == 1)
    bench.logic.ready = False
    bench.broker.answers = True
    bench.broker.acknowledge()
    outcome = await arming
    assert (outcome.applied, outcome.refusal) == (False, "not ready: recovering")
    assert not bench.armed()


async def test_a_refusal_is_recorded_and_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.logic.ready = False
    outcome = await bench.desk.act(ARM)
    assert (outcome.applied, outcome.refusal, outcome.before) == (False, "not ready: recovering", outcome.after)
    (record,) = bench.broker.records
    assert (record.applied, record.reason_refused) == (False, "not ready: recovering")


async def test_lowering_a_limit_is_a_brake_and_raising_it_is_not(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Broker(up=False))
    assert not (await bench.desk.act(control("limits", limit=200))).applied
    assert (await bench.desk.act(control("limits", limit=50))).applied
    assert bench.logic.limit == 50


async def test_a_lowered_limit_acts_at_once_and_is_done_when_it_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, database_answers=False)
    acting = asyncio.create_task(bench.desk.act(control("limits", limit=50)))
    await eventually(lambda: len(bench.broker.records) == 1)
    assert (bench.logic.limit, bench.given) == (50, [50])
    await asyncio.sleep(0)
    assert not acting.done(), "a process that died now would forget it"
    bench.runner.emit(Kept())
    outcome = await acting
    assert (outcome.applied, outcome.recorded, outcome.kept, bench.logic.limit) == (True, "published", True, 50)


async def test_a_lowered_limit_that_is_not_kept_in_time_acts_and_the_answer_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, database_answers=False, kept_bound_s=0.05)
    outcome = await bench.desk.act(control("limits", limit=50))
    assert (outcome.applied, outcome.recorded, outcome.kept, bench.logic.limit) == (True, "published", False, 50)


async def test_a_raised_limit_acts_only_once_it_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, database_answers=False)
    acting = asyncio.create_task(bench.desk.act(control("limits", limit=200)))
    await eventually(lambda: bench.given == [200])
    assert (bench.logic.limit, acting.done(), bench.logs) == (100, False, [])
    bench.runner.emit(Kept())
    outcome = await acting
    assert (outcome.applied, outcome.kept, outcome.after["limit"], bench.logic.limit) == (True, True, "200", 200)
    assert [line.event for line in bench.logs] == ["limits_changed"]


async def test_a_raised_limit_that_is_not_kept_in_time_is_withdrawn_for_good(tmp_path: Path) -> None:
    bench = Bench(tmp_path, database_answers=False, kept_bound_s=0.05)
    outcome = await bench.desk.act(control("limits", limit=200))
    assert (outcome.applied, outcome.kept, bench.given) == (False, False, [200, 100])
    assert outcome.refusal is not None
    assert "not kept in time" in outcome.refusal
    bench.runner.emit(Kept())
    assert bench.logic.limit == 100
    assert [(r.action, r.applied) for r in bench.broker.records] == [("limits", True), ("limits", False)]


@pytest.mark.parametrize("brake", ["halt", "limits"])
async def test_a_brake_wins_over_a_raised_limit_that_is_still_being_kept(tmp_path: Path, brake: str) -> None:
    bench = Bench(tmp_path, database_answers=False)
    raising = asyncio.create_task(bench.desk.act(control("limits", limit=200)))
    await eventually(lambda: bench.given == [200])
    braking = asyncio.create_task(bench.desk.act(control(brake, **({"limit": 50} if brake == "limits" else {}))))
    outcome = await raising
    assert outcome.refusal is not None
    assert "a brake was pulled" in outcome.refusal
    bench.runner.emit(Kept())
    assert (await braking).applied
    assert bench.logic.limit == bench.given[-1] == (50 if brake == "limits" else 100)


async def test_the_spool_is_published_once_in_its_order_also_when_the_broker_comes_back_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Broker(up=False))
    for action in ("pause", "halt", "disarm"):
        await bench.desk.act(control(action))
    bench.broker.up = True
    await asyncio.gather(bench.desk.publish_spooled(), bench.desk.publish_spooled())
    assert [record.action for record in bench.broker.records] == ["pause", "halt", "disarm"]
    assert len(set(bench.broker.event_ids)) == 3
    assert bench.spool.kept() == []


async def test_what_the_broker_does_not_take_stays_in_the_spool(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Broker(up=False))
    await bench.desk.act(control("halt"))
    await bench.desk.publish_spooled()
    assert [kept.payload.action for kept in bench.spool.kept()] == ["halt"]


async def test_what_the_broker_refused_waits_and_is_no_longer_waited_for_once_it_is_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Broker(up=False))
    waits = [bench.desk.spool_waits]
    await bench.desk.act(control("halt"))
    waits.append(bench.desk.spool_waits)
    await bench.desk.publish_spooled()
    waits.append(bench.desk.spool_waits)
    bench.broker.up = True
    await bench.desk.publish_spooled()
    assert [*waits, bench.desk.spool_waits] == [False, True, True, False]


async def test_a_spool_that_cannot_be_shortened_is_named_and_published_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, Broker(up=False))
    await bench.desk.act(control("halt"))
    bench.broker.up = True

    def no_room() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(bench.spool, "drop_first", no_room)
        await bench.desk.publish_spooled()
    assert bench.logs[-1].event == "spool_unusable"
    await bench.desk.publish_spooled()
    assert [record.action for record in bench.broker.records] == ["halt", "halt"]
    assert len(set(bench.broker.event_ids)) == 1
    assert bench.spool.kept() == []
