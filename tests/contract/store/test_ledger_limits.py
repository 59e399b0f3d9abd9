"""What a command says of its own strategy is believed by neither ledger, and what was claimed lately is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from support.ledgers import ACCOUNT, EURE, a_command, an_event, an_offer, at, claim, credit
from unrip.domain.attempt import AttemptState
from unrip.domain.values import Amount
from unrip.store.ledger import ClaimKind, Ledger
from unrip.store.memory_ledger import MemoryLedger

FORGED = 2**63 - 1


@pytest.fixture
async def given(ledger: Ledger, url: str | None) -> int:
    """The number that PostgreSQL itself gave to the newest strategy."""
    if url is None:
        assert isinstance(ledger, MemoryLedger)
        ledger.given_generation = 7
        return 7
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(
        "INSERT INTO desk.generation (role, generation, taken_by) VALUES ('strategy-engine', 7, 'a test') "
        "ON CONFLICT (role) DO UPDATE SET generation = 7"
    )
    await connection.close()
    return 7


@pytest.mark.parametrize("number", [8, FORGED])
async def test_a_generation_that_nobody_gave_is_refused_by_name_and_remembered_nowhere(
    ledger: Ledger, given: int, number: int
) -> None:
    await credit(ledger, 100)
    forged = await claim(ledger, an_offer("forged", amount=10), 0, generation=number)
    assert forged.kind is ClaimKind.COMMAND_INVALID
    (row,) = await ledger.unpublished(10)
    assert row.event.payload.state is AttemptState.REJECTED
    assert row.event.payload.reason == "command_invalid"
    assert row.event.payload.numbers == {
        "fault": "no strategy of this generation ever took over",
        "generation": str(number),
        "newest_generation": str(given),
    }
    assert (await claim(ledger, an_offer("forged", amount=10), 0, generation=number)).kind is ClaimKind.DUPLICATE
    assert (await claim(ledger, an_offer("true", amount=10), 1, generation=given)).kind is ClaimKind.CLAIMED
    assert (await claim(ledger, an_offer("older", amount=10), 2, generation=given - 1)).kind is ClaimKind.SUPERSEDED
    assert (await ledger.load(ACCOUNT)).newest_generation == given


async def test_a_forged_generation_that_is_rejected_or_perhaps_sent_supersedes_nobody(
    ledger: Ledger, given: int
) -> None:
    await credit(ledger, 100)
    offer = an_offer("adopted", amount=10)
    event = an_event(offer, AttemptState.CLAIMED)
    adopted = await ledger.claim(offer, position=at(0), generation=FORGED, event=event, perhaps_sent=True)
    assert adopted.kind is ClaimKind.CLAIMED
    refused = an_event(an_offer("refused"), AttemptState.REJECTED, reason="halted")
    await ledger.reject(a_command("refused", generation=FORGED), position=at(1), event=refused)
    assert (await claim(ledger, an_offer("true", amount=10), 2, generation=given)).kind is ClaimKind.CLAIMED
    assert (await ledger.load(ACCOUNT)).newest_generation == given


async def test_what_an_account_has_claimed_lately_is_told_at_a_start(ledger: Ledger, url: str | None) -> None:
    await credit(ledger, 100)
    await ledger.apply_reading("other.near", height=10, credited={EURE: Amount(100)}, endings=[])
    await claim(ledger, an_offer("another account's", account="other.near"), 0)
    await claim(ledger, an_offer("one", amount=10), 0)
    await claim(ledger, an_offer("too much", amount=1_000), 1)
    for ago_s, names in ((59, ["nonce of one"]), (61, [])):
        await claimed_earlier(ledger, url, timedelta(seconds=ago_s))
        told = await ledger.claimed_lately(ACCOUNT)
        assert [(each.nonce, each.amount_out) for each in told] == [(name, 10) for name in names]


async def claimed_earlier(ledger: Ledger, url: str | None, ago: timedelta) -> None:
    """Everything was claimed so long ago."""
    if url is None:
        assert isinstance(ledger, MemoryLedger)
        now = datetime.now(UTC)
        ledger._clock = lambda: now
        for attempt in ledger._book(ACCOUNT).attempts.values():
            attempt.claimed_at = now - ago
        return
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute("UPDATE ledger.attempt SET claimed_at = clock_timestamp() - $1::interval", ago)
    await connection.close()
