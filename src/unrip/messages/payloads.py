"""Payloads that exist only on the wire: raw frames and what could not be decoded."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.values import Value


class RawQuote(Value):
    """A quote request's frame as received."""

    quote_id: str
    frame: str
    received_at: datetime
    #: False for a quote outside the active pair, recorded up to a visible cap per second.
    in_filter: bool


class RawQuoteStatus(Value):
    """A settlement notice for one of our hashes, as received."""

    quote_hash: str
    intent_hash: str | None
    tx_hash: str | None
    frame: str
    received_at: datetime


class DeadLetter(Value):
    """What could not be decoded, why, and where it came from."""

    #: A topic, or the name of a connection such as `relay`.
    source: str
    topic_id: str | None
    partition: int | None
    offset: int | None
    reason: str
    #: The bytes, cut to a bound, as text with replacement characters.
    excerpt: str
    size_bytes: int
