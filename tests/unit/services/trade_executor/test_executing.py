"""Commands in order, claims before bytes, and ends only by evidence: the executor driven by events."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from support.cases import BTC, EURE, NOW
from support.engine import a_control
from support.executor import VIEW, Executor, a_command, a_halted, disconnected, events_of, executor, the_caps
from unrip.domain.attempt import AttemptState, Rejection
from unrip.domain.desk_state import CommandPosition
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount
from unrip.frame.contract import (
    Count,
    CrashPoint,
    Log,
    Publish,
    SetTimer,
    Subscribe,
    TimerFired,
)
from unrip.messages.topics import EXECUTE_TRADE
from unrip.net.events import FrameNotSent, FrameReceived, FrameSent, SendFrame, SocketOpened
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    AuthorityJudged,
    ClaimOffer,
    DropAttempt,
    LedgerLoaded,
    LedgerUnknown,
    LoadLedger,
    NoteAttempt,
    RejectCommand,
    SignOffer,
)

# --- a command up to its bytes ---------------------------------------------------------------------------------------


def test_a_command_is_signed_then_claimed_then_sent() -> None:
    desk = executor()
    command = a_command()
    assert desk.command(command) == [SignOffer(command=command)]
    claim = desk.sign()
    assert desk.of(SendFrame) == [], "no byte before the commit"
    assert claim.offer.signed_payload == '[{"quote_id": "quote-1"}]'
    assert claim.position == CommandPosition(topic_id=f"{EXECUTE_TRADE.name}-1", next_offset=1)
    assert (claim.generation, claim.result.state) == (4, AttemptState.CLAIMED)
    effects = desk.decide()
    frame = desk.last(SendFrame)
    assert '"params":[{"quote_id": "quote-1"}]' in frame.text, "the recorded text, not a rendering of it"
    assert (frame.token, frame.not_after) == (command.command_id, command.answer_by)
    assert effects.index(CrashPoint(name="executor.claimed")) < effects.index(frame)
    sent = desk.feed(FrameSent(connection=RELAY, token=command.command_id, sent_at=desk.now))
    assert sent[0] == CrashPoint(name="executor.sent")
    note = desk.last(NoteAttempt)
    assert (note.result.state, note.result.request) == (AttemptState.SENT, frame.text)
    assert events_of(desk) == ["execution_submitted"]


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "another account": ({"account": "other.near"}, "not our account or pair"),
    "another pair": ({"pair": "ETH/EURe"}, "not our account or pair"),
    "swapped assets": ({"asset_in": EURE.asset_id, "asset_out": BTC.asset_id}, "assets do not fit the direction"),
    "foreign assets": ({"asset_in": "nep141:wrap.near"}, "assets do not fit the direction"),
    "nothing in": ({"amount_in": Amount(0)}, "not positive"),
    "nothing out": ({"amount_out": Amount(0)}, "not positive"),
    "no rate": ({"fair_rate": Decimal(0)}, "not positive"),
    "another quote's id": ({"command_id": "made-up"}, "does not belong to the quote"),
    "a long life": ({"offer_deadline": NOW + timedelta(milliseconds=70_251)}, "offer lives too long"),
    "a nonce that ends first": ({"nonce_deadline": NOW}, "nonce ends before the offer"),
    "another nonce": ({"nonce": "A" * 43 + "="}, "nonce is not the one of this command"),
    "another salt": ({"salt": "00000000"}, "nonce is not the one of this command"),
    "no salt": ({"salt": "zz"}, "nonce cannot be made"),
    "a salt in capitals": ({"salt": "252812B3"}, "does not carry the command's salt"),
    "an uneven deadline": ({"offer_deadline": NOW + timedelta(seconds=60)}, "not a whole millisecond"),
    "too cheap": ({"amount_out": Amount(12 * 10**18)}, "edge too small"),
    "below its own threshold": ({"edge_threshold": Decimal("0.03")}, "edge too small"),
    "too large": ({"amount_in": Amount(170_000)}, "notional too large"),
    "more than any offer can carry": (
        {"amount_in": Amount(2**127), "amount_out": Amount(1), "fair_rate": Decimal("1E-60")},
        "127 bits",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_command_that_breaks_a_limit_by_its_own_numbers_is_rejected(name: str) -> None:
    """Who can write the topic can neither trade freely nor stop the executor at a command that it cannot sign."""
    changes, fault = INVALID[name]
    desk = executor()
    desk.command(a_command(**changes))
    assert desk.of(SignOffer) == []
    assert desk.rejection.reason == Rejection.COMMAND_INVALID
    assert fault in desk.rejection.numbers["fault"]


def test_a_command_with_an_edge_under_the_floor_is_invalid_whatever_threshold_it_claims() -> None:
    desk = executor()
    desk.command(a_command(edge_threshold=Decimal(0), amount_out=Amount(11_990_000_000_000_000_000)))
    assert desk.rejection.numbers["limit"] == "0.005"


@pytest.mark.parametrize(
    ("eure", "eur_per_quote", "rejected"),
    [(104, "0.95", False), (104, "1", True), (96, "1", False), (96, "1.05", True)],
)
def test_the_ceiling_is_in_euros_by_the_same_assumption_as_the_strategys_cap(
    eure: int, eur_per_quote: str, *, rejected: bool
) -> None:
    desk = Executor(eur_per_quote=eur_per_quote, caps=the_caps(base_per_command="0.002")).ready()
    desk.command(a_command(direction=Direction.BASE_OUT, amount_in=Amount(eure * 10**18), amount_out=Amount(150_000)))
    assert bool(desk.of(RejectCommand)) is rejected
    assert bool(desk.of(SignOffer)) is not rejected
    if rejected:
        assert desk.rejection.numbers["fault"] == "notional too large"
        assert Decimal(desk.rejection.numbers["notional_eur"]) == eure * Decimal(eur_per_quote)


def a_disarmed(desk: Executor) -> None:
    desk.feed(a_control("disarm"))


def armed_for_the_other_direction(desk: Executor) -> None:
    desk.feed(a_control("arm", directions=["base_out"], lease_minutes=5))


def too_late(desk: Executor) -> None:
    desk.now = NOW + timedelta(milliseconds=295)


def unproven(desk: Executor) -> None:
    desk.feed(AuthorityJudged(proven=False, reason="locked"))


def read_long_ago(desk: Executor) -> None:
    desk.read(observed_at=NOW - timedelta(milliseconds=10_001))


def read_an_old_block(desk: Executor) -> None:
    desk.read(block_time=NOW - timedelta(milliseconds=10_001))


def read_a_block_of_the_future(desk: Executor) -> None:
    desk.read(block_time=NOW + timedelta(milliseconds=251))


def our_clock_was_set_back(desk: Executor) -> None:
    desk.read(observed_at=NOW + timedelta(hours=1))


def fell(desk: Executor) -> None:
    desk.read(credited={EURE.asset_id: Amount(5_000 * 10**18 - 1)})


@pytest.mark.parametrize(
    ("happened", "reason", "numbers"),
    [
        (a_disarmed, Rejection.DISARMED, {"direction": "base_in", "armed": "none"}),
        (armed_for_the_other_direction, Rejection.DISARMED, {"direction": "base_in", "armed": "base_out"}),
        (a_halted, Rejection.HALTED, {}),
        (too_late, Rejection.WINDOW_CLOSED, {"window_left_ms": "0"}),
        (disconnected, Rejection.NOT_CONNECTED, {}),
        (unproven, Rejection.NOT_CONNECTED, {}),
        (read_long_ago, Rejection.INVENTORY_STALE, {"own_read_age_ms": "10001", "limit": "10000"}),
        (read_an_old_block, Rejection.INVENTORY_STALE, {"own_read_age_ms": "10001", "limit": "10000"}),
        (read_a_block_of_the_future, Rejection.CLOCK_SKEWED, {"ahead_ms": "251", "limit": "250"}),
        (our_clock_was_set_back, Rejection.CLOCK_SKEWED, {"ahead_ms": "3600000", "limit": "250"}),
        (
            fell,
            Rejection.INVENTORY_DRIFT,
            {
                "snapshot_credited": str(5_000 * 10**18),
                "own_credited": str(5_000 * 10**18 - 1),
                "explained_fall": "0",
                "snapshot_height": "1000",
                "own_height": "1003",
            },
        ),
    ],
)
def test_a_rejection_is_named_with_its_numbers_and_nothing_is_signed(
    happened: Any, reason: Rejection, numbers: dict[str, str]
) -> None:
    desk = executor()
    happened(desk)
    desk.command()
    assert (desk.rejection.reason, desk.rejection.numbers) == (reason, numbers)
    assert desk.of(SignOffer) == desk.of(ClaimOffer) == desk.of(SendFrame) == []
    rejected = desk.last(RejectCommand)
    assert rejected.position.next_offset == 1
    desk.decide("rejected")
    assert events_of(desk)[-1] == "execution_rejected"
    assert desk.logic.idle()


@pytest.mark.parametrize("kind", ["insufficient_inventory", "superseded", "nonce_ended", "same_offer"])
def test_what_the_ledger_refuses_is_rejected_and_not_sent(kind: str) -> None:
    desk = executor()
    desk.command()
    desk.sign()
    desk.decide(kind)
    assert desk.of(SendFrame) == []
    (line,) = desk.of(Log)
    assert (line.event, line.body["reason"]) == ("execution_rejected", kind)
    assert desk.open_offers == []


def test_every_rejection_is_reached_in_this_file() -> None:
    here = {
        "insufficient_inventory",
        "superseded",
        "nonce_ended",
        "same_offer",
        "command_invalid",
        "disarmed",
        "halted",
    }
    assert here | {"window_closed", "not_connected", "clock_skewed", "inventory_stale", "inventory_drift"} == {
        str(reason) for reason in Rejection
    }


def test_a_block_a_moment_ahead_of_our_clock_is_no_wrong_clock() -> None:
    desk = executor()
    desk.read(block_time=NOW + timedelta(milliseconds=250))
    assert desk.logic.not_ready(desk.now) == []
    desk.command()
    assert len(desk.of(SignOffer)) == 1


@pytest.mark.parametrize("happened", [read_a_block_of_the_future, our_clock_was_set_back])
def test_while_a_clock_is_wrong_it_is_not_ready(happened: Any) -> None:
    desk = executor()
    happened(desk)
    assert desk.logic.not_ready(desk.now) == ["clock_skewed"]
    desk.read()
    assert desk.logic.not_ready(desk.now) == []


def test_a_duplicate_sends_nothing_and_is_followed_from_the_ledger() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    assert LoadLedger() in desk.decide("duplicate")
    desk.feed(LedgerLoaded(position=None, open_offers=(claim.offer,), view=VIEW))
    assert desk.of(SendFrame) == []
    assert [offer.command_id for offer in desk.open_offers] == [claim.offer.command_id]
    desk.feed(TimerFired(name="read"))
    assert desk.asked == (claim.offer.nonce,)
    assert desk.of(Subscribe) == [], "the commands are followed already"


def test_commands_are_handled_one_at_a_time_in_order() -> None:
    desk = executor()
    for name in ("one", "two"):
        desk.command(a_command(name))
    assert len(desk.of(SignOffer)) == 1
    desk.sign()
    desk.decide()
    assert [effect.command.quote_id for effect in desk.of(SignOffer)] == ["one", "two"]


def test_a_claim_whose_fate_is_unknown_is_made_again_the_same() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    (timer,) = desk.feed(LedgerUnknown(call="claim", reason="no answer"))
    assert isinstance(timer, SetTimer)
    desk.command(a_command("waits"))
    assert desk.feed(TimerFired(name=timer.name)) == [claim]
    assert len(desk.of(SignOffer)) == 1
    desk.now = NOW + timedelta(seconds=1)
    desk.decide()
    assert desk.of(SendFrame) == []
    assert desk.last(DropAttempt).result.reason == "window_closed"


def test_the_window_is_judged_again_after_the_claim() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.now = claim.offer.answer_by
    desk.decide()
    assert desk.of(SendFrame) == []
    assert desk.states == ["claimed", "dropped"]
    assert desk.last(DropAttempt).result.reason == "window_closed"
    desk.noted()
    assert desk.open_offers == []
    assert events_of(desk) == ["execution_failed"]


def test_a_socket_that_went_during_the_claim_drops_it() -> None:
    desk = executor()
    desk.command()
    desk.sign()
    disconnected(desk)
    desk.decide()
    assert desk.states == ["claimed", "dropped"]
    assert desk.last(DropAttempt).result.reason == "socket_gone"


@pytest.mark.parametrize(("why", "reason"), [("too_late", "window_closed"), ("socket_gone", "socket_gone")])
def test_a_frame_of_which_no_byte_left_is_dropped(why: str, reason: str) -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.decide()
    desk.feed(FrameNotSent(connection=RELAY, token=claim.offer.command_id, nothing_left=True, reason=why))
    assert desk.states == ["claimed", "dropped"]
    assert desk.last(DropAttempt).result.reason == reason


def test_a_frame_of_unknown_fate_is_followed_to_its_end() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.decide()
    desk.feed(FrameNotSent(connection=RELAY, token=claim.offer.command_id, nothing_left=False, reason="socket_gone"))
    assert desk.states == ["claimed", "unanswered"]
    assert [offer.command_id for offer in desk.open_offers] == [claim.offer.command_id]


def test_once_noted_as_unanswered_nothing_the_socket_says_drops_it() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.decide()
    disconnected(desk)
    desk.feed(FrameNotSent(connection=RELAY, token=claim.offer.command_id, nothing_left=True, reason="socket_gone"))
    desk.noted()
    assert desk.states == ["claimed", "unanswered"]
    assert desk.of(DropAttempt) == []
    assert len(desk.open_offers) == 1


# --- the relay's word ------------------------------------------------------------------------------------------------


def test_an_accepted_answer_is_a_note_and_no_end() -> None:
    desk = executor()
    desk.send()
    desk.reply()
    desk.noted()
    assert desk.states == ["claimed", "sent", "accepted"]
    note = desk.last(NoteAttempt)
    assert note.result.response.accepted
    assert note.result.next_check_at == desk.open_offers[0].offer_deadline
    assert len(desk.open_offers) == 1


def test_a_refused_answer_is_a_note_with_the_venues_words_and_no_end() -> None:
    desk = executor()
    desk.send()
    desk.reply(error={"code": -32_000, "message": "quote not found or already finished"})
    note = desk.last(NoteAttempt)
    assert (note.result.state, note.result.response.code) == (AttemptState.REFUSED, -32_000)
    assert note.result.reason == "quote not found or already finished"
    assert len(desk.open_offers) == 1, "whoever saw the bytes may still use them"
    assert events_of(desk)[-1] == "execution_failed"


@pytest.mark.parametrize("how", ["timer", "socket"])
def test_a_reply_that_never_came_is_unknown_and_a_late_one_changes_nothing(how: str) -> None:
    desk = executor()
    claim = desk.send()
    if how == "timer":
        desk.feed(TimerFired(name=f"reply:{claim.offer.command_id}"))
    else:
        disconnected(desk)
    desk.noted()
    assert desk.states == ["claimed", "sent", "unanswered"]
    assert desk.last(NoteAttempt).result.reason == ("no_reply" if how == "timer" else "socket_gone")
    assert Count(name="relay_replies", labels={"outcome": "late"}) in desk.reply()
    desk.feed(TimerFired(name=f"reply:{claim.offer.command_id}"))
    assert desk.states == ["claimed", "sent", "unanswered"]


def test_a_repeated_reply_is_counted_and_nothing_more() -> None:
    desk = executor()
    desk.send()
    desk.reply()
    desk.noted()
    desk.reply(error="contradiction")
    assert desk.states == ["claimed", "sent", "accepted"]


def test_frames_that_cannot_be_read_become_dead_letters() -> None:
    desk = executor()
    desk.hear("{")
    desk.feed(FrameReceived(connection=RELAY, text=None, size_bytes=2, received_at=NOW))
    letters = [each for each in desk.of(Publish) if each.topic.name == "dlq.invalid_message"]
    assert [letter.payload.source for letter in letters] == [RELAY, RELAY]
    assert events_of(desk) == ["invalid_message"] * 2


def test_a_refused_subscription_is_an_error_line() -> None:
    desk = Executor()
    desk.start()
    desk.feed(SocketOpened(connection=RELAY))
    desk.reply(error={"code": -32_602, "message": "unknown stream"})
    line = desk.last(Log)
    assert (line.event, line.level, line.body["text"]) == ("subscription_refused", "error", "unknown stream")


def test_a_reading_of_the_ledger_between_claim_and_answer_does_not_lose_what_is_sent() -> None:
    """A duplicate before it had the ledger read, and the reading saw the claim that we had not heard of yet."""
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.feed(LedgerLoaded(position=None, open_offers=(claim.offer,), view=VIEW))
    (sent,) = [effect for effect in desk.decide() if isinstance(effect, SendFrame)]
    desk.feed(FrameSent(connection=RELAY, token=claim.offer.command_id, sent_at=desk.now))
    assert desk.last(NoteAttempt).result.request == sent.text
