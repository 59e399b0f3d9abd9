"""Migrations: from nothing, again, two at a time, and what they say when they cannot."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import msgspec
import pytest

from support.histories import a_batch
from support.ledgers import ACCOUNT, EURE, an_event, an_offer, claim
from support.ports import free_ports
from support.samples import one_of_each_topic
from support.servers import Servers
from unrip.domain.attempt import AttemptState
from unrip.domain.desk_state import LedgerView
from unrip.messages.envelope import decode, encode
from unrip.messages.topics import SERVICE_STATUS
from unrip.store.connection import connect
from unrip.store.errors import StoreRefused, StoreUnavailable
from unrip.store.history import PostgresHistory
from unrip.store.ledger import record_of
from unrip.store.migrate import _migrations, apply, pending
from unrip.store.outbox import OutboxRow
from unrip.store.postgres_ledger import PostgresLedger

pytestmark = pytest.mark.servers
BEAT_OF_VERSION_1 = Path(__file__).parents[2] / "fixtures" / "messages" / "v1" / "ops.service_status.json"


@pytest.fixture
def url(servers: Servers) -> str:
    return servers.create_database("migrations")


async def run(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_from_nothing_and_again(url: str) -> None:
    before = await pending(url)
    applied = await apply(url)
    assert applied == before
    assert applied[:2] == ["0001.desk", "0002.ledger"]
    assert await pending(url) == []
    assert await apply(url) == []


async def test_two_at_a_time_apply_each_migration_once(url: str) -> None:
    one, other = await asyncio.gather(apply(url), apply(url))
    assert not (one and other)
    assert await pending(url) == []


async def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    await run(url, "CREATE SCHEMA ledger")  # somebody else's
    with pytest.raises(StoreRefused, match="ledger"):
        await apply(url)
    assert "0002.ledger" in await pending(url)
    await run(url, "DROP SCHEMA ledger")
    await apply(url)
    assert await pending(url) == []


async def test_a_ledger_of_the_first_release_goes_on_with_its_rows(url: str) -> None:
    """It counted no commits: nothing that it answered is ahead of what it has."""
    with _migrations("migrating", url) as (backend, missing):
        backend.apply_migrations(missing.__class__([each for each in missing if each.id < "0020"]))
    offer = an_offer("one")
    event = encode(an_event(offer, AttemptState.CLAIMED)).decode()
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute("SELECT ledger.declare_first_start($1)", ACCOUNT)
    await connection.execute("SELECT ledger.apply_reading($1, 10, $2, '[]')", ACCOUNT, json.dumps({EURE: "100"}))
    await connection.execute(
        "SELECT ledger.claim($1, 3, 'commands-1', 5, $2, $2, false)", encode(offer).decode(), event
    )
    await connection.close()
    assert await apply(url)
    ledger = PostgresLedger(url)
    state = await ledger.load(ACCOUNT)
    assert (state.doubt, state.view.commits, state.view.held, state.open_offers) == ("", 0, {EURE: 30}, (offer,))
    view = await ledger.note(an_event(offer, AttemptState.SENT), after=0)
    assert view.commits == 1
    assert (await claim(ledger, an_offer("two"), 5, generation=3)).view.held == {EURE: 60}
    await ledger.close()
    connection = await asyncpg.connect(url, timeout=5)
    assert [row["kind"] for row in await connection.fetch("SELECT kind FROM ledger.hold")] == ["offer"] * 2
    await connection.close()


async def test_results_that_wait_in_a_first_release_are_published_as_what_they_are(url: str) -> None:
    """Its outbox had results only, with the ledger as of their commit beside them."""
    with _migrations("migrating", url) as (backend, missing):
        backend.apply_migrations(missing.__class__([each for each in missing if each.id < "0020"]))
    offer = an_offer("one")
    claimed, sent = (an_event(offer, state) for state in (AttemptState.CLAIMED, AttemptState.SENT))
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute("SELECT ledger.declare_first_start($1)", ACCOUNT)
    await connection.execute("SELECT ledger.apply_reading($1, 10, $2, '[]')", ACCOUNT, json.dumps({EURE: "100"}))
    claim_it = "SELECT ledger.claim($1, 3, 'commands-1', 5, $2, $2, false)"
    await connection.execute(claim_it, encode(offer).decode(), encode(claimed).decode())
    await connection.execute("UPDATE ledger.outbox SET published_at = now()")
    view = decode(await connection.fetchval("SELECT ledger.note($1)", encode(sent).decode()), LedgerView)
    numbers = [row["seq"] for row in await connection.fetch("SELECT seq FROM ledger.outbox ORDER BY seq")]
    await apply(url)
    ledger = PostgresLedger(url)
    (row,) = await ledger.unpublished(10)
    result = msgspec.structs.replace(sent.result, ledger=view)
    assert row == OutboxRow(seq=numbers[1], event=record_of(msgspec.structs.replace(sent, result=result)))
    assert row.event.topic == "exec.trade_result"
    await claim(ledger, an_offer("two"), 5, generation=3)
    assert [each.seq for each in await ledger.unpublished(10)] > numbers[1:]
    topics = await connection.fetch("SELECT DISTINCT topic, venue, pair FROM ledger.outbox")
    assert [tuple(each) for each in topics] == [("exec.trade_result", "near_intents", "BTC/EURe")]
    held = await connection.fetchval("SELECT payload #>> '{ledger,held}' FROM ledger.outbox WHERE seq = $1", numbers[0])
    assert json.loads(held) == {EURE: "30"}
    await ledger.close()
    await connection.close()


async def test_beats_of_a_first_release_are_current_until_a_newer_one_is(url: str) -> None:
    """They named no account, and all that the executor said stood beside what everybody said."""
    with _migrations("migrating", url) as (backend, missing):
        backend.apply_migrations(missing.__class__([each for each in missing if each.id < "0020"]))
    connection = await asyncpg.connect(url, timeout=5)
    await connection.execute(
        """INSERT INTO history.service_status (topic_id, "offset", event_id, correlation_id, observed_at, published_at,
               payload_digest, event, service, instance, active, healthy, ready, generation, lag)
           SELECT 'topic-0', 0, event->>'event_id', 'c', (event->>'observed_at')::timestamptz, now(), '', event,
               payload->>'service', payload->>'instance', true, true, true, 2, (payload->>'lag')::numeric
             FROM (SELECT $1::jsonb AS event, $1::jsonb->'payload' AS payload) AS beat""",
        BEAT_OF_VERSION_1.read_text(),
    )
    await apply(url)
    (row,) = await connection.fetch("SELECT * FROM history.current_status")
    assert (row["service"], row["account"], row["lag"]) == ("trade-executor", None, 0)
    newer = one_of_each_topic()[SERVICE_STATUS.name]
    newer = msgspec.structs.replace(newer, event_id="newer", observed_at=newer.observed_at + timedelta(seconds=1))
    history = PostgresHistory(url, writer="writer-1")
    report = await history.write([a_batch(newer, at=0, after=None)])
    await history.close()
    assert report.written == 1
    (row,) = await connection.fetch("SELECT * FROM history.current_status")
    assert (row["event_id"], row["account"], row["lag"], row["generation"]) == ("newer", "desk.near", 0, 2)
    await connection.close()


async def test_policies_cannot_be_changed_or_removed(url: str) -> None:
    await apply(url)
    await run(url, "INSERT INTO desk.policy (hash, body, actor, reason) VALUES ('h', '{}', 'a', 'r')")
    for change in ("UPDATE desk.policy SET actor = 'b'", "DELETE FROM desk.policy", "TRUNCATE desk.policy CASCADE"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await run(url, change)


@pytest.mark.parametrize("call", [apply, pending])
async def test_the_password_is_in_no_error(url: str, call: object) -> None:
    parts = urlsplit(url)
    wrong = urlunsplit(parts._replace(netloc=f"postgres:hunter2@{parts.hostname}:{parts.port}"))
    nobody = urlunsplit(parts._replace(netloc=f"postgres:hunter2@127.0.0.1:{free_ports(1)[0]}"))
    for bad in (wrong, nobody):
        with pytest.raises(StoreUnavailable) as caught:
            await call(bad)  # type: ignore[operator]
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


async def test_a_url_of_several_hosts_is_asked_where_somebody_answers(url: str) -> None:
    """The one that is away comes first; migrations and every later session go to the other."""
    (nobody,) = free_ports(1)
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    several = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{nobody},{host}"))
    assert await apply(several)
    assert await pending(several) == []
    connection = await connect(several, application="test")
    assert await connection.fetchval("SELECT count(*) FROM desk.policy") == 0
    await connection.close()
    named = urlunsplit(parts._replace(netloc=f"{user}@", query=f"host=127.0.0.1&port={parts.port}"))
    assert await pending(named) == []
