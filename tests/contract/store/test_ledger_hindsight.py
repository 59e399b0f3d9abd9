"""Endings by older blocks and by an operator's word: what every ledger accepts as proof, PostgreSQL's and its twin."""

import msgspec
import pytest

from support.ledgers import (
    ACCOUNT,
    EURE,
    T0,
    an_ending,
    an_event,
    an_offer,
    claim,
    credit,
    evidence_at,
    published_states,
)
from unrip.domain.attempt import AttemptState, ChainEvidence
from unrip.store.errors import StoreRefused
from unrip.store.ledger import Ledger

#: The newest block: unused, the salt ended, within the offers' life.
NOTHING = evidence_at(20, used=False, block_time=T0, salt_valid=False)
#: The block that ended the salt; the one before it was the last at which it was valid.
ENDED = msgspec.structs.replace(evidence_at(15, used=False, block_time=T0, salt_valid=False), salt_valid_at=14)
WORD = msgspec.structs.replace(NOTHING, operator="operator")


async def end(ledger: Ledger, evidence: ChainEvidence, state: AttemptState | None = None) -> int:
    """End the offer of `one` by this evidence; what is held then."""
    ending = an_ending(evidence, an_offer("one"), state=state)
    view = await ledger.apply_reading(ACCOUNT, height=evidence.height, credited={}, endings=[ending])
    return int(view.held[EURE])


async def claimed(ledger: Ledger, *, unproven: bool = False) -> None:
    """One open offer, with balances of a newer block than the evidence."""
    await credit(ledger, 100, height=20)
    await claim(ledger, an_offer("one"), 0)
    if unproven:
        await ledger.note(an_event(an_offer("one"), AttemptState.UNPROVEN))


async def test_the_block_that_ended_the_salt_proves_a_death_before_the_deadline(ledger: Ledger) -> None:
    await claimed(ledger)
    assert await end(ledger, ENDED) == 0
    assert (await ledger.load(ACCOUNT)).view.credited == {EURE: 100}, "an older block's balances are not the newest"
    assert await published_states(ledger) == [("one", "claimed"), ("one", "lapsed")]


async def test_an_older_block_where_the_nonce_was_used_settles(ledger: Ledger) -> None:
    await claimed(ledger)
    assert await end(ledger, evidence_at(14, used=True, block_time=T0)) == 0


@pytest.mark.parametrize(
    "evidence",
    [
        NOTHING,
        msgspec.structs.replace(ENDED, salt_valid_at=15),
        msgspec.structs.replace(ENDED, nonce_used=True),
        msgspec.structs.replace(evidence_at(15, used=False, block_time=T0), salt_valid_at=14),
    ],
    ids=["the newest block alone", "no block before", "used", "still valid, before the deadline"],
)
async def test_everything_else_about_an_ended_salt_is_refused(ledger: Ledger, evidence: ChainEvidence) -> None:
    await claimed(ledger, unproven=True)
    with pytest.raises(StoreRefused):
        await end(ledger, evidence, AttemptState.LAPSED)
    assert [offer.state for offer in (await ledger.load(ACCOUNT)).open_offers] == ["unproven"]


@pytest.mark.parametrize("state", [AttemptState.LAPSED, AttemptState.SETTLED])
async def test_an_operator_ends_what_is_unproven(ledger: Ledger, state: AttemptState) -> None:
    await claimed(ledger, unproven=True)
    assert await end(ledger, WORD, state) == 0
    assert (await published_states(ledger))[-1] == ("one", state.value)


@pytest.mark.parametrize("state", [AttemptState.LAPSED, AttemptState.SETTLED])
async def test_an_operator_ends_nothing_else(ledger: Ledger, state: AttemptState) -> None:
    await claimed(ledger)
    with pytest.raises(StoreRefused):
        await end(ledger, WORD, state)
    assert (await ledger.load(ACCOUNT)).view.held == {EURE: 30}


async def test_a_late_reply_does_not_undo_unproven(ledger: Ledger) -> None:
    await claimed(ledger, unproven=True)
    await ledger.note(an_event(an_offer("one"), AttemptState.ACCEPTED))
    assert [offer.state for offer in (await ledger.load(ACCOUNT)).open_offers] == ["unproven"]
