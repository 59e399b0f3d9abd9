"""A ledger that goes back in time: it counts its commits, and refuses whoever has heard of more."""

import asyncio
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from support.ledgers import (
    ACCOUNT,
    BTC,
    DEADLINE,
    EURE,
    T0,
    a_command,
    a_rejection,
    an_ending,
    an_event,
    an_offer,
    at,
    claim,
    credit,
    evidence_at,
    published_states,
)
from unrip.domain.attempt import AttemptState, Offer
from unrip.domain.desk_state import COMMITS_MAX, LedgerView
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import ClaimKind, ClaimOutcome, Ledger, LedgerWentBack, NotInLedger

BRANCH = 1_000_000_000_000


def commits(view: LedgerView) -> int:
    assert view.commits is not None
    return view.commits


async def adopt(ledger: Ledger, offer: Offer, offset: int = 9, *, generation: int = 1) -> ClaimOutcome:
    event = an_event(offer, AttemptState.CLAIMED, reason="perhaps_sent")
    return await ledger.claim(offer, position=at(offset), generation=generation, event=event, perhaps_sent=True)


WRITES: dict[str, Any] = {
    "claim": lambda ledger, after: ledger.claim(
        an_offer("new"),
        position=at(9),
        generation=1,
        event=an_event(an_offer("new"), AttemptState.CLAIMED),
        after=after,
    ),
    "reject": lambda ledger, after: ledger.reject(
        a_command("new"), position=at(9), event=a_rejection("new"), after=after
    ),
    "note": lambda ledger, after: ledger.note(an_event(an_offer("one"), AttemptState.SENT), after=after),
    "drop": lambda ledger, after: ledger.drop(an_event(an_offer("one"), AttemptState.DROPPED), after=after),
    "note_revocation": lambda ledger, after: ledger.note_revocation(
        ACCOUNT, nonce=an_offer("one").nonce, revocation="signed", after=after
    ),
    "apply_reading": lambda ledger, after: ledger.apply_reading(
        ACCOUNT,
        height=12,
        credited={EURE: Amount(70)},
        endings=[an_ending(evidence_at(12, used=False), an_offer("one"))],
        after=after,
    ),
}


@pytest.mark.parametrize("name", WRITES)
async def test_whoever_has_heard_of_more_commits_is_refused_and_nothing_changes(ledger: Ledger, name: str) -> None:
    await credit(ledger, 100)
    now = commits((await claim(ledger, an_offer("one"), 0)).view)
    before = await ledger.load(ACCOUNT), await published_states(ledger)
    with pytest.raises(LedgerWentBack):
        await WRITES[name](ledger, now + 1)
    after = await ledger.load(ACCOUNT)
    assert (after, await published_states(ledger)) == before
    assert commits(after.view) == now, "a refused write is no commit"
    answer = await WRITES[name](ledger, now)
    view = answer.view if isinstance(answer, ClaimOutcome) else answer
    assert commits(view) == now + 1
    assert commits((await ledger.load(ACCOUNT)).view) == now + 1


async def test_the_result_of_a_commit_names_its_number(ledger: Ledger) -> None:
    await credit(ledger, 100)
    outcome = await claim(ledger, an_offer("one"), 0)
    told = (await ledger.unpublished(10))[-1].event.payload.ledger
    assert told is not None
    assert told.commits == outcome.view.commits


async def test_a_quarantine_counts_from_above_everything_that_was_heard_of(ledger: Ledger) -> None:
    await credit(ledger, 100)
    begun = await ledger.note_surroundings(ACCOUNT, reason="older", quarantined_until=T0, commits=0)
    branch = commits(begun) // BRANCH
    assert (commits(begun) % BRANCH, branch >= 1) == (0, True)
    again = await ledger.note_surroundings(ACCOUNT, reason="older", quarantined_until=T0, commits=0)
    assert commits(again) == commits(begun) + 1, "the same quarantine goes on"
    heard = commits(again) + 5 * BRANCH + 17
    lifted = await ledger.note_surroundings(ACCOUNT, reason="older", quarantined_until=T0, commits=heard)
    assert commits(lifted) == (branch + 6) * BRANCH
    heard = commits(lifted) + 1
    lifted = await ledger.note_surroundings(ACCOUNT, reason="older", quarantined_until=T0, commits=heard)
    assert commits(lifted) == (branch + 7) * BRANCH, "the number that was heard of does not come again"
    over = await ledger.note_surroundings(ACCOUNT, reason="", quarantined_until=None)
    assert commits(over) == commits(lifted) + 1


async def test_what_was_read_in_a_lost_branch_marks_nothing_that_is_written_after(ledger: Ledger) -> None:
    """The publisher marks by number what it has published, perhaps after the ledger has fallen back."""
    await credit(ledger, 100)
    await claim(ledger, an_offer("one"), 0)
    (read,) = [row.seq for row in await ledger.unpublished(10)]
    await ledger.note_surroundings(ACCOUNT, reason="older", quarantined_until=T0)
    await claim(ledger, an_offer("two"), 1)
    await ledger.mark_published([read + further for further in range(1_000)])
    assert await published_states(ledger) == [("two", "claimed")]


async def test_counting_alone_says_nothing_about_where_the_ledger_lives(ledger: Ledger) -> None:
    other = "somebody.near"
    await ledger.apply_reading(other, height=1, credited={EURE: Amount(1)}, endings=[])
    state = await ledger.load(other)
    assert (state.surroundings, state.doubt) == (None, "first_start_not_declared")


@pytest.mark.parametrize("name", ["note", "drop", "note_revocation", "apply_reading"])
async def test_a_write_about_what_the_ledger_does_not_know_is_an_error(ledger: Ledger, name: str) -> None:
    view = await credit(ledger, 100, height=20)
    with pytest.raises(NotInLedger):
        await WRITES[name](ledger, 0)
    state = await ledger.load(ACCOUNT)
    assert (state.view, state.view.commits) == (view, view.commits)
    assert await published_states(ledger) == []


@pytest.mark.parametrize("told", ["fewer", "more"])
async def test_an_ending_tells_of_exactly_what_the_ledger_has_open(ledger: Ledger, told: str) -> None:
    await credit(ledger, 100)
    first, second = an_offer("one", nonce="shared"), an_offer("two", nonce="shared")
    await claim(ledger, first, 0)
    if told == "fewer":
        await claim(ledger, second, 1)
    offers = [first] if told == "fewer" else [first, second]
    with pytest.raises(NotInLedger):
        await ledger.apply_reading(
            ACCOUNT, height=11, credited={EURE: Amount(9)}, endings=[an_ending(evidence_at(11, used=False), *offers)]
        )
    assert (await ledger.load(ACCOUNT)).view.credited == {EURE: 100}


async def test_what_was_perhaps_sent_takes_the_hold_of_a_nonce_that_lapsed_again(ledger: Ledger) -> None:
    """A copy knows the first offer of a shared nonce and not the second, which outlives it."""
    await credit(ledger, 100)
    first = an_offer("one", amount=40, nonce="shared")
    second = an_offer("two", amount=25, nonce="shared", deadline=DEADLINE + timedelta(minutes=1))
    await claim(ledger, first, 0)
    await ledger.apply_reading(ACCOUNT, height=11, credited={}, endings=[an_ending(evidence_at(10, used=False), first)])
    assert (await claim(ledger, an_offer("new", nonce="shared"), 1)).kind is ClaimKind.NONCE_ENDED
    outcome = await adopt(ledger, second)
    assert (outcome.kind, outcome.view.held) == (ClaimKind.CLAIMED, {EURE: 25})
    state = await ledger.load(ACCOUNT)
    assert [offer.quote_id for offer in state.open_offers] == ["two"]
    assert await ledger.check_held() == []
    too_early = an_ending(evidence_at(10, used=False, block_time=DEADLINE + timedelta(seconds=30)), second)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=12, credited={}, endings=[too_early])
    late = an_ending(evidence_at(10, used=False, block_time=DEADLINE + timedelta(minutes=2)), second)
    view = await ledger.apply_reading(ACCOUNT, height=13, credited={}, endings=[late])
    assert view.held == {EURE: 0}
    assert (await published_states(ledger))[-1] == ("two", "lapsed")


async def test_a_used_nonce_takes_nobodys_bytes_any_more(ledger: Ledger) -> None:
    await credit(ledger, 100)
    first = an_offer("one", nonce="shared")
    await claim(ledger, first, 0)
    settled = an_ending(evidence_at(11, used=True, executed="hash of one"), first)
    await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[settled])
    outcome = await adopt(ledger, an_offer("two", nonce="shared"))
    assert (outcome.kind, outcome.view.held) == (ClaimKind.NONCE_ENDED, {EURE: 0})


async def test_nobody_ever_sent_two_assets_on_one_nonce(ledger: Ledger) -> None:
    """Who can write the topic must not be able to end the executor at every start."""
    await ledger.apply_reading(ACCOUNT, height=10, credited={EURE: Amount(100), BTC: Amount(100)}, endings=[])
    await claim(ledger, an_offer("one", nonce="shared"), 0)
    other = an_offer("two", asset=BTC, nonce="shared")
    outcome = await adopt(ledger, other, 1)
    assert (outcome.kind, outcome.view.held, outcome.view.position) == (
        ClaimKind.NONCE_ENDED,
        {EURE: 30, BTC: 0},
        at(1),
    )
    assert (await published_states(ledger))[-1] == ("two", "rejected")


async def test_what_was_adopted_does_not_say_who_commands_now(ledger: Ledger) -> None:
    """The strategy's number goes back with the database, and what a later life commanded must not lock it out."""
    await credit(ledger, 100)
    await claim(ledger, an_offer("one"), 0, generation=3)
    await adopt(ledger, an_offer("two"), 1, generation=5)
    assert (await ledger.load(ACCOUNT)).newest_generation == 3
    assert (await claim(ledger, an_offer("three"), 2, generation=4)).kind is ClaimKind.CLAIMED


async def test_ten_thousand_claims_and_views_at_once_raise_no_alarm(ledger: Ledger, url: str | None) -> None:
    """Every caller names the newest commit that it has heard of, and answers overtake each other."""
    before = commits(await credit(ledger, 10_000))
    calls = 10_000 if url is None else 2_000
    for number in range(20):
        await claim(ledger, an_offer(f"quote {number}"), number)
    heard, chance = 0, Random(1)  # noqa: S311 - the order of answers, no keys

    async def one(number: int) -> None:
        nonlocal heard
        await asyncio.sleep(0)
        floor = heard
        if number % 2:
            view = (await ledger.load(ACCOUNT)).view
            assert commits(view) >= floor
        else:
            offer = an_offer(f"quote {number % 20}")
            event = an_event(offer, AttemptState.CLAIMED)
            view = (await ledger.claim(offer, position=at(number), generation=1, event=event, after=floor)).view
            assert commits(view) > floor
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        heard = max(heard, commits(view))

    for begin in range(0, calls, 500):
        await asyncio.gather(*(one(number) for number in range(begin, begin + 500)))
    assert heard == before + 20 + calls / 2


async def test_the_largest_count_that_is_heard_of_can_be_counted_on_from(ledger: Ledger) -> None:
    """It comes last: every count of this database is higher from here on."""
    view = await ledger.note_surroundings(ACCOUNT, reason="older", quarantined_until=T0, commits=COMMITS_MAX)
    assert commits(view) > COMMITS_MAX
    await credit(ledger, 100)
