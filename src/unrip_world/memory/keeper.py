"""Keeps a running world and its file in step."""

from collections.abc import Callable
from typing import Any

from unrip_world.config import WorldSettings
from unrip_world.memory.file import MemoryFile, Row, Rows
from unrip_world.memory.parts import all_rows, birth_of, parts_of, put_back, remembered, wholes_of
from unrip_world.world import World

Keep = Callable[[], None]


def remember(
    file: MemoryFile | None, settings: WorldSettings, *, begin: Callable[[int | None], World]
) -> tuple[World, Keep]:
    """Begin a world, or go on with the one of the file; gives it and what writes down its changes.

    `begin` makes a world from the instant of its birth, or from now. Raises MemoryFileError.
    """
    if file is None:
        return begin(None), lambda: None
    rows = file.read()
    world = begin(None) if rows is None else _resumed(file, rows, settings, begin)
    keeper = _Keeper(world, file)
    return world, keeper.keep


def _resumed(file: MemoryFile, rows: Rows, settings: WorldSettings, begin: Callable[[int | None], World]) -> World:
    try:
        birth, now = remembered(rows, "birth"), birth_of(settings)
        others = [name for name, value in now.items() if birth.get(name) != value]
        if others:
            raise file.refusal(
                f"holds another world: its {' and '.join(others)} differ from the configuration: set that back, or"
                " begin with an empty home"
            )
        world = begin(remembered(rows, "world")["born_ns"])
        put_back(world, rows)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise file.refusal(f"damaged: what it holds makes no world ({type(error).__name__}: {error})") from error
    return world


class _Keeper:
    """Writes what changed since the last time, all of it as one commit."""

    def __init__(self, world: World, file: MemoryFile) -> None:
        self._world, self._file = world, file
        self._parts, self._wholes = parts_of(world), wholes_of(world)
        self._written: dict[str, Any] = {}
        for part in self._parts:
            part.entries.watch()
        self.keep()

    def keep(self) -> None:
        """Write down what changed; raises MemoryFileError."""
        rows = [part.row(key) for part in self._parts for key in part.entries.take_changed()]
        rows += [row for whole in self._wholes if self._changed(row := whole.row())]
        if self._file.is_due:
            self._file.rewrite(all_rows(self._world))
        elif rows:
            self._file.append(rows)

    def _changed(self, row: Row) -> bool:
        _, name, body = row
        if self._written.get(name) == body:
            return False
        self._written[name] = body
        return True
