"""A lost relay connection: nothing leaves until the new one is subscribed and every open offer was asked about."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from support.cases import NOW
from support.executor import Executor, a_command, disconnected, events_of, executor
from unrip.domain.attempt import Drop, Rejection
from unrip.frame.contract import CrashPoint, Effect, SetTimer, TimerFired
from unrip.net.events import CloseSocket, FrameReceived, SendFrame, SocketClosed, SocketOpened
from unrip.net.reconnect import Cause
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import DropAttempt, ReadVerifier, SignOffer


def with_an_open_offer() -> tuple[Executor, str]:
    """An armed executor, and the nonce of an offer that it has sent."""
    desk = executor()
    nonce = desk.send().offer.nonce
    desk.effects.clear()
    return desk, nonce


def lost(desk: Executor) -> None:
    desk.feed(SocketClosed(connection=RELAY, cause=Cause.CLOSED, reason="gone"))
    desk.noted()


def rejected_now(desk: Executor, quote_id: str = "another") -> bool:
    """Whether a command that comes now is rejected for the connection; if not, it is signed and given up."""
    effects = desk.command(a_command(quote_id))
    if any(isinstance(effect, SignOffer) for effect in effects):
        desk.sign()
        desk.decide("rejected")
        return False
    assert desk.rejection.reason == Rejection.NOT_CONNECTED
    desk.decide("rejected")
    return True


def test_after_a_reconnect_nothing_is_sent_until_every_open_offer_was_asked_about() -> None:
    desk, nonce = with_an_open_offer()
    lost(desk)
    assert desk.logic.not_ready(NOW) == ["relay_disconnected"]
    assert rejected_now(desk, "while away")
    opened = desk.connect()
    assert [effect.nonces for effect in opened if isinstance(effect, ReadVerifier)] == [(nonce,)], "asked at once"
    assert desk.logic.not_ready(NOW) == ["recovering"]
    assert desk.logic.vitals(NOW).details.recovering
    assert rejected_now(desk, "not asked about yet")
    desk.read(asked=[nonce])
    assert desk.logic.not_ready(NOW) == []
    assert not desk.logic.vitals(NOW).details.recovering
    assert not rejected_now(desk, "asked about")
    assert len(desk.open_offers) == 1, "it need not have ended"
    of_the_connection = [event for event in events_of(desk) if event.endswith(("lost", "recovered"))]
    assert of_the_connection == ["connection_lost", "connection_recovered", "execution_recovered"]


def test_without_an_open_offer_a_reconnect_needs_only_the_subscriptions() -> None:
    desk = executor()
    lost_without_offers = desk.feed(SocketClosed(connection=RELAY, cause=Cause.CLOSED, reason="gone"))
    assert not any(isinstance(effect, ReadVerifier) for effect in lost_without_offers)
    desk.feed(SocketOpened(connection=RELAY))
    assert desk.logic.not_ready(NOW) == ["relay_not_subscribed"]
    assert rejected_now(desk)
    desk.reply("sub-2")
    assert desk.logic.not_ready(NOW) == []


def test_an_answer_to_a_question_from_before_the_reconnect_recovers_nothing() -> None:
    """Its block may be of the time before, and what settled since was told to nobody."""
    desk, nonce = with_an_open_offer()
    desk.now += timedelta(minutes=2)
    desk.feed(TimerFired(name="read"))
    assert desk.asked == (nonce,)
    lost(desk)
    asked = len(desk.of(ReadVerifier))
    desk.connect()
    assert len(desk.of(ReadVerifier)) == asked, "one question at a time"
    desk.read(asked=[nonce], block_time=NOW)
    assert "recovering" in desk.logic.not_ready(desk.now)
    assert len(desk.of(ReadVerifier)) == asked + 1, "asked again as soon as the other is answered"
    desk.read(asked=[nonce], block_time=NOW)
    assert "recovering" not in desk.logic.not_ready(desk.now)


def test_an_unread_verifier_keeps_it_recovering() -> None:
    desk, _nonce = with_an_open_offer()
    lost(desk)
    desk.connect()
    for _ in range(3):
        desk.read()
        assert desk.logic.not_ready(NOW) == ["recovering"]


def test_a_claim_that_commits_after_a_reconnect_is_dropped_while_open_offers_are_unasked() -> None:
    desk, _nonce = with_an_open_offer()
    desk.command(a_command("claimed before the loss"))
    desk.sign()
    lost(desk)
    desk.connect()
    desk.effects.clear()
    desk.decide()
    assert desk.last(DropAttempt).result.reason == Drop.SOCKET_GONE
    assert desk.of(SendFrame) == []


def test_it_is_recovering_from_the_start_until_a_connection_is_there() -> None:
    desk = Executor()
    desk.start()
    desk.read()
    assert {"recovering", "relay_disconnected"} <= set(desk.logic.not_ready(NOW))
    desk.connect()
    desk.read()
    assert events_of(desk) == ["execution_recovered"], "told once"


@pytest.mark.parametrize("cause", [Cause.UNAUTHORIZED, Cause.CREDENTIALS])
def test_a_refused_token_stops_quoting_and_asks_for_a_person(cause: Cause) -> None:
    desk = executor()
    desk.feed(SocketClosed(connection=RELAY, cause=cause, reason="HTTP 403"))
    assert events_of(desk) == ["connection_lost", "connection_unauthorized"]
    assert desk.logic.not_ready(NOW) == ["relay_unauthorized"]
    assert rejected_now(desk)


def test_a_subscription_whose_confirmation_was_lost_is_asked_for_again_whatever_else_is_heard() -> None:
    """A relay that was mute for a moment has heard the request, tells what it should, and never confirms."""
    desk = executor()
    desk.feed(SocketClosed(connection=RELAY, cause=Cause.CLOSED, reason="gone"))
    opened = desk.feed(SocketOpened(connection=RELAY))
    assert SetTimer(name="resubscribe", at=NOW + timedelta(seconds=30)) in opened
    desk.notice("somebody else's")
    assert desk.logic.not_ready(NOW) == ["relay_not_subscribed"]
    desk.now += timedelta(seconds=30)
    again = desk.feed(TimerFired(name="resubscribe"))
    assert [json.loads(each.text)["method"] for each in again if isinstance(each, SendFrame)] == ["subscribe"]
    desk.reply("sub-3")
    assert desk.logic.not_ready(NOW) == []


# --- mute ------------------------------------------------------------------------------------------------------------

MUTE_AFTER = timedelta(seconds=60)


def silence(desk: Executor, times: int) -> list[Effect]:
    """That many times as long as a connection may be silent, without a frame."""
    desk.now = NOW + MUTE_AFTER * times
    return desk.feed(TimerFired(name="relay-mute"))


def test_a_mute_connection_is_subscribed_again_and_then_given_up() -> None:
    desk = executor()
    asked = silence(desk, 1)
    assert [json.loads(each.text)["method"] for each in asked if isinstance(each, SendFrame)] == [
        "unsubscribe",
        "subscribe",
    ]
    assert "relay_not_subscribed" in desk.logic.not_ready(desk.now)
    assert [each for each in silence(desk, 2) if isinstance(each, CloseSocket)] == [
        CloseSocket(connection=RELAY, reason="mute")
    ]


@pytest.mark.parametrize(
    "frame",
    [
        '{"method":"event","params":{"data":{"quote_hash":"somebody else\'s"}}}',
        '{"id":99,"result":"OK"}',
    ],
    ids=["somebody's settlement", "a reply"],
)
def test_anything_that_the_relay_says_shows_that_it_is_not_mute(frame: str) -> None:
    desk = executor()
    desk.now = NOW + timedelta(seconds=30)
    desk.hear(frame)
    (timer,) = silence(desk, 1)
    assert timer == SetTimer(name="relay-mute", at=NOW + timedelta(seconds=90))


def test_noise_is_no_sign() -> None:
    desk = executor()
    desk.now = NOW + timedelta(seconds=30)
    desk.feed(FrameReceived(connection=RELAY, text="{", size_bytes=1, received_at=desk.now))
    assert any(isinstance(effect, SendFrame) for effect in silence(desk, 1))


# --- an instant of danger --------------------------------------------------------------------------------------------


def test_a_notice_of_ours_has_a_crash_point_before_anything_is_done_about_it() -> None:
    desk = executor()
    claim = desk.send()
    effects = desk.notice(claim.offer.quote_hash)
    assert effects[0] == CrashPoint(name="executor.notice_received")


def test_disconnected_twice_is_told_once() -> None:
    desk = executor()
    disconnected(desk)
    disconnected(desk)
    assert events_of(desk) == ["connection_lost"]
