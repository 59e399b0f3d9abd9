"""Every action that a test gives to a logic is asked about first: what is said of it must come true."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pytest

from unrip.frame.contract import Control, ControlRefused, Effect, Event
from unrip.frame.logic import Logic

_on_event = Logic.on_event
#: What follows from the way to the ledger or to the chain is known once a brake has acted, and is looked at then.
_NOT_FORETOLD = frozenset({"halt"})


def _checked(logic: Logic, event: Event, now: datetime) -> Sequence[Effect]:
    if not isinstance(event, Control):
        return _on_event(logic, event, now)
    before, said, refusal = logic.control_state(now), dict[str, str](), None
    try:
        said = logic.follow(event, now)
    except ControlRefused as refused:
        refusal = str(refused)
    assert logic.control_state(now) == before, "to ask has changed it"
    try:
        effects = _on_event(logic, event, now)
    except ControlRefused as refused:
        told = str(refused)
        assert told == refusal, "what was said to be possible is refused, or for another reason"
        assert logic.control_state(now) == before, "a refusal has changed something"
        raise
    assert refusal is None, "what was said to be refused is followed"
    if event.action not in _NOT_FORETOLD:
        assert logic.control_state(now) == {**before, **said}
    return effects


@pytest.fixture(autouse=True)
def _every_action_does_what_was_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Logic, "on_event", _checked)
