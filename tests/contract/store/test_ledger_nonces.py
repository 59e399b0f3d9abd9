"""Many offers, one nonce, one hold: what every ledger promises about it, PostgreSQL's and its twin."""

from datetime import timedelta

import pytest

from support.ledgers import (
    ACCOUNT,
    BTC,
    DEADLINE,
    EURE,
    an_ending,
    an_event,
    an_offer,
    at,
    claim,
    credit,
    evidence_at,
    published_states,
)
from unrip.domain.attempt import AttemptState, ChainEvidence, Rejection
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import ClaimKind, Ledger, NonceEnding


async def test_offers_of_one_nonce_share_the_largest_hold(ledger: Ledger) -> None:
    await credit(ledger, 100)
    small, large, between = (
        an_offer("small", amount=30, nonce="shared"),
        an_offer("large", amount=80, nonce="shared", deadline=DEADLINE + timedelta(minutes=1)),
        an_offer("between", amount=50, nonce="shared"),
    )
    held = [(await claim(ledger, offer, n)).view.held[EURE] for n, offer in enumerate((small, large, between))]
    assert held == [30, 80, 80]
    assert (await claim(ledger, an_offer("other", amount=21), 3)).kind is ClaimKind.INSUFFICIENT_INVENTORY
    # Unused after the first deadline proves nothing while another offer of the nonce still lives.
    too_early = an_ending(evidence_at(11, used=False), large, small, between)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[too_early])
    late = evidence_at(12, used=False, block_time=DEADLINE + timedelta(minutes=2))
    view = await ledger.apply_reading(
        ACCOUNT, height=12, credited={EURE: Amount(100)}, endings=[an_ending(late, large, small, between)]
    )
    assert view.held == {EURE: 0}
    assert (await ledger.load(ACCOUNT)).open_offers == ()


async def test_dropping_one_of_several_offers_keeps_their_hold(ledger: Ledger) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", nonce="shared")
    large = an_offer("large", amount=80, nonce="shared")
    for offset, offer in enumerate((one, two, large)):
        await claim(ledger, offer, offset)
    assert (await ledger.drop(an_event(one, AttemptState.DROPPED))).held == {EURE: 80}
    assert (await ledger.drop(an_event(large, AttemptState.DROPPED))).held == {EURE: 30}, "their largest"
    assert (await ledger.drop(an_event(two, AttemptState.DROPPED))).held == {EURE: 0}


async def test_what_open_offers_could_bring_is_the_largest_of_each_nonce(ledger: Ledger) -> None:
    await credit(ledger, 100)
    small, large = (an_offer(str(brings), amount_in=brings, nonce="shared") for brings in (4, 6))
    views = [(await claim(ledger, offer, place)).view for place, offer in enumerate((small, large))]
    views.append((await claim(ledger, an_offer("alone", amount_in=3), 2)).view)
    views.append((await claim(ledger, an_offer("too much", amount=90, amount_in=50), 3)).view)
    views.append(await ledger.drop(an_event(large, AttemptState.DROPPED)))
    views.append(await ledger.note(an_event(small, AttemptState.REFUSED)))
    assert [view.incoming for view in views] == [{BTC: each} for each in (4, 6, 9, 9, 7, 7)]
    settled = an_ending(evidence_at(11, used=True), small)
    view = await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[settled])
    assert view.incoming == {BTC: 3}
    assert (await ledger.load(ACCOUNT)).view == view


async def test_a_dropped_nonce_was_seen_by_nobody_and_may_be_held_again(ledger: Ledger) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", amount=90, nonce="shared"), an_offer("two", amount=20, nonce="shared")
    await claim(ledger, one, 0)
    await ledger.drop(an_event(one, AttemptState.DROPPED))
    assert (await claim(ledger, two, 1)).view.held == {EURE: 20}


async def test_one_of_several_offers_settles_and_all_end(ledger: Ledger) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", nonce="shared")
    await claim(ledger, one, 0)
    await claim(ledger, two, 1)
    partial = an_ending(evidence_at(11, used=True), two)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[partial])
    assert (await ledger.load(ACCOUNT)).view.credited == {EURE: 100}, "a refused reading changes nothing"
    whole = an_ending(evidence_at(11, used=True), two, one)
    view = await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[whole])
    assert (view.credited, view.held) == ({EURE: 70}, {EURE: 0})
    assert (await published_states(ledger))[2:] == [("two", "settled"), ("one", "lapsed")]


async def test_an_end_tells_only_of_offers_that_carried_the_nonce(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer, other = an_offer("one"), an_offer("two")
    await claim(ledger, offer, 0)
    await claim(ledger, other, 1)
    for foreign in (other, an_offer("never claimed")):
        ending = an_ending(evidence_at(11, used=True), offer, foreign)
        with pytest.raises(StoreRefused):
            await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[ending])
    assert (await ledger.load(ACCOUNT)).view.held == {EURE: 60}


async def test_a_used_nonce_is_never_held_again(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    await ledger.apply_reading(
        ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[an_ending(evidence_at(11, used=True), offer)]
    )
    outcome = await claim(ledger, an_offer("two", nonce=offer.nonce), 1)
    assert (outcome.kind, outcome.view.held, outcome.view.position) == (ClaimKind.NONCE_ENDED, {EURE: 0}, at(1))
    result = (await ledger.unpublished(10))[-1].event.payload
    assert (result.state, result.reason) == (AttemptState.REJECTED, Rejection.NONCE_ENDED)
    assert (await claim(ledger, an_offer("two", nonce=offer.nonce), 1)).kind is ClaimKind.DUPLICATE


async def test_a_dead_nonce_is_never_held_again(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    ending = an_ending(evidence_at(11, used=False), offer)
    await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[ending])
    assert (await claim(ledger, an_offer("two", nonce=offer.nonce), 1)).kind is ClaimKind.NONCE_ENDED


async def test_a_used_nonce_frees_its_hold_also_where_nobody_knows_who_took_it(ledger: Ledger) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", amount=40, nonce="shared")
    await claim(ledger, one, 0)
    await claim(ledger, two, 1)
    unused = an_ending(evidence_at(11, used=False), one, two, state=AttemptState.SPENT)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(60)}, endings=[unused])
    ending = an_ending(evidence_at(11, used=True), one, two, state=AttemptState.SPENT)
    view = await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(60)}, endings=[ending])
    assert (view.credited, view.held) == ({EURE: 60}, {EURE: 0})
    assert (await published_states(ledger))[2:] == [("one", "spent"), ("two", "spent")]


@pytest.mark.parametrize("second", [AttemptState.SETTLED, AttemptState.SPENT, AttemptState.CLAIMED])
async def test_one_offer_of_a_nonce_settles_at_most(ledger: Ledger, second: AttemptState) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", nonce="shared")
    await claim(ledger, one, 0)
    await claim(ledger, two, 1)
    evidence = evidence_at(11, used=True)
    events = an_event(one, AttemptState.SETTLED, evidence=evidence), an_event(two, second, evidence=evidence)
    ending = NonceEnding(nonce="shared", state=AttemptState.SETTLED, events=events)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[ending])


async def test_an_offer_that_was_dropped_has_ended_and_ends_no_more(ledger: Ledger) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", nonce="shared")
    await claim(ledger, one, 0)
    await claim(ledger, two, 1)
    await ledger.drop(an_event(two, AttemptState.DROPPED))
    both = an_ending(evidence_at(11, used=True), one, two)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[both])
    assert [state for _, state in await published_states(ledger)] == ["claimed", "claimed", "dropped"]


async def test_a_nonce_holds_one_asset(ledger: Ledger) -> None:
    await credit(ledger, 100)
    await credit(ledger, 100, asset=BTC)
    await claim(ledger, an_offer("one", nonce="shared"), 0)
    with pytest.raises(StoreRefused):
        await claim(ledger, an_offer("two", nonce="shared", asset=BTC), 1)


#: What a final block says, what ended, and whether the one shows the other.
SHOWN: dict[str, tuple[ChainEvidence, AttemptState, bool]] = {
    "a used nonce alone is no fill": (evidence_at(11, used=True), AttemptState.SETTLED, False),
    "a transaction executed the offer": (
        evidence_at(11, used=True, executed="hash of one"),
        AttemptState.SETTLED,
        True,
    ),
    "a transaction executed something else": (
        evidence_at(11, used=True, executed="a stranger's"),
        AttemptState.SETTLED,
        False,
    ),
    "balances moved": (evidence_at(11, used=True, moved=-30), AttemptState.SETTLED, True),
    "balances moved before": (
        evidence_at(11, used=True, moved=-30, compared_with=11),
        AttemptState.SETTLED,
        False,
    ),
    "balances did not move": (evidence_at(11, used=True, moved=0), AttemptState.SETTLED, False),
    "they moved, and the nonce is unused": (evidence_at(11, used=False, moved=-30), AttemptState.SETTLED, False),
    "spent, and balances moved": (evidence_at(11, used=True, moved=-30), AttemptState.SPENT, True),
    "spent, and nothing moved": (evidence_at(11, used=True, moved=0), AttemptState.SPENT, False),
    "voided by a stranger's intent": (
        evidence_at(11, used=True, executed="a stranger's"),
        AttemptState.VOIDED,
        True,
    ),
    "voided by its own offer": (
        evidence_at(11, used=True, executed="hash of one", moved=0),
        AttemptState.VOIDED,
        False,
    ),
    "voided, and nothing moved": (evidence_at(11, used=True, moved=0), AttemptState.VOIDED, True),
    "voided, and nobody looked": (evidence_at(11, used=True), AttemptState.VOIDED, False),
    "voided, and the nonce is unused": (evidence_at(11, used=False, moved=0), AttemptState.VOIDED, False),
    "revoked, and nothing moved": (evidence_at(11, used=True, moved=0), AttemptState.REVOKED, False),
}


@pytest.mark.parametrize("case", SHOWN)
async def test_the_ledger_asks_for_the_movement_itself(ledger: Ledger, case: str) -> None:
    evidence, state, shown = SHOWN[case]
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    ending = NonceEnding(nonce=offer.nonce, state=state, events=(an_event(offer, state, evidence=evidence),))
    apply = ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[ending])
    if shown:
        assert (await apply).held == {EURE: 0}
        assert (await published_states(ledger))[1:] == [("one", state)]
        assert (await claim(ledger, an_offer("two", nonce=offer.nonce), 1)).kind is ClaimKind.NONCE_ENDED
        return
    with pytest.raises(StoreRefused, match=f"{state}|dead"):
        await apply
    assert (await ledger.load(ACCOUNT)).view.held == {EURE: 30}


async def test_a_voided_nonce_voids_all_of_its_offers(ledger: Ledger) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", amount=40, nonce="shared")
    await claim(ledger, one, 0)
    await claim(ledger, two, 1)
    ending = an_ending(evidence_at(11, used=True), one, two, state=AttemptState.VOIDED)
    view = await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[ending])
    assert (view.credited, view.held) == ({EURE: 100}, {EURE: 0})
    assert (await published_states(ledger))[2:] == [("one", "voided"), ("two", "voided")]
