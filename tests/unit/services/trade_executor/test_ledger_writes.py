"""What waits while PostgreSQL is away: in order, nothing lost, and no more than there are open offers."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from support.bookkept import Bookkept, a_ledger
from support.cases import NOW
from support.engine import a_control
from support.executor import VIEW, a_command, executor
from unrip.domain.attempt import AttemptState
from unrip.domain.values import Amount
from unrip.frame.contract import DatabaseChanged, Effect, SetTimer, TimerFired
from unrip.net.events import FrameNotSent
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    ApplyReading,
    Ending,
    LedgerLoaded,
    LedgerOlder,
    LedgerUnknown,
    LedgerWrite,
    LoadLedger,
    NoteAttempt,
    NoteRevocation,
    RevocationSigned,
)
from unrip.services.trade_executor.offers.ledger_writes import LedgerWrites


def a_reading(height: int, *, ends: bool = False, balances: bool = True) -> ApplyReading:
    endings = (Ending(nonce=f"nonce-{height}", state=AttemptState.LAPSED, results=()),) if ends else ()
    credited = {"BTC": Amount(height)} if balances else {}
    return ApplyReading(account="desk.near", height=height, credited=credited, endings=endings)


def a_note(number: int) -> NoteRevocation:
    return NoteRevocation(account="desk.near", nonce=f"nonce-{number}", payload="{}")


KINDS = st.sampled_from(["balances", "ending", "only_ending", "note"])


def written(number: int, kind: str) -> LedgerWrite:
    if kind == "note":
        return a_note(number)
    return a_reading(number, ends=kind != "balances", balances=kind != "only_ending")


@given(st.lists(KINDS, max_size=30))
def test_what_is_left_out_is_only_what_the_next_write_knows_better(kinds: list[str]) -> None:
    writes = LedgerWrites()
    pushed = [written(number, kind) for number, kind in enumerate(kinds)]
    made: list[Effect] = [effect for write in pushed for effect in writes.push(write)]
    while writes.in_flight is not None:
        made += writes.committed()[1]
    assert writes.empty()
    kept = [
        write
        for number, (write, kind) in enumerate(zip(pushed, kinds, strict=True))
        if number == 0  # it was in flight when the others came
        or kind != "balances"
        or kinds[number + 1 : number + 2] not in (["balances"], ["ending"])
    ]
    assert made == kept


def test_readings_and_repeated_halts_do_not_grow_while_the_database_is_away() -> None:
    desk = executor()
    offer = desk.send(a_command()).offer
    desk.reply()  # the note of it is in flight and will not be committed
    desk.feed(LedgerUnknown(call="note", reason="away"))
    writes = desk.logic._book.writes
    for _ in range(100):
        desk.now += timedelta(milliseconds=100)
        desk.read()
        desk.feed(a_control("halt", revoke=True))
        desk.feed(RevocationSigned(nonce=offer.nonce, intent_hash="hash", payload="{}"))
    waiting = []
    while writes.in_flight is not None:
        waiting.append(writes.in_flight)
        desk.noted()
    assert len(waiting) == 4
    assert [each.payload for each in waiting if isinstance(each, NoteRevocation)] == ["{}"]
    assert [each.credited for each in waiting if isinstance(each, ApplyReading)][-1] != {}


def test_nothing_is_written_before_a_new_session_with_postgresql_is_judged() -> None:
    """It may lead to a ledger that lacks what the last one had."""
    desk = executor()
    for up in (False, True):
        desk.feed(DatabaseChanged(up=up, reason="fail-over"))
    assert len(desk.of(LoadLedger)) == 1
    desk.read()
    assert desk.of(ApplyReading) == []
    desk.feed(LedgerLoaded(position=None, open_offers=(), view=VIEW))
    assert len(desk.of(ApplyReading)) == 1


def test_a_load_that_is_not_answered_is_asked_for_again() -> None:
    desk = executor()
    for up in (False, True):
        desk.feed(DatabaseChanged(up=up, reason="fail-over"))
    (timer,) = [each for each in desk.feed(LedgerUnknown(call="load", reason="hangs")) if isinstance(each, SetTimer)]
    desk.feed(TimerFired(name=timer.name))
    assert len(desk.of(LoadLedger)) == 2


def test_a_write_that_an_older_ledger_refused_is_made_again_where_it_knows_the_offer() -> None:
    desk = executor()
    offer = desk.send().offer
    desk.reply()
    refused = desk.last(NoteAttempt)
    assert refused.result.state is AttemptState.ACCEPTED
    desk.feed(LedgerOlder(call="note", reason="ledger_went_back"))
    before = len(desk.of(NoteAttempt))
    desk.feed(LedgerLoaded(position=None, open_offers=(offer,), view=VIEW))
    while not desk.logic._book.writes.empty():
        desk.noted()
    assert [each.result for each in desk.of(NoteAttempt)[before:]] == [refused.result]


def test_what_was_not_sent_is_dropped_in_the_ledger_and_holds_nothing() -> None:
    desk = Bookkept(a_ledger(lambda: NOW)).ready()
    command = a_command()
    desk.put(command, 0)
    assert desk.held != {}
    desk.feed(FrameNotSent(connection=RELAY, token=command.command_id, nothing_left=True, reason="socket_gone"))
    assert desk.told(command.quote_id)[-1][0] == "dropped"
    assert desk.held == {}
