"""The contract's storage, readable at any of the last blocks, and the draft on which a call works."""

import copy
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from unrip_world.kept import Kept

BALANCES = "balances"  # (account, token) -> int
KEYS = "keys"  # (account, key text) -> bool; an implicit key may be stored as removed
NONCES = "nonces"  # (account, 32 bytes) -> bool
SALTS = "salts"  # salt bytes -> bool (valid)
LOCKS = "locks"  # account -> bool
SETTINGS = "settings"  # "fee", "collector", "salt", "paused"
TABLES = (BALANCES, KEYS, NONCES, SALTS, LOCKS, SETTINGS)


class Reader(Protocol):
    """Read access to one moment of the storage."""

    def get(self, table: str, key: Hashable, default: Any = None) -> Any:
        """Value of a key, or the default."""

    def items(self, table: str) -> Iterator[tuple[Any, Any]]:
        """All keys of a table with their values."""


@dataclass(kw_only=True)
class Storage:
    """Every key keeps its versions of the last `keep_blocks` blocks, and the one before them."""

    keep_blocks: int
    #: Table -> key -> (height from which on, value), oldest first.
    versions: dict[str, Kept[Any, list[tuple[int, Any]]]] = field(
        default_factory=lambda: {table: Kept() for table in TABLES}
    )

    def put(self, table: str, key: Hashable, value: object, *, height: int) -> None:
        """Set a value from this height on."""
        versions = self.versions[table].setdefault(key, [])
        if versions and versions[-1][0] == height:
            versions.pop()
        versions.append((height, value))
        oldest = height - self.keep_blocks
        while len(versions) > 1 and versions[1][0] <= oldest:
            versions.pop(0)
        self.versions[table].touch(key)

    def revert(self, height: int) -> None:
        """Forget everything that was set after this height."""
        for table in self.versions.values():
            for key, versions in list(table.items()):
                if versions[-1][0] > height:
                    table[key] = [version for version in versions if version[0] <= height]
                if not table[key]:
                    del table[key]

    def at(self, height: int) -> "View":
        """Give the storage as it was after the block of this height."""
        return View(storage=self, height=height)


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The storage at one height."""

    storage: Storage
    height: int

    def get(self, table: str, key: Hashable, default: Any = None) -> Any:
        """Value of a key, or the default."""
        for height, value in reversed(self.storage.versions[table].get(key, ())):
            if height <= self.height:
                return value
        return default

    def items(self, table: str) -> Iterator[tuple[Any, Any]]:
        """All keys of a table that had a value."""
        missing = object()
        for key in self.storage.versions[table]:
            value = self.get(table, key, missing)
            if value is not missing:
                yield key, value


@dataclass(kw_only=True)
class Draft:
    """Writes of one call over a view; nothing is stored until `commit`."""

    base: Reader
    #: The contract's simulation forgets a cached balance of exactly zero and reads the old one again
    #: (protocol reference, intents and signing, section 11), so it can pass where execution fails.
    forgets_zero_balances: bool = False
    writes: dict[tuple[str, Hashable], Any] = field(default_factory=dict)

    def get(self, table: str, key: Hashable, default: Any = None) -> Any:
        """Value of a key as this call sees it."""
        if (table, key) in self.writes:
            return self.writes[table, key]
        return self.base.get(table, key, default)

    def items(self, table: str) -> Iterator[tuple[Any, Any]]:
        """All keys of a table as this call sees them."""
        merged = dict(self.base.items(table))
        merged.update({key: value for (name, key), value in self.writes.items() if name == table})
        return iter(merged.items())

    def put(self, table: str, key: Hashable, value: object) -> None:
        """Write for the rest of this call."""
        if self.forgets_zero_balances and table == BALANCES and value == 0:
            self.writes.pop((table, key), None)
            return
        self.writes[table, key] = copy.copy(value)

    def commit(self, storage: Storage, *, height: int) -> None:
        """Store the writes from this height on."""
        for (table, key), value in self.writes.items():
            storage.put(table, key, value, height=height)
