"""How evidence ends what a ledger holds; run against PostgreSQL and against its twin."""

from datetime import timedelta

import pytest

from support.ledgers import (
    ACCOUNT,
    BTC,
    DEADLINE,
    EURE,
    NONCE_DEADLINE,
    an_ending,
    an_event,
    an_offer,
    claim,
    credit,
    evidence_at,
    published_states,
)
from unrip.domain.attempt import AttemptState, ChainEvidence
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import ClaimKind, Ledger


async def test_a_settlement_takes_the_balance_and_frees_the_hold_at_once(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    ending = an_ending(evidence_at(11, used=True), offer)
    for _ in range(2):  # the same again after an unknown outcome
        view = await ledger.apply_reading(
            ACCOUNT, height=11, credited={EURE: Amount(70), BTC: Amount(5)}, endings=[ending]
        )
        assert view.height == 11
        assert (view.credited, view.held) == ({EURE: 70, BTC: 5}, {EURE: 0, BTC: 0})
    assert [state for _, state in await published_states(ledger)] == ["claimed", "settled"]
    result = (await ledger.unpublished(10))[-1].event.payload
    assert (result.ledger, result.evidence) == (view, evidence_at(11, used=True, executed=offer.quote_hash))


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param(evidence_at(11, used=False, block_time=DEADLINE), id="at the deadline, not after it"),
        pytest.param(evidence_at(11, used=False, salt_valid=False), id="with a salt that is no longer valid"),
        pytest.param(
            evidence_at(11, used=False, block_time=NONCE_DEADLINE + timedelta(microseconds=1)),
            id="after the nonce's deadline, when used nonces are erased",
        ),
    ],
)
async def test_what_does_not_prove_death_ends_nothing(ledger: Ledger, evidence: object) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    ending = an_ending(evidence, offer)  # type: ignore[arg-type]
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[ending])
    assert (await ledger.load(ACCOUNT)).view.held == {EURE: 30}


@pytest.mark.parametrize("used", [True, False])
async def test_the_state_must_be_what_the_evidence_says(ledger: Ledger, used: bool) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    wrong = AttemptState.LAPSED if used else AttemptState.SETTLED
    ending = an_ending(evidence_at(11, used=used), offer, state=wrong)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[ending])


async def test_a_revocation_frees_the_hold_of_all_offers_of_its_nonce_and_spends_it(ledger: Ledger) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", nonce="shared")
    await claim(ledger, one, 0)
    await claim(ledger, two, 1)
    for _ in range(2):  # the same again after an unknown outcome
        await ledger.note_revocation(ACCOUNT, nonce="shared", revocation="signed")
    assert (await ledger.load(ACCOUNT)).revocations == {"shared": "signed"}
    evidence = evidence_at(11, used=True, executed="our revocation")
    ending = an_ending(evidence, one, two, state=AttemptState.REVOKED)
    view = await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[ending])
    assert (view.credited, view.held) == ({EURE: 100}, {EURE: 0})
    assert (await published_states(ledger))[2:] == [("one", "revoked"), ("two", "revoked")]
    loaded = await ledger.load(ACCOUNT)
    assert (loaded.open_offers, loaded.revocations) == ((), {})
    assert (await claim(ledger, an_offer("three", nonce="shared"), 2)).kind is ClaimKind.NONCE_ENDED


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param(evidence_at(11, used=False, executed="our revocation"), id="an unused nonce"),
        pytest.param(evidence_at(11, used=True), id="used by nobody knows what"),
        pytest.param(evidence_at(11, used=True, executed="hash of one"), id="used by the offer itself"),
        pytest.param(evidence_at(11, used=True, executed="hash of two"), id="used by another offer of the nonce"),
        pytest.param(evidence_at(12, used=True, executed="our revocation"), id="newer than the balances"),
    ],
)
async def test_what_does_not_prove_a_revocation_ends_nothing(ledger: Ledger, evidence: ChainEvidence) -> None:
    await credit(ledger, 100)
    one, two = an_offer("one", nonce="shared"), an_offer("two", nonce="shared")
    await claim(ledger, one, 0)
    await claim(ledger, two, 1)
    ending = an_ending(evidence, one, two, state=AttemptState.REVOKED)
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[ending])
    assert (await ledger.load(ACCOUNT)).view.held == {EURE: 30}


async def test_only_a_nonce_of_ours_is_revoked(ledger: Ledger) -> None:
    with pytest.raises(StoreRefused):
        await ledger.note_revocation(ACCOUNT, nonce="foreign", revocation="signed")


async def test_no_end_without_evidence(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    bare = an_ending(evidence_at(11, used=True), offer)
    bare = type(bare)(nonce=bare.nonce, state=bare.state, events=(an_event(offer, AttemptState.SETTLED),))
    with pytest.raises(StoreRefused):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(70)}, endings=[bare])


async def test_a_hold_outlives_balances_older_than_its_evidence(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    ending = an_ending(evidence_at(12, used=True), offer)
    with pytest.raises(StoreRefused, match="older than the evidence"):
        await ledger.apply_reading(ACCOUNT, height=11, credited={EURE: Amount(100)}, endings=[ending])


async def test_balances_of_an_older_block_change_nothing(ledger: Ledger) -> None:
    await credit(ledger, 100, height=10)
    for height in (10, 9):
        view = await credit(ledger, 999, height=height)
        assert (view.height, view.credited) == (10, {EURE: 100})
    assert (await credit(ledger, 50, height=11)).credited == {EURE: 50}


async def test_an_older_block_may_still_prove_an_end(ledger: Ledger) -> None:
    await credit(ledger, 100)
    offer = an_offer("one")
    await claim(ledger, offer, 0)
    await credit(ledger, 70, height=20)
    ending = an_ending(evidence_at(15, used=True), offer)
    view = await ledger.apply_reading(ACCOUNT, height=15, credited={EURE: Amount(70)}, endings=[ending])
    assert (view.height, view.credited, view.held) == (20, {EURE: 70}, {EURE: 0})
