"""Controls with everything around them: a logic that can be armed, a broker, a spool."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from support.cases import NOW
from unrip.domain.arming import Switches
from unrip.domain.status import ControlRecord
from unrip.domain.values import Value
from unrip.frame.action import COMMON_ACTIONS, Action
from unrip.frame.contract import ChangeCancelled, Control, ControlRefused, Effect, Event, Log
from unrip.frame.control import Controls
from unrip.frame.logic import Logic
from unrip.frame.publisher import Delivery, Publisher
from unrip.frame.runner import Runner
from unrip.frame.spool import Spool
from unrip.frame.switching import ARMING_ACTIONS, switch, switch_state
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Producer
from unrip.messages.topics import CONTROL_ACTION

ACTIONS = (
    *COMMON_ACTIONS,
    *ARMING_ACTIONS,
    Action(name="limits", summary="Change the limit.", log_event="limits_changed"),
)


class Keep(Value):
    """Effect: keep a limit."""

    limit: int


class Kept(Value):
    """Every limit is kept."""


class Armable(Logic):
    """A logic that has switches, and a limit that may be lowered at once and is raised once that is kept."""

    def __init__(self) -> None:
        self.switches = Switches()
        self.limit = self.asked = 100
        self.all_kept = True
        self.ready = True

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        if isinstance(event, Kept):
            self.limit, self.all_kept = self.asked, True
            return []
        if isinstance(event, ChangeCancelled):
            return self._ask(self.limit)
        return []

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        self._refuse_too_early(control)
        if control.action == "limits":
            return self._ask(control.arguments["limit"])
        self.switches = switch(self.switches, control, now, configuration_hash="c") or self.switches
        return []

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        self._refuse_too_early(control)
        if control.action == "limits":
            return {"limit": str(control.arguments["limit"])}
        switches = switch(self.switches, control, now, configuration_hash="c")
        return super().follow(control, now) if switches is None else switch_state(switches, now)

    def _refuse_too_early(self, control: Control) -> None:
        if control.action == "arm" and not self.ready:
            raise ControlRefused("not ready: recovering")

    def _ask(self, limit: int) -> list[Effect]:
        self.asked, self.limit, self.all_kept = limit, min(self.limit, limit), False
        return [Keep(limit=limit)]

    def kept(self, control: Control) -> bool | None:
        return self.all_kept if control.action == "limits" else None

    def tightens(self, control: Control) -> bool:
        return control.action == "limits" and control.arguments["limit"] < self.limit

    def controlled(self, now: datetime) -> dict[str, str]:
        return {**switch_state(self.switches, now), "limit": str(self.asked)}

    def state(self, now: datetime) -> Value:
        return Value()


class Broker:
    """Takes records, and acknowledges them when the test says so."""

    def __init__(self, *, up: bool = True, answers: bool = True) -> None:
        self.up = up
        self.answers = answers
        self.records: list[ControlRecord] = []
        self.event_ids: list[str] = []
        self.waiting: list[Delivery] = []

    def produce(self, topic: str, key: str, value: bytes, on_delivery: Delivery) -> None:
        assert topic == CONTROL_ACTION.name
        event = decode_event(topic, value)
        self.records.append(event.payload)
        self.event_ids.append(event.event_id)
        self.waiting.append(on_delivery)
        if self.answers:
            self.acknowledge()

    def acknowledge(self, error: str | None = None) -> None:
        waiting, self.waiting = self.waiting, []
        for delivered in waiting:
            delivered(None if error else len(self.records), error)


def _fail(fault: BaseException) -> None:
    raise AssertionError("the logic broke") from fault


class Bench:
    def __init__(
        self, tmp_path: Path, broker: Broker | None = None, *, database_answers: bool = True, kept_bound_s: float = 5
    ) -> None:
        #: What was given to the database, which acknowledges at once or when the test says so.
        self.given: list[int] = []
        self.database_answers = database_answers
        self.broker = broker or Broker()
        self.logic = Armable()
        self.spool = Spool(tmp_path / "spool" / "test.jsonl")
        self.logs: list[Log] = []
        self.runner = Runner(self.logic, clock=lambda: NOW, on_fault=_fail)
        publisher = Publisher(
            self.broker,
            identity=Producer(service="test", instance="test-1", version="0"),
            clock=lambda: NOW,
            emit=lambda _event: None,
            count=lambda _name, _labels: None,
            writes=(CONTROL_ACTION,),
        )
        self.desk = Controls(
            self.runner,
            publisher,
            self.spool,
            service="test",
            actions=ACTIONS,
            start_id="test-1",
            clock=lambda: NOW,
            bus_up=lambda: self.broker.up,
            log=self.logs.append,
            record_bound_s=0.05,
            kept_bound_s=kept_bound_s,
        )
        self.runner.handle({Keep: self._keep})

    def _keep(self, effect: Keep) -> None:
        self.given.append(effect.limit)
        if self.database_answers:
            self.runner.emit(Kept())

    def armed(self) -> bool:
        return bool(self.logic.switches.armed_directions(NOW)) and not self.logic.switches.halted


def control(action: str, **arguments: Any) -> Control:
    return Control(action=action, arguments=arguments, actor="operator", reason="a test")
