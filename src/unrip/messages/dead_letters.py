"""Making a dead letter of what could not be decoded."""

from __future__ import annotations

from unrip.domain.values import derived_id
from unrip.messages.payloads import DeadLetter

#: How much of it the excerpt has: it is for a person's first look; the record itself stays on its topic.
EXCERPT_CHARACTERS_MAX = 1_000
REASON_CHARACTERS_MAX = 300


def dead_letter(
    *,
    source: str,
    data: bytes,
    reason: str,
    topic_id: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
) -> DeadLetter:
    """The payload on `dlq.invalid_message` for these bytes. Every consumer writes the same letter."""
    # A NUL is valid in JSON but PostgreSQL's text cannot hold it.
    excerpt = data[: 4 * EXCERPT_CHARACTERS_MAX].decode(errors="replace").replace("\0", "\ufffd")
    return DeadLetter(
        source=source,
        topic_id=topic_id,
        partition=partition,
        offset=offset,
        reason=reason.replace("\0", "\ufffd")[:REASON_CHARACTERS_MAX],
        excerpt=excerpt[:EXCERPT_CHARACTERS_MAX],
        size_bytes=len(data),
    )


def dead_letter_id(source: str, *, topic_id: str, offset: int) -> str:
    """The event id of the letter for one record: whichever consumer writes it, it is the same letter."""
    return derived_id("dead_letter", source, topic_id, str(offset))
