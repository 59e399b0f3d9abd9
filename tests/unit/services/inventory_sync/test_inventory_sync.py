from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from support.engine import a_record
from support.logic import BTC, EURE, PAIR, T0, act, after, lines, of, published
from unrip.domain.doubt import AGREEING_ALONE_MIN
from unrip.domain.inventory import PendingMovements, Reconciliation
from unrip.domain.treasury import BridgeDeposit, BridgeWithdrawal, DepositState
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import (
    BusChanged,
    CaughtUp,
    ControlRefused,
    Count,
    Draining,
    Effect,
    Log,
    Publish,
    SetTimer,
    Started,
    TimerFired,
)
from unrip.frame.wiring import Context
from unrip.messages.topics import INTENT_INVENTORY, LIQUIDITY_ACTION, TRADE_RESULT
from unrip.services.inventory_sync.effects import (
    BooksPersisted,
    BooksRestored,
    BridgeRead,
    BridgeUnread,
    PersistBooks,
    ReadBridge,
    ReadVerifier,
    VerifierRead,
    VerifierUnread,
)
from unrip.services.inventory_sync.logic import InventorySync
from unrip.services.venue import chains_of
from unrip.store.books import FoundBooks, KeepOutcome


def sync() -> InventorySync:
    logic = InventorySync(
        pair=PAIR,
        account="desk.example.near",
        interval_ms=1_000,
        bridge_interval_s=15,
        inventory_age_max_ms=10_000,
    )
    logic.on_event(BusChanged(up=True, reason=""), T0)
    return logic


def started() -> InventorySync:
    logic = sync()
    logic.on_event(Started(active=True, generation=None, start_id="sync-1"), T0)
    read_back(logic)
    return logic


def read_back(logic: InventorySync) -> list[Effect]:
    """Books and topics were read up to what was there; what came of it."""
    recalled = BooksRestored(found=FoundBooks(revision=0, declared=True, kept=None))
    topics = (INTENT_INVENTORY, TRADE_RESULT, LIQUIDITY_ACTION)
    caught_up = (CaughtUp(topic=topic.name, topic_id=f"{topic.name}-1") for topic in topics)
    return [effect for event in (recalled, *caught_up) for effect in logic.on_event(event, T0)]


def reading(now: datetime = T0, **changes: Any) -> VerifierReading:
    base = VerifierReading(
        height=100,
        block_time=now,
        observed_at=now,
        credited={BTC: Amount(10), EURE: Amount(20)},
        salt="252812b3",
        fee_pips=1,
        key_registered=True,
        account_locked=False,
        contract_paused=False,
        nonces={},
        salts={},
    )
    return msgspec.structs.replace(base, **changes)


def read(logic: InventorySync, now: datetime = T0, **changes: Any) -> list[Effect]:
    """A reading, and PostgreSQL keeps what it is given."""
    effects = list(logic.on_event(VerifierRead(reading=reading(now, **changes)), now))
    for effect in of(PersistBooks, effects):
        outcome = KeepOutcome(revision=effect.revision + 1)
        effects += logic.on_event(BooksPersisted(outcome=outcome), now)
    return effects


def fire(logic: InventorySync, name: str, now: datetime) -> list[Effect]:
    return list(logic.on_event(TimerFired(name=name), now))


def deposit(state: DepositState, amount: int = 5, asset: str = BTC) -> BridgeDeposit:
    return BridgeDeposit(
        deposit_id="d",
        chain="btc:mainnet",
        asset_id=asset,
        amount=Amount(amount),
        address="bc1q",
        state=state,
        status_text=state.upper(),
        created_at=T0,
        tx_hash=None,
        mint_tx_hash=None,
    )


def withdrawal(amount: int, *, finished: bool) -> BridgeWithdrawal:
    return BridgeWithdrawal(
        withdrawal_id="w",
        chain="btc:mainnet",
        asset_id=BTC,
        amount=Amount(amount),
        address="bc1q",
        status_text="PENDING",
        finished=finished,
        transfer_tx_hash=None,
    )


def test_it_reads_at_the_start_and_every_interval_but_never_twice_at_once() -> None:
    logic = sync()
    effects = logic.on_event(Started(active=True, generation=None, start_id="sync-1"), T0)
    assert of(ReadVerifier, effects)
    assert of(ReadBridge, effects)
    again = fire(logic, "verifier", after(seconds=1))
    assert not of(ReadVerifier, again)
    assert of(SetTimer, again) == [SetTimer(name="verifier", at=after(seconds=2))]
    read(logic, after(seconds=1))
    assert of(ReadVerifier, fire(logic, "verifier", after(seconds=2)))
    logic.on_event(VerifierUnread(reason="no"), after(seconds=2))
    assert of(ReadVerifier, fire(logic, "verifier", after(seconds=3)))


def test_what_was_read_before_the_books_were_is_read_anew_and_judged_before_it_is_ready() -> None:
    logic = sync()
    logic.on_event(Started(active=True, generation=None, start_id="sync-1"), T0)
    read(logic)
    assert logic.not_ready(T0) == ["reading_back"]
    assert ReadVerifier() in read_back(logic)
    assert logic.not_ready(T0) == ["reading_back"], "nothing is judged yet"
    read(logic)
    assert logic.not_ready(T0) == []


def test_nothing_is_judged_before_every_topic_of_evidence_is_read() -> None:
    """A balance that a fill explains would be told as unexplained."""
    logic = sync()
    logic.on_event(Started(active=True, generation=None, start_id="sync-1"), T0)
    logic.on_event(BooksRestored(found=FoundBooks(revision=0, declared=True, kept=None)), T0)
    for topic in (INTENT_INVENTORY, TRADE_RESULT, LIQUIDITY_ACTION):
        assert of(PersistBooks, read(logic)) == []
        logic.on_event(CaughtUp(topic=topic.name, topic_id=f"{topic.name}-1"), T0)
    assert len(of(PersistBooks, read(logic))) == 1


def test_every_successful_read_is_published_with_its_own_time() -> None:
    logic = started()
    first, second = (
        published(read(logic, after(seconds=n), height=100 + n, block_time=T0), "state.intent_inventory")[0]
        for n in range(2)
    )
    assert (first.event_id, second.event_id) == ("sync-1-inventory-1", "sync-1-inventory-2")
    assert (second.observed_at, second.occurred_at) == (after(seconds=1), T0)
    payload = second.payload
    assert (payload.account, payload.height, payload.salt) == ("desk.example.near", 101, "252812b3")
    assert payload.credited == {BTC: 10, EURE: 20}
    assert (payload.key_registered, payload.account_locked, payload.contract_paused) == (True, False, False)
    assert payload.pending is None


def test_reconciliation_is_per_asset() -> None:
    logic = started()
    states = [
        published(read(logic, height=100 + number, credited=credited), "state.intent_inventory")[
            0
        ].payload.reconciliation
        for number, credited in enumerate(
            [
                {BTC: Amount(10), EURE: Amount(20)},
                {BTC: Amount(10), EURE: Amount(19)},
                {BTC: Amount(10), EURE: Amount(19)},
            ]
        )
    ]
    assert states == [
        {BTC: Reconciliation.FIRST, EURE: Reconciliation.FIRST},
        {BTC: Reconciliation.UNCHANGED, EURE: Reconciliation.UNEXPLAINED_FALL},
        {BTC: Reconciliation.UNCHANGED, EURE: Reconciliation.UNEXPLAINED_FALL},
    ]


def test_a_node_that_is_behind_does_not_turn_time_back() -> None:
    logic = started()
    read(logic, height=100)
    effects = read(logic, height=99, credited={BTC: Amount(999)})
    assert not published(effects, "state.intent_inventory")
    assert logic.state(T0).credited == {BTC: 10, EURE: 20}
    assert logic.state(T0).failures["verifier"] == "the node is behind: block 99 after 100"
    assert "chain_went_back" not in logic.not_ready(T0)
    assert published(read(logic, height=100), "state.intent_inventory")
    assert "verifier" not in logic.state(T0).failures


def test_a_chain_that_stays_behind_is_named_once_nothing_fresh_is_left() -> None:
    logic = started()
    read(logic, height=100)
    effects = read(logic, after(seconds=11), height=99)
    assert logic.not_ready(after(seconds=11)) == ["inventory_stale", "chain_went_back"]
    (line,) = [effect for effect in effects if isinstance(effect, Log)]
    assert "chain_went_back" in line.body["reason"]
    read(logic, after(seconds=12), height=101)
    assert logic.not_ready(after(seconds=12)) == []


def test_a_chain_that_began_anew_is_named_by_the_next_life_too() -> None:
    """The books know how far the chain was, whatever this process has read itself."""
    first = started()
    (snapshot,) = published(read(first, height=100), "state.intent_inventory")
    logic = sync()
    logic.on_event(Started(active=True, generation=None, start_id="sync-2"), T0)
    read(logic, height=5)
    logic.on_event(a_record(INTENT_INVENTORY, snapshot.payload, observed_at=T0, published_at=T0), T0)
    read_back(logic)
    assert not published(read(logic, after(seconds=1), height=6), "state.intent_inventory")
    assert "chain_went_back" in logic.not_ready(after(seconds=1))
    assert published(read(logic, after(seconds=2), height=101), "state.intent_inventory")
    assert "chain_went_back" not in logic.not_ready(after(seconds=2))


# --- the bridge --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "doubt"), [(2**62, "height_absurd"), (3, "chain_went_back")])
def test_a_chain_that_is_not_believed_changes_nothing_is_named_and_heals(height: int, doubt: str) -> None:
    logic = started()
    read(logic)
    for n in range(1, AGREEING_ALONE_MIN):
        now = T0 + timedelta(seconds=4 * n)
        told = read(logic, now, height=height + n, credited={BTC: Amount(0), EURE: Amount(0)})
        assert not [effect for effect in told if isinstance(effect, Publish)]
        assert Count(name="readings_refused", labels={"doubt": doubt}) in told
        assert doubt in logic.not_ready(now)
        assert logic.state(now).credited == {BTC: 10, EURE: 20}
        (question,) = [effect for effect in fire(logic, "verifier", now) if isinstance(effect, ReadVerifier)]
        assert question.elsewhere
    later = T0 + timedelta(minutes=2)
    assert [each for each in read(logic, later, height=height + 30) if isinstance(each, Publish)]
    assert doubt not in logic.not_ready(later)


def test_the_last_snapshot_of_an_earlier_life_is_what_the_next_believes() -> None:
    logic = sync()
    logic.on_event(Started(active=True, generation=None, start_id="sync-1"), T0)
    snapshot = next(e for e in read(started()) if isinstance(e, Publish)).payload
    logic.on_event(a_record(INTENT_INVENTORY, snapshot), T0)
    read_back(logic)
    later = T0 + timedelta(seconds=5)
    read(logic, later, height=2**62)
    assert "height_absurd" in logic.not_ready(later)


def test_a_block_that_a_wrong_clock_dates_is_shown_and_counted_as_nothing() -> None:
    """The strategy refuses it by name; the books go on from what is believed."""
    logic = started()
    read(logic)
    later = T0 + timedelta(seconds=2)
    skewed = read(logic, later, height=105, block_time=later + timedelta(minutes=5), credited={BTC: Amount(3)})
    (snapshot,) = [effect.payload for effect in skewed if isinstance(effect, Publish)]
    assert set(snapshot.reconciliation.values()) == {Reconciliation.FIRST}, "as of the last that was believed"
    assert snapshot.books.explained == {BTC: 10, EURE: 20}
    assert "clock_skewed" in logic.not_ready(later)


def test_pending_movements_are_shown_and_never_credited() -> None:
    logic = started()
    logic.on_event(
        BridgeRead(
            deposits=(
                deposit(DepositState.PENDING, 5),
                deposit(DepositState.UNKNOWN, 6),
                deposit(DepositState.PENDING, 7, EURE),
                deposit(DepositState.CREDITED, 100),
                deposit(DepositState.COMPLETED, 100),
                deposit(DepositState.FAILED, 100),
            ),
            withdrawals=(withdrawal(3, finished=False), withdrawal(100, finished=True)),
            observed_at=T0,
        ),
        T0,
    )
    (record,) = published(read(logic), "state.intent_inventory")
    assert record.payload.pending == PendingMovements(
        deposits={BTC: Amount(11), EURE: Amount(7)}, withdrawals={BTC: Amount(3)}, observed_at=T0
    )
    assert record.payload.credited == {BTC: 10, EURE: 20}


def test_a_chain_that_both_assets_come_from_is_read_once() -> None:
    one_chain = msgspec.structs.replace(PAIR, base=msgspec.structs.replace(PAIR.base, chain=PAIR.quote.chain))
    assert chains_of(cast("Context", SimpleNamespace(pair=one_chain))) == (PAIR.quote.chain,)
    assert len(chains_of(cast("Context", SimpleNamespace(pair=PAIR)))) == 2


def test_an_unreachable_bridge_makes_only_the_pending_movements_old() -> None:
    logic = started()
    logic.on_event(BridgeRead(deposits=(), withdrawals=(), observed_at=T0), T0)
    logic.on_event(BridgeUnread(reason="bridge: no answer"), after(seconds=15))
    (record,) = published(read(logic, after(seconds=15)), "state.intent_inventory")
    assert record.payload.pending.observed_at == T0
    assert logic.state(after(seconds=15)).pending_age_ms == 15_000
    assert logic.not_ready(after(seconds=15)) == []
    assert lines(fire(logic, "bridge", after(seconds=15))) == []


def test_a_bridge_that_never_answered_is_unknown_not_none() -> None:
    logic = started()
    logic.on_event(BridgeUnread(reason="no"), T0)
    assert published(read(logic), "state.intent_inventory")[0].payload.pending is None


def test_the_bridge_is_read_at_its_own_interval() -> None:
    logic = started()
    assert not of(ReadBridge, fire(logic, "bridge", after(seconds=15)))
    logic.on_event(BridgeRead(deposits=(), withdrawals=(), observed_at=T0), T0)
    effects = fire(logic, "bridge", after(seconds=30))
    assert of(ReadBridge, effects)
    assert of(SetTimer, effects) == [SetTimer(name="bridge", at=after(seconds=45))]
    assert logic.state(after(seconds=30)).last_attempted_at == T0, "the chain was asked at the start only"


# --- age ---------------------------------------------------------------------------------------------------------


def test_stale_and_fresh_are_told_once_per_change() -> None:
    logic = started()
    told = lines(read(logic))
    for second in range(1, 30):
        told += lines(logic.on_event(VerifierUnread(reason="rpc: no answer"), after(seconds=second)))
        told += lines(fire(logic, "verifier", after(seconds=second)))
    assert told == ["inventory_stale"]
    assert logic.not_ready(after(seconds=30)) == ["inventory_stale"]
    assert lines(read(logic, after(seconds=30), height=101)) == ["inventory_fresh"]


def test_an_inventory_that_never_came_is_told_once_its_time_is_over() -> None:
    logic = started()
    assert logic.not_ready(T0) == ["inventory_missing"]
    assert lines(fire(logic, "verifier", after(seconds=10))) == []
    assert lines(fire(logic, "verifier", after(seconds=11))) == ["inventory_stale"]


def test_an_old_block_is_an_old_inventory_however_new_the_answer() -> None:
    logic = started()
    assert lines(read(logic, after(seconds=60), block_time=T0)) == ["inventory_stale"]
    assert logic.state(after(seconds=60)).inventory_age_ms == 60_000


# --- broker and controls -----------------------------------------------------------------------------------------


def test_while_the_broker_is_away_only_the_newest_snapshot_waits() -> None:
    logic = started()
    logic.on_event(BusChanged(up=False, reason="gone"), T0)
    for number in range(5):
        assert not published(read(logic, height=100 + number), "state.intent_inventory")
    (record,) = published(logic.on_event(BusChanged(up=True, reason=""), T0), "state.intent_inventory")
    assert record.payload.height == 104


def test_sync_reads_now() -> None:
    logic = started()
    assert not of(ReadVerifier, act(logic, "sync"))  # one is under way
    read(logic)
    logic.on_event(BridgeUnread(reason="no"), T0)
    effects = act(logic, "sync")
    assert of(ReadVerifier, effects)
    assert of(ReadBridge, effects)


def test_paused_it_reads_and_publishes_nothing_until_resumed() -> None:
    logic = started()
    act(logic, "pause")
    assert not published(read(logic), "state.intent_inventory")
    logic.on_event(BridgeUnread(reason="no"), T0)
    assert not of(ReadVerifier, fire(logic, "verifier", after(seconds=1)))
    assert not of(ReadBridge, fire(logic, "bridge", after(seconds=1)))
    with pytest.raises(ControlRefused, match="resume first"):
        act(logic, "sync")
    assert "paused" in logic.not_ready(T0)
    resumed = act(logic, "resume")
    assert of(ReadVerifier, resumed)
    assert of(ReadBridge, resumed)


def test_draining_it_asks_no_more() -> None:
    logic = started()
    read(logic)
    logic.on_event(Draining(), T0)
    assert not of(ReadVerifier, fire(logic, "verifier", after(seconds=1)))


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ControlRefused):
        act(started(), "withdraw")
