"""Processes die and come back: soon, disarmed, caught up, and nobody else notices."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.desk import SPARE_TOKEN, Desk
from support.ledger_copies import copied_to_another_database
from unrip.cli.client import ControlClient
from unrip.net.secret_file import write_secret
from unrip.services.registry import SERVICES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
#: The issue's bound; a scenario fails only at three times the value.
BACK_WITHIN_S = 2.0


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_service_comes_back_alone_and_disarmed(armed: Desk, service: str) -> None:
    before = armed.pids()
    armed.kill(service)
    armed.until(lambda: armed.pids()[service] not in {None, before[service]}, what="a new process")
    began = time.monotonic()
    armed.until(lambda: armed.client.is_ready(service), what="ready again")
    took_s = time.monotonic() - began
    print(f"{service} ready {took_s:.2f} s after its start")
    assert took_s < 3 * BACK_WITHIN_S
    after = armed.pids()
    assert {name: pid for name, pid in after.items() if name != service} == {
        name: pid for name, pid in before.items() if name != service
    }
    if service in {"strategy-engine", "trade-executor"}:
        assert armed.state(service)["armed"] == "none"
    armed.arm()
    armed.result(armed.world.demand(**BTC_IN), "settled")


def test_a_surviving_lease_arms_again_and_a_brake_ends_it(desk: Desk) -> None:
    services = ("trade-executor", "strategy-engine")
    files = [desk.settings.control.spool_dir / f"{service}.lease" for service in services]
    desk.arm(survive_restart=True)
    desk.until(lambda: all(file.exists() for file in files), what="both leases kept")
    for service in services:
        desk.kill(service)
    desk.until(lambda: not desk.client.is_ready("strategy-engine"), what="the kill")
    desk.until(desk.all_ready, what="every service ready again")
    desk.until(lambda: desk.state("strategy-engine")["armed"] == "base_in,base_out", what="armed again")
    desk.result(desk.world.demand(**BTC_IN), "settled")
    records = desk.until(
        lambda: desk.sql(
            "SELECT event->'payload' AS p FROM history.control_action"
            " WHERE event->'payload'->>'actor' = 'surviving lease' ORDER BY event->'payload'->>'acted_at'"
        ),
        what="the records of both",
    )
    assert [record["p"]["service"] for record in records] == list(services)
    desk.act("strategy-engine", "halt")
    assert not files[1].exists()
    pid = desk.kill("strategy-engine")
    desk.until(lambda: desk.pids()["strategy-engine"] not in {None, pid}, what="a new process")
    desk.until(lambda: desk.client.is_ready("strategy-engine"), what="ready again")
    time.sleep(3)  # three times what a surviving lease waits for
    assert desk.state("strategy-engine")["armed"] == "none"


def test_a_restarted_strategy_decides_no_quote_twice(armed: Desk) -> None:
    conflicts = "SELECT count(*) AS n FROM history.conflicting_record"
    before = armed.sql(conflicts)
    quote_id = armed.world.demand(**BTC_IN)
    armed.result(quote_id, "settled")
    armed.kill("strategy-engine")
    later = armed.world.demand(**BTC_IN, min_wait_ms=6_000, max_wait_ms=8_000)
    armed.decision(later)
    counted = armed.sql("SELECT count(*) AS n FROM history.trade_decision WHERE quote_id = %s", quote_id)
    assert counted == [{"n": 1}]
    assert armed.sql(conflicts) == before, "what it decides again it decides alike"


def test_a_strategy_killed_between_decision_and_command_makes_up_for_it(desk: Desk) -> None:
    """The accepted decision gets its command, with the same bytes, also late; the executor rejects it by name."""
    desk.restart("strategy-engine", {"UNRIP_TEST_CRASH_AT": "strategy.decision_acknowledged"})
    desk.arm()
    pid = desk.pids()["strategy-engine"]
    quote_id = desk.world.demand(**BTC_IN)
    desk.until(lambda: desk.pids()["strategy-engine"] != pid, what="the kill")
    desk.stop("strategy-engine")
    desk.until(lambda: desk.world.get(f"/demands/{quote_id}")["status"] == "no_answer", what="window over")
    desk.restart("strategy-engine", {})
    assert desk.result(quote_id, "rejected")["reason"] == "window_closed"
    (commanded,) = desk.sql("SELECT event->'payload' AS p FROM history.execute_trade WHERE quote_id = %s", quote_id)
    assert commanded["p"] == desk.decision(quote_id)["command"]
    assert desk.submissions(quote_id) == []


def test_a_second_executor_is_standby(desk: Desk) -> None:
    with desk.second_instance("trade-executor") as second:
        desk.until(lambda: "standby" in second.state("trade-executor")["not_ready"], what="standby")
        state = second.state("trade-executor")
        assert state["active"] is False
        assert (state["connected"], state["connection"]["cause"]) == (False, None), "it does not even try the relay"
        assert not second.is_ready("trade-executor")
        assert desk.client.is_ready("trade-executor")


@contextmanager
def on_another_database(desk: Desk, folder: Path) -> Iterator[tuple[ControlClient, str]]:
    """A second executor that nothing of ours can keep off: its lock is in its own database, as is its ledger."""
    write_secret(folder / "spare.token", SPARE_TOKEN)
    with copied_to_another_database(desk.settings.postgres_url()) as url:
        environment = {
            "UNRIP_POSTGRES__URL": url,
            "UNRIP_CONTROL__SPOOL_DIR": str(folder / "spool"),
            "UNRIP_NEAR_INTENTS__EXECUTOR_TOKEN_FILE": str(folder / "spare.token"),
        }
        with desk.second_instance("trade-executor", environment) as second:
            yield second, url


def standing(url: str, *quote_ids: str) -> list[tuple[str, bool]]:
    """How each offer stands in a ledger, and whether its hold is released."""
    query = (
        "SELECT state, released_at IS NOT NULL FROM ledger.attempt JOIN ledger.hold USING (nonce)"
        " WHERE quote_id = ANY (%s) ORDER BY array_position(%s, quote_id)"
    )
    with psycopg.connect(url) as connection:
        return connection.execute(query, (list(quote_ids), list(quote_ids))).fetchall()


def test_two_executors_on_two_databases_spend_one_nonce(armed: Desk, tmp_path: Path) -> None:
    """Both work and both answer, with the same bytes: the nonce is the command's, so the chain takes one of them."""
    desk, account = armed, armed.settings.near_intents.account

    def judged() -> Any:
        return desk.world.get("/judge", account_id=account)["accounts"][account]

    with on_another_database(desk, tmp_path) as (second, url):
        desk.until(lambda: second.is_ready("trade-executor"), what="second executor ready")
        assert second.state("trade-executor")["active"]
        assert second.act("trade-executor", "arm", reason="scenario")["applied"]
        told = (
            "SELECT 1 AS one FROM history.service_status WHERE event#>>'{payload,instance}' = %s"
            " AND jsonb_array_length(event#>'{payload,details,switches,armed}') > 0"
        )
        instance = second.state("trade-executor")["instance"]
        desk.until(lambda: desk.sql(told, instance), what="its beat, which the strategy takes for the executor's")
        before, conflicts = judged(), len(desk.log_lines("history-writer", "record_conflict"))
        taken = desk.world.demand(**BTC_IN, min_wait_ms=1_000, min_deadline_ms=5_000)
        desk.until(lambda: len(desk.submissions(taken)) == 2, what="both answers")
        never = desk.world.demand(**BTC_IN, partner_id="another", accept="never", min_deadline_ms=2_000)
        desk.until(lambda: len(desk.submissions(never)) == 2, what="both answers")
        for quote_id in (taken, never):
            first, other = desk.submissions(quote_id)
            assert {first["solver"], other["solver"]} == {"desk-executor", "second-executor"}
            assert json.loads(first["raw"])["params"] == json.loads(other["raw"])["params"], (
                "the command chose each byte"
            )

        desk.until(lambda: judged()["settlements"] == before["settlements"] + 1, what="the settlement")
        desk.world.fault("relay", "leak", quote_hash=desk.submissions(taken)[0]["quote_hash"])
        ledgers, ends = (desk.settings.postgres_url(), url), [("settled", True), ("lapsed", True)]
        desk.until(
            lambda: [standing(ledger, taken, never) for ledger in ledgers] == [ends, ends],
            what="both ends in both ledgers",
        )
        desk.until(lambda: judged()["failed"] != before["failed"], what="the stranger's attempt to use the bytes again")
        after = judged()
        assert after["settlements"] == before["settlements"] + 1
        assert after["nonces_used"] == before["nonces_used"] + 1
        assert after["insufficient_balance"] == before["insufficient_balance"] == 0
        command = desk.decision(taken)["command"]
        assert desk.world.nonce_used(account, command["nonce"])
        spent = command["asset_out"]
        assert int(before["flows"].get(spent, "0")) - int(after["flows"][spent]) == int(command["amount_out"])
        desk.until(lambda: len(desk.log_lines("history-writer", "record_conflict")) > conflicts, what="an alarm")


def test_a_tightened_limit_that_postgresql_did_not_keep_holds_on_in_the_next_process(armed: Desk) -> None:
    """Kafka has it; and the lease that would have armed the next process is gone."""
    lease = armed.settings.control.spool_dir / "strategy-engine.lease"
    armed.arm(survive_restart=True)
    armed.until(lease.exists, what="the lease on disk")

    def cap() -> Decimal:
        return Decimal(armed.state("strategy-engine")["notional_cap_eur"])

    before, pid = cap(), armed.pids()["strategy-engine"]
    armed.stop("postgres")
    try:
        armed.until(lambda: armed.state("strategy-engine")["postgres_up"] is False, what="the loss")
        outcome = armed.act("strategy-engine", "limits", notional_cap_eur="5")
        assert (outcome["kept"], outcome["recorded"]) == (False, "published")
        assert not lease.exists()
        assert armed.state("strategy-engine")["limits_kept"] is False
        quote_id, next_id = armed.world.demand(**BTC_IN), armed.world.demand(**BTC_IN)
        decided = "a decision, which waits until the one before is acknowledged"
        armed.until(lambda: next_id in str(armed.state("strategy-engine")["latest_decisions"]), what=decided)
        armed.kill("strategy-engine")
        armed.until(lambda: armed.pids()["strategy-engine"] not in {None, pid}, what="a new process")
    finally:
        armed.start("postgres")
    armed.until(armed.all_ready, what="recovery without a hand", timeout_s=30)
    guards = {guard["reason"]: guard for guard in armed.decision(quote_id)["guards"]}
    assert not guards["notional_above_cap"]["passed"]
    assert guards["notional_above_cap"]["numbers"]["limit"] == "5"
    assert cap() == 5
    armed.until(lambda: armed.state("strategy-engine")["limits_kept"], what="kept now")
    armed.act("strategy-engine", "limits", notional_cap_eur=str(before))
    armed.arm()
    armed.result(armed.world.demand(**BTC_IN), "settled")
