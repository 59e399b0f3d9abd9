"""What every ledger promises; run against PostgreSQL and against its twin."""

from datetime import timedelta

import msgspec
import pytest

from support.ledgers import (
    ACCOUNT,
    BTC,
    EURE,
    T0,
    a_command,
    a_rejection,
    an_event,
    an_offer,
    at,
    claim,
    credit,
    published_states,
)
from unrip.domain.attempt import AttemptState, Rejection, VenueReply
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import ClaimKind, Ledger

U128_MAX = 2**128 - 1


async def test_an_empty_ledger_says_so(ledger: Ledger) -> None:
    state = await ledger.load(ACCOUNT)
    assert state.view == LedgerView(height=0, credited={}, held={}, incoming={}, without_answer=0, position=None)
    assert (state.position, state.newest_generation, state.open_offers) == (None, 0, ())
    assert state.last_claimed_at is None


async def test_a_claim_holds_keeps_the_payload_moves_the_position_and_tells(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    outcome = await claim(ledger, offer, 4, generation=7)
    assert outcome.kind is ClaimKind.CLAIMED
    assert outcome.view == LedgerView(
        height=10,
        credited={EURE: Amount(100)},
        held={EURE: Amount(30)},
        incoming={BTC: Amount(1)},
        without_answer=1,
        position=at(4),
    )
    state = await ledger.load(ACCOUNT)
    assert state.view == outcome.view
    assert state.position == CommandPosition(topic_id="commands-1", next_offset=5)
    assert (state.newest_generation, state.open_offers) == (7, (offer,))
    assert state.last_claimed_at is not None
    (row,) = await ledger.unpublished(10)
    assert row.event.payload.ledger == outcome.view
    sent_in = an_event(offer, AttemptState.CLAIMED)
    assert (row.event.event_id, row.event.correlation_id, row.event.causation_id) == (
        sent_in.event_id,
        sent_in.correlation_id,
        sent_in.causation_id,
    )
    assert (row.event.observed_at, row.event.stages) == (sent_in.observed_at, sent_in.stages)


async def test_the_same_command_twice_changes_nothing_but_the_position(ledger: Ledger) -> None:
    await credit(ledger, 100)
    first = await claim(ledger, an_offer("one"), 4)
    again = await claim(ledger, an_offer("one"), 5)
    assert again.kind is ClaimKind.DUPLICATE
    assert (again.view.held, again.view.position) == (first.view.held, at(5))
    assert await published_states(ledger) == [("one", "claimed")]


async def test_more_than_is_free_is_rejected_with_the_numbers(ledger: Ledger) -> None:
    await credit(ledger, 100)
    await claim(ledger, an_offer("one", amount=80), 0)
    outcome = await claim(ledger, an_offer("two", amount=30), 1)
    assert outcome.kind is ClaimKind.INSUFFICIENT_INVENTORY
    assert (outcome.view.held, outcome.view.position) == ({EURE: 80}, at(1))
    result = (await ledger.unpublished(10))[-1].event.payload
    assert (result.state, result.reason) == (AttemptState.REJECTED, Rejection.INSUFFICIENT_INVENTORY)
    assert result.numbers == {"credited": "100", "held": "80", "required": "30"}
    assert (result.quote_hash, result.request, result.ledger) == (None, None, outcome.view)
    assert result.next_check_at is None, "nothing is asked about what was never sent"
    assert [offer.quote_id for offer in (await ledger.load(ACCOUNT)).open_offers] == ["one"]


async def test_the_last_unit_can_be_held_and_not_one_more(ledger: Ledger) -> None:
    await credit(ledger, 60)
    assert (await claim(ledger, an_offer("one"), 0)).kind is ClaimKind.CLAIMED
    assert (await claim(ledger, an_offer("two"), 1)).kind is ClaimKind.CLAIMED
    assert (await claim(ledger, an_offer("three", amount=1), 2)).kind is ClaimKind.INSUFFICIENT_INVENTORY


async def test_an_asset_that_was_never_credited_holds_nothing(ledger: Ledger) -> None:
    await credit(ledger, 100)
    outcome = await claim(ledger, an_offer("one", asset=BTC), 0)
    assert outcome.kind is ClaimKind.INSUFFICIENT_INVENTORY
    assert (await ledger.unpublished(1))[0].event.payload.numbers["credited"] == "0"


async def test_an_older_strategy_is_superseded(ledger: Ledger) -> None:
    await credit(ledger, 100)
    await claim(ledger, an_offer("one"), 0, generation=3)
    outcome = await claim(ledger, an_offer("two"), 1, generation=2)
    assert (outcome.kind, outcome.view.held) == (ClaimKind.SUPERSEDED, {EURE: 30})
    result = (await ledger.unpublished(10))[-1].event.payload
    assert (result.state, result.reason) == (AttemptState.REJECTED, Rejection.SUPERSEDED)
    assert result.numbers == {"generation": "2", "newest_generation": "3"}
    assert (await claim(ledger, an_offer("three"), 2, generation=3)).kind is ClaimKind.CLAIMED


async def test_a_rejected_command_cannot_raise_the_generation(ledger: Ledger) -> None:
    """Who can write the topic must not be able to lock the real strategy out."""
    await credit(ledger, 100)
    await ledger.reject(a_command("forged", generation=10**9), position=at(0), event=a_rejection("forged"))
    assert (await claim(ledger, an_offer("one"), 1, generation=1)).kind is ClaimKind.CLAIMED


async def test_an_attempt_is_without_answer_until_the_relay_says_yes_or_no_and_again_if_unproven(
    ledger: Ledger,
) -> None:
    await credit(ledger, 100)
    counts = [(await claim(ledger, an_offer(name, amount=10), place)).view for place, name in enumerate("abcd")]
    counts.append(await ledger.note(an_event(an_offer("a"), AttemptState.SENT)))
    counts.append(await ledger.note(an_event(an_offer("a"), AttemptState.UNANSWERED)))
    counts.append(await ledger.note(an_event(an_offer("b"), AttemptState.ACCEPTED)))
    counts.append(await ledger.note(an_event(an_offer("c"), AttemptState.REFUSED)))
    counts.append(await ledger.drop(an_event(an_offer("d"), AttemptState.DROPPED)))
    counts.append(await ledger.note(an_event(an_offer("a"), AttemptState.ACCEPTED)))
    counts.append(await ledger.note(an_event(an_offer("a"), AttemptState.UNPROVEN)))
    assert [view.without_answer for view in counts] == [1, 2, 3, 4, 4, 4, 3, 2, 1, 0, 1]


async def test_a_rejection_is_told_once_and_moves_the_position(ledger: Ledger) -> None:
    outcome = await ledger.reject(a_command("one"), position=at(0), event=a_rejection("one"))
    assert (outcome.kind, outcome.view.position) == (ClaimKind.REJECTED, at(0))
    again = await ledger.reject(a_command("one"), position=at(1), event=a_rejection("one"))
    assert (again.kind, again.view.position) == (ClaimKind.DUPLICATE, at(1))
    assert await published_states(ledger) == [("one", "rejected")]


async def test_a_claimed_command_cannot_be_rejected_afterwards(ledger: Ledger) -> None:
    await credit(ledger, 100)
    await claim(ledger, an_offer("one"), 0)
    outcome = await ledger.reject(a_command("one"), position=at(1), event=a_rejection("one"))
    assert (outcome.kind, outcome.view.held) == (ClaimKind.DUPLICATE, {EURE: 30})


async def test_the_position_never_goes_back_but_follows_a_new_topic(ledger: Ledger) -> None:
    await ledger.reject(a_command("one"), position=at(9), event=a_rejection("one"))
    outcome = await ledger.reject(a_command("two"), position=at(3), event=a_rejection("two"))
    assert outcome.view.position == at(9)
    other = at(0, topic_id="commands-2")
    outcome = await ledger.reject(a_command("three"), position=other, event=a_rejection("three"))
    assert outcome.view.position == other


async def test_states_move_forward_and_each_is_told_once(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    for state in (AttemptState.SENT, AttemptState.SENT, AttemptState.UNANSWERED, AttemptState.ACCEPTED):
        view = await ledger.note(an_event(offer, state))
        assert view.held == {EURE: 30}
    (still_open,) = (await ledger.load(ACCOUNT)).open_offers
    assert still_open.state is AttemptState.ACCEPTED
    assert await published_states(ledger) == [
        ("one", "claimed"),
        ("one", "sent"),
        ("one", "unanswered"),
        ("one", "accepted"),
    ]


async def test_what_comes_late_is_told_and_does_not_move_the_state_back(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    await ledger.note(an_event(offer, AttemptState.REFUSED))
    await ledger.note(an_event(offer, AttemptState.SENT))
    await ledger.note(an_event(offer, AttemptState.ACCEPTED))  # the relay contradicts itself
    (still_open,) = (await ledger.load(ACCOUNT)).open_offers
    assert still_open.state is AttemptState.REFUSED
    assert [state for _, state in await published_states(ledger)] == ["claimed", "refused", "sent", "accepted"]


async def test_a_relay_refusal_frees_nothing(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    view = await ledger.note(an_event(offer, AttemptState.REFUSED))
    assert view.held == {EURE: 30}


async def test_an_end_is_no_note(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    for state in (state for state in AttemptState if state.terminal):
        with pytest.raises(StoreRefused):
            await ledger.note(an_event(offer, state))


async def test_a_note_about_an_ended_attempt_changes_nothing(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    await ledger.drop(an_event(offer, AttemptState.DROPPED))
    await ledger.note(an_event(offer, AttemptState.ACCEPTED))
    assert [state for _, state in await published_states(ledger)] == ["claimed", "dropped"]


async def test_dropping_frees_the_hold_in_the_same_commit_and_only_once(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    for _ in range(2):
        view = await ledger.drop(an_event(offer, AttemptState.DROPPED))
        assert view.held == {EURE: 0}
    (row,) = [row for row in await ledger.unpublished(10) if row.event.payload.state is AttemptState.DROPPED]
    assert row.event.payload.ledger == view
    assert (await ledger.load(ACCOUNT)).open_offers == ()


async def test_what_was_sent_cannot_be_dropped(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    await ledger.note(an_event(offer, AttemptState.SENT))
    with pytest.raises(StoreRefused, match="only the chain may end it"):
        await ledger.drop(an_event(offer, AttemptState.DROPPED))
    assert (await ledger.load(ACCOUNT)).view.held == {EURE: 30}


async def test_one_signed_offer_belongs_to_one_command(ledger: Ledger) -> None:
    await credit(ledger, 100)
    await claim(ledger, an_offer("one", quote_hash="same"), 0)
    assert (await claim(ledger, an_offer("two", quote_hash="same"), 1)).kind is ClaimKind.SAME_OFFER
    result = (await ledger.unpublished(10))[-1].event.payload
    assert (result.state, result.reason, result.numbers) == (AttemptState.REJECTED, Rejection.SAME_OFFER, {})


async def test_an_empty_ledger_is_in_doubt_until_somebody_says_where_it_lives(ledger: Ledger) -> None:
    assert (await ledger.load(ACCOUNT)).doubt == "first_start_not_declared"
    until = T0 + timedelta(minutes=1)
    for _ in range(2):  # the same again after an unknown outcome
        await ledger.note_surroundings(ACCOUNT, reason="first_start_not_declared", quarantined_until=until)
    state = await ledger.load(ACCOUNT)
    assert state.surroundings is not None
    assert (state.surroundings.database, state.surroundings.quarantined_until) == (None, until)
    assert state.doubt == "first_start_not_declared"
    await ledger.note_surroundings(ACCOUNT, reason="", quarantined_until=None)
    state = await ledger.load(ACCOUNT)
    assert state.doubt == ""
    assert state.surroundings is not None
    assert state.surroundings.database == state.database


async def test_a_quarantine_keeps_what_was_recorded_before(ledger: Ledger) -> None:
    await ledger.note_surroundings(ACCOUNT, reason="", quarantined_until=None)
    await ledger.note_surroundings(ACCOUNT, reason="ledger_older_than_its_results", quarantined_until=T0)
    state = await ledger.load(ACCOUNT)
    assert state.surroundings is not None
    assert (state.surroundings.database, state.doubt) == (state.database, "ledger_older_than_its_results")


async def test_what_was_perhaps_sent_is_held_whatever_is_credited_and_whoever_commanded_it(ledger: Ledger) -> None:
    await credit(ledger, 20)
    newest = an_offer("newest", amount=20)
    await claim(ledger, newest, 0, generation=2)
    offer = an_offer("one", amount=30)
    outcome = await ledger.claim(
        offer, position=at(1), generation=1, event=an_event(offer, AttemptState.CLAIMED), perhaps_sent=True
    )
    assert (outcome.kind, outcome.view.held) == (ClaimKind.CLAIMED, {EURE: 50})


async def test_nothing_new_is_promised_while_more_is_held_than_credited(ledger: Ledger) -> None:
    """A block may show a settlement before its nonce was asked about."""
    await credit(ledger, 100)
    await claim(ledger, an_offer("one", amount=90), 0)
    view = await credit(ledger, 10, height=11)
    assert (view.credited, view.held) == ({EURE: 10}, {EURE: 90})
    assert (await claim(ledger, an_offer("two", amount=1), 1)).kind is ClaimKind.INSUFFICIENT_INVENTORY


async def test_an_offer_is_found_by_its_hash_also_after_its_end(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("q1")
    assert await ledger.find(ACCOUNT, offer.quote_hash) is None
    await claim(ledger, offer, 0)
    found = await ledger.find(ACCOUNT, offer.quote_hash)
    assert found == offer
    await ledger.drop(an_event(offer, AttemptState.DROPPED))
    found = await ledger.find(ACCOUNT, offer.quote_hash)
    assert found == msgspec.structs.replace(offer, state=AttemptState.DROPPED)
    assert await ledger.find("another.near", offer.quote_hash) is None


async def test_the_outbox_keeps_order_and_forgets_what_was_published(ledger: Ledger) -> None:
    await credit(ledger, 100)
    for n in range(3):
        await claim(ledger, an_offer(str(n), amount=1), n)
    rows = await ledger.unpublished(2)
    assert [row.event.payload.quote_id for row in rows] == ["0", "1"]
    assert [row.event.payload.ledger.held[EURE] for row in rows if row.event.payload.ledger] == [1, 2]
    await ledger.mark_published([rows[1].seq])
    waiting = [row.event.payload.quote_id for row in await ledger.unpublished(10)]
    assert waiting == ["0", "2"], "what was not acknowledged waits, whatever went out after it"
    await ledger.mark_published([row.seq for row in rows])
    await ledger.mark_published([rows[0].seq])
    await ledger.mark_published([])
    assert [row.event.payload.quote_id for row in await ledger.unpublished(10)] == ["2"]


async def test_accounts_have_books_of_their_own(ledger: Ledger) -> None:
    await credit(ledger, 100)
    outcome = await ledger.claim(
        an_offer("one", account="other.near"),
        position=at(0),
        generation=1,
        event=an_event(an_offer("one", account="other.near"), AttemptState.CLAIMED),
    )
    assert outcome.kind is ClaimKind.INSUFFICIENT_INVENTORY
    assert (await ledger.load(ACCOUNT)).view.position is None


async def test_the_largest_amount_of_the_chain_fits(ledger: Ledger) -> None:
    await credit(ledger, U128_MAX)
    outcome = await claim(ledger, an_offer("one", amount=U128_MAX), 0)
    assert outcome.view.held == {EURE: U128_MAX}
    (offer,) = (await ledger.load(ACCOUNT)).open_offers
    assert offer.amount_out == U128_MAX


async def test_what_the_outside_says_is_kept_whatever_it_is(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    text = 'a NUL \0, a quote ", a backslash \\u0000 and \U0001f600'
    reply = VenueReply(accepted=False, code=-32000, text=text, received_at=T0)
    await ledger.note(an_event(offer, AttemptState.REFUSED, response=reply))
    kept = (await ledger.unpublished(10))[-1].event.payload.response
    assert kept is not None
    assert kept.text.replace("\ufffd", "\0") == text


async def test_whatever_a_command_says_it_is_recorded_once_and_passed(ledger: Ledger) -> None:
    """Who can write the topic must not be able to stop the executor at the same command for ever."""
    spelt = {"quote_id": "a\0quote", "command_id": "a\0command", "generation": 2**63 - 1}
    command = msgspec.structs.replace(a_command("one"), **spelt)
    spoilt = an_event(msgspec.structs.replace(an_offer("one"), quote_id="a\0quote"), AttemptState.REJECTED)
    outcomes = [await ledger.reject(command, position=at(0, "a\0topic"), event=spoilt) for _ in range(2)]
    assert [outcome.kind for outcome in outcomes] == [ClaimKind.REJECTED, ClaimKind.DUPLICATE]
    assert outcomes[1].view.position is not None
    assert outcomes[1].view.position.next_offset == 1
    assert len(await ledger.unpublished(10)) == 1


async def test_what_is_asked_about_may_be_anything(ledger: Ledger) -> None:
    assert await ledger.find(ACCOUNT, "a\0b") is None
    assert await ledger.find("a\0b", "hash of one") is None
    assert (await ledger.load("a\0b")).position is None
    await ledger.note_surroundings("a\0b", reason="a\0b", quarantined_until=T0)
    with pytest.raises(StoreRefused, match="no hold"):
        await ledger.note_revocation(ACCOUNT, nonce="a\0b", revocation="c\0d")
