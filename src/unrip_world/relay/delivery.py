"""Subscriptions of a socket, and the queue that keeps settlement notices until they are acknowledged."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unrip_world.codec import NS_PER_MS

#: Unacknowledged notices in flight, and notices kept at all, per partner and instance.
_WINDOW = 256
_KEPT = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """One stream of one socket; empty filters let everything through."""

    subscription_id: str
    stream: str
    tokens_in: frozenset[str] = frozenset()
    tokens_out: frozenset[str] = frozenset()
    guaranteed: bool = False

    def wants(self, asset_in: str, asset_out: str) -> bool:
        """Whether a request of these assets passes the filters."""
        return (not self.tokens_in or asset_in in self.tokens_in) and (
            not self.tokens_out or asset_out in self.tokens_out
        )


def read_filters(filters: object) -> tuple[frozenset[str], frozenset[str]]:
    """Read `tokens_in` and `tokens_out`; raises TypeError."""
    if filters is None:
        return frozenset(), frozenset()
    if not isinstance(filters, dict):
        raise TypeError("filters must be an object or null")
    return _tokens(filters, "tokens_in"), _tokens(filters, "tokens_out")


def _tokens(filters: Mapping[str, Any], name: str) -> frozenset[str]:
    tokens = filters.get(name) or []
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise TypeError(f"{name} must be a list of asset identifiers")
    return frozenset(tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueMemory:
    """A queue of a solver and instance with what it still has to deliver."""

    solver: str
    instance_id: str
    next_seq: int
    pending: dict[int, dict[str, Any]]


@dataclass(kw_only=True)
class GuaranteedQueue:
    """Notices of one partner and instance: delivered again until acknowledged."""

    ack_window_ms: int
    _next_seq: int = 1
    _pending: OrderedDict[int, Mapping[str, Any]] = field(default_factory=OrderedDict)
    #: Sequence number -> when it was sent last.
    _sent_ns: dict[int, int] = field(default_factory=dict)

    def push(self, notice: Mapping[str, Any]) -> None:
        """Queue a notice; the oldest is lost beyond the bound."""
        self._pending[self._next_seq] = notice
        self._next_seq += 1
        if len(self._pending) > _KEPT:
            lost, _ = self._pending.popitem(last=False)
            self._sent_ns.pop(lost, None)

    def memory(self, *, solver: str, instance_id: str) -> QueueMemory:
        """Give what it still has to deliver."""
        pending = {seq: dict(notice) for seq, notice in self._pending.items()}
        return QueueMemory(solver=solver, instance_id=instance_id, next_seq=self._next_seq, pending=pending)

    def resume(self, memory: QueueMemory) -> None:
        """Go on with what was not acknowledged."""
        self._next_seq = memory.next_seq
        self._pending.update(memory.pending)

    @property
    def waiting(self) -> int:
        """How many notices are not acknowledged."""
        return len(self._pending)

    def acknowledge(self, seq: int) -> None:
        """Forget one notice."""
        self._pending.pop(seq, None)
        self._sent_ns.pop(seq, None)

    def reconnected(self) -> None:
        """Make all pending notices due at once, for a new socket."""
        self._sent_ns.clear()

    def due(self, now_ns: int) -> list[tuple[int, Mapping[str, Any]]]:
        """Give the notices to send now, within the window, and count them as sent."""
        window = list(self._pending.items())[:_WINDOW]
        chosen = [(seq, notice) for seq, notice in window if self._due_ns(seq) <= now_ns]
        self._sent_ns.update({seq: now_ns for seq, _ in chosen})
        return chosen

    def next_due_ns(self) -> int | None:
        """When something is to be sent next."""
        return min((self._due_ns(seq) for seq in list(self._pending)[:_WINDOW]), default=None)

    def _due_ns(self, seq: int) -> int:
        sent_ns = self._sent_ns.get(seq)
        return 0 if sent_ns is None else sent_ns + self.ack_window_ms * NS_PER_MS
