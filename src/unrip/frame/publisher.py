"""The `Publish` effect: envelope, encoding, the producer, and the outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from unrip.frame.contract import Emit, Publish, Published, PublishFailed
from unrip.messages.codec import encode_event, record_key
from unrip.messages.envelope import Envelope, Producer
from unrip.messages.topics import Topic

Delivery = Callable[[int | None, str | None], None]

#: How long a failure counts. Whoever publishes again after one fails again within the producer's own bound; a failure
#: that nobody repeats shows nothing about now.
_LASTS = timedelta(seconds=15)


class RecordProducer(Protocol):
    """What the publisher needs of a producer: Kafka's, or its in-memory twin."""

    def produce(self, topic: str, key: str, value: bytes, on_delivery: Delivery) -> None:
        """Start producing; `on_delivery(offset, error)` is called in the event loop, exactly once."""
        ...


class Publisher:
    """Put effects into envelopes and produce them in order."""

    def __init__(
        self,
        producer: RecordProducer,
        *,
        identity: Producer,
        clock: Callable[[], datetime],
        emit: Emit,
        count: Callable[[str, dict[str, str]], None],
        writes: Iterable[Topic],
    ) -> None:
        """`writes` is what the service declares to write; a record of another topic is a programming error."""
        self._writes = {topic.name for topic in writes}
        self._producer = producer
        self._identity = identity
        self._clock = clock
        self._emit = emit
        self._count = count
        #: When a record of each topic was last refused or not acknowledged, and why; none after one that was.
        self._failed: dict[str, tuple[datetime, str]] = {}

    def troubles(self, now: datetime) -> dict[str, str]:
        """Topics whose records do not reach the broker now, with its error text."""
        self._failed = {topic: (at, why) for topic, (at, why) in self._failed.items() if now - at < _LASTS}
        return {topic: why for topic, (_, why) in self._failed.items()}

    def bus_back(self) -> None:
        """Forget the failures from while the broker was away."""
        self._failed.clear()

    def publish(self, effect: Publish) -> None:
        """Produce one event; with a token, `Published` or `PublishFailed` follows."""
        self.produce(effect, lambda offset, error: self._delivered(effect, offset, error))

    def produce(self, effect: Publish, on_delivery: Delivery) -> None:
        """Produce one event and report the outcome to the caller itself."""
        if effect.topic.name not in self._writes:
            raise AssertionError(f"the definition of this service does not say that it writes {effect.topic.name}")
        envelope = Envelope(
            event_id=effect.event_id,
            event_type=effect.topic.name,
            schema_version=effect.topic.schema_version,
            producer=self._identity,
            occurred_at=effect.occurred_at,
            observed_at=effect.observed_at,
            published_at=self._clock(),
            venue=effect.venue,
            pair=effect.pair,
            correlation_id=effect.correlation_id,
            causation_id=effect.causation_id,
            stages=effect.stages,
            payload=effect.payload,
        )
        key = record_key(effect.topic, effect.payload)

        def delivered(offset: int | None, error: str | None) -> None:
            self._count_outcome(effect.topic.name, offset, error)
            on_delivery(offset, error)

        self._producer.produce(effect.topic.name, key, encode_event(envelope), delivered)

    def _count_outcome(self, topic: str, offset: int | None, error: str | None) -> None:
        outcome = "failed" if offset is None else "acknowledged"
        self._count("records_published", {"topic": topic, "outcome": outcome})
        if offset is None:
            self._failed[topic] = (self._clock(), error or "not acknowledged")
        else:
            self._failed.pop(topic, None)

    def _delivered(self, effect: Publish, offset: int | None, error: str | None) -> None:
        if effect.token is None:
            return
        if offset is None:
            self._emit(PublishFailed(token=effect.token, reason=error or "not acknowledged"))
        else:
            self._emit(Published(token=effect.token, offset=offset))
