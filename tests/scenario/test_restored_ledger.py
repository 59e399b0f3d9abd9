"""A restored ledger through the real processes: no double submission, and the hold of what it forgot is back."""

from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from support.cli import unrip
from support.desk import Desk
from support.ledger_copies import dump, restore

SETTLING = {"direction": "btc_to_eure", "amount_in": "15000", "min_deadline_ms": 6_000}
ASKED_ONLY = {**SETTLING, "accept": "never"}
SHORT = {"UNRIP_LIMITS__DEADLINE_MAX_MS": "8000"}


@pytest.fixture
def short(desk: Desk) -> Iterator[Desk]:
    """An executor whose quarantine is short, since its offers live shortly."""
    desk.restart("trade-executor", SHORT)
    yield desk
    desk.restart("trade-executor", {})


def states(desk: Desk, *quote_ids: str) -> dict[str, str]:
    query = "SELECT quote_id, state FROM ledger.attempt WHERE quote_id = ANY (%s)"
    return {row["quote_id"]: row["state"] for row in desk.sql(query, list(quote_ids))}


def open_holds(desk: Desk, quote_id: str) -> list[int]:
    query = (
        "SELECT amount FROM ledger.hold JOIN ledger.attempt USING (nonce) WHERE quote_id = %s AND released_at IS NULL"
    )
    return [int(row["amount"]) for row in desk.sql(query, quote_id)]


@pytest.mark.parametrize(("running", "reason"), [(False, "ledger_older_than_its_results"), (True, "ledger_went_back")])
def test_a_restored_older_ledger_forgets_nothing_and_sends_nothing_twice(
    short: Desk, running: bool, reason: str
) -> None:
    """Put back while the executor is stopped, or under it while no session of it ends."""
    desk = short
    desk.arm()
    with psycopg.connect(desk.settings.postgres_url(), autocommit=True) as connection:
        before = dump(connection)
        settled = desk.world.demand(**SETTLING)
        desk.result(settled, "settled")
        live = desk.world.demand(**ASKED_ONLY)
        desk.result(live, "accepted")
        if not running:
            desk.stop("trade-executor")
        with connection.transaction():
            restore(connection, before)
    if not running:
        desk.start("trade-executor")
    found = desk.until(desk.quarantine, what="quarantine")
    assert found["reason"] == reason
    refused = desk.client.act("trade-executor", "arm", reason="scenario")
    assert not refused["applied"]
    assert f"quarantine: {reason}, until" in refused["refusal"]
    assert unrip(desk, "undo-reading", "--reason", "a drill").returncode == 0
    replaced = desk.until(partial(desk.log_lines, "trade-executor", "belief_replaced"), what="the next reading")
    assert replaced[-1]["reason"] == "operator: a drill"
    command = desk.decision(live)["command"]
    assert desk.until(lambda: open_holds(desk, live), what="the live offer's hold") == [int(command["amount_out"])]
    assert any("quarantine" in each for each in desk.state("trade-executor")["not_ready"])
    desk.until(lambda: desk.client.is_ready("trade-executor"), what="the end of the quarantine", timeout_s=45)
    ends = {settled: "settled", live: "lapsed"}
    desk.until(lambda: states(desk, *ends) == ends, what="both ends")
    assert [len(desk.submissions(quote_id)) for quote_id in ends] == [1, 1]
    assert desk.state("trade-executor")["ledger"]["held"][command["asset_out"]] == "0"
    for event in ("quarantined", "quarantine_over"):
        desk.until(partial(desk.log_lines, "trade-executor", event), what=event)
    desk.arm()
    desk.result(desk.world.demand(**SETTLING), "settled")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE ledger.surroundings SET database = jsonb_set(database, '{timeline}', '99')", "database_is_another"),
        ("DELETE FROM ledger.position; DELETE FROM ledger.surroundings", "first_start_not_declared"),
    ],
)
def test_another_database_or_an_empty_ledger_waits_for_the_longest_life(short: Desk, change: str, reason: str) -> None:
    desk = short
    desk.stop("trade-executor")
    with psycopg.connect(desk.settings.postgres_url(), autocommit=True) as connection:
        connection.execute(change)
    desk.start("trade-executor")
    found = desk.until(desk.quarantine, what="quarantine")
    assert found["reason"] == reason
    desk.until(lambda: desk.client.is_ready("trade-executor"), what="the end of the quarantine", timeout_s=45)
    desk.restart("trade-executor", SHORT)
    assert desk.quarantine() is None
