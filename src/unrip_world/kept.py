"""A bounded mapping that can say which of its entries changed, so that a world's memory writes only those."""

from collections.abc import Iterator, MutableMapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(MutableMapping[K, V]):
    """The newest entries, at most `bound` of them, in the order in which they came.

    Nothing is noted before `watch`, so that a world which nobody remembers gathers no notes.
    """

    def __init__(self, *, bound: int | None = None) -> None:
        self._bound = bound
        self._entries: dict[K, V] = {}
        #: A dictionary for its order: entries are written in the order in which they came.
        self._changed: dict[K, None] | None = None

    def watch(self) -> None:
        """Note changes from now on."""
        self._changed = {}

    def touch(self, key: K) -> None:
        """Note that an entry changed inside."""
        if self._changed is not None:
            self._changed[key] = None

    def take_changed(self) -> list[K]:
        """Give the keys that were set, touched or forgotten since the last call."""
        changed, self._changed = self._changed or {}, {}
        return list(changed)

    def __getitem__(self, key: K) -> V:
        return self._entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        self._entries[key] = value
        self.touch(key)
        if self._bound is not None and len(self._entries) > self._bound:
            del self[next(iter(self._entries))]

    def __delitem__(self, key: K) -> None:
        del self._entries[key]
        self.touch(key)

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._entries)

    def newest_first(self) -> Iterator[V]:
        """Give the values, the one that came last first."""
        return reversed(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
