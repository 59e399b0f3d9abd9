"""What near-intents-ingest shows of itself."""

from __future__ import annotations

from unrip.domain.values import Value
from unrip.frame.link import LinkState


class PairFilterState(Value):
    """Which demands come through."""

    #: `enabled` or `disabled`.
    mode: str
    #: The configured pairs that come through as demands.
    pairs: tuple[str, ...]
    #: Others, whose quotes are recorded and no more.
    studied_pairs: tuple[str, ...]
    configured_pairs: tuple[str, ...]
    #: What the relay is asked for; empty for everything.
    tokens: tuple[str, ...]


class IngestState(Value):
    """`GET /state` of near-intents-ingest."""

    paused: bool
    connection: LinkState
    #: Stream to the number under which the relay has subscribed it.
    subscriptions: dict[str, str]
    pair_filter: PairFilterState
    #: All that came in as `frames_received`, and each class; the classes add up to them.
    frames: dict[str, int]
    #: How many quotes were of which kind, and the most that are recorded raw in a second.
    quotes: dict[str, int]
