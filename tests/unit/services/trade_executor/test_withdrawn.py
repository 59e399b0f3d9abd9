"""What the executor remembers of the owner's withdrawals: those of its account, each by its first word."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from support.cases import ACCOUNT, EURE, NOW
from support.engine import a_record
from unrip.domain.balances import Withdrawal
from unrip.domain.treasury import LiquidityAction
from unrip.domain.values import Amount
from unrip.messages.topics import LIQUIDITY_ACTION
from unrip.services.trade_executor.withdrawn import Withdrawn


def told(withdrawn: Withdrawn, name: str, at: datetime = NOW, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "action_id": name,
        "account": ACCOUNT,
        "step": "withdrawal_seen",
        "asset_id": EURE.asset_id,
        "chain": "gnosis",
        "amount": Amount(5),
        "details": {},
    }
    withdrawn.on_topic(a_record(LIQUIDITY_ACTION, LiquidityAction(**(fields | changes)), observed_at=at))


def test_only_withdrawals_of_the_account_are_remembered_by_their_first_word() -> None:
    withdrawn = Withdrawn(ACCOUNT)
    told(withdrawn, "one")
    told(withdrawn, "one", NOW + timedelta(hours=1), step="withdrawal_finished", amount=Amount(4))
    told(withdrawn, "two", account="somebody.near", amount=Amount(6))
    told(withdrawn, "three", step="deposit_pending")
    told(withdrawn, "four", asset_id=None)
    told(withdrawn, "five", amount=None)
    assert list(withdrawn) == [Withdrawal(asset_id=EURE.asset_id, amount=Amount(5), told_at=NOW)]


def test_the_newest_hundred_are_remembered() -> None:
    withdrawn = Withdrawn(ACCOUNT)
    for number in range(101):
        told(withdrawn, str(number), amount=Amount(number))
    assert [int(each.amount) for each in withdrawn] == list(range(1, 101))
