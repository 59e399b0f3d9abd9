"""Who can write `ops.liquidity_action` hides no loss and shuts no direction: the bridge must say the same to us."""

from __future__ import annotations

from typing import Any

import pytest

from support.inventory import Sync
from support.logic import BTC, EURE, of
from unrip.domain.inventory import Reconciliation
from unrip.domain.treasury import BridgeDeposit, BridgeWithdrawal, DepositState
from unrip.domain.values import Amount
from unrip.frame.contract import Count, Log, TopicTruncated
from unrip.messages.topics import LIQUIDITY_ACTION
from unrip.services.inventory_sync.effects import BridgeUnread, ReadBridge
from unrip.services.inventory_sync.transfers import MISSES_MAX, WAITING_MAX

FALL, CHANGED, UNCHANGED = Reconciliation.UNEXPLAINED_FALL, Reconciliation.CHANGED, Reconciliation.UNCHANGED


def begun() -> Sync:
    """Books are begun, and the bridge was read once: it lists nothing."""
    sync = Sync(second=10)
    sync.read()
    sync.bridge()
    return sync


def a_withdrawal(name: str = "w1", amount: int = 40, **changes: Any) -> BridgeWithdrawal:
    fields: dict[str, Any] = {
        "withdrawal_id": name,
        "chain": "btc:mainnet",
        "asset_id": BTC,
        "amount": Amount(amount),
        "address": "",
        "status_text": "",
        "finished": False,
        "transfer_tx_hash": None,
    }
    return BridgeWithdrawal(**(fields | changes))


def a_deposit(name: str = "d1", amount: int = 7, mint: str | None = "mint-1") -> BridgeDeposit:
    return BridgeDeposit(
        deposit_id=name,
        chain="btc:mainnet",
        asset_id=BTC,
        amount=Amount(amount),
        address="",
        state=DepositState.COMPLETED,
        status_text="",
        created_at=None,
        tx_hash=None,
        mint_tx_hash=mint,
    )


def test_a_withdrawal_that_the_bridge_shows_explains_its_fall_at_once() -> None:
    sync = begun()
    sync.effects.clear()
    sync.action("withdrawal_seen", 40, name="w1", began_s=11)
    assert len(of(ReadBridge, sync.effects)) == 1, "the bridge is asked at once"
    assert sync.read(60).reconciliation[BTC] is FALL, "and nothing is explained before it has answered"
    sync.bridge(a_withdrawal())
    assert sync.read(60).reconciliation[BTC] is CHANGED


LIES: dict[str, tuple[BridgeWithdrawal, ...]] = {
    "there is none": (),
    "a smaller one": (a_withdrawal(amount=39),),
    "of another token": (a_withdrawal(asset_id=EURE),),
    "another one": (a_withdrawal("w2"),),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_loss_is_not_hidden_as_a_withdrawal(lie: str) -> None:
    sync = begun()
    sync.action("withdrawal_finished", 40, name="w1", began_s=11)
    for _ in range(MISSES_MAX):
        assert sync.read(60).reconciliation[BTC] is FALL
        sync.bridge(*LIES[lie])
    last = sync.read(60)
    assert (last.reconciliation[BTC], last.unexplained(BTC)) == (FALL, -40)
    (line,) = [each for each in of(Log, sync.effects) if each.event == "transfer_not_shown"]
    assert line.body == {"action_id": "w1", "step": "withdrawal_finished"}
    assert Count(name="transfers_not_shown") in sync.effects
    assert sync.restart().read(60).reconciliation[BTC] is FALL, "the next life does not read it again"


@pytest.mark.parametrize("shown", [a_deposit(mint=None), a_deposit(mint="mint-2"), a_deposit(amount=8), None])
def test_a_deposit_that_never_was_shuts_no_direction(shown: BridgeDeposit | None) -> None:
    sync = begun()
    sync.action("deposit_completed", 7, mint="mint-1", began_s=11)
    for _ in range(MISSES_MAX + 1):
        assert sync.read(100).reconciliation[BTC] is UNCHANGED
        sync.bridge(*([shown] if shown is not None else []))


def test_a_reading_that_lacks_a_transfer_once_says_nothing() -> None:
    """An instance of the bridge may be behind the one that told the treasury; and one that is away says nothing."""
    sync = begun()
    sync.action("deposit_completed", 7, mint="mint-1", began_s=11)
    for _ in range(MISSES_MAX - 1):
        sync.bridge()
    for _ in range(10):
        sync.feed(BridgeUnread(reason="away"))
    sync.bridge(a_deposit())
    assert sync.read(107).reconciliation[BTC] is CHANGED


def test_no_flood_of_told_transfers_waits_without_a_bound() -> None:
    sync = begun()
    for number in range(WAITING_MAX + 3):
        sync.action("withdrawal_seen", 1, name=f"w{number}", began_s=11)
    assert len([each for each in of(Log, sync.effects) if each.event == "transfer_not_shown"]) == 3
    sync.bridge(*(a_withdrawal(f"w{number}", 1) for number in range(WAITING_MAX + 3)))
    assert sync.read(100).unexplained(BTC) == WAITING_MAX


def test_what_waits_is_read_again_by_the_next_life_and_what_follows_waits_behind_it() -> None:
    sync = begun()
    sync.action("withdrawal_seen", 40, name="w1", began_s=11)
    sync.action("deposit_completed", 7, mint="mint-1", began_s=11)
    sync.bridge(a_deposit())
    before = sync.read(67)
    assert before.books is not None
    assert before.books.actions_read is None
    sync.feed(TopicTruncated(topic=LIQUIDITY_ACTION.name, topic_id="another", offset=0))
    sync.bridge(a_deposit(), a_withdrawal())
    last = sync.read(67)
    assert last.reconciliation[BTC] is CHANGED
    assert last.books is not None
    assert last.books.actions_read is not None
    assert (last.books.actions_read.topic_id, last.books.actions_read.next_offset) == ("another", 0)
