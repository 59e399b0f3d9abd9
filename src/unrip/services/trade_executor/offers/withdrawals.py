"""What the owner takes out of the verifier: a fall that a withdrawal explains is no fill."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime

from unrip.domain.balances import Withdrawal
from unrip.domain.treasury import LiquidityAction, WithdrawalStep
from unrip.frame.contract import CaughtUp, Effect, RecordReceived, Subscribe
from unrip.messages.topics import LIQUIDITY_ACTION
from unrip.services.trade_executor.definition import ACTIONS_READ_BACK

#: How many withdrawals are remembered; older ones are of a time before any open offer.
_KEPT = 100


class Withdrawals:
    """The withdrawals that the bridge has reported, each by its first report."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._hears = False
        self._by_action: OrderedDict[str, Withdrawal] = OrderedDict()

    def __iter__(self) -> Iterator[Withdrawal]:
        return iter(self._by_action.values())

    def hear(self) -> list[Effect]:
        """Begin to read withdrawals: from the first open offer on it matters what the owner takes out."""
        heard, self._hears = self._hears, True
        return [] if heard else [Subscribe(topic=LIQUIDITY_ACTION, tail=ACTIONS_READ_BACK)]

    def on_topic(self, event: RecordReceived | CaughtUp) -> list[Effect]:
        """Take a step of the treasury."""
        if isinstance(event, RecordReceived):
            self._take(event.message.payload, event.message.observed_at)
        return []

    def _take(self, action: LiquidityAction, told_at: datetime) -> None:
        step = action.step
        if action.account != self._account or not isinstance(step, WithdrawalStep):
            return
        taken = Withdrawal(asset_id=step.asset_id, amount=step.amount, told_at=told_at)
        self._by_action.setdefault(action.action_id, taken)
        if len(self._by_action) > _KEPT:
            self._by_action.popitem(last=False)
