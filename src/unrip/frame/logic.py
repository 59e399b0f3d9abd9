"""What every service's logic is made from: its own decisions around a life that the frame keeps for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, final

from unrip.domain.values import Value
from unrip.frame.action import COMMON_ACTIONS
from unrip.frame.contract import Control, Effect, Event, Vitals, unknown_action
from unrip.frame.life import Life

_COMMON = frozenset(action.name for action in COMMON_ACTIONS)


class Logic(ABC):
    """A service's decisions. One call per event, in order, never re-entered.

    The methods that are final answer for the life of the service; what it adds is in the method that each of them asks.
    So no service can forget to pause, to resume or to drain.
    """

    @cached_property
    def life(self) -> Life:
        """What every service knows of itself; one that can be armed has a `Switchboard` in this place."""
        return Life()

    # --- what happens ----------------------------------------------------------------------------------------------

    @final
    def on_event(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in and say what must be done.

        Raises:
            ControlRefused: for a `Control` that cannot be followed now; nothing has changed then.

        """
        self.life.on_event(event, now)
        return self.act(event, now) if isinstance(event, Control) else self.take(event, now)

    @abstractmethod
    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take an event in that is no operator's action; the life knows of it already."""

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Take an operator's action in; the life is paused, resumed or draining already where it is about that."""
        del now
        if control.action not in _COMMON:
            raise unknown_action(control)
        return []

    # --- controls --------------------------------------------------------------------------------------------------

    @final
    def control_state(self, now: datetime) -> dict[str, str]:
        """Everything that controls can change, for `before` and `after` of a control record."""
        return {**self.life.control_state(now), **self.controlled(now)}

    def controlled(self, now: datetime) -> dict[str, str]:
        """What this service's own actions can change."""
        del now
        return {}

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        """What an action would change of `control_state`, empty where nothing of that; following it changes nothing.

        `on_event` takes the action in later, by the same pure steps. A brake is taken in without being asked about.

        Raises:
            ControlRefused: it cannot be followed now.

        """
        changes = self.life.follow(control, now)
        if changes is None:
            raise unknown_action(control)
        return changes

    def tightens(self, control: Control) -> bool:
        """Whether this change only makes the desk do less; it is then a brake and acts before it is recorded."""
        del control
        return False

    def kept(self, control: Control) -> bool | None:
        """Whether a restart would find what this action and all before it changed; None if it changes no such thing.

        An action that does not tighten acts only once it is kept, or never if `ChangeCancelled` comes first.
        """
        del control
        return None

    # --- what the frame asks ---------------------------------------------------------------------------------------

    @abstractmethod
    def state(self, now: datetime) -> Value:
        """What `GET /state` shows beside what the host does, of the type that the definition names; no secrets."""

    @final
    def not_ready(self, now: datetime) -> list[str]:
        """Named reasons why the service cannot do its job now; empty when it can."""
        return [*self.life.not_ready(), *self.stands_in_the_way(now)]

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """The reasons of this service alone."""
        del now
        return []

    @final
    def vitals(self, now: datetime) -> Vitals:
        """What the next beat says."""
        return Vitals(paused=self.life.paused, details=self.details(now))

    def details(self, now: datetime) -> Any:
        """What only this service says in its beat, of the type that its definition names as `vitals`."""
        del now
        return None

    def health_failures(self) -> list[str]:
        """Named faults of what the service keeps, beside the dependencies that the frame knows of."""
        return []

    def idle(self) -> bool:
        """Nothing is in flight: a draining service may stop."""
        return True
