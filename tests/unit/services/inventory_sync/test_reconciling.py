"""Every change of a balance has its evidence: fill, credit, withdrawal, an operator's word, or it is unexplained."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from support.engine import a_control
from support.inventory import ACCOUNT, Sync
from support.logic import BTC, EURE, act, lines, of, published
from support.reconciling import AWAITED, CHANGED, FALL, RISE, UNCHANGED, begun, states
from unrip.domain.attempt import AttemptState
from unrip.domain.desk_state import CommandPosition
from unrip.domain.inventory import ChangeKind, IntentInventory, Reconciliation
from unrip.domain.pairs import Direction
from unrip.domain.values import AMOUNT_MAX, Amount
from unrip.frame.contract import ControlRefused, Count
from unrip.messages.envelope import decode, encode
from unrip.messages.topics import INTENT_INVENTORY, LIQUIDITY_ACTION, TRADE_RESULT


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


@pytest.mark.parametrize("first", [AttemptState.SETTLED, AttemptState.LAPSED])
def test_ends_of_one_offer_that_contradict_each_other_are_one_fill(first: AttemptState) -> None:
    """What was counted is not counted again with other numbers, and what lapsed by one word may settle by another."""
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    sync.result(first)
    sync.result(AttemptState.SETTLED)
    assert states(sync.read(110, 180)) == (CHANGED, CHANGED)
    sync.result(AttemptState.SETTLED, brings=50, takes=70)
    sync.result(AttemptState.LAPSED)
    after_all = sync.read(110, 180)
    assert (states(after_all), after_all.unexplained(BTC)) == ((UNCHANGED, UNCHANGED), 0)
    assert sync.restart().read(110, 180).unexplained(EURE) == 0


def test_a_hold_that_no_ledger_has_explains_nothing_beyond_the_next_result() -> None:
    """Whoever wrote it, and whichever block it named: what is told long after knows of all that was."""
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    record = sync.log[TRADE_RESULT.name][-1]
    told = record.message.payload
    forged = replace(told, ledger=replace(told.ledger, height=2**62, held={EURE: Amount(10**6)}))
    ahead = sync.now + timedelta(days=400)
    sync.again(replace(record, message=replace(record.message, payload=forged, observed_at=ahead)))
    assert states(sync.read(100, 150)) == (UNCHANGED, AWAITED)
    sync.second += 6
    sync.result(AttemptState.LAPSED, held=0)
    assert states(sync.read(100, 150)) == (UNCHANGED, FALL)
    sync.again(record)
    assert states(sync.read(100, 150)) == (UNCHANGED, FALL), "an old result that is told again holds nothing"


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
    assert sync.restart().read(120).books == withdrawn.books
    sync.action("withdrawal_finished", 30, name="w1")
    assert states(sync.read(120)) == (UNCHANGED, UNCHANGED), "a later step is no second withdrawal"


def test_what_the_bridge_did_before_the_first_reading_explains_nothing() -> None:
    sync = begun()
    sync.action("deposit_completed", 50, mint="long ago")
    assert states(sync.read()) == (UNCHANGED, UNCHANGED)
    assert states(sync.read(150)) == (RISE, UNCHANGED)


def test_a_withdrawal_from_before_the_books_hides_no_loss() -> None:
    sync = begun()
    sync.second = 20
    assert states(sync.read(95)) == (FALL, UNCHANGED)
    sync.action("withdrawal_finished", 5, name="long ago", began_s=0)
    assert states(sync.read(95)) == (FALL, UNCHANGED)


@pytest.mark.parametrize("step", ["deposit_completed", "withdrawal_seen"])
def test_what_the_bridge_dates_ahead_may_be_as_old_as_anything(step: str) -> None:
    """It began before it was heard of, or its date is none: what the balance shows decides."""
    sync = begun()
    sync.action(step, 50, mint="long ago", began_s=sync.second + 3_600)
    assert states(sync.read()) == (UNCHANGED, UNCHANGED)
    moved = 50 if step == "deposit_completed" else -50
    sync.action(step, 50, mint="just now", name="d2", began_s=sync.second + 3_600)
    assert states(sync.read(100 + moved)) == (CHANGED, UNCHANGED)


def test_a_new_deposit_hides_no_loss_of_the_same_amount() -> None:
    sync = begun()
    sync.action("deposit_completed", 5, mint="mint-1", began_s=sync.second)
    fall = sync.read(100)
    assert (states(fall), fall.unexplained(BTC)) == ((FALL, UNCHANGED), -5)


def test_a_deposit_that_may_be_older_waits_for_open_offers_that_could_hide_it_and_is_judged_once() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, direction=Direction.BASE_OUT, brings=20, takes=50, held_btc=50)
    sync.action("deposit_credited", 30, mint="mint-1")
    assert states(sync.read()) == (UNCHANGED, UNCHANGED)
    sync.result(AttemptState.LAPSED, direction=Direction.BASE_OUT, brings=20, takes=50)
    assert states(sync.read()) == (UNCHANGED, UNCHANGED), "it was in what was there at the beginning"
    sync.result(AttemptState.CLAIMED, "two", direction=Direction.BASE_OUT, brings=20, takes=50, held_btc=50)
    sync.action("deposit_completed", 30, mint="mint-1")
    sync.read()
    sync.result(AttemptState.LAPSED, "two", direction=Direction.BASE_OUT, brings=20, takes=50)
    assert states(sync.read()) == (UNCHANGED, UNCHANGED)


@pytest.mark.parametrize("steps", [("seen", "finished"), ("seen", "failed"), ("failed", "failed")])
def test_a_withdrawal_is_counted_once_while_open_offers_could_bring_as_much(steps: tuple[str, str]) -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, brings=40, takes=20, held=20)
    for step in steps:
        sync.action(f"withdrawal_{step}", 40, name="w1")
        sync.read(60)
    sync.result(AttemptState.LAPSED, brings=40, takes=20)
    last = sync.read(60)
    assert (states(last), last.unexplained(BTC)) == ((UNCHANGED, UNCHANGED), 0)
    assert last.books is not None
    assert last.books.transferred == {BTC: -40}


@pytest.mark.parametrize(("back", "state", "transferred"), [(40, CHANGED, 0), (39, RISE, -40)])
def test_a_withdrawal_that_the_bridge_gives_back_is_a_credit_where_the_balance_shows_all_of_it(
    back: int, state: Reconciliation, transferred: int
) -> None:
    sync = begun()
    sync.action("withdrawal_seen", 40, name="w1", began_s=sync.second)
    assert states(sync.read(60)) == (CHANGED, UNCHANGED)
    sync.action("withdrawal_finished", 40, name="w1", began_s=1, status="RETURNED")
    awaited = sync.read(60 + back)
    assert (states(awaited), awaited.trusted(BTC)) == ((AWAITED, UNCHANGED), 60)
    sync.second += 60
    last = sync.read(60 + back)
    assert states(last) == (state, UNCHANGED)
    sync.action("withdrawal_finished", 40, name="w1", status="RETURNED")
    sync.second += 60
    assert last.books is not None
    assert last.books.transferred[BTC] == transferred
    assert sync.read(60 + back).books == replace(
        last.books, actions_read=CommandPosition(topic_id=f"{LIQUIDITY_ACTION.name}-1", next_offset=3)
    )


@pytest.mark.parametrize("amounts", [(5, 7), (5, 5)])
@pytest.mark.parametrize("restarted", [False, True])
def test_two_deposits_of_one_mint_count_each_with_its_own_amount_and_each_once(
    amounts: tuple[int, int], restarted: bool
) -> None:
    """The bridge may collect several and mint them by one transaction."""
    sync = begun()
    for step in ("credited", "completed", "completed"):
        for number, amount in enumerate(amounts):
            sync.action(f"deposit_{step}", amount, mint="mint-1", name=f"d{number}", began_s=11)
        sync = sync.restart() if restarted else sync
        last = sync.read(100 + sum(amounts))
        assert (last.unexplained(BTC), states(last)[0] in {CHANGED, UNCHANGED}) == (0, True)
        assert last.books is not None
        assert last.books.transferred == {BTC: sum(amounts)}


@pytest.mark.parametrize("waits", [True, False])
def test_a_mint_that_an_earlier_version_knew_without_its_deposit_counts_no_second_time(waits: bool) -> None:
    sync = begun()
    sync.action("deposit_credited", 5, mint="mint-1", began_s=11)
    if waits:
        (change,) = sync.logic._reconciler._waiting
        sync.logic._reconciler._waiting = [replace(change, part="")]
    last = sync.read(105)
    if not waits:
        (key,) = sync.books.evidence[ACCOUNT]
        old = sync.books.evidence[ACCOUNT].pop(key)
        sync.books.evidence[ACCOUNT][replace(key, part="")] = old
        sync = sync.restart()
    sync.action("deposit_completed", 5, mint="mint-1", began_s=11)
    sync.action("deposit_completed", 7, mint="mint-1", name="d2", began_s=11)
    last = sync.read(112)
    assert last.books is not None
    assert (last.unexplained(BTC), last.books.transferred) == (0, {BTC: 12})


@pytest.mark.parametrize("amount", [AMOUNT_MAX + 1, 10**78 - 1])
def test_amounts_that_nothing_can_count_explain_nothing_however_many_are_told(amount: int) -> None:
    """Who can write the topics must not make books that the next life cannot read."""
    sync = begun()
    for number in range(25):
        sync.action("deposit_completed", amount, mint=f"mint {number}", name=f"d{number}", began_s=11)
        sync.action("withdrawal_finished", amount, name=f"w{number}", began_s=11, status="RETURNED")
        sync.result(AttemptState.SETTLED, f"offer {number}", brings=amount, takes=amount)
    last = sync.read()
    assert states(last) == (UNCHANGED, UNCHANGED)
    assert decode(encode(last), IntentInventory) == last
    assert states(sync.restart().read()) == (UNCHANGED, UNCHANGED)


@pytest.mark.parametrize("asset_in", ["nep141:nobody.near", EURE])
@pytest.mark.parametrize("amount_in", [0, 1, AMOUNT_MAX + 1])
def test_a_fill_that_brings_nothing_of_ours_hides_no_loss(asset_in: str, amount_in: int) -> None:
    """Who can write the topic of the results takes something and tells that it was sold for a token of his own."""
    sync = begun()
    sync.result(AttemptState.SETTLED, brings=10, takes=20)
    (record,) = sync.log[TRADE_RESULT.name]
    result = record.message.payload
    told = {"asset_in": asset_in, "amount_in": Amount(amount_in), "asset_out": EURE, "amount_out": Amount(20)}
    forged = replace(result, command_id="forged", exchange=replace(result.exchange, **told))
    sync.read(110, 180)
    sync.again(replace(record, message=replace(record.message, payload=forged)))
    last = sync.read(110, 160)
    assert (states(last)[1], last.unexplained(EURE)) == (FALL, -20)


@pytest.mark.parametrize("mint", ["m" * 257, "m\0", "\0" * 1_000, "é" * 100_000])
def test_foreign_text_that_no_index_holds_is_known_by_its_hash(mint: str) -> None:
    sync = begun()
    for step in ("credited", "completed"):
        sync.action(f"deposit_{step}", 5, mint=mint, began_s=sync.second)
        last = sync.read(105)
    assert last.unexplained(BTC) == 0
    (key,) = sync.books.evidence[ACCOUNT]
    assert len(key.evidence) == len("sha256 ") + 64


def test_a_fill_that_is_told_again_after_any_number_of_others_is_counted_once() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, held=20)
    sync.result(AttemptState.SETTLED)
    first = sync.log[TRADE_RESULT.name][-1]
    sync.read(110, 180)
    sync = sync.restart()
    sync.result(AttemptState.CLAIMED, "open", held=20)
    sync.again(first)
    sync.read(110, 180)
    sync.result(AttemptState.LAPSED, "open")
    last = sync.read(110, 180)
    assert (last.unexplained(BTC), last.unexplained(EURE)) == (0, 0)


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
    accepting = a_control("accept-balance", asset="EURe", unexplained="-50")
    assert sync.logic.follow(accepting, sync.now) == {"unexplained EURe": "0"}
    assert sync.logic.control_state(sync.now)["unexplained EURe"] == "-50"
    before = len(sync.effects)
    sync.operator("accept-balance", asset="EURe", unexplained="-50")
    assert lines(sync.effects[before:]) == ["balance_explained"]
    (record,) = published(sync.effects[before:], INTENT_INVENTORY.name)
    assert states(record.payload) == (UNCHANGED, CHANGED)
    assert [(each.kind, each.change, each.evidence) for each in record.payload.changes] == [
        (ChangeKind.ACCEPTED, -50, "operator")
    ]
    assert sync.logic.control_state(sync.now)["unexplained EURe"] == "0"
    assert not sync.logic.tightens(a_control("accept-balance")), "it is recorded first"
    assert states(sync.read(100, 150)) == (UNCHANGED, UNCHANGED)


def test_what_is_accepted_is_shown_as_explained_before_it_is_kept() -> None:
    """The operator's word is an action with a before and an after, and PostgreSQL answers later."""
    sync = begun()
    sync.read(103, 150)
    sync.database_up = False
    sync.operator("accept-balance", asset="EURe", unexplained="-50")
    assert sync.logic.state(sync.now).unexplained == {"BTC": "3", "EURe": "0"}
    sync.restored()
    assert sync.logic.state(sync.now).unexplained == {"BTC": "3", "EURe": "0"}


def test_an_operators_word_holds_once_also_where_as_much_is_missing_again() -> None:
    sync = begun()
    sync.read(100, 150)
    sync.database_up = False
    sync.operator("accept-balance", asset="EURe", unexplained="-50")
    sync.silent_read(100, 100)
    assert sync.logic.state(sync.now).unexplained["EURe"] == "-50"
    sync.restored()
    assert sync.logic.state(sync.now).unexplained["EURe"] == "-50"
    assert states(sync.read(100, 100)) == (UNCHANGED, FALL)


def test_of_an_asset_that_was_never_read_nothing_is_known() -> None:
    reconciler = Sync().logic._reconciler
    assert reconciler.unexplained(BTC) is None
    assert begun().logic._reconciler.unexplained("nep141:other") is None


def test_nothing_is_accepted_while_evidence_waits_for_a_block_that_may_be_in_the_reading_or_not() -> None:
    sync = begun()
    sync.result(AttemptState.CLAIMED, "waits", held=20)
    sync.result(AttemptState.SETTLED, "waits", block_s=60)
    assert states(sync.read(100, 150))[1] is FALL
    unexplained = sync.logic.control_state(sync.now)["unexplained EURe"]
    with pytest.raises(ControlRefused, match="evidence about EURe waits for the next final block"):
        act(sync.logic, "accept-balance", sync.now, asset="EURe", unexplained=unexplained)


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
            sync = sync.restart()
    snapshot = sync.read(btc, eure - stolen)
    assert snapshot.unexplained(EURE) == -stolen
    assert (snapshot.reconciliation[EURE] is FALL) == (stolen > 0)
