"""Endings by older blocks and by an operator's word: what every ledger accepts as proof, PostgreSQL's and its twin."""

from datetime import timedelta

import msgspec
import pytest

from support.ledgers import (
    ACCOUNT,
    DEADLINE,
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
from unrip.domain.doubt import Seen
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import Ledger

#: The newest block: unused, the salt ended, within the offers' life.
NOTHING = evidence_at(20, used=False, block_time=T0, salt_valid=False)
#: The block that ended the salt; the one before it was the last at which it was valid.
ENDED = msgspec.structs.replace(evidence_at(15, used=False, block_time=T0, salt_valid=False), salt_valid_at=14)
#: The same, later, when the offer can no longer be taken, with an operator's word.
WORD = msgspec.structs.replace(NOTHING, operator="operator", block_time=DEADLINE + timedelta(microseconds=1))


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


@pytest.mark.parametrize("used", [True, False])
async def test_an_operator_ends_nothing_that_can_still_be_taken(ledger: Ledger, used: bool) -> None:
    await claimed(ledger, unproven=True)
    early = msgspec.structs.replace(WORD, block_time=DEADLINE, nonce_used=used)
    if used:
        assert await end(ledger, early, AttemptState.LAPSED) == 0
        return
    with pytest.raises(StoreRefused):
        await end(ledger, early, AttemptState.LAPSED)
    assert (await ledger.load(ACCOUNT)).view.held == {EURE: 30}


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


# --- what is believed of the chain ------------------------------------------------------------------------------------

ABSURD = 2**62


async def read(
    ledger: Ledger, height: int, eure: int, *, at_s: int = 0, replaces: str | None = None
) -> tuple[int, int]:
    """Take over a reading; the ledger's height and balance then."""
    view = await ledger.apply_reading(
        ACCOUNT,
        height=height,
        credited={EURE: Amount(eure)},
        endings=[],
        block_time=T0 + timedelta(seconds=at_s),
        replaces=replaces,
    )
    return view.height, int(view.credited[EURE])


async def test_the_newest_block_is_what_the_next_life_believes(ledger: Ledger) -> None:
    assert (await ledger.load(ACCOUNT)).believed is None
    await read(ledger, 10, 100, at_s=1)
    await read(ledger, 9, 90, at_s=2)
    assert (await ledger.load(ACCOUNT)).believed == Seen(height=10, block_time=T0 + timedelta(seconds=1))
    await ledger.apply_reading(ACCOUNT, height=20, credited={}, endings=[])
    assert (await ledger.load(ACCOUNT)).believed == Seen(height=10, block_time=T0 + timedelta(seconds=1))


async def test_only_with_a_reason_a_lower_height_replaces_a_greater_one(ledger: Ledger) -> None:
    await read(ledger, ABSURD, 1)
    assert await read(ledger, 1_000, 100, at_s=1) == (ABSURD, 1)
    assert await read(ledger, 1_000, 100, at_s=1, replaces="operator: wrong node") == (1_000, 100)
    assert (await ledger.load(ACCOUNT)).believed == Seen(height=1_000, block_time=T0 + timedelta(seconds=1))
    assert await read(ledger, 999, 90, at_s=2) == (1_000, 100)
    assert await read(ledger, 1_001, 110, at_s=3) == (1_001, 110)
    # The same again, after an unknown outcome, changes nothing.
    assert await read(ledger, 1_001, 110, at_s=3, replaces="operator: wrong node") == (1_001, 110)


async def test_what_ends_with_a_replacing_reading_is_proven_by_its_height(ledger: Ledger) -> None:
    await read(ledger, ABSURD, 100)
    await claim(ledger, an_offer("one"), 0)
    ending = an_ending(evidence_at(1_000, used=False), an_offer("one"))
    view = await ledger.apply_reading(
        ACCOUNT,
        height=1_000,
        credited={EURE: Amount(100)},
        endings=[ending],
        block_time=T0,
        replaces="operator: wrong node",
    )
    assert (view.height, view.held) == (1_000, {EURE: 0})
