"""trade-executor after the bytes: evidence, an absent ledger, lives and controls."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.cases import BOTH, BTC, EURE, NOW
from support.engine import ARM, a_control
from support.executor import VIEW, Executor, a_command, a_halted, a_reading, after, disconnected, events_of, executor
from unrip.domain.attempt import AttemptState, Offer, Rejection
from unrip.domain.decide import command_id_of, nonce_free_bytes
from unrip.domain.desk_state import CommandPosition
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount, Delta, epoch_ms
from unrip.domain.verifier import VerifierFill
from unrip.frame.contract import (
    ControlRefused,
    Count,
    DatabaseChanged,
    Draining,
    Log,
    Publish,
    RoleChanged,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
)
from unrip.messages.topics import EXECUTE_TRADE, MARKET_PRICE, RAW_QUOTE_STATUS, TRADE_RESULT
from unrip.net.events import FrameSent, SendFrame
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    ApplyReading,
    AuthorityJudged,
    CheckHeld,
    FillsRead,
    Finding,
    HeldChecked,
    LedgerNoted,
    LedgerUnknown,
    LoadLedger,
    NoteAttempt,
    OpenRelay,
    ProveAuthority,
    ReadFills,
    ReadVerifier,
    RejectCommand,
    RevocationTraced,
    SignOffer,
    VerifierRead,
    VerifierUnread,
)
from unrip.store.ledger import HeldDifference
from unrip.venues.near_intents.nonces import encode_nonce

# --- evidence --------------------------------------------------------------------------------------------------------


def test_a_notice_is_recorded_and_asked_about_at_once_and_only_the_chain_settles() -> None:
    desk = executor()
    claim = desk.send()
    desk.reply()
    desk.noted()
    desk.notice(claim.offer.quote_hash)
    assert desk.asked == (claim.offer.nonce,)
    assert desk.last(ReadFills) == ReadFills(tx_hash="tx-1")
    (raw,) = [each for each in desk.of(Publish) if each.topic == RAW_QUOTE_STATUS]
    assert (raw.payload.quote_hash, raw.correlation_id) == (claim.offer.quote_hash, "quote-1")
    assert "settled" not in desk.states
    fill = VerifierFill(
        quote_hash=claim.offer.quote_hash, tx_hash="tx-1", diff={BTC.asset_id: Delta(20_000)}, nonce=claim.offer.nonce
    )
    desk.feed(FillsRead(tx_hash="tx-1", fills=(fill,)))
    assert "settled" not in desk.states
    desk.read(used=[claim.offer.nonce])
    assert desk.states == ["claimed", "sent", "accepted", "settled"]
    result, _chain = desk.last(ApplyReading).endings[0].results[0]
    assert (result.evidence.tx_hash, result.evidence.diff) == ("tx-1", {BTC.asset_id: 20_000})
    assert desk.open_offers == []
    assert events_of(desk)[-1] == "execution_completed"


def test_a_noticed_offer_is_asked_about_until_a_final_block_shows_it() -> None:
    """A final block lags a few seconds behind the transaction that the notice is about."""
    desk = executor()
    claim = desk.send()
    desk.notice(claim.offer.quote_hash)
    for _ in range(3):
        desk.read(asked=[claim.offer.nonce])
        desk.feed(TimerFired(name="read"))
        assert desk.asked == (claim.offer.nonce,)
    desk.read(used=[claim.offer.nonce], credited=after(claim))
    assert desk.states[-1] == "settled"


@pytest.mark.parametrize("word", ["nothing", "refused", "unanswered"])
def test_a_used_nonce_with_its_movement_settles_whatever_the_relay_said(word: str) -> None:
    desk = executor()
    claim = desk.send()
    if word == "refused":
        desk.reply(error="no")
        desk.noted()
    if word == "unanswered":
        disconnected(desk)
        desk.noted()
    desk.now = claim.offer.offer_deadline + timedelta(seconds=4)
    desk.feed(TimerFired(name="read"))
    assert desk.asked == (claim.offer.nonce,)
    desk.read(used=[claim.offer.nonce], credited=after(claim))
    assert desk.states[-1] == "settled"


def test_notices_of_others_and_repeated_ones_are_counted() -> None:
    desk = executor()
    claim = desk.send()
    others = Count(name="status_notices", labels={"whose": "others_or_ended"})
    assert desk.notice("somebody else's") == [others]
    desk.notice(claim.offer.quote_hash)
    desk.notice(claim.offer.quote_hash)
    assert len(desk.of(ReadFills)) == 1
    desk.read(used=[claim.offer.nonce])
    assert others in desk.notice(claim.offer.quote_hash)


def test_an_open_offer_is_not_asked_about_before_it_is_due() -> None:
    desk = executor()
    claim = desk.send()
    desk.now = claim.offer.offer_deadline + timedelta(milliseconds=2_999)
    desk.feed(TimerFired(name="read"))
    assert desk.asked == ()


def lapse(block_time: timedelta, **changes: Any) -> tuple[Executor, Offer]:
    """Ask long after the deadline and let the block be that long after it."""
    desk = executor()
    claim = desk.send()
    desk.now = claim.offer.offer_deadline + max(block_time, timedelta(seconds=4)) + timedelta(seconds=1)
    desk.feed(TimerFired(name="read"))
    at = claim.offer.offer_deadline + block_time
    desk.read(asked=[claim.offer.nonce], block_time=at, observed_at=desk.now, **changes)
    return desk, claim.offer


def test_an_unused_nonce_lapses_at_a_final_block_after_the_deadline() -> None:
    desk, _offer = lapse(timedelta(microseconds=1))
    assert desk.states == ["claimed", "sent", "lapsed"]
    assert desk.open_offers == []


@pytest.mark.parametrize(
    ("block_time", "changes"),
    [
        (timedelta(0), {}),
        (timedelta(seconds=-1), {}),
        (timedelta(hours=24, microseconds=1), {}),
        (timedelta(seconds=5), {"salts": {"252812b3": False}}),
        (timedelta(seconds=5), {"salts": {}}),
    ],
    ids=["at the deadline", "before it", "after the nonce's own", "an invalid salt", "an unknown salt"],
)
def test_everything_else_keeps_the_offer_open(block_time: timedelta, changes: dict[str, Any]) -> None:
    desk, offer = lapse(block_time, **changes)
    assert desk.states == ["claimed", "sent"]
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]
    desk.feed(TimerFired(name="read"))
    assert desk.asked == (offer.nonce,), "and it is asked about again"


def test_at_the_end_of_the_nonces_own_life_unused_still_counts() -> None:
    desk, _offer = lapse(timedelta(hours=24))
    assert desk.states[-1] == "lapsed"


def test_an_older_block_is_ignored() -> None:
    desk = executor()
    claim = desk.send()
    desk.now = claim.offer.offer_deadline + timedelta(seconds=10)
    older = a_reading(900, asked=[claim.offer.nonce], block_time=claim.offer.offer_deadline + timedelta(seconds=5))
    effects = desk.feed(VerifierRead(reading=older))
    assert Count(name="verifier_reads", labels={"outcome": "older_block"}) in effects
    assert desk.states == ["claimed", "sent"]
    assert not any(isinstance(effect, ApplyReading) for effect in effects)


def test_no_timer_ever_ends_an_offer() -> None:
    desk = executor()
    claim = desk.send()
    desk.reply()
    desk.noted()
    names = {timer.name for timer in desk.of(SetTimer)} | {"read", "lease", "claim_again", "load_again", "prove_again"}
    for days in range(1, 400, 40):
        desk.now = NOW + timedelta(days=days)
        for name in names:
            desk.feed(TimerFired(name=name))
        desk.feed(VerifierUnread(reason="rpc down"))
    assert [offer.command_id for offer in desk.open_offers] == [claim.offer.command_id]
    assert desk.states == ["claimed", "sent", "accepted"]


def test_a_fall_that_open_offers_and_settlements_explain_is_no_drift() -> None:
    desk = executor()
    claim = desk.send()
    rest = Amount(5_000 * 10**18 - claim.offer.amount_out)
    desk.read(credited={EURE.asset_id: rest})
    desk.command(a_command("while open"))
    desk.sign()
    desk.decide("rejected")
    desk.read(used=[claim.offer.nonce], credited={EURE.asset_id: rest})
    desk.command(a_command("once settled"))
    assert desk.of(RejectCommand) == []
    desk.sign()
    desk.decide("rejected")
    desk.read(credited={EURE.asset_id: Amount(rest - 1)})
    desk.command(a_command("one wei less"))
    assert desk.rejection.reason == Rejection.INVENTORY_DRIFT


def test_a_read_of_an_earlier_block_than_the_snapshot_proves_no_drift() -> None:
    desk = executor()
    desk.read(credited={})
    command = a_command(inventory_height=2_000)
    assert desk.command(command) == [SignOffer(command=command)]


# --- the ledger away -------------------------------------------------------------------------------------------------


def test_a_write_of_unknown_fate_is_made_again_before_the_next() -> None:
    desk = executor()
    desk.command()
    claim = desk.sign()
    desk.decide()
    desk.feed(FrameSent(connection=RELAY, token=claim.offer.command_id, sent_at=desk.now))
    sent = desk.last(NoteAttempt)
    desk.reply()
    assert desk.last(NoteAttempt) == sent, "the reply's note waits"
    for _ in range(3):
        (timer,) = desk.feed(LedgerUnknown(call="note", reason="no answer"))
        assert isinstance(timer, SetTimer)
        assert desk.feed(TimerFired(name=timer.name)) == [sent]
    assert not desk.logic.idle()
    desk.noted()
    assert desk.last(NoteAttempt).result.state is AttemptState.ACCEPTED
    desk.noted()
    assert desk.logic.idle()


def test_a_ledger_that_cannot_be_loaded_is_asked_again_and_nothing_starts() -> None:
    desk = Executor()
    desk.feed(Started(active=True, generation=1, start_id="x"))
    (timer,) = desk.feed(LedgerUnknown(call="load", reason="no answer"))
    assert isinstance(timer, SetTimer)
    assert desk.feed(TimerFired(name=timer.name)) == [LoadLedger()]
    assert [each.topic for each in desk.of(Subscribe)] == [MARKET_PRICE]
    assert "ledger_not_loaded" in desk.logic.not_ready(NOW)


def test_a_lost_database_is_not_ready() -> None:
    desk = executor()
    desk.feed(DatabaseChanged(up=False, reason="gone"))
    assert desk.logic.not_ready(NOW) == ["database_away"]
    desk.feed(DatabaseChanged(up=True, reason=""))
    assert desk.logic.not_ready(NOW) == []


def test_a_commit_that_nobody_waits_for_is_a_fault() -> None:
    with pytest.raises(AssertionError, match="no write was in flight"):
        executor().feed(LedgerNoted(view=VIEW))


# --- lives -----------------------------------------------------------------------------------------------------------


def test_every_start_is_disarmed_reads_on_after_its_position_and_proves_itself() -> None:
    desk = Executor()
    effects = desk.start(position=CommandPosition(topic_id="commands-1", next_offset=42))
    results, subscribe = [each for each in effects if isinstance(each, Subscribe)]
    assert (results.topic, results.until_end) == (TRADE_RESULT, True)
    assert (subscribe.topic, subscribe.topic_id, subscribe.offset) == (EXECUTE_TRADE, "commands-1", 42)
    assert ProveAuthority() in effects
    assert desk.logic.vitals(NOW).details.switches.armed == ()
    assert desk.logic.vitals(NOW).details.recovering


def test_a_standby_does_nothing_and_takes_no_connection_from_the_instance_that_works() -> None:
    desk = Executor()
    assert desk.feed(Started(active=False, generation=None, start_id="x")) == []
    assert "standby" in desk.logic.not_ready(NOW)
    assert OpenRelay() in desk.feed(RoleChanged(active=True, generation=2))
    assert desk.feed(RoleChanged(active=True, generation=2)) == []


def test_open_offers_of_an_earlier_life_are_asked_about_before_it_is_ready() -> None:
    before = executor()
    offers = [before.send(a_command(name)).offer for name in ("one", "two")]
    desk = Executor()
    desk.start(*(msgspec.structs.replace(offer, state=AttemptState.SENT) for offer in offers))
    desk.connect()
    desk.feed(AuthorityJudged(proven=True, reason="proven"))
    desk.feed(TimerFired(name="read"))
    assert desk.asked == tuple(offer.nonce for offer in offers)
    desk.feed(VerifierUnread(reason="rpc down"))
    assert "recovering" in desk.logic.not_ready(NOW)
    with pytest.raises(ControlRefused, match="recovering"):
        desk.feed(ARM)
    desk.read(asked=[offers[0].nonce])
    assert "recovering" in desk.logic.not_ready(NOW), "one was not asked about"
    desk.read(used=[offers[0].nonce], asked=[offers[1].nonce])
    assert desk.logic.not_ready(NOW) == []
    assert events_of(desk).count("execution_recovered") == 1
    desk.feed(RevocationTraced(nonce=offers[0].nonce, finding=Finding.NOT_REVOKED))
    fill = VerifierFill(quote_hash=offers[0].quote_hash, tx_hash="tx-1", diff={}, nonce=offers[0].nonce)
    desk.feed(FillsRead(tx_hash="tx-1", fills=(fill,)))
    desk.read(used=[offers[0].nonce])
    assert [offer.command_id for offer in desk.open_offers] == [offers[1].command_id], "it need not have ended"
    assert desk.of(SendFrame)[1:] == [], "nothing is sent again"


def test_after_a_reconnect_every_open_offer_is_asked_about() -> None:
    desk = executor()
    claim = desk.send()
    disconnected(desk)
    desk.connect()
    desk.feed(TimerFired(name="read"))
    assert desk.asked == (claim.offer.nonce,)


def test_an_unproven_executor_is_not_ready_and_tries_again() -> None:
    desk = executor()
    (timer,) = desk.feed(AuthorityJudged(proven=False, reason="the account is locked"))
    assert isinstance(timer, SetTimer)
    assert desk.logic.not_ready(NOW) == ["authority_not_proven: the account is locked"]
    assert desk.feed(TimerFired(name=timer.name)) == [ProveAuthority()]


def test_a_transaction_that_executed_another_intent_is_the_evidence_that_ours_was_not() -> None:
    desk = executor()
    offer = desk.send().offer
    desk.notice(offer.quote_hash)
    fill = VerifierFill(quote_hash="hash of a stranger's intent", tx_hash="tx-1", diff=None, nonce=offer.nonce)
    desk.feed(FillsRead(tx_hash="tx-1", fills=(fill,)))
    desk.read(used=[offer.nonce])
    ((result, _chain),) = desk.last(ApplyReading).endings[0].results
    assert (result.state, result.exchange) == ("voided", None)
    assert (result.evidence.executed, result.evidence.tx_hash) == ("hash of a stranger's intent", "tx-1")


SALT_REFUSED = "Smart contract panicked: invalid salt"


@pytest.mark.parametrize("who", ["relay", "contract"])
def test_a_refused_salt_is_looked_up_at_once(who: str) -> None:
    desk = executor()
    if who == "relay":
        desk.send()
        effects = desk.reply(error={"code": -32000, "message": SALT_REFUSED})
    else:
        effects = desk.feed(AuthorityJudged(proven=False, reason=f"the verifier refuses our offers: {SALT_REFUSED}"))
    assert Count(name="salts_refused") in effects
    assert len([effect for effect in effects if isinstance(effect, ReadVerifier)]) == 1


def test_a_salt_that_is_refused_during_a_reading_is_looked_up_after_it_once() -> None:
    """The block of the reading under way may be older than the new salt."""
    desk = executor()
    desk.feed(TimerFired(name="read"))
    desk.effects.clear()
    for _ in range(2):
        desk.feed(AuthorityJudged(proven=False, reason=SALT_REFUSED))
    assert desk.of(ReadVerifier) == []
    desk.feed(VerifierUnread(reason="no node"))
    assert len(desk.of(ReadVerifier)) == 1
    desk.read()
    assert len(desk.of(ReadVerifier)) == 1


def test_another_refusal_reads_nothing() -> None:
    desk = executor()
    desk.send()
    desk.reply(error={"code": -32000, "message": "quote not found or already finished"})
    desk.feed(AuthorityJudged(proven=False, reason="the account is locked on the verifier"))
    assert desk.of(ReadVerifier) == []
    assert Count(name="salts_refused") not in desk.effects


def test_the_chain_is_read_on_a_timer_one_question_at_a_time() -> None:
    desk = executor()
    effects = desk.feed(TimerFired(name="read"))
    assert effects == [ReadVerifier(nonces=(), salts=()), SetTimer(name="read", at=NOW + timedelta(seconds=2))]
    assert desk.feed(TimerFired(name="read")) == [SetTimer(name="read", at=NOW + timedelta(seconds=2))]
    desk.feed(VerifierUnread(reason="down"))
    desk.feed(VerifierUnread(reason="down"))
    assert events_of(desk) == ["connection_lost"]
    desk.read()
    assert events_of(desk) == ["connection_lost", "connection_recovered"]


def test_a_paused_executor_lets_commands_wait_and_goes_on_after() -> None:
    desk = executor()
    desk.feed(a_control("pause"))
    desk.command(a_command("waits"))
    desk.command(a_command("waits too"))
    assert desk.of(SignOffer) == desk.of(RejectCommand) == []
    assert desk.state(NOW).commands_waiting == 2
    desk.feed(a_control("resume"))
    assert [effect.command.quote_id for effect in desk.of(SignOffer)] == ["waits"]
    desk.sign()
    desk.now = NOW + timedelta(seconds=1)
    desk.decide("rejected")
    assert desk.rejection.reason == Rejection.WINDOW_CLOSED, "what is past its window is rejected by name"


def test_a_lease_ends_and_commands_are_rejected() -> None:
    desk = executor()
    desk.now = NOW + timedelta(minutes=60)
    (line,) = desk.feed(TimerFired(name="lease"))
    assert isinstance(line, Log)
    assert line.event == "disarmed"
    desk.command()
    assert desk.rejection.reason == Rejection.DISARMED


def test_it_is_armed_per_direction() -> None:
    desk = executor()
    desk.feed(a_control("arm", directions=["base_out"], lease_minutes=5))
    assert desk.command(a_command("sell", Direction.BASE_OUT)) != []
    assert len(desk.of(SignOffer)) == 1
    assert desk.logic.vitals(NOW).details.switches.armed == (Direction.BASE_OUT,)
    assert desk.logic.vitals(NOW).details.switches.armed != BOTH


def test_a_draining_executor_takes_no_command_and_finishes_the_one_in_flight() -> None:
    desk = executor()
    desk.command(a_command("in flight"))
    desk.command(a_command("waits"))
    desk.feed(Draining())
    claim = desk.sign()
    desk.decide()
    assert not desk.logic.idle(), "nobody knows yet whether the bytes left"
    desk.feed(FrameSent(connection=RELAY, token=claim.offer.command_id, sent_at=desk.now))
    desk.noted()
    desk.reply()
    desk.noted()
    assert desk.logic.idle()
    assert len(desk.of(SignOffer)) == 1


def test_the_state_shows_attempts_and_open_offers_as_plain_values() -> None:
    desk = executor()
    desk.send()
    desk.reply()
    a_halted(desk)
    desk.command(a_command("halted"))
    desk.decide("rejected")
    state = desk.state(NOW)
    assert state.halted == "true"
    assert [offer.quote_id for offer in state.open_offers] == ["quote-1"]
    assert state.completed == {"rejected": 1}
    assert state.last_venue_response.accepted
    assert state.attempts[0].reason == "halted"


def test_the_nonce_is_the_commands_own() -> None:
    command = a_command("q")
    own = encode_nonce(command.salt, epoch_ms(command.nonce_deadline), nonce_free_bytes(command_id_of("q")))
    assert command.nonce == own
    assert json.loads(executor().send(command).offer.signed_payload) == [{"quote_id": "q"}]


def test_counters_that_do_not_add_up_are_told_once_and_never_repaired() -> None:
    executor = Executor()
    executor.start()
    assert SetTimer(name="check_held", at=NOW + timedelta(minutes=1)) in executor.effects
    assert executor.feed(TimerFired(name="check_held"))[0] == CheckHeld()
    difference = HeldDifference(account="a", asset="x", held=Amount(5), open_holds=Amount(3))
    differs = Count(name="held_checks", labels={"outcome": "differs"})
    count, line = executor.feed(HeldChecked(differences=(difference,)))
    assert isinstance(line, Log)
    assert (line.event, line.level, line.body["held"], line.body["open_holds"]) == ("ledger_differs", "error", "5", "3")
    assert count == differs
    assert executor.logic.health_failures() == ["ledger_differs"]
    assert executor.feed(HeldChecked(differences=(difference,))) == [differs]
    assert executor.feed(LedgerUnknown(call="check", reason="away")) == []
    assert executor.logic.health_failures() == ["ledger_differs"], "not knowing is not agreeing"
    assert executor.feed(HeldChecked(differences=())) == [Count(name="held_checks", labels={"outcome": "agrees"})]
    assert executor.logic.health_failures() == []
    assert len(executor.feed(HeldChecked(differences=(difference,)))) == 2
