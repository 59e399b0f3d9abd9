"""The strategy's own commands that the executor's ledger has not counted yet."""

from __future__ import annotations

from dataclasses import dataclass, field

from unrip.domain.command import TradeCommand
from unrip.domain.desk import CommandPosition
from unrip.domain.values import Amount


@dataclass
class CommandBook:
    """What own commands would spend before the ledger's view includes them.

    A command leaves the book when the ledger's position has passed its offset; one that the broker has not
    acknowledged yet counts as standing after it (blueprint, section 7).
    """

    _open: dict[str, tuple[TradeCommand, str | None, int | None]] = field(default_factory=dict)

    def add(self, command: TradeCommand) -> None:
        """A command was decided; it counts from now on."""
        self._open.setdefault(command.command_id, (command, None, None))

    def placed(self, command: TradeCommand, topic_id: str, offset: int) -> None:
        """The command stands in the topic."""
        self._open[command.command_id] = (command, topic_id, offset)

    def passed(self, position: CommandPosition | None) -> None:
        """The ledger has claimed or rejected every command before this position."""
        if position is None:
            return
        self._open = {
            command_id: (command, topic_id, offset)
            for command_id, (command, topic_id, offset) in self._open.items()
            if offset is None or topic_id != position.topic_id or offset >= position.next_offset
        }

    def uncounted(self) -> dict[str, Amount]:
        """Per asset, what the open commands would spend: the largest per nonce, summed over nonces."""
        largest: dict[tuple[str, str], int] = {}
        for command, _topic_id, _offset in self._open.values():
            key = (command.asset_out, command.nonce)
            largest[key] = max(largest.get(key, 0), command.amount_out)
        totals: dict[str, Amount] = {}
        for (asset, _nonce), amount in largest.items():
            totals[asset] = Amount(totals.get(asset, 0) + amount)
        return totals

    def __len__(self) -> int:
        return len(self._open)
