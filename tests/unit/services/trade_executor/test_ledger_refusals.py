"""What the ledger refuses: the command is set aside, nothing is claimed without the role, and the brake holds."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from support.cases import ACCOUNT, NOW
from support.engine import a_control
from support.executor import Executor, a_command, executor
from unrip.domain.attempt import Rejection
from unrip.frame.contract import Event, Publish, RoleChanged, Started, TimerFired
from unrip.messages.topics import DEAD_LETTER, EXECUTE_TRADE
from unrip.net.events import SendFrame
from unrip.services.trade_executor.effects import (
    AccountElsewhere,
    CheckHeld,
    ClaimOffer,
    LedgerRefused,
    LedgerUnknown,
    LoadLedger,
    NoteAttempt,
    RejectCommand,
    SignOffer,
)
from unrip.services.trade_executor.handlers.ledger import LedgerHandlers
from unrip.services.trade_executor.intake.ledger_trouble import LedgerTrouble
from unrip.services.trade_executor.offers import ledger_writes
from unrip.store.errors import StoreRefused
from unrip.store.ledger import HeldDifference
from unrip.store.memory_ledger import MemoryLedger

WORDS = "ledger claim: PostgreSQL refused (RaiseError: nonce n holds another asset)"
FULL = "ledger claim: PostgreSQL is out of resources (DiskFullError: no space left on device)"


def test_a_command_that_is_refused_is_set_aside_and_the_next_one_waits_for_the_role() -> None:
    desk = executor()
    desk.command()
    desk.sign()
    effects = desk.feed(LedgerRefused(call="claim", reason=WORDS))
    (letter,) = [effect for effect in effects if isinstance(effect, Publish)]
    assert (letter.topic, letter.payload.source, letter.payload.offset) == (DEAD_LETTER, EXECUTE_TRADE.name, 0)
    assert a_command().command_id in letter.payload.excerpt
    assert WORDS in letter.payload.reason
    desk.effects.clear()
    desk.command(a_command("quote-2"))
    assert desk.effects == [], "not even before the role is left"
    desk.feed(RoleChanged(active=False, generation=None, why="role_left"))
    assert {"role_left", f"ledger_refuses: {WORDS}"} <= set(desk.logic.not_ready(desk.now))
    desk.effects.clear()
    desk.command(a_command("quote-3"))
    assert desk.of(SignOffer) == desk.of(ClaimOffer) == desk.of(RejectCommand) == []
    desk.feed(a_control("halt"))
    assert desk.logic.vitals(desk.now).details.switches.halted


def test_back_in_the_role_it_is_judged_anew_and_its_letter_is_written_once() -> None:
    desk = executor()
    command = a_command()
    desk.command(command)
    desk.sign()
    desk.feed(LedgerRefused(call="claim", reason=WORDS))
    desk.feed(RoleChanged(active=False, generation=None, why="role_left"))
    desk.feed(RoleChanged(active=True, generation=1))
    desk.sign()
    desk.feed(LedgerRefused(call="claim", reason=WORDS))
    assert len([each for each in desk.of(Publish) if each.topic == DEAD_LETTER]) == 1
    desk.now = command.answer_by + timedelta(seconds=1)
    desk.feed(RoleChanged(active=True, generation=1))
    assert desk.rejection.reason == Rejection.WINDOW_CLOSED
    desk.decide("rejected")
    assert not [reason for reason in desk.logic.not_ready(desk.now) if reason.startswith("ledger_")]


def test_a_full_disk_is_named_until_the_same_claim_is_taken() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.feed(LedgerUnknown(call="claim", reason=FULL))
    desk.read()  # a note that is taken says nothing about claims
    assert desk.logic.not_ready(desk.now) == [f"ledger_away: {FULL}"]
    assert desk.feed(TimerFired(name="claim_again")) == [claim]
    desk.decide()
    assert desk.logic.not_ready(desk.now) == []


ELSEWHERE = "the account desk.near belongs to the desk main, and not to second"


def test_an_account_of_another_desk_is_named_and_asked_for_until_it_is_ours() -> None:
    desk = Executor()
    desk.feed(Started(active=True, generation=1, start_id="a", why=""))
    desk.feed(AccountElsewhere(call="load", reason=ELSEWHERE))
    assert f"account_of_another_desk: {ELSEWHERE}" in desk.logic.not_ready(desk.now)
    desk.feed(a_control("halt"))
    assert desk.logic.vitals(desk.now).details.switches.halted, "the kill switch needs no ledger"
    assert desk.feed(TimerFired(name="load_again")) == [LoadLedger()]
    desk.start()
    assert not [reason for reason in desk.logic.not_ready(desk.now) if "another_desk" in reason]


def test_an_account_that_was_given_away_is_no_longer_promised() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.feed(AccountElsewhere(call="claim", reason=ELSEWHERE))
    assert desk.logic.not_ready(desk.now) == [f"account_of_another_desk: {ELSEWHERE}"]
    assert desk.of(SendFrame) == [], "nothing leaves that was not claimed"
    assert desk.feed(TimerFired(name="claim_again")) == [claim]


def handlers_of(ledger: MemoryLedger, told: list[Event], left: list[str]) -> LedgerHandlers:
    """What the executor is told, and why the role is left."""
    return LedgerHandlers(
        ledger,
        account=ACCOUNT,
        start=asyncio.ensure_future,
        emit=told.append,
        clock=lambda: NOW,
        uptime_s=lambda: 0.0,
        on_outbox=lambda: None,
        leave_role=left.append,
    )


async def test_whoever_asks_for_an_account_of_another_desk_keeps_the_role() -> None:
    told: list[Event] = []
    left: list[str] = []
    ledger = MemoryLedger(clock=lambda: NOW, desk="second", desk_of={ACCOUNT: "main"})
    handlers_of(ledger, told, left).load(LoadLedger())
    await asyncio.sleep(0.01)
    (event,) = told
    assert isinstance(event, AccountElsewhere)
    assert (event.call, left) == ("load", [])
    assert "belongs to the desk main, and not to second" in event.reason


def test_a_note_that_is_refused_is_kept_and_made_again() -> None:
    desk = executor()
    desk.send()
    desk.reply()
    note = desk.last(NoteAttempt)
    desk.feed(LedgerRefused(call="note", reason=WORDS))
    assert f"ledger_refuses: {WORDS}" in desk.logic.not_ready(desk.now)
    assert desk.feed(TimerFired(name=ledger_writes.TIMER)) == [note]
    desk.noted()
    assert desk.logic.not_ready(desk.now) == []


def test_a_claim_that_is_given_up_with_its_ledger_is_no_trouble_of_the_next_one() -> None:
    trouble = LedgerTrouble()
    trouble.failed(LedgerUnknown(call="claim", reason=FULL))
    trouble.over("note")
    assert trouble.stands_in_the_way() == {f"ledger_away: {FULL}": True}
    trouble.loaded()
    assert trouble.stands_in_the_way() == {}


async def test_whatever_the_ledger_refuses_leaves_the_role() -> None:
    class Refusing(MemoryLedger):
        async def check_held(self) -> list[HeldDifference]:
            raise StoreRefused(WORDS)

    told: list[Event] = []
    left: list[str] = []
    handlers_of(Refusing(clock=lambda: NOW), told, left).check(CheckHeld())
    await asyncio.sleep(0.01)
    assert (told, left) == ([LedgerRefused(call="check", reason=WORDS)], [WORDS])
