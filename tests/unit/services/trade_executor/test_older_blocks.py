"""trade-executor where the newest block proves nothing: older blocks, and an operator's word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support.engine import a_control
from support.executor import Executor, a_command, a_reading, executor
from support.past_blocks import SALT, answer, committed, ended, evidence, in_doubt, look, pair, use
from unrip.domain.attempt import Offer
from unrip.domain.evidence import TAKER_ALLOWANCE
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierFill
from unrip.frame.contract import TimerFired
from unrip.services.trade_executor.effects import (
    ApplyReading,
    FillsRead,
    FillsUnread,
    FindFill,
    Finding,
    NoteAttempt,
    PastUnread,
    ReadPast,
    ReadUse,
    RevocationSigned,
    RevocationTraced,
    TraceRevocation,
)
from unrip.services.trade_executor.offers.nonce import RETRY_FIRST

# --- the salt has ended ----------------------------------------------------------------------------------------------


def test_the_question_bisects_from_the_snapshot_of_the_offer_to_the_newest_block() -> None:
    desk, offer = in_doubt()
    question = desk.last(ReadPast)
    assert (question.nonces, question.offers) == ((offer.nonce,), (offer,))
    assert (question.span.salt, question.span.valid_at) == (SALT, offer.inventory_height)
    assert question.span.height == desk.state().own_read.height
    assert desk.states == ["claimed", "sent"], "and nothing is guessed meanwhile"


def test_a_new_salt_has_the_offers_of_the_others_asked_about_once_at_once() -> None:
    desk = executor()
    offer = desk.send().offer
    asked: list[tuple[str, ...]] = []
    for salt in (SALT, "0badcafe", "0badcafe"):
        desk.read(salt=salt, asked=desk.asked if asked else [])
        desk.feed(TimerFired(name="read"))
        asked.append(desk.asked)
    assert asked == [(), (offer.nonce,), ()]
    assert desk.of(ReadPast) == [], "its own is still valid"


@pytest.mark.parametrize(("taken", "state"), [(True, "settled"), (False, "voided")])
def test_used_in_the_block_that_ended_the_salt_is_judged_by_the_balances_there(taken: bool, state: str) -> None:
    desk, offer = in_doubt()
    answer(desk, *pair(offer, after=[offer.nonce], taken=offer if taken else None))
    seen = evidence(desk)
    assert (ended(desk).state, seen.nonce_used, seen.height, seen.compared_with) == (state, True, 991, 990)
    assert desk.open_offers == []


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize(("taken", "state"), [(True, "settled"), (False, "voided")])
def test_used_before_its_salt_ended_has_the_block_of_the_use_looked_for(taken: bool, state: str, after: bool) -> None:
    """A used nonce alone is no fill, though it is forgotten now."""
    desk, offer = in_doubt()
    answer(desk, *pair(offer, before=[offer.nonce], after=[offer.nonce] * after))
    assert desk.states == ["claimed", "sent"]
    look(desk, offer)
    question = desk.last(ReadUse)
    assert (question.span.nonce, question.span.unused_at, question.span.used_at) == (
        offer.nonce,
        offer.inventory_height,
        990,
    )
    committed(desk, use(offer, taken=offer if taken else None))
    seen = evidence(desk)
    assert (ended(desk).state, seen.height, seen.compared_with) == (state, 989, 988)
    assert desk.open_offers == []


def test_nobody_looks_for_the_taker_of_a_shared_nonce_longer_than_at_the_newest_block() -> None:
    desk = executor()
    first = desk.send().offer
    second = desk.send(a_command("second", nonce=first.nonce, nonce_opener=first.command_id)).offer
    look(desk, first, second, past=TAKER_ALLOWANCE - timedelta(seconds=1))
    answer(desk, *pair(first, second, before=[first.nonce]))
    look(desk, first, second, past=TAKER_ALLOWANCE - timedelta(seconds=1))
    committed(desk, use(first, second, taken=first))
    assert desk.states == ["claimed", "sent"] * 2
    desk.now += RETRY_FIRST
    look(desk, first, second)
    assert desk.states == ["claimed", "sent"] * 2, "the transaction of its use is still looked for"
    assert desk.last(FindFill) == FindFill(nonce=first.nonce, height=989)
    desk.feed(FillsRead(tx_hash="", fills=(), nonce=first.nonce))
    look(desk, first, second)
    assert desk.states[-2:] == ["spent", "spent"]
    assert len(desk.of(ReadUse)) == 1, "what was found is kept"


def test_a_clock_that_was_an_hour_ahead_delays_no_look() -> None:
    """The next look was planned by it."""
    desk = executor()
    offer = desk.send().offer
    desk.now += timedelta(hours=1)
    look(desk, offer)
    desk.feed(PastUnread(kept=True, reason="away"))
    desk.now -= timedelta(hours=1)
    desk.read(asked=[offer.nonce], salts={SALT: False})
    assert len(desk.of(ReadPast)) == 2


def test_a_clock_that_was_an_hour_ahead_delays_no_search_for_a_transaction() -> None:
    desk, first, second = two_late()
    desk.feed(use(first, second, taken=first))
    assert len(desk.of(FindFill)) == 1
    desk.feed(FillsUnread(reason="away", nonce=first.nonce))
    desk.now -= timedelta(minutes=9)
    late_use(desk, first)
    assert len(desk.of(FindFill)) == 2


def two_late() -> tuple[Executor, Offer, Offer]:
    """Two equal offers on one nonce, whose use is first read long after their deadline."""
    desk = executor()
    first = desk.send().offer
    second = desk.send(a_command("second", nonce=first.nonce, nonce_opener=first.command_id)).offer
    desk.now = first.offer_deadline + timedelta(minutes=10)
    late_use(desk, first)
    return desk, first, second


def late_use(desk: Executor, taken: Offer) -> None:
    desk.read(used=[taken.nonce], block_time=desk.now, credited=credited_after(taken))
    while not desk.logic._book.writes.empty():
        desk.noted()


def credited_after(offer: Offer) -> dict[str, Amount]:
    before = a_reading().credited
    changed = {offer.asset_in: int(offer.amount_in), offer.asset_out: -int(offer.amount_out)}
    return {asset: Amount(amount + changed.get(asset, 0)) for asset, amount in before.items()}


@pytest.mark.parametrize("taken", [0, 1])
def test_the_taker_of_equal_offers_is_named_by_its_transaction_however_late_they_are_read(taken: int) -> None:
    desk, *offers = two_late()
    took = offers[taken]
    assert desk.last(ReadUse).span.nonce == took.nonce
    assert desk.states == ["claimed", "sent"] * 2, "nobody has looked for the transaction yet"
    desk.feed(use(*offers, taken=took))
    fill = VerifierFill(quote_hash=took.quote_hash, tx_hash="tx-1", diff=None, nonce=took.nonce)
    desk.feed(FillsRead(tx_hash="", fills=(fill,), nonce=took.nonce))
    late_use(desk, took)
    states = {result.command_id: result.state for result, _chain in desk.last(ApplyReading).endings[0].results}
    assert states == {each.command_id: "settled" if each is took else "lapsed" for each in offers}


def test_a_transaction_that_no_node_tells_is_asked_for_again_and_ends_nothing_by_that() -> None:
    desk, first, second = two_late()
    desk.feed(use(first, second, taken=first))
    for asked in range(1, 10):
        assert len(desk.of(FindFill)) == asked
        desk.feed(FillsUnread(reason="away", nonce=first.nonce))
        desk.now += RETRY_FIRST
        late_use(desk, first)
    ended = [state for state in desk.states if state not in {"claimed", "sent"}]
    assert ended == ["unproven", "unproven"], "an operator may say it, and a node still can"
    desk.feed(FillsRead(tx_hash="", fills=(), nonce=first.nonce))
    late_use(desk, first)
    assert desk.states[-2:] == ["spent", "spent"]


def test_where_no_node_keeps_the_block_of_the_use_the_balances_have_the_last_word() -> None:
    desk, first, _second = two_late()
    desk.feed(PastUnread(kept=True, reason="away"))
    late_use(desk, first)
    assert not {"spent", "unproven"} & {*desk.states}
    desk.now += timedelta(minutes=1)
    late_use(desk, first)
    desk.feed(PastUnread(kept=False, reason="gone"))
    late_use(desk, first)
    assert desk.states[-2:] == ["spent", "spent"]


def test_unused_with_balances_that_did_not_move_is_lapsed_with_that_evidence() -> None:
    desk, offer = in_doubt()
    answer(desk, *pair(offer))
    assert ended(desk).state == "lapsed"
    seen = evidence(desk)
    assert (seen.height, seen.salt_valid, seen.salt_valid_at, seen.nonce_used) == (991, False, 990, False)
    assert desk.open_offers == []


def test_a_salt_that_ended_after_the_deadline_needs_no_balances() -> None:
    desk, offer = in_doubt()
    answer(desk, *pair(offer, late=True, moved=-1))
    assert (ended(desk).state, evidence(desk).height, evidence(desk).salt_valid) == ("lapsed", 990, True)


@pytest.mark.parametrize("moved", [-1, 1])
def test_more_than_one_explanation_stays_unproven_and_is_told_once(moved: int) -> None:
    desk, offer = in_doubt()
    answer(desk, *pair(offer, moved=moved))
    result = desk.last(NoteAttempt).result
    assert (result.state, result.next_check_at) == ("unproven", desk.now + RETRY_FIRST)
    assert "more than one explanation" in result.reason
    desk.now += RETRY_FIRST
    look(desk, offer)
    answer(desk, *pair(offer, moved=moved))
    assert desk.states == ["claimed", "sent", "unproven"]
    (doubt,) = desk.state().in_doubt
    assert (doubt.looks, doubt.next_check_at) == (2, desk.now + 2 * RETRY_FIRST), "it is asked less and less often"
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


def test_a_fill_of_another_offer_in_that_block_is_no_second_explanation() -> None:
    desk = executor()
    offer = desk.send().offer
    other = desk.send(a_command("other")).offer
    look(desk, offer, other)
    question = desk.last(ReadPast)
    assert question.nonces == (offer.nonce, other.nonce)
    answer(desk, *pair(offer, other, after=[other.nonce], taken=other))
    states = {e.results[0][0].command_id: e.state for e in desk.last(ApplyReading).endings}
    assert states == {offer.command_id: "lapsed", other.command_id: "settled"}


def test_an_offer_of_the_other_direction_is_asked_about_beside() -> None:
    desk = executor()
    offer = desk.send().offer
    back = desk.send(a_command("back", Direction.BASE_OUT)).offer
    look(desk, offer)
    question = desk.last(ReadPast)
    assert question.nonces == (offer.nonce,)
    assert {each.nonce for each in question.offers} == {offer.nonce, back.nonce}


@pytest.mark.parametrize(
    ("unlike", "asked_together"),
    [({}, True), ({"salt": "0badcafe"}, False), ({"nonce_deadline": timedelta(seconds=4)}, False)],
    ids=["alike", "another salt", "past its nonce's own deadline"],
)
def test_one_question_is_about_offers_that_the_same_blocks_judge(unlike: dict[str, Any], asked_together: bool) -> None:
    _desk, offer = in_doubt()
    if "nonce_deadline" in unlike:
        unlike = {"nonce_deadline": offer.offer_deadline + unlike["nonce_deadline"]}
    # Nonces are compared, and not ordered.
    others = [
        msgspec.structs.replace(offer, command_id=name, quote_id=name, nonce=name, quote_hash=name, **unlike)
        for name in ("A", "z")
    ]
    later = Executor()
    later.start(offer, *others)
    later.now = offer.offer_deadline + timedelta(seconds=5)
    later.read(asked=[offer.nonce, "A", "z"], block_time=later.now, salts={SALT: False, "0badcafe": False})
    assert later.last(ReadPast).nonces == ((offer.nonce, "A", "z") if asked_together else (offer.nonce,))


# --- after the nonce's own deadline ----------------------------------------------------------------------------------


def late_doubt() -> tuple[Executor, Offer]:
    return in_doubt(past=timedelta(hours=24, seconds=5), valid=True)


@pytest.mark.parametrize(("used", "state", "height"), [(True, "settled", 989), (False, "lapsed", 990)])
def test_an_older_block_in_the_span_judges_as_the_newest_would(used: bool, state: str, height: int) -> None:
    desk, offer = late_doubt()
    assert desk.last(ReadPast).span.nonce_deadline == offer.nonce_deadline
    older = a_reading(990, asked=[offer.nonce], used=[offer.nonce] if used else [], block_time=offer.nonce_deadline)
    answer(desk, older)
    if used:
        look(desk, offer)
        committed(desk, use(offer, taken=offer))
    assert (ended(desk).state, evidence(desk).height) == (state, height)


def test_a_block_that_is_not_after_the_deadline_proves_nothing() -> None:
    desk, offer = late_doubt()
    answer(desk, a_reading(990, asked=[offer.nonce], block_time=offer.offer_deadline))
    assert desk.states[-1] == "unproven"
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


# --- revocations -----------------------------------------------------------------------------------------------------


def revoked_and_in_doubt(*, before: bool, after: bool) -> tuple[Executor, Offer]:
    """A revocation was published, the salt has ended since, and an older block shows the nonce used."""
    desk = executor()
    offer = desk.send().offer
    desk.feed(a_control("halt", revoke=True))
    desk.feed(RevocationSigned(nonce=offer.nonce, intent_hash="revocation", payload="{}"))
    desk.noted()
    look(desk, offer, past=TAKER_ALLOWANCE)
    answer(desk, *pair(offer, before=[offer.nonce] * before, after=[offer.nonce] * after))
    return desk, offer


def told(desk: Executor) -> tuple[str, bool]:
    """What the operator is told about the one offer, and whether the ledger has it."""
    (offer,) = desk.state().revocation.offers
    return offer.outcome, offer.recorded


@pytest.mark.parametrize(("finding", "state"), [(Finding.REVOKED, "revoked"), (Finding.NOT_REVOKED, "voided")])
def test_a_use_that_moved_nothing_waits_for_the_word_about_our_revocation(finding: Finding, state: str) -> None:
    desk, offer = revoked_and_in_doubt(before=False, after=True)
    assert desk.states == ["claimed", "sent"], "neither voided nor unproven"
    assert desk.last(TraceRevocation).nonce == offer.nonce, "the newest block would not have had it asked"
    executed = {"intent_hash": "revocation", "payload": "{}", "tx_hash": "tx-9"} if finding is Finding.REVOKED else {}
    desk.feed(RevocationTraced(nonce=offer.nonce, finding=finding, **executed))
    look(desk, offer, past=TAKER_ALLOWANCE)
    assert ended(desk).state == state
    assert evidence(desk).executed == ("revocation" if finding is Finding.REVOKED else None)
    assert told(desk) == (state, True)


def test_nobody_waits_for_that_word_for_ever() -> None:
    """The relay forgot it, or leaves it pending: whose intent it was stays unknown, and that nothing moved is known."""
    desk, offer = revoked_and_in_doubt(before=False, after=True)
    desk.feed(RevocationTraced(nonce=offer.nonce, finding=Finding.UNKNOWN))
    look(desk, offer, past=TAKER_ALLOWANCE)
    assert desk.open_offers, "the relay may still say that it was ours"
    look(desk, offer, past=TAKER_ALLOWANCE + timedelta(seconds=1))
    assert ended(desk).state == "voided"
    assert told(desk) == ("voided", True)


def test_an_offer_of_an_earlier_life_may_have_been_revoked_as_well() -> None:
    _desk, offer = in_doubt()
    later = Executor()
    later.start(offer)
    look(later, offer, past=TAKER_ALLOWANCE)
    answer(later, *pair(offer, after=[offer.nonce]))
    assert later.of(NoteAttempt) == []
    assert later.last(TraceRevocation).payload is None
    assert [each.command_id for each in later.open_offers] == [offer.command_id]


def test_what_we_took_back_explains_no_movement_of_balances() -> None:
    """Another offer of the same amounts was executed and forgotten where the revocation was executed."""
    desk = executor()
    offer = desk.send().offer
    taken_back = desk.send(a_command("other")).offer
    desk.feed(RevocationSigned(nonce=taken_back.nonce, intent_hash="revocation", payload="{}"))
    desk.noted()
    before, after = pair(offer, taken_back, after=[taken_back.nonce], taken=offer)
    look(desk, offer, taken_back)
    answer(desk, before, after)
    assert desk.states[-1] == "unproven"
    executed = {"intent_hash": "revocation", "payload": "{}", "tx_hash": "tx-9"}
    desk.feed(RevocationTraced(nonce=taken_back.nonce, finding=Finding.REVOKED, **executed))
    look(desk, offer, taken_back)
    answer(desk, before, after)
    assert ended(desk).state == "revoked"
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


def test_what_is_known_to_be_taken_back_explains_none_either() -> None:
    """The word about the revocation comes while the older blocks are still being read."""
    desk = executor()
    offer = desk.send().offer
    taken_back = desk.send(a_command("other")).offer
    desk.feed(RevocationSigned(nonce=taken_back.nonce, intent_hash="revocation", payload="{}"))
    desk.noted()
    look(desk, offer, taken_back)
    executed = {"intent_hash": "revocation", "payload": "{}", "tx_hash": "tx-9"}
    desk.feed(RevocationTraced(nonce=taken_back.nonce, finding=Finding.REVOKED, **executed))
    answer(desk, *pair(offer, taken_back, after=[taken_back.nonce], taken=offer))
    assert ended(desk).state == "revoked"
    assert list(desk.logic._book.nonces) == [offer.nonce], "what has ended is not remembered for ever"
    assert [each.command_id for each in desk.open_offers] == [offer.command_id]


def test_one_look_at_a_time_and_all_of_a_salt_together() -> None:
    desk = executor()
    offers = [desk.send(a_command(name)).offer for name in ("one", "two", "three")]
    for _ in range(5):
        look(desk, *offers)
    assert len(desk.of(ReadPast)) == 1
    answer(desk, *pair(*offers))
    assert [ending.state for ending in desk.last(ApplyReading).endings] == ["lapsed"] * 3
    assert desk.state().in_doubt == ()


def test_an_offer_that_ends_meanwhile_is_not_ended_again() -> None:
    desk, offer = in_doubt()
    desk.read(used=[offer.nonce])
    assert desk.states[-1] == "voided"
    answer(desk, *pair(offer, before=[offer.nonce]))
    assert desk.states.count("voided") == 1
