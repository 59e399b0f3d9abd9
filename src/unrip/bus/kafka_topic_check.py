"""What the broker reports about the topics that are read: their ids, and whether they may be read at all."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin._acl import AclOperation

from unrip.bus.kafka_asking import Asking
from unrip.bus.kafka_errors import bus_error
from unrip.bus.ports import BusUnavailable
from unrip.bus.settings import CLIENT_ID

#: How often the topics are asked for their ids. Only within this time can a record of a recreated topic be mistaken for
#: one of the old topic, and only if the new topic already holds more records than were read of the old one.
CHECK_S = 1.0
_MAY_NOT_READ = "the right to read it is missing"


@dataclass
class TopicsSeen:
    """One answer: the ids of the topics that are there, and why others cannot be read."""

    ids: dict[str, str] = field(default_factory=dict)
    #: Topic to the broker's error text; empty for a topic that may be read, missing where the broker does not answer.
    troubles: dict[str, str] = field(default_factory=dict)
    #: Nobody answered for some topic.
    unanswered: bool = False


class TopicCheck:
    """Asks once a second without ever making the poll thread wait."""

    def __init__(self, bootstrap: str, *, client_id: str = CLIENT_ID) -> None:
        self._asking = Asking(bootstrap, client_id=client_id)
        self._pending: dict[str, concurrent.futures.Future[Any]] = {}
        self._next_at = 0.0

    def poll(self, topics: Iterable[str]) -> TopicsSeen:
        """What has come in since the last call; asks again when it is time."""
        seen = TopicsSeen()
        for topic, future in list(self._pending.items()):
            if future.done():
                del self._pending[topic]
                _see(topic, future, seen)
        if seen.unanswered:
            self._asking.failed()
        names, now = list(topics), time.monotonic()
        if names and not self._pending and now >= self._next_at:
            self._next_at = now + CHECK_S
            self._pending = dict(self._describe(names))
        return seen

    def ask(self, topic: str) -> str | None:
        """The id, after waiting for at most about a second; None where nobody answers."""
        seen = TopicsSeen()
        for name, future in self._describe([topic]).items():
            concurrent.futures.wait([future], timeout=2 * CHECK_S)
            _see(name, future, seen)
        if seen.unanswered:
            self._asking.failed()
        return seen.ids.get(topic)

    def _describe(self, names: list[str]) -> Mapping[str, concurrent.futures.Future[Any]]:
        return self._asking.client().describe_topics(
            TopicCollection(names), request_timeout=CHECK_S, include_authorized_operations=True
        )


def _see(topic: str, future: concurrent.futures.Future[Any], seen: TopicsSeen) -> None:
    """One answer; an unreachable broker's is empty."""
    try:
        found = future.result(timeout=0)
    except TimeoutError:
        seen.unanswered = True
        return
    except KafkaException as error:
        why = bus_error(error)
        if isinstance(why, BusUnavailable):
            seen.unanswered = True
        else:
            seen.troubles[topic] = str(why)
        return
    seen.ids[topic] = str(found.topic_id)
    if found.authorized_operations is not None:
        seen.troubles[topic] = "" if AclOperation.READ in found.authorized_operations else _MAY_NOT_READ
