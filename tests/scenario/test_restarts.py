"""Processes die and come back: soon, disarmed, caught up, and nobody else notices."""

import time

import pytest

from support.desk import Desk
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
    quote_id = armed.world.demand(**BTC_IN)
    armed.result(quote_id, "settled")
    armed.kill("strategy-engine")
    later = armed.world.demand(**BTC_IN, min_wait_ms=6_000, max_wait_ms=8_000)
    armed.decision(later)
    counted = armed.sql("SELECT count(*) AS n FROM history.trade_decision WHERE quote_id = %s", quote_id)
    assert counted == [{"n": 1}]
    assert armed.sql("SELECT count(*) AS n FROM history.conflicting_record") == [{"n": 0}]


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
        desk.until(lambda: second.state("trade-executor")["not_ready"], what="standby")
        state = second.state("trade-executor")
        assert "standby" in state["not_ready"]
        assert state["active"] is False
        assert (state["connected"], state["connection"]["cause"]) == (False, None), "it does not even try the relay"
        assert not second.is_ready("trade-executor")
        assert desk.client.is_ready("trade-executor")
