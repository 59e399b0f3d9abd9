"""librdkafka's error codes under our own names."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from unrip.bus.ports import BusError, BusUnavailable, TopicMissing

# librdkafka's own codes, as opposed to the broker's, begin with an underscore; they are public all the same.
ALL_BROKERS_DOWN = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - see above
OFFSET_NOT_THERE = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001 - see above
_UNAVAILABLE = {
    ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,  # noqa: SLF001 - see above
    KafkaError._TRANSPORT,  # noqa: SLF001 - see above
    KafkaError._DESTROY,  # noqa: SLF001 - see above
}
#: A topic that was just created has no leader yet, or broker and client do not know of the same one yet, or a broker
#: that stops or starts names none ("No leaders found"): ask again.
NO_LEADER_YET = {
    KafkaError._NOENT,  # noqa: SLF001 - see above
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
}
_MISSING = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID}


def bus_error(error: KafkaException) -> BusError:
    """Our error for Kafka's."""
    cause: KafkaError = error.args[0]
    if cause.code() in _MISSING:
        return TopicMissing(f"{cause.str()}: create the topics first")
    if cause.retriable() or cause.code() in _UNAVAILABLE | NO_LEADER_YET:
        return BusUnavailable(cause.str())
    return BusError(cause.str())
