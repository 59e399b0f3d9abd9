"""What is gone although it was acknowledged: a topic made anew or cut, a database that is an older copy of itself."""

from __future__ import annotations

from typing import Protocol

from simulation.clock import IN_TRANSIT, VirtualLoop
from simulation.faults import Fault
from simulation.invariants import Invariants
from simulation.process import Process
from simulation.stores import Copy, Database
from unrip.bus.memory import MemoryBroker
from unrip.messages.codec import decode_event
from unrip.messages.topics import TOPICS

#: How long an operator needs to find a stopped topic and to let it be read anew (docs/operate/stopped-topic.md).
_NOTICED_S = 12.0


class Place(Protocol):
    """What a desk has that can be lost."""

    loop: VirtualLoop
    database: Database
    invariants: Invariants
    processes: dict[str, Process]

    @property
    def broker(self) -> MemoryBroker:
        """Where the topics are."""
        ...

    def kill(self, service: str, how: str) -> None:
        """End a service at once; it starts again a while later."""
        ...


class Losses:
    """Takes things away, and has the operator do what the manual says."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def topic(self, fault: Fault) -> None:
        """A topic is made anew, or with an amount loses its newest records and stays the same one."""
        broker, name = self._place.broker, fault.target
        log = broker.log(name)
        records = [] if log is None else log.records
        kept = max(0, len(records) - int(fault.amount)) if fault.amount else 0
        lost = [decode_event(name, record.value) for record in records[kept:]]
        self._place.invariants.on_lost(lost)
        reads_on = broker.up and self._place.processes["history-writer"].alive
        if fault.amount:
            broker.truncate_topic(name, kept)
        else:
            broker.delete_topic(name)
            broker.create_topic(TOPICS[name])
        # Who did not read meanwhile cannot see that a topic was cut; then an operator has heard of it from the broker.
        heard = bool(fault.amount) and not reads_on
        act = self._read_anew if heard else self._look
        self._place.loop.call_later(_NOTICED_S, act, name, context=IN_TRANSIT)

    def _look(self, topic: str) -> None:
        """Whether the history says that it has stopped reading a topic: then an operator acts, and not before."""
        writer = self._place.processes["history-writer"]
        if writer.alive and f"topic_stopped: {topic}" in writer.host.not_ready():
            self._read_anew(topic)
        else:
            self._place.loop.call_later(_NOTICED_S, self._look, topic, context=IN_TRANSIT)

    def _read_anew(self, topic: str) -> None:
        """The manual's third step: the topic's position in the history is deleted, and history-writer restarted."""
        self._place.database.history.offsets.pop(topic, None)
        self._place.kill("history-writer", "is restarted to read a stopped topic anew")

    def older_copy(self, fault: Fault) -> None:
        """Remember the database as it is, and put that in its place a while later, under the running desk."""
        kept = self._place.database.copy()
        self._place.loop.call_later(fault.for_s, self._exchange, kept, context=IN_TRANSIT)

    def _exchange(self, kept: Copy) -> None:
        """Sessions and locks end with the old one."""
        database = self._place.database
        database.go_down()
        database.set_back(kept)
        self._place.invariants.set_back()
        database.come_up()
