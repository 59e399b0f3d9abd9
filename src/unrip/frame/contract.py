"""The contract between a service's pure logic and the frame around it.

Logic (`frame/logic.py`) is an object with `on_event(event, now) -> effects`. It has no I/O, clock, randomness or id
source of its own. The frame turns the outside into events and effects into deeds. An effect is started, never awaited:
what comes of it returns as a later event. Replay and simulation run the very same logic with other handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from unrip.domain.values import Value
from unrip.messages.envelope import Envelope
from unrip.messages.topics import Topic

#: Events and effects are `Value`s; which ones a service knows is said by its logic and its wiring.
Event = Value
Effect = Value
Emit = Callable[[Event], None]
#: Begins work that nobody awaits: what comes of it returns as an event.
Start = Callable[[Coroutine[Any, Any, None]], object]


class Vitals(Value):
    """What a service's beat says beyond what the frame knows by itself."""

    paused: bool = False
    #: What only this service says, of the type that its definition names as `vitals`.
    details: Any = None


class ControlRefused(Exception):  # noqa: N818 - a refusal is an outcome, not a fault
    """An operator's action that cannot be followed now; the message says why and what to do."""


def unknown_action(control: Control) -> ControlRefused:
    """The refusal of an action that the service does not have."""
    return ControlRefused(f"this service has no action {control.action!r}")


# --- events of the frame ------------------------------------------------------------------------------------------


#: Why a role is not ours: another instance has it; the lock cannot be had for now; we gave it up; or we stood still for
#: so long that we cannot know.
STANDBY, ROLE_NOT_HELD, ROLE_LEFT, ROLE_UNCONFIRMED = "standby", "role_not_held", "role_left", "role_unconfirmed"


class Started(Value):
    """The first event: everything is wired. `active` is False while the lock of the role is not ours."""

    active: bool
    generation: int | None
    #: The id of this start; observations are numbered under it.
    start_id: str
    #: As in `RoleChanged`.
    why: str = STANDBY


class RoleChanged(Value):
    """The single-active lock was won or lost, or another reason stands in the way of it."""

    active: bool
    generation: int | None
    #: The named reason while it is not ours, one of the four above.
    why: str = STANDBY


class RecordReceived(Value):
    """One decoded record of a subscribed topic."""

    topic: str
    topic_id: str
    offset: int
    message: Envelope[Any]


class CaughtUp(Value):
    """The reader has passed the record that was the topic's last when it was subscribed."""

    topic: str
    topic_id: str


class TopicTruncated(Value):
    """A topic ended before the offset that was to be read next: the broker has lost records of it.

    Reading goes on at `offset`, its end; `CaughtUp` follows.
    """

    topic: str
    topic_id: str
    offset: int


class TimerFired(Value):
    """A timer that the logic set has come due."""

    name: str


class Published(Value):
    """The broker has acknowledged a record that was published with this token."""

    token: str
    offset: int


class PublishFailed(Value):
    """The broker refused a record, or did not acknowledge it within its delivery bound. Its fate is unknown."""

    token: str
    reason: str


class DatabaseChanged(Value):
    """PostgreSQL was lost or has come back."""

    up: bool
    reason: str


class BusChanged(Value):
    """Kafka was lost or has come back."""

    up: bool
    reason: str


class Hindered(Value):
    """What the frame finds in the way of the service now, by name; empty once nothing is."""

    reasons: tuple[str, ...]


class Control(Value):
    """An operator's action after it passed authentication; see `frame/control.py` for who records what when."""

    action: str
    arguments: dict[str, Any]
    actor: str
    reason: str


class ChangeCancelled(Value):
    """An action that waits for being kept is not to act any more: a brake overtook it, or it waited for too long."""


class Draining(Value):
    """Take nothing new; finish what is in flight."""


# --- effects of the frame -----------------------------------------------------------------------------------------


class Publish(Value):
    """Effect: produce one event. The frame fills in producer and `published_at`.

    With a token, `Published` or `PublishFailed` follows.
    """

    topic: Topic
    event_id: str
    payload: Any
    observed_at: datetime
    correlation_id: str
    causation_id: str | None = None
    occurred_at: datetime | None = None
    venue: str | None = None
    pair: str | None = None
    stages: dict[str, datetime] = {}
    token: str | None = None


class SetTimer(Value):
    """Effect: fire `TimerFired(name)` at an instant; a second one of the same name replaces the first."""

    name: str
    at: datetime


class Subscribe(Value):
    """Effect: read a topic from a place on; `RecordReceived` follows for each record, and one `CaughtUp`.

    With `topic_id` and `offset` it starts at that offset, or at the beginning where the topic has another id by now
    (a lost broker starts empty), or at the end where the topic ends before that offset (`TopicTruncated`). Otherwise it
    starts `tail` records before the end; None means at the beginning.

    Where the topic is made anew later, that one is read from its beginning, and another `CaughtUp` follows.
    """

    topic: Topic
    topic_id: str | None = None
    offset: int | None = None
    tail: int | None = None
    #: Stop once caught up: the topic is only read back.
    until_end: bool = False


class Unsubscribe(Value):
    """Effect: hear nothing more of a topic until it is subscribed again.

    Records that were on their way may still come, but none after any event of a later subscription.
    """

    topic: Topic


class CrashPoint(Value):
    """Effect: an instant at which a test may kill the process; see `frame/crashpoints.py`."""

    name: str


class Log(Value):
    """Effect: one structured line. `event` is one of `frame/log_events.py`, or of the service's own definition."""

    event: str
    level: str = "info"
    #: The part of the service that speaks.
    component: str = "logic"
    venue: str | None = None
    topic: str | None = None
    pair: str | None = None
    #: High-cardinality ids and numbers; in the body, never a label.
    body: dict[str, Any] = {}


class Count(Value):
    """Effect: raise a counter of `frame/metrics.py` by one. Labels have few values; never an id."""

    name: str
    labels: dict[str, str] = {}


class Observe(Value):
    """Effect: one duration in milliseconds for a histogram of `frame/metrics.py`."""

    name: str
    milliseconds: float
    labels: dict[str, str] = {}
