"""The `Publish` effect: envelope, encoding, the producer, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from unrip.messages.codec import encode_event, record_key
from unrip.messages.envelope import Envelope, Producer
from unrip.service.contract import Emit, Publish, Published, PublishFailed

Delivery = Callable[[int | None, str | None], None]


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
    ) -> None:
        self._producer = producer
        self._identity = identity
        self._clock = clock
        self._emit = emit
        self._count = count

    def publish(self, effect: Publish) -> None:
        """Produce one event; with a token, `Published` or `PublishFailed` follows."""
        self.produce(effect, lambda offset, error: self._delivered(effect, offset, error))

    def produce(self, effect: Publish, on_delivery: Delivery) -> None:
        """Produce one event and tell the caller itself what came of it."""
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
        self._producer.produce(effect.topic.name, key, encode_event(envelope), on_delivery)

    def _delivered(self, effect: Publish, offset: int | None, error: str | None) -> None:
        outcome = "failed" if error is not None or offset is None else "acknowledged"
        self._count("records_published", {"topic": effect.topic.name, "outcome": outcome})
        if effect.token is None:
            return
        if offset is None:
            self._emit(PublishFailed(token=effect.token, reason=error or "not acknowledged"))
        else:
            self._emit(Published(token=effect.token, offset=offset))
