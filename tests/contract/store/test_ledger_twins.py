"""Any sequence of calls leaves PostgreSQL and the twin in the same state, with the same outcomes on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.ledgers import (
    ACCOUNT,
    BTC,
    DEADLINE,
    EURE,
    a_command,
    a_rejection,
    an_ending,
    an_event,
    an_offer,
    at,
    evidence_at,
)
from support.servers import Servers
from unrip.domain.attempt import AttemptState, ChainEvidence, Offer
from unrip.domain.values import Amount
from unrip.store.errors import StoreRefused
from unrip.store.ledger import DatabaseIdentity, Ledger
from unrip.store.memory_ledger import MemoryLedger
from unrip.store.migrate import apply
from unrip.store.postgres_ledger import PostgresLedger

pytestmark = pytest.mark.servers

Call = Callable[[Ledger], Awaitable[object]]

NAMES = st.sampled_from(["one", "two", "three", "four", "five"])
#: Few of everything, so that calls meet each other.
OFFERS = st.builds(
    an_offer,
    NAMES,
    amount=st.integers(1, 60),
    amount_in=st.integers(1, 9),
    asset=st.sampled_from([EURE, EURE, EURE, BTC]),
    nonce=st.sampled_from(["shared", None, None]),
    deadline=st.sampled_from([DEADLINE, DEADLINE + timedelta(minutes=2)]),
)
STATES = st.sampled_from(list(AttemptState))
EVIDENCE = st.builds(
    evidence_at,
    st.integers(1, 4),
    used=st.booleans(),
    block_time=st.sampled_from([DEADLINE, DEADLINE + timedelta(seconds=5), DEADLINE + timedelta(days=3)]),
    salt_valid=st.sampled_from([True, True, False]),
    executed=st.sampled_from([None, "our revocation", "hash of one"]),
    salt_valid_at=st.sampled_from([None, None, 1, 4]),
    operator=st.sampled_from([None, None, None, "operator"]),
    compared_with=st.sampled_from([None, 1, 2]),
    moved=st.sampled_from([None, -1, 0]),
)


def claiming(offer: Offer, offset: int, generation: int, *, perhaps_sent: bool = False) -> Call:
    event = an_event(offer, AttemptState.CLAIMED)
    return lambda ledger: ledger.claim(
        offer, position=at(offset), generation=generation, event=event, perhaps_sent=perhaps_sent
    )


def rejecting(name: str, offset: int) -> Call:
    return lambda ledger: ledger.reject(a_command(name), position=at(offset), event=a_rejection(name))


def noting(name: str, state: AttemptState) -> Call:
    return lambda ledger: ledger.note(an_event(an_offer(name), state))


def dropping(name: str) -> Call:
    return lambda ledger: ledger.drop(an_event(an_offer(name), AttemptState.DROPPED))


def revoking(name: str, nonce: str | None) -> Call:
    nonce = an_offer(name, nonce=nonce).nonce
    return lambda ledger: ledger.note_revocation(ACCOUNT, nonce=nonce, revocation=f"signed for {name}")


Ends = list[tuple[ChainEvidence, list[Offer], AttemptState | None]]


def reading(height: int, eure: int, btc: int | None, ends: Ends) -> Call:
    credited = {EURE: Amount(eure)} | ({} if btc is None else {BTC: Amount(btc)})
    endings = [an_ending(evidence, *offers, state=state) for evidence, offers, state in ends]
    return lambda ledger: ledger.apply_reading(ACCOUNT, height=height, credited=credited, endings=endings)


ENDED_AS = st.sampled_from([None, None, None, AttemptState.SPENT, AttemptState.VOIDED, AttemptState.REVOKED])
ENDS = st.lists(st.tuples(EVIDENCE, st.lists(OFFERS, min_size=1, max_size=2), ENDED_AS), max_size=1)
CALLS = st.one_of(
    st.builds(claiming, OFFERS, st.integers(0, 9), st.integers(1, 2)),
    st.builds(claiming, OFFERS, st.integers(0, 9), st.just(2)),
    st.builds(claiming, OFFERS, st.integers(0, 9), st.integers(1, 2), perhaps_sent=st.just(True)),
    st.builds(rejecting, NAMES, st.integers(0, 9)),
    st.builds(noting, NAMES, STATES),
    st.builds(dropping, NAMES),
    st.builds(revoking, NAMES, st.sampled_from(["shared", None])),
    st.builds(reading, st.integers(1, 4), st.integers(0, 120), st.none() | st.integers(0, 60), ENDS),
)


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    url = servers.create_database("ledger_twins")
    asyncio.run(apply(url))
    return url


async def outcome(ledger: Ledger, call: Call) -> object:
    try:
        return await call(ledger)
    except StoreRefused:
        return "refused"


async def state(ledger: Ledger) -> tuple[object, ...]:
    here = DatabaseIdentity(system_identifier="either", timeline=1)
    loaded = msgspec.structs.replace(await ledger.load(ACCOUNT), last_claimed_at=None, database=here)
    told = [row.event for row in await ledger.unpublished(1_000)]
    return loaded, loaded.view.commits, told, await ledger.check_held()


async def run_both(url: str, calls: list[Call]) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(
        "TRUNCATE ledger.inventory, ledger.hold, ledger.attempt, ledger.outbox, ledger.position, ledger.surroundings"
    )
    await connection.close()
    twin, original = MemoryLedger(clock=lambda: datetime.now(UTC)), PostgresLedger(url)
    try:
        await twin.apply_reading(ACCOUNT, height=1, credited={EURE: Amount(100)}, endings=[])
        await original.apply_reading(ACCOUNT, height=1, credited={EURE: Amount(100)}, endings=[])
        for call in calls:
            assert await outcome(original, call) == await outcome(twin, call)
        assert await state(original) == await state(twin)
    finally:
        await original.close()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(calls=st.lists(CALLS, min_size=8, max_size=25))
def test_the_twin_cannot_drift_from_the_original(url: str, calls: list[Call]) -> None:
    asyncio.run(run_both(url, calls))
