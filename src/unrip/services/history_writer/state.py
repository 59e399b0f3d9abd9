"""What history-writer shows of itself."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.values import Value


class TopicPosition(Value):
    """Where reading a topic goes on."""

    topic_id: str
    next_offset: int


class HistoryState(Value):
    """`GET /state` of history-writer."""

    paused: bool
    #: Topic to the place up to which it is written.
    offsets: dict[str, TopicPosition]
    #: Topic to the records that are not written yet.
    lag: dict[str, int]
    #: Null where that is not known of every topic.
    lag_total: int | None
    #: Topic to why it is not recorded any more.
    topics_stopped: dict[str, str]
    #: Also one of an earlier life.
    last_write_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    database_up: bool
    #: Since the start.
    written: int
    duplicates: int
    conflicts: int
    invalid: int
    errors: int
