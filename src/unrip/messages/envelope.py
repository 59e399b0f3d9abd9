"""The envelope of every event, and its encoding."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from unrip.domain.values import Amount, Delta, Value

P = TypeVar("P")


class Producer(Value):
    """Who published it."""

    service: str
    instance: str
    version: str


class Envelope(Value, Generic[P]):
    """An event: what happened, when, and what caused it."""

    event_id: str
    event_type: str
    schema_version: int
    producer: Producer
    #: The outside's own time of it, where the outside gave one.
    occurred_at: datetime | None
    #: When the adapter read the source; carried unchanged through everything derived.
    observed_at: datetime
    published_at: datetime
    venue: str | None
    pair: str | None
    #: The id of the chain of records that the quote opened.
    correlation_id: str
    #: The parent event.
    causation_id: str | None
    #: Stage name to the instant it was reached, carried along the chain.
    stages: dict[str, datetime]
    payload: P


class InvalidMessage(ValueError):  # noqa: N818 - it is the name of the thing, as in `dlq.invalid_message`
    """A record that is not the event it should be."""


def encode_hook(value: Any) -> Any:
    """Write what JSON has no type for: amounts become decimal strings."""
    if isinstance(value, Amount | Delta):
        return str(int(value))
    raise NotImplementedError(f"no wire form for {type(value).__name__}")


def decode_hook(wanted: type[Amount | Delta], value: Any) -> Any:
    """Read what JSON has no type for."""
    if wanted in {Amount, Delta}:
        return wanted.parse(value)
    raise NotImplementedError(f"no wire form for {wanted.__name__}")


_encoder = msgspec.json.Encoder(enc_hook=encode_hook)


def encode(value: Any) -> bytes:
    """The canonical JSON of a value: fields in their declared order, no blanks."""
    return _encoder.encode(value)


def decode(data: bytes | str, wanted: type[P]) -> P:
    """Read a value back.

    Raises:
        InvalidMessage: with the reason and the place in the document.

    """
    try:
        return msgspec.json.decode(data, type=wanted, dec_hook=decode_hook)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidMessage(f"not a valid {getattr(wanted, '__name__', wanted)}: {error}") from None
