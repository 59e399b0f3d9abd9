"""Dependencies go away and come back; nothing unrecorded is sent, and nobody has to help."""

import time
from functools import partial

import httpx
import pytest

from support.desk import Desk
from unrip.services.registry import SERVICES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
#: PostgreSQL away: health fails hard within this; a scenario fails only at three times the value.
HARD_FAILURE_WITHIN_S = 2.0


def unhealthy(desk: Desk, service: str) -> bool:
    return httpx.get(f"{desk.client.url_of(service)}/healthz", timeout=2).status_code == 503


def services(desk: Desk) -> dict[str, int | None]:
    """The process of each service."""
    return {name: pid for name, pid in desk.pids().items() if name in SERVICES}


def test_postgres_stopped(armed: Desk) -> None:
    armed.stop("postgres")
    try:
        began = time.monotonic()
        for service in ("trade-executor", "strategy-engine", "history-writer"):
            armed.until(partial(unhealthy, armed, service), what=f"hard failure of {service}")
        took_s = time.monotonic() - began
        print(f"hard health failure after {took_s:.2f} s")
        assert took_s < 3 * HARD_FAILURE_WITHIN_S
        assert not any(answer["ready"] for answer in armed.trade_ready().values())
        quote_id = armed.world.demand(**BTC_IN)
        armed.until(lambda: armed.world.get(f"/demands/{quote_id}")["status"] == "no_answer", what="window over")
    finally:
        armed.start("postgres")
        began = time.monotonic()
    armed.until(armed.all_ready, what="recovery without a hand", timeout_s=30)
    print(f"ready again {time.monotonic() - began:.2f} s after PostgreSQL's start")
    decision = armed.decision(quote_id)
    assert decision["reason"] == "audit_store_unavailable"
    assert armed.submissions(quote_id) == []


def test_kafka_killed_under_load(armed: Desk) -> None:
    """Services stay up and inspectable, prices go on being polled, quotes that came meanwhile are not answered."""
    processes = services(armed)
    armed.kill("kafka")
    began = time.monotonic()
    armed.until(lambda: not armed.client.is_ready("strategy-engine"), what="unready")
    ingests = ("near-intents-ingest", "market-reference-ingest")
    armed.until(lambda: not any(armed.state(service)["kafka_up"] for service in ingests), what="loss seen by both")
    quote_id = armed.world.demand(**BTC_IN)
    armed.until(armed.all_ready, what="recovery without a hand", timeout_s=40)
    print(f"ready again {time.monotonic() - began:.2f} s after the kill of Kafka")
    assert services(armed) == processes, "every service stays up"
    assert armed.submissions(quote_id) == []
    frames = armed.state("near-intents-ingest")["frames"]
    assert frames.pop("frames_received") == sum(frames.values())
    assert frames["dropped_broker_away"] >= 1
    armed.until(lambda: all(each["ready"] for each in armed.trade_ready().values()), what="trade-ready")
    armed.result(armed.world.demand(**BTC_IN), "settled")


def test_the_brake_works_without_kafka_and_is_recorded_later(armed: Desk) -> None:
    processes = services(armed)
    armed.stop("kafka")
    try:
        armed.until(lambda: armed.state("strategy-engine")["kafka_up"] is False, what="loss seen")
        outcome = armed.act("strategy-engine", "halt")
        assert outcome["recorded"] == "spooled"
        assert armed.state("strategy-engine")["halted"] == "true"
        refused = armed.client.act("strategy-engine", "arm", reason="scenario")
        assert not refused["applied"]
        assert "cannot be recorded" in refused["refusal"]
    finally:
        armed.start("kafka")
    armed.until(armed.all_ready, what="recovery", timeout_s=40)
    assert services(armed) == processes, "every service stays up"
    query = "SELECT 1 AS one FROM history.control_action WHERE service = 'strategy-engine' AND action = 'halt'"
    armed.until(lambda: armed.sql(query + " AND event->'payload'->>'reason' = 'scenario'"), what="spooled record")


@pytest.mark.parametrize("service", ["liquidity-manager", "inventory-sync"])
def test_bridge_away_leaves_trading_alone(armed: Desk, service: str) -> None:
    with armed.fault("bridge", "down"):
        time.sleep(2)
        armed.result(armed.world.demand(**BTC_IN), "settled")
        assert armed.client.is_ready("strategy-engine")
        assert armed.state(service)["active"]


def test_liquidity_manager_away_leaves_trading_alone(armed: Desk) -> None:
    armed.stop("liquidity-manager")
    try:
        armed.result(armed.world.demand(**BTC_IN), "settled")
    finally:
        armed.start("liquidity-manager")
