"""The books over restarts: nothing is forgiven, nothing is counted twice, also without PostgreSQL or Kafka."""

from __future__ import annotations

import copy

import pytest
from msgspec.structs import replace

from support.engine import a_record
from support.inventory import ACCOUNT, Sync
from support.logic import BTC, EURE, PAIR, T0, act, of, published
from support.reconciling import AWAITED, CHANGED, FALL, RISE, UNCHANGED, begun, states
from unrip.domain.attempt import AttemptState
from unrip.domain.desk_state import CommandPosition
from unrip.frame.contract import BusChanged, CaughtUp, ControlRefused, DatabaseChanged, Started, Subscribe
from unrip.messages.topics import INTENT_INVENTORY, LIQUIDITY_ACTION, TRADE_RESULT
from unrip.services.inventory_sync.effects import RestoreBooks, VerifierRead
from unrip.services.inventory_sync.logic import InventorySync
from unrip.store.memory_books import MemoryBooks


def test_a_restart_forgives_nothing_and_counts_nothing_twice() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, "waits", held=20)
    sync.result(AttemptState.SETTLED, "waits", block_s=60)
    sync.action("deposit_completed", 7, mint="mint-1")
    unexplained = sync.read(107, 150)
    assert states(unexplained) == (CHANGED, FALL)
    again = sync.restart()
    results, actions = (
        next(each for each in of(Subscribe, again.effects) if each.topic == topic)
        for topic in (TRADE_RESULT, LIQUIDITY_ACTION)
    )
    assert (results.topic_id, results.offset) == (f"{TRADE_RESULT.name}-1", 2)
    assert (actions.topic_id, actions.offset) == (f"{LIQUIDITY_ACTION.name}-1", 1)
    assert states(again.read(107, 150)) == (CHANGED, FALL), "nobody has said that the mint stands in a record"
    assert states(again.read(107, 150)) == (UNCHANGED, FALL)
    again.result(AttemptState.SETTLED, "waits", block_s=60)
    again.second = 60
    assert states(again.read(117, 130)) == (CHANGED, FALL)


def test_fills_at_offsets_that_a_cut_topic_gives_out_again_are_counted() -> None:
    sync = begun()
    for offset, name in enumerate(("one", "two")):
        sync.result(AttemptState.CLAIMED, name, held=20, offset=offset)
    sync.action("deposit_completed", 1, mint="mint-0")
    sync.read(101)
    again = sync.restart()
    again.cut(TRADE_RESULT, 1)
    books = again.read(101).books
    assert books is not None
    assert books.results_read == CommandPosition(topic_id=f"{TRADE_RESULT.name}-1", next_offset=1)
    again.result(AttemptState.SETTLED, "one", offset=1)
    assert states(again.read(111, 180)) == (CHANGED, CHANGED)
    again.cut(LIQUIDITY_ACTION, 0)
    books = again.read(111, 180).books
    assert books is not None
    assert books.actions_read == CommandPosition(topic_id=f"{LIQUIDITY_ACTION.name}-1", next_offset=0)
    again.action("deposit_completed", 7, mint="mint-1", offset=0)
    last = again.read(118, 180)
    assert states(last)[0] is CHANGED
    assert last.books is not None
    assert [last.books.results_read, last.books.actions_read] == [
        CommandPosition(topic_id=f"{TRADE_RESULT.name}-1", next_offset=2),
        CommandPosition(topic_id=f"{LIQUIDITY_ACTION.name}-1", next_offset=1),
    ]


@pytest.mark.parametrize("kept_after", [True, False])
def test_offers_that_were_open_before_a_restart_still_explain_their_fills(*, kept_after: bool) -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    if kept_after:
        sync.action("deposit_completed", 1, mint="mint-0")
        assert states(sync.read(101))[0] is CHANGED
    here = 100 + kept_after
    again = sync.restart()
    assert states(again.read(here + 10, 180)) == (AWAITED, AWAITED)
    again.result(AttemptState.SETTLED)
    assert states(again.read(here + 10, 180)) == (CHANGED, CHANGED)


def test_nothing_is_published_before_evidence_was_read_back() -> None:
    logic = InventorySync(
        pair=PAIR, account=ACCOUNT, interval_ms=1_000, bridge_interval_s=15, inventory_age_max_ms=10_000
    )
    logic.on_event(BusChanged(up=True, reason=""), T0)
    effects = logic.on_event(Started(active=True, generation=None, start_id="sync-1"), T0)
    assert [each.topic for each in of(Subscribe, effects)] == [INTENT_INVENTORY]
    assert of(RestoreBooks, effects)
    assert "reading_back" in logic.not_ready(T0)
    logic.on_event(CaughtUp(topic=INTENT_INVENTORY.name, topic_id="t"), T0)
    sync = begun()
    reading = VerifierRead(reading=sync.logic._reading)  # type: ignore[arg-type] # any reading will do
    assert not published(logic.on_event(reading, sync.now), INTENT_INVENTORY.name)


# --- what PostgreSQL has --------------------------------------------------------------------------------------------


def test_books_that_nobody_declared_and_that_are_nowhere_trust_nothing() -> None:
    """The last snapshot is gone, or of a version that we cannot read: an operator says what is the owner's own."""
    sync = Sync(books=MemoryBooks())
    first = sync.read()
    assert states(first) == (RISE, RISE)
    assert (first.trusted(BTC), first.trusted(EURE)) == (0, 0)
    sync.operator("accept-balance", asset="BTC", unexplained="100")
    later = sync.restart().read()
    assert (later.trusted(BTC), later.trusted(EURE)) == (100, 0)


def test_the_loss_of_the_snapshots_loses_no_books() -> None:
    sync = begun()
    sync.read(90)
    again = sync.restart().read(90)
    assert (states(again), again.unexplained(BTC)) == ((FALL, UNCHANGED), -10)


def test_books_of_a_version_that_kept_them_in_its_topic_are_taken_over() -> None:
    before = begun()
    last = before.read(93)
    again = Sync(a_record(INTENT_INVENTORY, last), books=MemoryBooks(), second=9)
    assert (states(again.read(93)), again.logic.state(again.now).unexplained["BTC"]) == ((FALL, UNCHANGED), "-7")
    assert again.restart().read(93).unexplained(BTC) == -7


def test_an_asset_that_is_new_in_the_books_is_not_trusted() -> None:
    sync = begun()
    last = sync.read()
    assert last.books is not None
    known = {asset: amount for asset, amount in last.books.explained.items() if asset == BTC}
    narrow = replace(last, books=replace(last.books, explained=known))
    again = Sync(a_record(INTENT_INVENTORY, narrow), books=MemoryBooks(), second=9)
    assert states(again.read()) == (UNCHANGED, RISE)


def test_while_postgresql_is_away_nothing_is_counted_and_what_would_be_is_unknown() -> None:
    sync = begun()
    sync.database_up = False
    assert states(sync.read()) == (UNCHANGED, UNCHANGED), "what does not change needs nobody"
    sync.result(AttemptState.CLAIMED, held=20)
    sync.result(AttemptState.SETTLED, held=0)
    sync.second += 1
    sync.silent_read(110, 180)
    unknown = sync.read(110, 180)
    assert (unknown.reconciliation, unknown.changes) == ({}, ())
    assert unknown.trusted(BTC) == 100
    assert sync.logic.control_state(sync.now)["unexplained EURe"] == "-20"
    sync.restored()
    explained = sync.read(110, 180)
    assert (states(explained), explained.unexplained(EURE)) == ((UNCHANGED, UNCHANGED), 0)


def test_nothing_is_accepted_that_postgresql_cannot_keep() -> None:
    sync = begun()
    sync.read(100, 150)
    sync.feed(DatabaseChanged(up=False, reason="gone"))
    with pytest.raises(ControlRefused, match="has not kept the books"):
        act(sync.logic, "accept-balance", sync.now, asset="EURe", unexplained="-50")


def test_what_is_counted_while_kafka_is_away_stands_in_the_first_record_that_it_has() -> None:
    sync = begun()
    sync.acknowledging = False
    sync.action("deposit_completed", 5, mint="mint-1")
    assert [each.evidence for each in sync.read(105).changes] == ["mint-1"]
    assert [each.evidence for each in sync.read(105).changes] == ["mint-1"], "nobody has said that it is there"
    again = sync.restart()
    assert [each.evidence for each in again.read(105).changes] == ["mint-1"], "nor did it before the end"
    assert again.read(105).changes == ()


def test_an_older_copy_of_the_database_under_a_running_service_is_made_up_for() -> None:
    sync = begun()
    older = copy.deepcopy(sync.books)
    sync.action("deposit_completed", 5, mint="mint-1", began_s=sync.second)
    sync.result(AttemptState.CLAIMED, held=20)
    sync.result(AttemptState.SETTLED)
    sync.read(115, 180)
    sync.read(118, 180)
    sync.operator("accept-balance", asset="BTC", unexplained="3")
    sync.books = older
    sync.action("deposit_completed", 7, mint="mint-2", began_s=sync.second)
    last = sync.read(125, 180)
    assert (last.unexplained(BTC), last.unexplained(EURE)) == (0, 0)
    assert last.books is not None
    assert last.books.transferred == {BTC: 15}
    assert len(older.evidence[ACCOUNT]) == 5
    assert sync.restart().read(125, 180).books == last.books


def test_two_at_a_time_count_everything_once() -> None:
    sync = begun()
    other = sync.restart()
    other.read()
    for each in (sync, other):
        each.action("deposit_completed", 5, mint="mint-1")
    seen = [each.read(105) for each in (sync, other, sync, other)]
    assert {snapshot.unexplained(BTC) for snapshot in seen} == {0}
    assert seen[-1].books is not None
    assert seen[-1].books.transferred == {BTC: 5}
