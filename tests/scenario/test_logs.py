"""Every event that must be logged is provoked and found in exactly one line; what is quiet stays quiet."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from support.commands import a_command, put_demands_on_topic, put_on_topic
from support.desk import Desk

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
DECIDED = "SELECT 1 AS one FROM history.trade_decision WHERE quote_id = %s"
STABLE = ["level", "service", "component", "event", "namespace", "venue", "topic", "pair"]


def one_line(desk: Desk, service: str, event: str, provoke: Callable[[], Any]) -> dict[str, Any]:
    """Provoke; exactly one new line of this event must appear, and stay the only one."""
    before = len(desk.log_lines(service, event))
    provoke()
    desk.until(lambda: len(desk.log_lines(service, event)) > before, what=f"a line {event} of {service}")
    lines = desk.log_lines(service, event)[before:]
    assert len(lines) == 1, lines
    (line,) = lines
    assert [field for field in line if field in STABLE] == STABLE
    assert line["namespace"] == "local"
    assert line["service"] == service
    return line


def test_decisions_and_executions(armed: Desk) -> None:
    def trade() -> None:
        armed.result(armed.world.demand(**BTC_IN), "settled")

    accepted = one_line(armed, "strategy-engine", "decision_accepted", trade)
    assert {"quote_id", "decision_id", "command_id"} <= accepted.keys()
    submitted = one_line(armed, "trade-executor", "execution_submitted", trade)
    assert {"quote_id", "command_id", "quote_hash"} <= submitted.keys()
    assert one_line(armed, "trade-executor", "execution_completed", trade)["state"] == "settled"


def test_refusals_and_rejections(armed: Desk) -> None:
    small = {"direction": "btc_to_eure", "amount_in": "100"}
    line = one_line(armed, "strategy-engine", "decision_rejected", lambda: armed.refused(armed.world.demand(**small)))
    assert line["reason"] == "below_minimum"

    def late() -> None:
        command = a_command(armed, window_s=-1)
        put_on_topic(armed, command)
        armed.result(command.quote_id, "rejected")

    assert one_line(armed, "trade-executor", "execution_rejected", late)["reason"] == "window_closed"


def test_execution_failed(armed: Desk) -> None:
    def refuse() -> None:
        with armed.fault("relay", "refuse_answers"):
            armed.result(armed.world.demand(**BTC_IN, min_deadline_ms=2_000), "refused")

    assert one_line(armed, "trade-executor", "execution_failed", refuse)["state"] == "refused"


def test_execution_recovered(desk: Desk) -> None:
    one_line(desk, "trade-executor", "execution_recovered", lambda: desk.restart("trade-executor"))


@pytest.mark.parametrize("service", ["near-intents-ingest", "trade-executor"])
def test_relay_connection_lost_and_recovered(desk: Desk, service: str) -> None:
    def lose() -> None:
        desk.world.fault("relay", "down")

    def find() -> None:
        desk.world.delete("/faults")

    assert one_line(desk, service, "connection_lost", lose)["component"] == "relay"
    one_line(desk, service, "connection_recovered", find)


def test_kraken_connection_lost_and_recovered(desk: Desk) -> None:
    def flicker() -> None:
        desk.world.fault("kraken", "disconnect")

    lost = one_line(desk, "market-reference-ingest", "connection_lost", flicker)
    assert lost["venue"] == "kraken"
    one_line(desk, "market-reference-ingest", "connection_recovered", flicker)


@pytest.mark.parametrize("source", ["kraken", "coingecko"])
def test_source_stale_and_fresh(desk: Desk, source: str) -> None:
    def fail() -> None:
        desk.world.fault(source, "down")

    def heal() -> None:
        desk.world.delete("/faults")

    one_line(desk, "market-reference-ingest", "source_stale", fail)
    one_line(desk, "market-reference-ingest", "source_fresh", heal)


def test_inventory_stale_and_fresh(desk: Desk) -> None:
    one_line(desk, "inventory-sync", "inventory_stale", lambda: desk.world.fault("rpc", "down"))
    one_line(desk, "inventory-sync", "inventory_fresh", lambda: desk.world.delete("/faults"))


def test_invalid_message(desk: Desk) -> None:
    one_line(
        desk,
        "near-intents-ingest",
        "invalid_message",
        lambda: desk.world.fault("relay", "malformed_frame", text="not json"),
    )
    line = one_line(
        desk, "trade-executor", "invalid_message", lambda: desk.produce("cmd.execute_trade", "x", b"not an event")
    )
    assert line["topic"] == "cmd.execute_trade"


@pytest.mark.parametrize("service", ["strategy-engine", "trade-executor"])
def test_arming_and_the_brakes(desk: Desk, service: str) -> None:
    for action, event in (
        ("arm", "armed"),
        ("disarm", "disarmed"),
        ("halt", "halted"),
        ("pause", "paused"),
        ("resume", "resumed"),
    ):
        line = one_line(desk, service, event, partial(desk.act, service, action))
        assert (line["actor"], line["reason"]) == ("operator", "scenario")


def test_control_failures(desk: Desk) -> None:
    def overreach() -> None:
        desk.client.act("strategy-engine", "limits", reason="scenario", notional_cap_eur="100000")

    one_line(desk, "strategy-engine", "control_failed", overreach)


def test_postgres_and_kafka_lost_and_recovered(desk: Desk) -> None:
    for program, name in (("postgres", "postgres"), ("kafka", "kafka")):
        one_line(desk, "strategy-engine", f"{name}_lost", partial(desk.stop, program))
        one_line(desk, "strategy-engine", f"{name}_recovered", partial(desk.start, program))
        desk.until(desk.all_ready, what="recovery", timeout_s=40)


def test_ten_thousand_quiet_quotes_add_no_lines_but_decisions(desk: Desk) -> None:
    """Refusals get five lines a second at most, and one that adds up the rest; nothing else is said at all."""
    services = desk.pids().keys() - {"world", "kafka", "postgres"}
    before = {service: len(desk.log_lines(service)) for service in services}
    quote_ids = put_demands_on_topic(desk, 10_000)
    desk.until(lambda: desk.sql(DECIDED, quote_ids[-1]), what="the last decision in PostgreSQL", timeout_s=180)
    new = [line for service in services for line in desk.log_lines(service)[before[service] :]]
    # Ten thousand decisions keep a small machine busy enough for a socket to blink, which is no line about a quote.
    new = [line for line in new if not line["event"].startswith("connection_")]
    assert [line for line in new if line["event"] not in {"decision_rejected", "decisions_rejected"}] == []
    told = sum(1 if line["event"] == "decision_rejected" else sum(line["counts"].values()) for line in new)
    print(f"{len(new)} lines for {len(quote_ids)} quotes, of which they tell {told}")
    assert told <= len(quote_ids)
    assert len(new) < len(quote_ids) / 20
