"""What the topic tells of deposits and withdrawals is believed where the bridge says the same to us.

Who can write `ops.liquidity_action` must not be able to hide a loss as a withdrawal, or to shut a direction by a
deposit that never was (blueprint, section 9).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from unrip.domain.desk_state import CommandPosition
from unrip.domain.treasury import DepositStep, LiquidityAction, WithdrawalStep
from unrip.frame.contract import Count, Effect, Log, RecordReceived
from unrip.services.inventory_sync.bookkeeping import Bookkeeper
from unrip.services.inventory_sync.effects import BridgeRead

#: So many readings of ours in a row must lack what was told: an instance of the bridge may be behind another one.
MISSES_MAX = 3
#: Records that may wait: more than one reading of the bridge lists. Beyond that the first one is put aside unread.
WAITING_MAX = 1_000


@dataclass
class _Told:
    """A record that is not taken in yet, and how many readings since have lacked its transfer."""

    record: RecordReceived
    misses: int = 0


class Transfers:
    """Keeps records in their order until the transfer of the first one is shown, or set aside.

    Before our first reading of this life there is nothing to compare with: then everything is taken as it is told.
    """

    def __init__(self, books: Bookkeeper, *, pair: str) -> None:
        self._books, self._pair = books, pair
        self._shown: set[tuple[str, ...]] | None = None
        self._told: deque[_Told] = deque()

    @property
    def waiting(self) -> bool:
        """Whether the next reading of the bridge is needed to go on."""
        return bool(self._told)

    def tell(self, record: RecordReceived) -> list[Effect]:
        """The topic tells of a step."""
        self._told.append(_Told(record=record))
        return self._take()

    def cut(self, place: CommandPosition) -> None:
        """The topic ends before what was read of it: what waits says no more how far it was read."""
        at = {"topic_id": place.topic_id, "offset": place.next_offset - 1}
        for told in self._told:
            told.record = msgspec.structs.replace(told.record, **at)

    def read(self, answer: BridgeRead) -> list[Effect]:
        """The bridge has listed its transfers to us."""
        deposits = {
            _deposit(each.deposit_id, each.asset_id, each.amount, each.mint_tx_hash) for each in answer.deposits
        }
        withdrawals = {_withdrawal(each.withdrawal_id, each.asset_id, each.amount) for each in answer.withdrawals}
        self._shown = deposits | withdrawals
        if self._told:
            self._told[0].misses += 1
        return self._take()

    def _take(self) -> list[Effect]:
        """Take in what the bridge shows of what was told, in its order, and say what it does not show."""
        effects: list[Effect] = []
        while self._told:
            first = self._told[0]
            transfer = _transfer(first.record.message.payload)
            shown = transfer is None or self._shown is None or transfer in self._shown
            if not shown and first.misses < MISSES_MAX and len(self._told) <= WAITING_MAX:
                break
            record = self._told.popleft().record
            if shown:
                self._books.reconciler.take_action(record)
            else:
                self._books.pass_over(record)
                effects += self._not_shown(record.message.payload)
        return effects

    def _not_shown(self, action: LiquidityAction) -> list[Effect]:
        body = {"action_id": action.action_id, "step": action.step.name}
        line = Log(event="transfer_not_shown", level="error", component="books", pair=self._pair, body=body)
        return [Count(name="transfers_not_shown"), line]


def _transfer(action: LiquidityAction) -> tuple[str, ...] | None:
    """What a step says that has moved a balance; None where it says nothing of the kind."""
    match action.step:
        case DepositStep(mint_tx_hash=str(mint)) as step if mint:
            return _deposit(action.action_id, step.asset_id, step.amount, mint)
        case WithdrawalStep() as step:
            return _withdrawal(action.action_id, step.asset_id, step.amount)
    return None


def _deposit(deposit_id: str, asset_id: str, amount: int, mint: str | None) -> tuple[str, ...]:
    return ("deposit", deposit_id, asset_id, str(int(amount)), mint or "")


def _withdrawal(withdrawal_id: str, asset_id: str, amount: int) -> tuple[str, ...]:
    return ("withdrawal", withdrawal_id, asset_id, str(int(amount)))
