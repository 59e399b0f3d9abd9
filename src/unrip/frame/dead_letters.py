"""What could not be decoded becomes an effect: a dead letter on `dlq.invalid_message`."""

from __future__ import annotations

from unrip.bus.ports import Record
from unrip.domain.values import derived_id
from unrip.frame.contract import Publish, RecordReceived
from unrip.messages.codec import encode_event
from unrip.messages.dead_letters import dead_letter, dead_letter_id
from unrip.messages.topics import DEAD_LETTER
from unrip.net.events import FrameReceived


def dead_letter_of_record(record: Record, reason: str) -> Publish:
    """The letter for a record of one of our topics; whichever consumer meets it writes the same letter."""
    event_id = dead_letter_id(record.topic, topic_id=record.topic_id, offset=record.offset)
    letter = dead_letter(
        source=record.topic,
        data=record.value,
        reason=reason,
        topic_id=record.topic_id,
        partition=record.partition,
        offset=record.offset,
    )
    return Publish(
        topic=DEAD_LETTER,
        event_id=event_id,
        payload=letter,
        observed_at=record.timestamp,
        correlation_id=event_id,
    )


def dead_letter_of_event(event: RecordReceived, reason: str) -> Publish:
    """The letter for a record that was decoded and still could not be handled."""
    record = Record(
        topic=event.topic,
        topic_id=event.topic_id,
        partition=0,
        offset=event.offset,
        key=None,
        value=encode_event(event.message),
        timestamp=event.message.published_at,
    )
    return dead_letter_of_record(record, reason)


def dead_letter_of_frame(frame: FrameReceived, reason: str, *, tracked: bool = False) -> Publish:
    """The letter for a frame, identified by connection, text and time of receipt; `tracked` gives it a token."""
    event_id = derived_id("dead_letter", frame.connection, frame.received_at.isoformat(), frame.text or "")
    return Publish(
        topic=DEAD_LETTER,
        event_id=event_id,
        payload=dead_letter(source=frame.connection, data=(frame.text or "").encode(), reason=reason),
        observed_at=frame.received_at,
        correlation_id=event_id,
        token=event_id if tracked else None,
    )
