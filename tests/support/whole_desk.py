"""The whole desk of the simulation with nothing going wrong, armed, and with every effect kept."""

from __future__ import annotations

from typing import Any

from simulation.desk import Desk
from unrip.frame.contract import Effect
from unrip.messages.envelope import Envelope
from unrip.messages.topics import TOPICS
from unrip.services.registry import ARMED

#: Seconds of virtual time within which everything is ready and armed.
_READY_WITHIN_S = 5


class WholeDesk(Desk):
    """Seven services against the simulated world, in one process and on virtual time."""

    def __init__(self, *, instance_id: str | None = None, settings: dict[str, Any] | None = None, **world: Any) -> None:
        #: Every effect of every service with the service's name, in order.
        self.log: list[tuple[str, Effect]] = []
        super().__init__(
            world={"takers": (), **world},
            settings={"near_intents": {"instance_id": instance_id}, **(settings or {})},
            on_effect=lambda who, effect: self.log.append((who, effect)),
        )
        self.run(_READY_WITHIN_S)
        for service in ARMED:
            assert self.processes[service].host.logic.vitals(self.loop.now).details.switches.armed, service

    @property
    def topics(self) -> dict[str, list[Envelope[Any]]]:
        """Everything that stands on the topics."""
        return {topic.name: self.records(topic) for topic in TOPICS.values()}
