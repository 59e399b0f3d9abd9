"""Every change of a balance has its evidence: fill, credit, withdrawal, an operator's word, or it is unexplained."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.engine import a_control, a_record
from support.logic import BTC, EURE, PAIR, T0, act, after, lines, of, published
from unrip.domain.attempt import AttemptState, ChainEvidence, TradeResult
from unrip.domain.command import Exchange
from unrip.domain.desk import CommandPosition, LedgerView
from unrip.domain.inventory import ChangeKind, IntentInventory, Reconciliation
from unrip.domain.pairs import Direction
from unrip.domain.treasury import LiquidityAction
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading
from unrip.messages.topics import INTENT_INVENTORY, LIQUIDITY_ACTION, TRADE_RESULT, Topic
from unrip.service.contract import (
    BusChanged,
    CaughtUp,
    ControlRefused,
    Count,
    Effect,
    Published,
    RecordReceived,
    Started,
    Subscribe,
    TopicTruncated,
)
from unrip.services.inventory_sync.effects import VerifierRead
from unrip.services.inventory_sync.logic import RESULTS_READ_AGAIN, InventorySync

ACCOUNT = "desk.example.near"
FIRST, UNCHANGED, CHANGED, AWAITED = (
    Reconciliation.FIRST,
    Reconciliation.UNCHANGED,
    Reconciliation.CHANGED,
    Reconciliation.AWAITED,
)
RISE, FALL = Reconciliation.UNEXPLAINED_RISE, Reconciliation.UNEXPLAINED_FALL


class Sync:
    """inventory-sync with the chain and the two topics of evidence told by hand; every reading is a second later."""

    def __init__(self, earlier: RecordReceived | None = None) -> None:
        self.logic = InventorySync(
            pair=PAIR, account=ACCOUNT, interval_ms=1_000, bridge_interval_s=15, inventory_age_max_ms=10_000
        )
        self.effects: list[Effect] = []
        self.second = 0
        self._offsets = {TRADE_RESULT.name: 0, LIQUIDITY_ACTION.name: 0}
        self._feed(BusChanged(up=True, reason=""), Started(active=True, generation=None, start_id="sync-1"))
        if earlier is not None:
            self._feed(earlier)
        self._feed(*(CaughtUp(topic=each.name, topic_id=f"{each.name}-1") for each in (INTENT_INVENTORY,)))
        self._feed(*(CaughtUp(topic=name, topic_id=f"{name}-1") for name in self._offsets))

    def _feed(self, *events: Any) -> None:
        for event in events:
            self.effects += self.logic.on_event(event, self.now)

    @property
    def now(self) -> datetime:
        return after(seconds=self.second)

    def read(self, btc: int = 100, eure: int = 200) -> IntentInventory:
        """A final block a second later; gives the snapshot."""
        self.second += 1
        reading = VerifierReading(
            height=100 + self.second,
            block_time=self.now,
            observed_at=self.now,
            credited={BTC: Amount(btc), EURE: Amount(eure)},
            salt="252812b3",
            fee_pips=1,
            key_registered=True,
            account_locked=False,
            contract_paused=False,
            nonces={},
            salts={},
        )
        effects = self.logic.on_event(VerifierRead(reading=reading), self.now)
        self.effects += effects
        (record,) = published(effects, INTENT_INVENTORY.name)
        self._feed(Published(token=record.event_id, offset=self.second))
        snapshot: IntentInventory = record.payload
        return snapshot

    def result(
        self,
        state: AttemptState,
        name: str = "one",
        *,
        brings: int = 10,
        takes: int = 20,
        held: int = 0,
        block_s: int | None = None,
        offset: int | None = None,
    ) -> None:
        """A state of an offer that brings BTC and takes EURe, with what is held of EURe after it."""
        evidence = ChainEvidence(
            height=1, block_time=after(seconds=self.second if block_s is None else block_s), nonce_used=True,
            salt_valid=True,
        )  # fmt: skip
        result = TradeResult(
            command_id=name,
            quote_id=name,
            account=ACCOUNT,
            pair=PAIR.name,
            direction=Direction.BASE_IN,
            state=state,
            reason=None,
            numbers={},
            quote_hash=name,
            request=None,
            response=None,
            evidence=evidence if state is AttemptState.SETTLED else None,
            next_check_at=None,
            ledger=LedgerView(height=1, credited={}, held={EURE: Amount(held)}, position=None, without_answer=0),
            exchange=Exchange(asset_in=BTC, amount_in=Amount(brings), asset_out=EURE, amount_out=Amount(takes)),
        )
        self._feed(a_record(TRADE_RESULT, result, offset=self._next(TRADE_RESULT.name, offset)))

    def action(self, step: str, amount: int, *, mint: str = "", name: str = "d1", offset: int | None = None) -> None:
        """A step of the bridge about BTC, read just now."""
        action = LiquidityAction(
            action_id=name,
            account=ACCOUNT,
            step=step,
            asset_id=BTC,
            chain="btc:mainnet",
            amount=Amount(amount),
            details={"mint_tx_hash": mint},
        )
        offset = self._next(LIQUIDITY_ACTION.name, offset)
        self._feed(a_record(LIQUIDITY_ACTION, action, offset=offset, observed_at=self.now))

    def cut(self, topic: Topic, end: int) -> None:
        """The broker has lost the newest records of a topic."""
        self._feed(TopicTruncated(topic=topic.name, topic_id=f"{topic.name}-1", offset=end))

    def _next(self, topic: str, offset: int | None) -> int:
        if offset is None:
            offset = self._offsets[topic]
            self._offsets[topic] += 1
        return offset


def begun() -> Sync:
    sync = Sync()
    assert set(sync.read().reconciliation.values()) == {FIRST}
    return sync


def states(snapshot: IntentInventory) -> tuple[Reconciliation, Reconciliation]:
    return snapshot.reconciliation[BTC], snapshot.reconciliation[EURE]


def test_a_fill_is_awaited_while_its_offer_is_open_and_explained_by_its_result() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    assert states(sync.read()) == (UNCHANGED, UNCHANGED)
    awaited = sync.read(110, 180)
    assert states(awaited) == (AWAITED, AWAITED)
    assert (awaited.trusted(BTC), awaited.trusted(EURE)) == (100, 180), "what came is not spendable before its evidence"
    sync.result(AttemptState.SETTLED)
    explained = sync.read(110, 180)
    assert states(explained) == (CHANGED, CHANGED)
    assert [(each.kind, each.asset_id, each.change, each.evidence) for each in explained.changes] == [
        (ChangeKind.FILL, BTC, 10, "one"),
        (ChangeKind.FILL, EURE, -20, "one"),
    ]
    assert (explained.trusted(BTC), explained.unexplained(BTC)) == (110, 0)
    assert sync.read(110, 180).changes == ()
    assert lines(sync.effects) == []


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_a_result_that_comes_before_our_node_shows_the_block_waits_for_it(lag: int) -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    sync.result(AttemptState.SETTLED, block_s=sync.second + lag)
    for _ in range(lag - 1):
        assert states(sync.read()) == (UNCHANGED, UNCHANGED)
    assert states(sync.read(110, 180)) == (CHANGED, CHANGED)
    assert lines(sync.effects) == []


def test_a_block_between_the_fill_and_its_evidence_is_awaited_although_the_hold_is_gone() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    sync.result(AttemptState.SETTLED, held=0, block_s=sync.second + 2)
    assert states(sync.read(110, 180)) == (AWAITED, AWAITED)
    assert states(sync.read(110, 180)) == (CHANGED, CHANGED)


def test_a_gift_is_told_once_and_not_spendable() -> None:
    sync = begun()
    gift = sync.read(101)
    assert states(gift) == (RISE, UNCHANGED)
    assert (gift.unexplained(BTC), gift.trusted(BTC), gift.credited[BTC]) == (1, 100, 101)
    sync.read(101)
    assert lines(sync.effects) == ["balance_unexplained"]
    assert [count.labels for count in of(Count, sync.effects) if count.name == "balances_unexplained"] == [
        {"asset": "BTC", "how": "unexplained_rise"}
    ]


def test_a_fall_beyond_open_holds_is_unexplained_until_the_balance_is_back() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    assert states(sync.read(100, 180)) == (UNCHANGED, AWAITED)
    fall = sync.read(100, 179)
    assert (states(fall), fall.unexplained(EURE)) == ((UNCHANGED, FALL), -21)
    sync.result(AttemptState.LAPSED, held=0)
    assert states(sync.read(100, 180)) == (UNCHANGED, FALL), "the hold no longer explains it"
    assert states(sync.read(100, 200)) == (UNCHANGED, CHANGED)
    assert lines(sync.effects) == ["balance_unexplained", "balance_explained"]


def test_a_mint_explains_a_rise_and_a_withdrawal_a_fall_whichever_is_heard_of_first() -> None:
    sync = begun()
    assert states(sync.read(150)) == (RISE, UNCHANGED)
    sync.action("deposit_pending", 50)
    sync.action("deposit_credited", 50)
    assert states(sync.read(150)) == (RISE, UNCHANGED), "the bridge names no mint yet"
    sync.action("deposit_completed", 50, mint="mint-1")
    explained = sync.read(150)
    assert states(explained) == (CHANGED, UNCHANGED)
    assert [(each.kind, each.evidence) for each in explained.changes] == [(ChangeKind.CREDIT, "mint-1")]
    sync.second -= 1  # the bridge is a block ahead of our node
    sync.action("withdrawal_seen", 30, name="w1")
    sync.second += 1
    withdrawn = sync.read(120)
    assert states(withdrawn) == (CHANGED, UNCHANGED)
    assert [(each.kind, each.change, each.evidence) for each in withdrawn.changes] == [
        (ChangeKind.WITHDRAWAL, -30, "w1")
    ]
    assert withdrawn.books is not None
    assert withdrawn.books.transferred == {BTC: 20}
    assert restarted(withdrawn, second=9).read(120).books == withdrawn.books
    sync.action("withdrawal_finished", 30, name="w1")
    assert states(sync.read(120)) == (UNCHANGED, UNCHANGED), "a later step is no second withdrawal"


def test_what_the_bridge_did_before_the_first_reading_explains_nothing() -> None:
    sync = begun()
    sync.action("deposit_completed", 50, mint="long ago")
    assert states(sync.read()) == (UNCHANGED, UNCHANGED)
    assert states(sync.read(150)) == (RISE, UNCHANGED)


# --- the operator ---------------------------------------------------------------------------------------------------


def test_an_operator_accepts_exactly_what_is_unexplained() -> None:
    sync = begun()
    sync.read(100, 150)
    for wrong, complaint in (
        ({"asset": "BTC", "unexplained": "0"}, "nothing of BTC"),
        ({"asset": "ETH", "unexplained": "-50"}, "no asset of"),
        ({"asset": "EURe", "unexplained": "-49"}, "-50 of EURe is unexplained by now"),
    ):
        with pytest.raises(ControlRefused, match=complaint):
            act(sync.logic, "accept-balance", sync.now, **wrong)
    assert sync.logic.control_state(sync.now)["unexplained EURe"] == "-50"
    effects = act(sync.logic, "accept-balance", sync.now, asset="EURe", unexplained="-50")
    assert lines(effects) == ["balance_explained"]
    (record,) = published(effects, INTENT_INVENTORY.name)
    assert states(record.payload) == (UNCHANGED, CHANGED)
    assert [(each.kind, each.change, each.evidence) for each in record.payload.changes] == [
        (ChangeKind.ACCEPTED, -50, "operator")
    ]
    assert sync.logic.control_state(sync.now)["unexplained EURe"] == "0"
    assert not sync.logic.tightens(a_control("accept-balance")), "it is recorded first"
    assert states(sync.read(100, 150)) == (UNCHANGED, UNCHANGED)


def test_nothing_is_accepted_while_evidence_waits_for_a_block_that_may_be_in_the_reading_or_not() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, "waits", held=20)
    sync.result(AttemptState.SETTLED, "waits", block_s=60)
    assert states(sync.read(100, 150))[1] is FALL
    unexplained = sync.logic.control_state(sync.now)["unexplained EURe"]
    with pytest.raises(ControlRefused, match="evidence about EURe waits for the next final block"):
        act(sync.logic, "accept-balance", sync.now, asset="EURe", unexplained=unexplained)


# --- restarts -------------------------------------------------------------------------------------------------------


def restarted(snapshot: IntentInventory, *, second: int) -> Sync:
    sync = Sync(a_record(INTENT_INVENTORY, snapshot))
    sync.second = second
    return sync


def test_a_restart_forgives_nothing_and_counts_nothing_twice() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, "waits", held=20)
    sync.result(AttemptState.SETTLED, "waits", block_s=60)
    sync.action("deposit_completed", 7, mint="mint-1")
    unexplained = sync.read(107, 150)
    assert states(unexplained) == (CHANGED, FALL)
    again = restarted(unexplained, second=10)
    results, actions = (
        next(each for each in of(Subscribe, again.effects) if each.topic == topic)
        for topic in (TRADE_RESULT, LIQUIDITY_ACTION)
    )
    assert (results.topic_id, results.offset) == (f"{TRADE_RESULT.name}-1", max(0, 2 - RESULTS_READ_AGAIN))
    assert (actions.topic_id, actions.offset) == (f"{LIQUIDITY_ACTION.name}-1", 1)
    again.result(AttemptState.CLAIMED, "waits", held=20, offset=0)
    again.result(AttemptState.SETTLED, "waits", block_s=60, offset=1)
    assert states(again.read(107, 150)) == (UNCHANGED, FALL)
    again.second = 60
    assert states(again.read(117, 130)) == (CHANGED, FALL)


def test_fills_at_offsets_that_a_cut_topic_gives_out_again_are_counted() -> None:
    sync = begun()
    for offset, name in enumerate(("one", "two")):
        sync.result(AttemptState.CLAIMED, name, held=20, offset=offset)
    again = restarted(sync.read(), second=5)
    again.cut(TRADE_RESULT, 1)
    again.result(AttemptState.SETTLED, "one", offset=1)
    assert states(again.read(110, 180)) == (CHANGED, CHANGED)
    again.cut(LIQUIDITY_ACTION, 0)
    again.action("deposit_completed", 7, mint="mint-1", offset=0)
    last = again.read(117, 180)
    assert states(last)[0] is CHANGED
    assert last.books is not None
    assert [last.books.results_read, last.books.actions_read] == [
        CommandPosition(topic_id=f"{TRADE_RESULT.name}-1", next_offset=2),
        CommandPosition(topic_id=f"{LIQUIDITY_ACTION.name}-1", next_offset=1),
    ]


def test_offers_that_were_open_before_a_restart_still_explain_their_fills() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    again = restarted(sync.read(), second=5)
    again.result(AttemptState.CLAIMED, held=20, offset=0)
    assert states(again.read(110, 180)) == (AWAITED, AWAITED)
    again.result(AttemptState.SETTLED, offset=1)
    assert states(again.read(110, 180)) == (CHANGED, CHANGED)


def test_nothing_is_published_before_evidence_was_read_back() -> None:
    logic = InventorySync(
        pair=PAIR, account=ACCOUNT, interval_ms=1_000, bridge_interval_s=15, inventory_age_max_ms=10_000
    )
    logic.on_event(BusChanged(up=True, reason=""), T0)
    effects = logic.on_event(Started(active=True, generation=None, start_id="sync-1"), T0)
    assert [each.topic for each in of(Subscribe, effects)] == [INTENT_INVENTORY]
    assert "reading_back" in logic.not_ready(T0)
    logic.on_event(CaughtUp(topic=INTENT_INVENTORY.name, topic_id="t"), T0)
    sync = begun()
    reading = VerifierRead(reading=sync.logic._reading)  # type: ignore[arg-type] # any reading will do
    assert not published(logic.on_event(reading, sync.now), INTENT_INVENTORY.name)


# --- any course of things -------------------------------------------------------------------------------------------

MOVES = st.lists(
    st.tuples(
        st.sampled_from(["fill", "lapse", "deposit", "withdrawal", "quiet"]),
        st.integers(1, 9),
        st.integers(0, 3),
    ),
    max_size=20,
)


@given(moves=MOVES, stolen=st.integers(0, 5), restart_after=st.integers(0, 20))
def test_whatever_happens_with_evidence_is_explained_and_whatever_without_is_not(
    moves: list[tuple[str, int, int]], stolen: int, restart_after: int
) -> None:
    """Evidence comes late or early, one thing after the other; nothing but a theft is ever called unexplained."""
    sync, btc, eure = begun(), 100, 200
    for number, (what, amount, delay) in enumerate(moves):
        name = f"offer-{number}"
        if what in {"fill", "lapse"}:
            sync.result(AttemptState.CLAIMED, name, brings=amount, takes=amount, held=amount)
        if what == "fill":
            btc, eure = btc + amount, eure - amount
        elif what == "deposit":
            btc += amount
            sync.action("deposit_completed", amount, mint=name, name=name)
        elif what == "withdrawal":
            btc -= min(amount, btc)
            sync.action("withdrawal_seen", min(amount, btc + amount), name=name)
        seen: list[Reconciliation] = []
        for _ in range(delay if what == "fill" else 0):
            seen += states(sync.read(btc, eure))
        if what in {"fill", "lapse"}:
            ended = AttemptState.SETTLED if what == "fill" else AttemptState.LAPSED
            sync.result(ended, name, brings=amount, takes=amount, held=0)
        snapshot = sync.read(btc, eure)
        assert not {RISE, FALL} & {*seen, *states(snapshot)}, (number, what)
        assert (snapshot.unexplained(BTC), snapshot.unexplained(EURE)) == (0, 0)
        if number == restart_after:
            sync = restarted(snapshot, second=sync.second)
            assert snapshot.books is not None
            sync._offsets = {
                TRADE_RESULT.name: _next_of(snapshot.books.results_read),
                LIQUIDITY_ACTION.name: _next_of(snapshot.books.actions_read),
            }
    snapshot = sync.read(btc, eure - stolen)
    assert snapshot.unexplained(EURE) == -stolen
    assert (snapshot.reconciliation[EURE] is FALL) == (stolen > 0)


def _next_of(position: CommandPosition | None) -> int:
    return 0 if position is None else position.next_offset
