"""The loop: events one at a time and in order, effects started, and nothing after a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from support.buses import eventually
from unrip.domain.values import Value
from unrip.frame.contract import Control, ControlRefused, Effect, Event, SetTimer, TimerFired
from unrip.frame.logic import Logic
from unrip.frame.runner import Runner


class Said(Value):
    word: str


class Do(Value):
    word: str


class Script(Logic):
    """Answers each word with effects, and remembers in which order things happened."""

    def __init__(self, answers: dict[str, Sequence[Effect]] | None = None) -> None:
        self.answers = answers or {}
        self.heard: list[str] = []
        self.depth = 0

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        assert now.tzinfo is UTC
        self.depth += 1
        assert self.depth == 1, "re-entered"
        word = event.word if isinstance(event, Said) else type(event).__name__
        self.heard.append(word)
        self.depth -= 1
        if word == "break":
            raise RuntimeError("broken")
        return self.answers.get(word, ())

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        self.take(control, now)
        raise ControlRefused("not now")

    def state(self, now: datetime) -> Value:
        return Value()


def clock() -> datetime:
    return datetime.now(UTC)


def a_runner(logic: Script, do: Callable[[Do], None] | None = None) -> tuple[Runner, list[BaseException]]:
    faults: list[BaseException] = []
    runner = Runner(logic, clock=clock, on_fault=faults.append)
    runner.handle({Do: do or (lambda _effect: None)})
    return runner, faults


def test_what_effects_cause_comes_after_all_effects_of_the_event_before() -> None:
    logic = Script({"a": [Do(word="a1"), Do(word="a2")], "a1": [Do(word="b")]})
    done: list[str] = []

    def do(effect: Do) -> None:
        done.append(effect.word)
        runner.emit(Said(word=effect.word))

    runner, faults = a_runner(logic, do)
    runner.emit(Said(word="a"))
    assert done == ["a1", "a2", "b"]
    assert logic.heard == ["a", "a1", "a2", "b"]
    assert not faults


@pytest.mark.parametrize("broken", ["the logic", "a handler", "an effect without a handler"])
def test_a_fault_is_told_once_and_ends_everything(broken: str) -> None:
    class Unheard(Value):
        pass

    logic = Script({"handler": [Do(word="x"), Do(word="never")], "unheard": [Unheard()]})
    done: list[str] = []

    def do(effect: Do) -> None:
        done.append(effect.word)
        runner.emit(Said(word="queued"))
        raise OSError("no disk")

    runner, faults = a_runner(logic, do)
    runner.emit(Said(word={"the logic": "break", "a handler": "handler"}.get(broken, "unheard")))
    runner.emit(Said(word="after"))
    assert len(faults) == 1
    assert runner.faulted
    assert len(logic.heard) == 1, "what waited and what came later is not taken in"
    assert "never" not in done


def test_a_refused_control_changes_nothing_and_is_no_fault() -> None:
    logic = Script()
    runner, faults = a_runner(logic)
    runner.emit(Control(action="arm", arguments={}, actor="operator", reason="test"))
    runner.emit(Said(word="on"))
    assert logic.heard == ["Control", "on"]
    assert not faults


def test_an_effect_has_one_handler() -> None:
    runner, _faults = a_runner(Script())
    with pytest.raises(AssertionError, match="Do has a handler already"):
        runner.handle({Do: lambda _effect: None})
    with pytest.raises(AssertionError, match="SetTimer has a handler already"):
        runner.handle({SetTimer: lambda _effect: None})


async def test_a_timer_fires_once_and_a_second_of_its_name_replaces_it() -> None:
    logic = Script()
    runner, _faults = a_runner(logic)
    soon = clock() + timedelta(milliseconds=20)
    runner.perform(SetTimer(name="one", at=clock() + timedelta(hours=1)))
    runner.perform(SetTimer(name="one", at=soon))
    runner.perform(SetTimer(name="past", at=clock() - timedelta(hours=1)))
    await eventually(lambda: len(logic.heard) == 2)
    assert logic.heard == [TimerFired.__name__] * 2
    await asyncio.sleep(0.03)
    assert len(logic.heard) == 2


async def test_no_timer_fires_after_they_were_stopped() -> None:
    logic = Script()
    runner, _faults = a_runner(logic)
    runner.perform(SetTimer(name="one", at=clock() + timedelta(milliseconds=10)))
    runner.stop_timers()
    await asyncio.sleep(0.03)
    assert logic.heard == []


async def test_what_ends_because_we_leave_is_told_to_nobody() -> None:
    """A connection that is closed at the end of an orderly stop is no connection lost."""
    logic = Script({})
    runner, faults = a_runner(logic)
    runner.emit(Said(word="before"))
    runner.perform(SetTimer(name="t", at=clock() + timedelta(milliseconds=1)))
    runner.close()
    runner.emit(Said(word="after"))
    await asyncio.sleep(0.02)
    assert logic.heard == ["before"]
    assert not faults
