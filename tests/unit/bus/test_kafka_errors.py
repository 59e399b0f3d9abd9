"""What Kafka says under our own names: a leader that is not settled yet is a matter of asking again."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from unrip.bus.kafka_errors import NO_LEADER_YET, bus_error
from unrip.bus.ports import BusUnavailable, TopicMissing

#: librdkafka calls none of them retriable. The last is its "No leaders found" while a broker stops or starts.
NOT_SETTLED = (KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.FENCED_LEADER_EPOCH, KafkaError._NOENT)


@pytest.mark.parametrize("code", NOT_SETTLED)
def test_a_leader_that_is_not_settled_is_asked_about_again_and_is_no_fault(code: int) -> None:
    error = KafkaError(code)
    assert not error.retriable()
    assert code in NO_LEADER_YET
    assert isinstance(bus_error(KafkaException(error)), BusUnavailable)


def test_a_topic_that_is_not_there_is_named_so() -> None:
    assert isinstance(bus_error(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))), TopicMissing)
