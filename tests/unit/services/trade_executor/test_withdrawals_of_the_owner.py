"""What the executor remembers of the owner's withdrawals: those of its account, each by its first word."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from support.cases import ACCOUNT, EURE, NOW
from support.engine import a_record
from unrip.domain.balances import Withdrawal
from unrip.domain.treasury import DepositState, DepositStep, LiquidityAction, WithdrawalState, WithdrawalStep
from unrip.domain.values import Amount
from unrip.messages.topics import LIQUIDITY_ACTION
from unrip.services.trade_executor.offers.withdrawals import Withdrawals


def told(
    withdrawn: Withdrawals,
    name: str,
    at: datetime = NOW,
    *,
    account: str = ACCOUNT,
    amount: int = 5,
    state: WithdrawalState | DepositState = WithdrawalState.SEEN,
) -> None:
    said: dict[str, Any] = {
        "chain": "gnosis",
        "asset_id": EURE.asset_id,
        "amount": Amount(amount),
        "address": "0x42",
        "status": "as the bridge says it",
    }
    step = (
        WithdrawalStep(state=state, **said, transfer_tx_hash=None)
        if isinstance(state, WithdrawalState)
        else DepositStep(state=state, **said, tx_hash=None, mint_tx_hash=None)
    )
    action = LiquidityAction(action_id=name, account=account, step=step)
    withdrawn.on_topic(a_record(LIQUIDITY_ACTION, action, observed_at=at))


def test_only_withdrawals_of_the_account_are_remembered_by_their_first_word() -> None:
    withdrawn = Withdrawals(ACCOUNT)
    told(withdrawn, "one")
    told(withdrawn, "one", NOW + timedelta(hours=1), state=WithdrawalState.FINISHED, amount=4)
    told(withdrawn, "two", account="somebody.near", amount=6)
    told(withdrawn, "three", state=DepositState.PENDING, amount=7)
    assert list(withdrawn) == [Withdrawal(asset_id=EURE.asset_id, amount=Amount(5), told_at=NOW)]


def test_the_newest_hundred_are_remembered() -> None:
    withdrawn = Withdrawals(ACCOUNT)
    for number in range(101):
        told(withdrawn, str(number), amount=number)
    assert [int(each.amount) for each in withdrawn] == list(range(1, 101))
