"""A ledger that goes back in time, at a start and under a running executor: nothing live is forgotten."""

from __future__ import annotations

import asyncio
import copy
from datetime import timedelta

import msgspec
import pytest

from support.bookkept import Bookkept, a_ledger, joining, opening, published
from support.cases import ACCOUNT, BTC, EURE, NOW
from support.engine import ARM, a_control, a_record
from support.executor import a_command, the_caps
from unrip.domain.attempt import AttemptState, ChainEvidence
from unrip.domain.command import TradeCommand
from unrip.domain.pairs import Direction
from unrip.domain.spending import SpendingCaps
from unrip.domain.values import Amount
from unrip.frame.contract import CaughtUp, ControlRefused, DatabaseChanged, Started, TimerFired, Unsubscribe
from unrip.frame.leases import ForgetLease
from unrip.messages.topics import EXECUTE_TRADE
from unrip.services.trade_executor.effects import (
    LoadLedger,
    PublishRevocation,
    ReadFills,
    RevocationSigned,
    SignRevocation,
)
from unrip.store.ledger import DatabaseIdentity
from unrip.store.memory_ledger import MemoryLedger

#: Enough for one offer of the tests and not for two.
LITTLE = {BTC.asset_id: Amount(10**7), EURE.asset_id: Amount(20 * 10**18)}
MINUTE = timedelta(minutes=1)
#: More than the longest life and its margin.
LONG = timedelta(seconds=75)


def a_desk() -> Bookkept:
    """Ready, with a ledger of its own."""
    return Bookkept(a_ledger(lambda: NOW)).ready()


def small(quote_id: str) -> TradeCommand:
    """A command decided on a snapshot that covers one offer."""
    return a_command(quote_id, inventory_credited=LITTLE[EURE.asset_id])


def restarted(ledger: MemoryLedger, desk: Bookkept, *, later: timedelta) -> Bookkept:
    """The next life, on another ledger, with the results of the last one on Kafka."""
    new = Bookkept(ledger)
    new.now, new._height = desk.now + later, desk._height + 100
    new.begin(published(desk.ledger))
    return new


def fall_back(desk: Bookkept, to: MemoryLedger) -> None:
    """The database is away for a moment, and what comes back is a copy of an earlier one."""
    desk.feed(DatabaseChanged(up=False, reason="fail-over"))
    desk.ledger = to
    desk.feed(DatabaseChanged(up=True, reason="it answers"))


# --- a shared nonce of which the copy knows the first offer only ---------------------------------------------------


def a_forgotten_joiner() -> tuple[Bookkept, MemoryLedger, TradeCommand, TradeCommand]:
    """Two offers on one nonce, and a copy from between them."""
    desk = a_desk()
    first = opening("first")
    second = joining(first, "second", later=MINUTE)
    desk.put(first, 0)
    before = copy.deepcopy(desk.ledger)
    desk.block(after=MINUTE)
    desk.put(second, 1)
    assert desk.frames == [first.command_id, second.command_id]
    return desk, before, first, second


@pytest.mark.parametrize("results", ["read", "not read yet"])
def test_a_nonce_does_not_end_before_every_command_is_in_the_ledger(results: str) -> None:
    """At the deadline of the first offer the second lives for most of a minute."""
    desk, before, first, second = a_forgotten_joiner()
    new = Bookkept(before)
    new.now, new._height = first.offer_deadline + timedelta(seconds=6), desk._height + 10
    if results == "read":
        new.begin(published(desk.ledger))
        new.block()
    else:
        desk.now = new.now
        new = restarted(before, desk, later=timedelta(0))
    new.block()
    assert new.held[EURE.asset_id] == first.amount_out, "the hold of the nonce is not released"
    new.commands_read((1, second))
    assert {offer.quote_id for offer in new.open_offers} == {"first", "second"}
    new.block()
    assert new.held[EURE.asset_id] == first.amount_out
    new.block(after=LONG)
    assert new.held == {}
    assert [state for state, _ in new.told("second")] == ["claimed", "lapsed"]


def test_before_the_results_are_read_no_nonce_ends() -> None:
    """They may say that the ledger is older."""
    desk, before, first, _second = a_forgotten_joiner()
    new = Bookkept(before)
    new.now, new._height = first.offer_deadline + timedelta(seconds=6), desk._height + 10
    new.feed(Started(active=True, generation=2, start_id="trade-executor-2"))
    new.connect()
    new.block()
    assert new.held[EURE.asset_id] == first.amount_out


def test_what_may_live_takes_the_hold_of_its_ended_nonce_again() -> None:
    """However it came that the nonce has ended, a command on it counts as perhaps sent and is never rejected."""
    desk, before, first, second = a_forgotten_joiner()
    new = Bookkept(before)  # nothing on Kafka tells it that it is older
    new.now, new._height = first.offer_deadline + timedelta(seconds=6), desk._height + 10
    new.begin()
    new.block()
    assert new.held == {}, "the nonce has ended"
    again = restarted(new.ledger, desk, later=timedelta(seconds=20))
    again.block()
    again.commands_read((1, second))
    assert again.told("second") == [("claimed", "perhaps_sent")]
    assert again.held[EURE.asset_id] == second.amount_out
    again.feed(a_control("halt", revoke=True))
    assert [effect.nonce for effect in again.of(SignRevocation)] == [second.nonce]
    again.block(after=LONG)
    assert [state for state, _ in again.told("second")] == ["claimed", "lapsed"]
    assert (again.held, again.quarantine) == ({}, None)


# --- what does not end a quarantine, and what does not end the executor --------------------------------------------


@pytest.mark.parametrize("in_the_way", ["paused", "no final block"])
def test_while_nothing_can_be_adopted_the_quarantine_goes_on(in_the_way: str) -> None:
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    command = a_command()
    desk.put(command, 0)
    new = restarted(before, desk, later=timedelta(seconds=5))
    if in_the_way == "paused":
        new.feed(a_control("pause"))
        new.block()
    new.commands_read((0, command))
    new.now += LONG
    if in_the_way == "no final block":
        assert "until every command is read" in str(new.logic.not_ready(new.now))
        assert new.told(command.quote_id) == []
    assert new.quarantine == "ledger_older_than_its_results"
    new.block()
    new.feed(a_control("resume"))
    assert new.told(command.quote_id)[0] == ("claimed", "perhaps_sent")
    new.block(after=LONG)
    assert [state for state, _ in new.told(command.quote_id)][-1] == "lapsed"
    assert new.quarantine is None


def test_what_was_adopted_counts_against_the_caps_of_the_executor() -> None:
    """Nothing more is sent of it, so no cap refuses it; but what is open and what was signed lately counts it."""
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    command = a_command()
    desk.put(command, 0)
    new = restarted(before, desk, later=timedelta(seconds=5))
    new.block()
    new.commands_read((0, command))
    own, asset = new.logic._own, command.asset_out
    limit = the_caps()[asset].open
    one_more = Amount(limit - command.amount_out + 1)
    for narrow, what in (("open", "with all open offers"), ("per_minute", "within 60 s")):
        wide = dict.fromkeys(("per_command", "per_minute", "open"), Amount(10 * limit))
        own._spending._caps = {asset: SpendingCaps(**(wide | {narrow: limit}))}
        asked = msgspec.structs.replace(a_command("next"), amount_out=one_more)
        fault = own.overspent(asked, new.logic._renewal.view, new.logic._book, new.now)
        assert fault is not None
        assert fault["fault"] == f"spends too much {what}"
        less = msgspec.structs.replace(asked, amount_out=Amount(one_more - 1))
        assert own.overspent(less, new.logic._renewal.view, new.logic._book, new.now) is None


def test_two_commands_on_one_nonce_with_two_assets_do_not_end_the_executor() -> None:
    """Who can write the topic must not be able to stop the executor at every start."""
    desk, before, first, second = a_forgotten_joiner()
    other = msgspec.structs.replace(
        joining(first, "forged", later=MINUTE),
        direction=Direction.BASE_OUT,
        asset_in=first.asset_out,
        asset_out=first.asset_in,
        amount_in=first.amount_out,
        amount_out=first.amount_in,
    )
    new = restarted(before, desk, later=timedelta(seconds=5))
    new.block()
    new.commands_read((1, other), (2, second))
    assert new.told("forged") == [("rejected", "nonce_ended")]
    assert new.told("second") == [("claimed", "perhaps_sent")]


def test_what_an_earlier_life_rejected_is_told_as_it_was() -> None:
    """Every command has one end; a rejected one has nothing outside."""
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    late = a_command("late", answer_by=NOW - MINUTE)
    desk.put(late, 0)
    assert desk.told("late") == [("rejected", "window_closed")]
    new = restarted(before, desk, later=timedelta(seconds=5))
    new.block()
    new.commands_read((0, late))
    assert new.told("late") == [("rejected", "window_closed")]
    assert new.held == {}


def test_what_an_earlier_life_told_of_a_transaction_is_looked_at() -> None:
    """A used nonce is no fill: that it moved something is in the transaction that the result named."""
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    command = a_command()
    desk.put(command, 0)
    (claimed,) = published(desk.ledger)
    evidence = ChainEvidence(height=1, block_time=NOW, nonce_used=True, salt_valid=True, tx_hash="tx-7")
    settled = msgspec.structs.replace(claimed, state=AttemptState.SETTLED, evidence=evidence)
    new = Bookkept(before)
    new.now, new._height = desk.now, desk._height + 10
    new.begin([claimed, settled])
    new.block()
    assert ReadFills(tx_hash="tx-7") not in new.effects
    new.commands_read((0, command))
    assert ReadFills(tx_hash="tx-7") in new.effects


# --- under a running executor --------------------------------------------------------------------------------------


def test_a_ledger_that_falls_back_promises_nothing_twice() -> None:
    desk = a_desk()
    desk.block(credited=LITTLE)
    before = copy.deepcopy(desk.ledger)
    one, two = small("one"), small("two")
    desk.put(one, 0)
    desk.sent(one)
    fall_back(desk, before)
    assert desk.quarantine == "ledger_went_back"
    assert desk.state().armed == "none"
    assert ForgetLease() in desk.effects
    desk.put(two, 1)
    desk.block(credited=LITTLE)
    assert desk.frames == [one.command_id]
    with pytest.raises(ControlRefused, match="quarantine: ledger_went_back"):
        desk.feed(ARM)


def test_what_the_copy_lacks_is_adopted_from_its_own_position_and_followed_to_its_end() -> None:
    desk = a_desk()
    desk.put(a_command("zero"), 0)
    before = copy.deepcopy(desk.ledger)
    one, two = a_command("one"), a_command("two", answer_by=NOW - MINUTE)
    desk.put(one, 1)
    desk.sent(one)
    desk.put(two, 2)
    results = published(desk.ledger)
    fall_back(desk, before)
    assert Unsubscribe(topic=EXECUTE_TRADE) in desk.effects
    assert {offer.quote_id for offer in desk.open_offers} == {"zero", "one"}, "what lives is not forgotten"
    desk.put(two, 2)  # on its way when the topic was left
    desk.results_read(results)
    assert (desk.read_from().topic_id, desk.read_from().offset) == (f"{EXECUTE_TRADE.name}-1", 1)
    desk.block()
    desk.commands_read((1, one), (2, two))
    assert desk.told("one") == [("claimed", "perhaps_sent")]
    assert desk.told("two") == [("rejected", "window_closed")]
    desk.feed(TimerFired(name=f"reply:{one.command_id}"))
    assert len(desk.told("one")) == 1, "the reply to it was awaited on another ledger"
    desk.block(after=LONG)
    desk.block(after=LONG)
    assert desk.told("one")[-1][0] == "lapsed"
    assert desk.told("zero")[-1][0] == "lapsed"
    assert (desk.quarantine, desk.held, desk.open_offers) == (None, {}, [])
    assert desk.frames == [desk.frames[0], one.command_id]
    desk.feed(ARM)


def test_the_first_write_of_a_life_names_the_commit_that_was_loaded() -> None:
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    desk.put(a_command("one"), 0)
    new = Bookkept(desk.ledger)
    new.begin()
    new.ledger = before
    new.block()
    assert new.quarantine == "ledger_went_back"


def test_an_older_ledger_refuses_a_claim_that_no_session_told_of() -> None:
    """Nobody says that the database was away: the claim itself names the newest commit that was heard of."""
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    one, two = a_command("one"), a_command("two")
    desk.put(one, 0)
    desk.ledger = before
    desk.put(two, 1)
    assert desk.quarantine == "ledger_went_back"
    assert desk.frames == [one.command_id]
    state = asyncio.run(before.load(ACCOUNT))
    assert (state.position, state.open_offers) == (None, ()), "the position did not pass what the copy lacks"
    desk.results_read()
    desk.block()
    desk.commands_read((0, one), (1, two))
    assert (desk.told("one"), desk.told("two")) == ([("claimed", "perhaps_sent")], [("claimed", "perhaps_sent")])


def test_a_note_about_what_the_ledger_does_not_know_is_not_dropped() -> None:
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    one = a_command("one")
    desk.put(one, 0)
    older = asyncio.run(before.load(ACCOUNT)).view.commits
    newer = asyncio.run(desk.ledger.load(ACCOUNT)).view.commits
    assert older is not None
    assert newer is not None
    for _ in range(newer - older):  # as many commits, and not the same ones
        asyncio.run(before.apply_reading(ACCOUNT, height=1, credited={}, endings=[]))
    desk.ledger = before
    desk.sent(one)
    assert desk.quarantine == "ledger_lacks_an_offer"
    desk.results_read()
    desk.block()
    desk.commands_read((0, one))
    assert desk.told("one") == [("claimed", "perhaps_sent")]


@pytest.mark.parametrize("timeline", [1, 2])
def test_every_new_session_is_judged(timeline: int) -> None:
    """A planned fail-over that loses nothing is another timeline all the same; a short outage is nothing."""
    desk = a_desk()
    desk.put(a_command("one"), 0)
    same = copy.deepcopy(desk.ledger)
    same.database = DatabaseIdentity(system_identifier="memory", timeline=timeline)
    fall_back(desk, same)
    assert desk.quarantine == (None if timeline == 1 else "database_is_another")
    assert len(desk.of(LoadLedger)) == 2
    assert desk.states[0] == "claimed"
    desk.put(a_command("two"), 1)
    assert len(desk.frames) == (2 if timeline == 1 else 1)


def test_an_operator_takes_back_what_the_ledger_has_forgotten() -> None:
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    one = a_command("one")
    desk.put(one, 0)
    desk.sent(one)
    fall_back(desk, before)
    desk.feed(a_control("halt", revoke=True))
    assert [effect.nonce for effect in desk.of(SignRevocation)] == [one.nonce]
    loads = len(desk.of(LoadLedger))
    desk.feed(RevocationSigned(nonce=one.nonce, intent_hash="revocation", payload="{}"))
    assert [effect.nonce for effect in desk.of(PublishRevocation)] == [one.nonce]
    assert len(desk.of(LoadLedger)) == loads, "nothing was written about a nonce that this ledger does not know"
    desk.results_read()
    desk.block()
    desk.commands_read((0, one))
    assert desk.told("one") == [("claimed", "perhaps_sent")]
    assert len(desk.of(SignRevocation)) == 2, "what is adopted under the halt is taken back, too"
    assert desk.state().revocation.waits_for_ledger is False


def test_a_second_step_back_begins_anew() -> None:
    desk = a_desk()
    before = copy.deepcopy(desk.ledger)
    one = a_command("one")
    desk.put(one, 0)
    fall_back(desk, copy.deepcopy(before))
    desk.results_read()
    desk.block()
    desk.commands_read((0, one))
    desk.block(after=LONG - timedelta(seconds=10))
    fall_back(desk, before)
    desk.results_read()
    desk.block(after=timedelta(seconds=15))
    assert desk.quarantine == "ledger_went_back"
    desk.commands_read((0, one))
    desk.block(after=LONG)
    assert desk.quarantine is None


def test_a_late_answer_is_dropped_and_no_alarm() -> None:
    """A view that was overtaken by a newer one tells nothing, and ends nothing."""
    desk = a_desk()
    desk.put(a_command("one"), 0)
    newest = desk.logic._renewal.view
    assert newest is not None
    assert newest.commits is not None
    desk.logic._renewal.seen(msgspec.structs.replace(newest, commits=newest.commits - 1, held={}))
    assert desk.logic._renewal.view is newest
    assert desk.quarantine is None


def test_the_topic_made_anew_under_a_running_executor_quarantines_nothing() -> None:
    desk = a_desk()
    desk.put(a_command("one"), 0)
    other = a_record(EXECUTE_TRADE, a_command("two"), offset=0, event_id="two")
    desk.feed(msgspec.structs.replace(other, topic_id="anew"))
    desk.feed(CaughtUp(topic=EXECUTE_TRADE.name, topic_id="anew"))
    assert desk.quarantine is None
    assert len(desk.frames) == 2
    assert AttemptState.CLAIMED in desk.states
