"""What is held for something else than an offer: it counts, and no offer has a part in it."""

from datetime import timedelta

import asyncpg
import pytest

from support.ledgers import (
    ACCOUNT,
    DEADLINE,
    EURE,
    NONCE_DEADLINE,
    an_event,
    an_offer,
    at,
    claim,
    credit,
    published_states,
)
from unrip.domain.attempt import AttemptState
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import ClaimKind, HoldKind, Ledger, NonceEnding
from unrip.store.memory_account import Hold
from unrip.store.memory_ledger import MemoryLedger

TAKEN_OUT = 60


@pytest.fixture
async def holding(ledger: Ledger, url: str | None) -> Ledger:
    """A ledger of 100 that holds 60 for a withdrawal; nothing of ours claims one yet."""
    await credit(ledger, 100)
    if isinstance(ledger, MemoryLedger):
        book = ledger._book(ACCOUNT)
        book.holds["withdrawn"] = Hold(
            kind=HoldKind.WITHDRAWAL,
            asset=EURE,
            amount=TAKEN_OUT,
            last_deadline=DEADLINE,
            nonce_deadline=NONCE_DEADLINE,
        )
        book.assets[EURE].held += TAKEN_OUT
        return ledger
    connection = await asyncpg.connect(url, timeout=5)
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO ledger.hold (kind, nonce, account, asset, amount, last_deadline, nonce_deadline, salt)"
            " VALUES ('withdrawal', 'withdrawn', $1, $2, $3, $4, $5, '252812b3')",
            ACCOUNT,
            EURE,
            TAKEN_OUT,
            DEADLINE,
            NONCE_DEADLINE,
        )
        await connection.execute("UPDATE ledger.inventory SET held = held + $1", TAKEN_OUT)
    await connection.close()
    return ledger


async def test_what_is_held_for_a_withdrawal_is_not_for_offers(holding: Ledger) -> None:
    refused = await claim(holding, an_offer("one", amount=41), 0)
    assert (refused.kind, refused.view.held) == (ClaimKind.INSUFFICIENT_INVENTORY, {EURE: TAKEN_OUT})
    assert (await claim(holding, an_offer("two", amount=40), 1)).view.held == {EURE: 100}
    assert await holding.check_held() == []


@pytest.mark.parametrize("perhaps_sent", [False, True])
@pytest.mark.parametrize("amount", [30, TAKEN_OUT, 90])
async def test_no_offer_joins_it(holding: Ledger, amount: int, perhaps_sent: bool) -> None:
    """Otherwise it would be held once for both, or end with the offer."""
    offer = an_offer("one", amount=amount, nonce="withdrawn")
    event = an_event(offer, AttemptState.CLAIMED)
    outcome = await holding.claim(offer, position=at(0), generation=1, event=event, perhaps_sent=perhaps_sent)
    assert (outcome.kind, outcome.view.held) == (ClaimKind.NONCE_ENDED, {EURE: TAKEN_OUT})
    assert await published_states(holding) == [("one", "rejected")]
    assert (await holding.load(ACCOUNT)).open_offers == ()
    assert await holding.check_held() == []


async def test_no_end_of_offers_ends_it(holding: Ledger) -> None:
    late = DEADLINE + timedelta(days=2)
    for state in (AttemptState.LAPSED, AttemptState.SETTLED, AttemptState.REVOKED):
        ending = NonceEnding(nonce="withdrawn", state=state, events=())
        with pytest.raises(StoreRefused):
            await holding.apply_reading(
                ACCOUNT, height=11, credited={EURE: Amount(40)}, endings=[ending], block_time=late
            )
    assert (await holding.load(ACCOUNT)).view.held == {EURE: TAKEN_OUT}
