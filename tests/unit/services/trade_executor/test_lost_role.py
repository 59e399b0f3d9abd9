"""An executor that has lost its role leaves everything to whoever has it, but for the brake."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.engine import a_control
from support.executor import Executor, a_command, disconnected, executor
from unrip.frame.contract import (
    ROLE_LEFT,
    ROLE_NOT_HELD,
    ROLE_UNCONFIRMED,
    STANDBY,
    Count,
    Publish,
    RoleChanged,
    SetTimer,
    TimerFired,
)
from unrip.net.events import FrameNotSent, SendFrame
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    ClaimOffer,
    CloseRelay,
    DropAttempt,
    OpenRelay,
    ReadVerifier,
    SignOffer,
    SignRevocation,
)

NOT_OURS = [STANDBY, ROLE_NOT_HELD, ROLE_LEFT, ROLE_UNCONFIRMED]


def without_role(desk: Executor, why: str = ROLE_NOT_HELD) -> None:
    desk.feed(RoleChanged(active=False, generation=None, why=why))


def with_role_again(desk: Executor) -> None:
    desk.feed(RoleChanged(active=True, generation=1))


def sent_frames(desk: Executor) -> list[str]:
    return [effect.text for effect in desk.of(SendFrame)]


def test_the_connection_is_left_at_once_to_another_instance() -> None:
    desk = executor()
    without_role(desk, STANDBY)
    assert desk.effects == [CloseRelay()]


@pytest.mark.parametrize("why", [ROLE_NOT_HELD, ROLE_LEFT, ROLE_UNCONFIRMED])
def test_the_connection_is_left_after_ten_seconds_where_nobody_is_known_to_have_the_role(why: str) -> None:
    desk = executor()
    without_role(desk, why)
    assert desk.effects == [SetTimer(name="leave_relay", at=desk.now + timedelta(seconds=10))]
    assert desk.feed(TimerFired(name="leave_relay")) == [CloseRelay()]
    assert OpenRelay() in desk.feed(RoleChanged(active=True, generation=1))
    assert desk.feed(TimerFired(name="leave_relay")) == [], "it is ours again"


def test_another_instance_that_is_seen_later_ends_the_waiting() -> None:
    desk = executor()
    without_role(desk, ROLE_NOT_HELD)
    assert desk.feed(RoleChanged(active=False, generation=None, why=STANDBY)) == [CloseRelay()]


@pytest.mark.parametrize("why", NOT_OURS)
def test_notices_are_neither_recorded_nor_acknowledged(why: str) -> None:
    desk = Executor(guaranteed=True).ready()
    claim = desk.send()
    desk.reply()
    desk.noted()
    without_role(desk, why)
    desk.effects.clear()
    desk.notice(claim.offer.quote_hash, seq=1)
    desk.notice("somebody else's", seq=2)
    assert desk.effects == [Count(name="status_notices", labels={"whose": "unknown_yet"})] * 2
    with_role_again(desk)
    desk.notice(claim.offer.quote_hash, seq=1)
    assert desk.of(Publish), "told again, it is recorded"


def test_what_waited_for_a_commit_is_not_acknowledged_after_the_role_is_lost() -> None:
    desk = Executor(guaranteed=True).ready()
    claim = desk.send()
    desk.reply()
    desk.noted()
    desk.notice(claim.offer.quote_hash, seq=1)
    without_role(desk)
    desk.effects.clear()
    desk.now += timedelta(seconds=80)
    desk.read(asked=[claim.offer.nonce])
    assert "lapsed" in desk.states
    assert sent_frames(desk) == []


@pytest.mark.parametrize("why", NOT_OURS)
def test_the_chain_is_read_no_more_unless_offers_are_being_taken_back(why: str) -> None:
    desk = executor()
    desk.send()
    desk.reply()
    desk.noted()
    without_role(desk, why)
    desk.effects.clear()
    desk.feed(TimerFired(name="read"))
    assert not desk.of(ReadVerifier)
    desk.feed(a_control("halt", revoke=True))
    assert desk.of(SignRevocation), "the key stays with who may have to pull the brake"
    desk.effects.clear()
    desk.feed(TimerFired(name="read"))
    assert desk.of(ReadVerifier)


def test_a_claim_that_is_decided_without_the_role_is_neither_sent_nor_dropped() -> None:
    desk = executor()
    desk.command()
    desk.sign()
    without_role(desk)
    desk.effects.clear()
    desk.decide()
    assert sent_frames(desk) == []
    assert not desk.of(DropAttempt), "whoever has the role may have sent it"
    assert len(desk.open_offers) == 1, "it waits for evidence like any other"


def test_an_answer_that_did_not_leave_before_the_role_was_lost_is_not_ours_to_drop() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.decide()
    without_role(desk)
    desk.feed(FrameNotSent(connection=RELAY, token=claim.offer.command_id, nothing_left=True, reason="socket_gone"))
    assert not desk.of(DropAttempt)
    assert desk.states[-1] == "unanswered"


def test_an_unknown_claim_is_made_again_only_with_the_role() -> None:
    desk = executor()
    desk.command()
    desk.sign()
    without_role(desk)
    desk.effects.clear()
    (again,) = desk.feed(TimerFired(name="claim_again"))
    assert isinstance(again, SetTimer)
    with_role_again(desk)
    assert len([each for each in desk.feed(TimerFired(name="claim_again")) if isinstance(each, ClaimOffer)]) == 1


def test_commands_wait_and_are_handled_when_the_role_comes_back_unchanged() -> None:
    desk = executor()
    without_role(desk)
    disconnected(desk)
    desk.command(a_command("waiting"))
    assert not desk.of(SignOffer)
    with_role_again(desk)
    assert "relay_disconnected" in desk.logic.not_ready(desk.now)
    assert desk.rejection.reason == "not_connected"
