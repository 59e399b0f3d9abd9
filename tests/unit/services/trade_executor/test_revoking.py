"""The kill switch: live offers are taken back, and only the chain says which were taken first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from support.engine import ARM, a_control
from support.executor import VIEW, Executor, a_command, after, executor
from unrip.domain.attempt import AttemptState, Drop, Offer
from unrip.domain.evidence import TAKER_ALLOWANCE
from unrip.domain.values import Delta
from unrip.domain.verifier import VerifierFill
from unrip.frame.contract import Control, Log, Started, TimerFired
from unrip.net.events import FrameNotSent, SendFrame
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import (
    ApplyReading,
    ClaimOffer,
    DropAttempt,
    FillsRead,
    Finding,
    LedgerLoaded,
    NoteRevocation,
    Publication,
    PublishRevocation,
    ReadVerifier,
    RevocationPublished,
    RevocationSigned,
    RevocationTraced,
    SignRevocation,
    TraceRevocation,
)

HALT = a_control("halt", revoke=True)
STARTED = Started(active=True, generation=1, start_id="trade-executor-2")


def live(desk: Executor, quote_id: str = "quote-1") -> Offer:
    """An offer that the relay took and nobody accepted yet."""
    offer = desk.send(a_command(quote_id)).offer
    desk.reply()
    desk.noted()
    return offer


def revoke(desk: Executor, offer: Offer, publication: Publication = Publication.TAKEN) -> None:
    """Halt with revoke, up to the relay's word."""
    desk.feed(HALT)
    signed(desk, offer)
    desk.feed(RevocationPublished(nonce=offer.nonce, publication=publication, reason=""))


def signed(desk: Executor, offer: Offer) -> None:
    desk.feed(RevocationSigned(nonce=offer.nonce, intent_hash=f"revocation of {offer.nonce}", payload="{}"))
    desk.noted()


def traced(desk: Executor, offer: Offer, finding: Finding) -> None:
    executed = {
        "intent_hash": f"revocation of {offer.nonce}",
        "payload": "{}",
        "tx_hash": "tx-9",
    }
    desk.feed(RevocationTraced(nonce=offer.nonce, finding=finding, **(executed if finding is Finding.REVOKED else {})))


def told(desk: Executor) -> list[Any]:
    found: list[Any] = desk.state().revocation.offers
    return found


def last_ending(desk: Executor) -> Any:
    return next(e for write in reversed(desk.of(ApplyReading)) for e in write.endings)


def test_every_live_nonce_is_spent_once_and_recorded_after() -> None:
    desk = executor()
    offers = [live(desk, f"quote-{number}") for number in range(3)]
    effects = desk.feed(HALT)
    assert {(e.nonce, e.deadline) for e in effects if isinstance(e, SignRevocation)} == {
        (offer.nonce, offer.nonce_deadline) for offer in offers
    }
    effects = desk.feed(RevocationSigned(nonce=offers[0].nonce, intent_hash="hash", payload="{}"))
    assert [type(e) for e in effects] == [PublishRevocation, NoteRevocation], "published first, recorded after"
    assert [each.publication for each in told(desk)] == [Publication.WAITING] * 3


def test_a_nonce_has_one_revocation_whichever_of_its_offers_are_still_open() -> None:
    """The latest of them may never have left the socket; what was published is looked for all the same."""
    desk = executor()
    latest = a_command("first").offer_deadline
    first = desk.send(a_command("first", offer_deadline=latest - timedelta(milliseconds=500))).offer
    desk.command(a_command("second", nonce=first.nonce, nonce_opener=first.command_id))
    waiting = desk.sign().offer
    desk.decide()
    (signing,) = (e for e in desk.feed(HALT) if isinstance(e, SignRevocation))
    desk.feed(RevocationSigned(nonce=first.nonce, intent_hash="hash", payload="{}"))
    desk.feed(FrameNotSent(connection=RELAY, token=waiting.command_id, nothing_left=True, reason="too_late"))
    desk.noted()
    desk.noted()
    assert [each.command_id for each in desk.open_offers] == [first.command_id]
    desk.read(used=[first.nonce])
    assert desk.last(TraceRevocation) == TraceRevocation(nonce=first.nonce, deadline=signing.deadline, payload="{}")


def test_the_chain_shows_that_our_revocation_used_the_nonce() -> None:
    desk = executor()
    offer = live(desk)
    revoke(desk, offer)
    assert desk.asked == (offer.nonce,), "asked about at once"
    desk.read(used=[offer.nonce])
    assert desk.states[-1] == "accepted", "a used nonce alone says nothing"
    assert desk.last(TraceRevocation).deadline == offer.nonce_deadline
    assert told(desk)[0].outcome == "unknown"
    traced(desk, offer, Finding.REVOKED)
    desk.read(used=[offer.nonce])
    ((result, _chain),) = last_ending(desk).results
    assert result.state is AttemptState.REVOKED
    assert (result.evidence.tx_hash, result.evidence.executed) == ("tx-9", f"revocation of {offer.nonce}")
    assert result.request == "{}", "what was recorded is what was sent"
    (report,) = told(desk)
    assert (report.outcome, report.recorded, report.evidence) == ("revoked", True, result.evidence)
    assert desk.open_offers == []


@pytest.mark.parametrize("how", ["fill", "balances"])
def test_an_offer_that_was_taken_first_settles(how: str) -> None:
    """Also where the relay's RPC refuses to say what became of the revocation."""
    desk = executor()
    offer = live(desk)
    revoke(desk, offer, Publication.REFUSED)
    traced(desk, offer, Finding.UNKNOWN)
    if how == "fill":
        desk.notice(offer.quote_hash, "tx-1")
        fill = VerifierFill(quote_hash=offer.quote_hash, tx_hash="tx-1", diff={"a": Delta(1)}, nonce=offer.nonce)
        desk.feed(FillsRead(tx_hash="tx-1", fills=(fill,)))
    desk.read(used=[offer.nonce], credited=after(desk.last(ClaimOffer)))
    ((result, _chain),) = last_ending(desk).results
    assert result.state is AttemptState.SETTLED
    assert result.evidence.executed == (offer.quote_hash if how == "fill" else None)
    assert told(desk)[0].outcome == "settled"


@pytest.mark.parametrize("finding", [Finding.NOT_REVOKED, Finding.UNKNOWN])
def test_a_use_that_moved_nothing_is_no_fill_whatever_the_relay_remembers(finding: Finding) -> None:
    """It forgot our revocation, or a stranger had the key: the amounts are where they were."""
    desk = executor()
    offer = live(desk)
    revoke(desk, offer)
    desk.read(used=[offer.nonce])
    traced(desk, offer, finding)
    if finding is Finding.UNKNOWN:
        desk.read(used=[offer.nonce])
        assert desk.open_offers, "the relay may still say that it was ours"
        desk.now = offer.offer_deadline + TAKER_ALLOWANCE + timedelta(seconds=3)
    desk.read(used=[offer.nonce])
    ((result, _chain),) = last_ending(desk).results
    assert (result.state, result.exchange) == (AttemptState.VOIDED, None)
    assert set(result.evidence.moved.values()) == {0}
    assert desk.open_offers == []


def test_unknown_is_asked_again_and_never_read_as_an_answer() -> None:
    desk = executor()
    offer = live(desk)
    revoke(desk, offer, Publication.UNREACHABLE)
    for asked in (1, 2):
        desk.read(used=[offer.nonce])
        assert len(desk.of(TraceRevocation)) == asked
        desk.read(used=[offer.nonce])
        assert len(desk.of(TraceRevocation)) == asked, "one question at a time"
        traced(desk, offer, Finding.UNKNOWN)
        assert told(desk)[0].outcome == "unknown"
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


@pytest.mark.parametrize("said", [Publication.TAKEN, Publication.REFUSED, Publication.UNREACHABLE])
def test_a_revocation_that_nobody_executed_lapses_with_its_offer(said: Publication) -> None:
    """Whether the relay took it and forgot it, takes none or did not answer."""
    desk = executor()
    offer = live(desk)
    revoke(desk, offer, said)
    desk.read(asked=[offer.nonce])
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]
    desk.now = offer.offer_deadline + timedelta(seconds=5)
    desk.read(asked=[offer.nonce])
    assert told(desk)[0].outcome == "lapsed"


def test_an_offer_whose_life_is_over_is_not_revoked() -> None:
    desk = executor()
    offer = live(desk)
    desk.now = offer.offer_deadline
    assert not any(isinstance(e, SignRevocation) for e in desk.feed(HALT))
    assert told(desk)[0].publication is Publication.EXPIRED


@pytest.mark.parametrize("late", [Publication.UNREACHABLE, Publication.REFUSED])
def test_the_relay_s_word_that_comes_after_the_chain_s_changes_nothing(late: Publication) -> None:
    """The question about it was answered before the attempts to publish it had ended."""
    desk = executor()
    offer = live(desk)
    desk.feed(HALT)
    signed(desk, offer)
    desk.read(used=[offer.nonce])
    traced(desk, offer, Finding.REVOKED)
    desk.read(used=[offer.nonce])
    assert [end.state for end, _chain in last_ending(desk).results] == [AttemptState.REVOKED]
    desk.feed(RevocationPublished(nonce=offer.nonce, publication=late, reason="too late"))
    traced(desk, offer, Finding.UNKNOWN)
    desk.read(used=[offer.nonce])
    assert (told(desk)[0].outcome, desk.open_offers) == ("revoked", [])
    assert len([end for write in desk.of(ApplyReading) for end in write.endings]) == 1


def test_halting_again_sends_the_same_again_for_what_is_still_open() -> None:
    desk = executor()
    first, second = live(desk, "quote-1"), live(desk, "quote-2")
    revoke(desk, first)
    signed(desk, second)
    desk.read(used=[first.nonce], asked=[second.nonce])
    traced(desk, first, Finding.REVOKED)
    desk.read(used=[first.nonce], asked=[second.nonce])
    effects = desk.feed(HALT)
    assert [e.nonce for e in effects if isinstance(e, SignRevocation)] == [second.nonce]
    assert {each.quote_id: each.outcome for each in told(desk)} == {"quote-1": "revoked", "quote-2": "unknown"}
    desk.feed(ARM)
    desk.feed(HALT)
    assert [each.quote_id for each in told(desk)] == ["quote-2"], "a new halt, a new report"


@pytest.mark.parametrize("known", [True, False])
def test_after_a_restart_a_used_nonce_is_settled_only_when_no_revocation_took_it(known: bool) -> None:
    """What an earlier life published is found even if it could record nothing."""
    before = executor()
    offer = live(before)
    desk = Executor()
    desk.feed(STARTED)
    desk.feed(
        LedgerLoaded(position=None, open_offers=(offer,), view=VIEW, revocations={offer.nonce: "{}"} if known else {})
    )
    desk.connect()
    desk.read(used=[offer.nonce])
    question = desk.last(TraceRevocation)
    assert question.payload == ("{}" if known else None)
    traced(desk, offer, Finding.REVOKED)
    desk.read(used=[offer.nonce])
    assert last_ending(desk).state is AttemptState.REVOKED


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "killed before it was recorded"])
def test_after_a_restart_a_revoked_nonce_is_asked_about_until_a_final_block_shows_its_use(*, recorded: bool) -> None:
    """The start may be faster than finality; asked only then, and not again before its deadline, it stayed held."""
    offer = live(executor())
    revocations = {offer.nonce: "{}"} if recorded else {}
    desk = Executor()
    desk.feed(STARTED)
    desk.feed(LedgerLoaded(position=None, open_offers=(offer,), view=VIEW, revocations=revocations))
    desk.connect()
    for _ in range(2):
        desk.read(asked=[offer.nonce])
        (question,) = (e for e in desk.feed(TimerFired(name="read")) if isinstance(e, ReadVerifier))
        assert question.nonces == (offer.nonce,)


def test_asked_before_the_ledger_was_read_it_revokes_as_soon_as_it_is() -> None:
    before = executor()
    offer = live(before)
    desk = Executor()
    desk.feed(STARTED)
    desk.feed(HALT)
    assert desk.state().revocation.waits_for_ledger
    effects = desk.feed(LedgerLoaded(position=None, open_offers=(offer,), view=VIEW))
    assert [e.nonce for e in effects if isinstance(e, SignRevocation)] == [offer.nonce]
    assert not desk.state().revocation.waits_for_ledger


@pytest.mark.parametrize(
    ("brake", "reason"),
    [
        (a_control("halt"), Drop.HALTED),
        (a_control("disarm"), Drop.DISARMED),
        (a_control("arm", directions=["base_out"], lease_minutes=60), Drop.DISARMED),
        (a_control("pause"), Drop.PAUSED),
    ],
)
def test_a_claim_that_commits_after_a_brake_sends_nothing(brake: Control, reason: Drop) -> None:
    desk = executor()
    desk.command()
    desk.sign()
    desk.feed(brake)
    desk.decide()
    assert desk.of(SendFrame) == []
    assert desk.last(DropAttempt).result.reason == reason
    assert len(desk.of(ClaimOffer)) == 1


def test_a_claim_that_commits_after_the_end_of_its_lease_sends_nothing() -> None:
    desk = executor()
    desk.feed(a_control("arm", directions=["base_in"], lease_minutes=1))
    end_of_lease = desk.now + timedelta(minutes=1)
    desk.now = end_of_lease - timedelta(milliseconds=1)
    desk.read()
    desk.command(a_command(answer_by=end_of_lease + timedelta(seconds=1)))
    desk.sign()
    desk.now = end_of_lease
    desk.decide()
    assert desk.of(SendFrame) == []
    assert desk.last(DropAttempt).result.reason == Drop.DISARMED


def test_a_halt_without_revoke_leaves_live_offers_alone() -> None:
    desk = executor()
    live(desk)
    desk.feed(a_control("halt", revoke=False))
    assert desk.of(SignRevocation) == []
    assert desk.state().revocation is None


@pytest.mark.parametrize(
    ("publication", "event"),
    [
        (Publication.TAKEN, "revocation_published"),
        (Publication.REFUSED, "revocation_failed"),
        (Publication.UNREACHABLE, "revocation_failed"),
    ],
)
def test_the_relay_s_word_is_told_once(publication: Publication, event: str) -> None:
    desk = executor()
    offer = live(desk)
    revoke(desk, offer, publication)
    (line,) = [line for line in desk.of(Log) if line.component == "revocation"]
    assert (line.event, line.body["quote_ids"]) == (event, ["quote-1"])
