"""What a service says of itself, once, as plain data beside its code.

Whatever else stands about a service (its port and settings, what it may read and write, its log lines, its place in
the command line, the documentation) derives from this, or is checked against it. To import a definition is cheap: it
names the wiring, which is imported only to run the service.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field, create_model

from unrip.domain.values import Value
from unrip.frame.action import COMMON_ACTIONS, Action
from unrip.frame.contract import Subscribe
from unrip.frame.log_events import EVENTS
from unrip.frame.settings import PortSettings, Section, Settings
from unrip.frame.switching import ARM
from unrip.messages.topics import CONTROL_ACTION, DEAD_LETTER, SERVICE_STATUS, Topic

#: What every service writes of itself: its beat, what operators did, and what it could not decode.
WRITTEN_BY_ALL = (SERVICE_STATUS, CONTROL_ACTION, DEAD_LETTER)


#: The sections that every service reads, and `postgres` where it opens a store.
READ_BY_ALL = ("namespace", "pair", "kafka", "control", "ports")


class Store(Value):
    """A part of PostgreSQL that a service opens: the method of `Adapters` that gives it, and its schema."""

    name: str
    schema: str


LEDGER = Store(name="ledger", schema="ledger")
HISTORY = Store(name="history", schema="history")
STRATEGY = Store(name="strategy", schema="desk")
BOOKS = Store(name="books", schema="desk")
LEASES = Store(name="leases", schema="desk")
STORES = (LEDGER, HISTORY, STRATEGY, BOOKS, LEASES)


class Reads(Value):
    """One topic that a service reads, and the place where it begins."""

    topic: Topic
    #: How many records before the end it begins. None: it goes on at the position that it keeps.
    tail: int | None = None
    #: Whether it reads up to the end and no further.
    until_end: bool = False
    #: Where it keeps its position, for the documentation.
    place: str = ""
    #: When it reads, for the documentation, unless from its start on.
    when: str = ""

    def allows(self, effect: Subscribe) -> bool:
        """Whether a subscription is this one."""
        keeps_place = self.tail is None
        return (
            effect.topic == self.topic
            and (effect.tail, effect.until_end) == (self.tail, self.until_end)
            and (keeps_place or effect.topic_id is None)
        )


class Service(Value):
    """One service."""

    name: str
    #: One line of what it is for.
    does: str
    #: Where its control surface listens unless the settings say otherwise.
    port: int
    #: The module and function that wire it.
    wiring: str
    #: The sections of the settings that are its own, by their names.
    settings: dict[str, type[Section]] = {}
    #: The sections that it shares with others, beyond those that every service reads.
    uses: tuple[str, ...] = ()
    #: The settings that name the secret files it opens, beyond those of the control surface and of PostgreSQL.
    secrets: tuple[str, ...] = ()
    reads: tuple[Reads, ...] = ()
    #: The topics that it writes, beyond those that every service writes.
    writes: tuple[Topic, ...] = ()
    #: The actions that it follows, beyond those that every service has.
    actions: tuple[Action, ...] = ()
    #: What it logs beyond what the frame does in every service, each event with its meaning.
    logs: dict[str, str] = {}
    #: What it opens in PostgreSQL, which is then a hard dependency. Whether it can still write is asked of the first.
    stores: tuple[Store, ...] = ()
    #: Whether only one instance may work at a time.
    single_active: bool = False
    #: What `GET /state` shows of it beside what the host does.
    state: type[Value] = Value
    #: What its beat says beyond what every beat says; None where there is nothing.
    vitals: type[Value] | None = None
    #: The desk is ready to trade only while it hears this service's beat.
    trade_ready_depends: bool = False

    @property
    def key(self) -> str:
        """Its name where a dash has no place: in the settings, in its package."""
        return self.name.replace("-", "_")

    @property
    def armed(self) -> bool:
        """Whether it has switches: `unrip arm` and the brakes address exactly such services."""
        return any(action.name == ARM.name for action in self.actions)

    @property
    def all_writes(self) -> tuple[Topic, ...]:
        """Every topic that it may write."""
        return (*WRITTEN_BY_ALL, *self.writes)

    @property
    def all_actions(self) -> tuple[Action, ...]:
        """Everything that an operator may ask of it."""
        return (*COMMON_ACTIONS, *self.actions)


def settings_for(services: Iterable[Service]) -> type[Settings]:
    """The settings of a desk of these services: the shared sections, a port for each, and the sections of their own."""
    ports: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for service in services:
        ports[service.key] = (int, Field(default=service.port, ge=0, le=65535))
        own |= {name: (kind, kind()) for name, kind in service.settings.items()}
    of_ports = create_model("PortSettings", __base__=PortSettings, __doc__=PortSettings.__doc__, **ports)
    return create_model("Settings", __base__=Settings, __doc__=Settings.__doc__, ports=(of_ports, of_ports()), **own)


def events_of(services: Iterable[Service]) -> dict[str, str]:
    """Every event that a desk of these services may log, with its meaning."""
    events = dict(EVENTS)
    for service in services:
        events |= service.logs
    return events
