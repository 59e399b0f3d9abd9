"""Records to events and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from unrip.messages.envelope import Envelope, InvalidMessage, decode_hook, encode
from unrip.messages.topics import TOPICS, Topic

#: The largest record that is parsed; the largest of ours is below 64 KiB.
MESSAGE_BYTES_MAX = 900_000


@cache
def _decoder(topic: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(Envelope[TOPICS[topic].payload], dec_hook=decode_hook)  # type: ignore[misc]


_any_payload = msgspec.json.Decoder(Envelope[Any], dec_hook=decode_hook)


def encode_event(envelope: Envelope[Any]) -> bytes:
    """The record's value."""
    return encode(envelope)


def decode_event(topic: str, data: bytes) -> Envelope[Any]:
    """Read a record of one of our topics.

    Raises:
        InvalidMessage: it is too large, not JSON, of another shape, or of a type or newer version we do not know.

    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise InvalidMessage(f"{len(data)} bytes are more than the {MESSAGE_BYTES_MAX} a record may have")
    known = TOPICS[topic]
    try:
        envelope = _decode(known, data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidMessage(str(error)) from None
    if envelope.event_type != topic:
        raise InvalidMessage(f"event_type is {envelope.event_type!r} on topic {topic!r}")
    if envelope.schema_version > known.schema_version:
        raise InvalidMessage(
            f"schema_version {envelope.schema_version} is newer than {known.schema_version}; upgrade this service first"
        )
    return envelope


def _decode(topic: Topic, data: bytes) -> Envelope[Any]:
    try:
        envelope: Envelope[Any] = _decoder(topic.name).decode(data)
    except msgspec.ValidationError:
        if topic.translate is None or (translated := _translated(topic, topic.translate, data)) is None:
            raise
        return translated
    return envelope


def _translated(topic: Topic, translate: Callable[[Any], Any], data: bytes) -> Envelope[Any] | None:
    """A record of another build in the form of this one."""
    envelope = _any_payload.decode(data)
    payload = translate(envelope.payload)
    if payload is None:
        return None
    return msgspec.structs.replace(
        envelope,
        schema_version=max(envelope.schema_version, topic.schema_version),
        payload=msgspec.convert(payload, topic.payload, dec_hook=decode_hook),
    )


def record_key(topic: Topic, payload: Any) -> str:
    """The key under which a payload is produced."""
    return topic.key(payload)
