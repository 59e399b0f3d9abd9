"""The strategy's own commands that the executor's ledger has not counted yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import CommandPosition
from unrip.domain.sharing import most_by_asset
from unrip.domain.values import Amount

#: By how many commands a view may lag behind a newer one at most.
PASSED_KEPT = 100


@dataclass
class UncountedCommands:
    """What own commands would spend and could bring before the ledger's view includes them.

    A command counts until the position of the view in use has passed its offset; one that the broker has not
    acknowledged yet counts as standing after it (blueprint, section 7). Views come over two topics, beats and results,
    so an older one can follow a newer one: commands are kept a while after they were passed, to count again then. What
    a recreated topic held before is in no topic any more: it is in the ledger or will never be. So a restart, which
    reads the topic as it is, finds the same.
    """

    _commands: dict[str, tuple[TradeCommand, str | None, int | None]] = field(default_factory=dict)
    _position: CommandPosition | None = None
    #: The topic as it is now, and its earlier incarnations.
    _topic_id: str | None = None
    _gone: set[str] = field(default_factory=set)

    def add(self, command: TradeCommand) -> None:
        """Add a command that was decided; it counts from now on."""
        self._commands.setdefault(command.command_id, (command, None, None))

    def placed(self, command: TradeCommand, topic_id: str, offset: int) -> None:
        """Note that the command stands in the topic, unless that is gone by now."""
        self.stands(topic_id)
        if topic_id == self._topic_id:
            self._commands[command.command_id] = (command, topic_id, offset)
        else:
            self._commands.pop(command.command_id, None)

    def stands(self, topic_id: str) -> None:
        """Note that the topic of the commands is this one."""
        if topic_id == self._topic_id or topic_id in self._gone:
            return
        if self._topic_id is not None:
            self._gone.add(self._topic_id)
        self._topic_id = topic_id
        self._commands = {name: each for name, each in self._commands.items() if each[1] in {None, topic_id}}

    def use(self, position: CommandPosition | None) -> None:
        """Use a view that has every command before this position claimed or rejected."""
        self._position = position
        self._commands = {
            command_id: (command, topic_id, offset)
            for command_id, (command, topic_id, offset) in self._commands.items()
            if not self._is_passed(topic_id, offset, by=PASSED_KEPT)
        }

    def _open(self) -> list[TradeCommand]:
        return [
            command for command, topic_id, offset in self._commands.values() if not self._is_passed(topic_id, offset)
        ]

    def _is_passed(self, topic_id: str | None, offset: int | None, *, by: int = 0) -> bool:
        position = self._position
        return (
            position is not None
            and offset is not None
            and topic_id == position.topic_id
            and offset + by < position.next_offset
        )

    def uncounted(self) -> dict[str, Amount]:
        """What the open commands would spend, per asset."""
        return most_by_asset((command.nonce, command.asset_out, command.amount_out) for command in self._open())

    def uncounted_in(self) -> dict[str, Amount]:
        """What the open commands could bring, per asset."""
        return most_by_asset((command.nonce, command.asset_in, command.amount_in) for command in self._open())

    def __len__(self) -> int:
        return len(self._open())
