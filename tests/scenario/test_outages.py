"""Dependencies go away and come back; nothing unrecorded is sent, and nobody has to help."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

import httpx
import pytest

from support.cli import unrip
from support.desk import Desk
from unrip.cli.exits import CommandFailed
from unrip.domain.attempt import AttemptState
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
        for service in ("trade-executor", "strategy-engine", "history-writer", "inventory-sync"):
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


@contextmanager
def steady_demands(desk: Desk) -> Iterator[list[str]]:
    """Strangers ask for small trades, some five a second, while the context lasts; the quote ids so far."""
    quotes: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.2):
            amount_in = str(3_000 + len(quotes))  # no two alike, so that evidence tells them apart
            quotes.append(desk.world.demand(direction="btc_to_eure", amount_in=amount_in, min_deadline_ms=5_000))

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask)
        try:
            yield quotes
        finally:
            over.set()
            asking.result()


def quotes_in(desk: Desk, table: str, quotes: list[str], condition: str = "true") -> list[str]:
    """Of these quotes those that a table of the history has rows of, once per row."""
    query = f"SELECT quote_id FROM history.{table} WHERE quote_id = ANY (%s) AND {condition}"
    return [row["quote_id"] for row in desk.sql(query, quotes)]


def all_recorded(desk: Desk, quotes: list[str]) -> bool:
    """Each has one decision, one command, and results up to an end."""
    ends = ", ".join(f"'{state}'" for state in AttemptState if state.terminal)
    return all(
        sorted(quotes_in(desk, table, quotes, condition)) == sorted(quotes)
        for table, condition in [
            ("trade_decision", "accepted"),
            ("execute_trade", "true"),
            ("trade_result", "state = 'claimed'"),
            ("trade_result", "state = 'sent'"),
            ("trade_result", f"state IN ({ends})"),
        ]
    )


def test_kafka_killed_under_load(armed: Desk) -> None:
    """Services stay up and inspectable, prices go on being polled and only the newest goes out afterwards, quotes that
    came meanwhile are not answered, and no record that the broker had acknowledged is lost.
    """
    processes = services(armed)
    ingests = ("near-intents-ingest", "market-reference-ingest")
    published = {"market-reference-ingest": "market_price", "inventory-sync": "intent_inventory"}

    def away() -> list[bool]:
        return [not armed.state(service)["kafka_up"] for service in ingests]

    armed.act("strategy-engine", "limits", offers_per_minute_max=1_000)
    with steady_demands(armed) as quotes:
        armed.until(lambda: len(quotes_in(armed, "trade_result", quotes, "state = 'settled'")) >= 3, what="a load")
        armed.kill("kafka")
        began, killed_at = time.monotonic(), datetime.now(UTC)
        armed.until(lambda: not armed.client.is_ready("strategy-engine"), what="unready")
        assert not any(each["ready"] for each in armed.trade_ready().values()), "trade-ready while it is not ready"
        armed.until(lambda: all(away()), what="loss seen by both")
        acknowledged = {table: armed.state(service)["last_acknowledged"] for service, table in published.items()}
        first, lost_from = armed.state("market-reference-ingest"), len(quotes)
        last, lost_to = first, lost_from
        while True:
            asked, prices = len(quotes), armed.state("market-reference-ingest")
            if not all(away()):
                break
            last, lost_to = prices, asked
            time.sleep(0.1)
        armed.until(armed.all_ready, what="recovery without a hand", timeout_s=40)
        print(f"ready again {time.monotonic() - began:.2f} s after the kill of Kafka")
        armed.until_trade_ready()
        again = len(quotes)
        armed.until(lambda: quotes_in(armed, "trade_result", quotes[again:], "state = 'settled'"), what="trades again")
    armed.act("strategy-engine", "limits", offers_per_minute_max=60)
    assert services(armed) == processes, "every service stays up"

    missed = quotes[lost_from:lost_to]
    assert len(missed) >= 3, "some asked while Kafka was away"
    assert [quote_id for quote_id in missed if armed.submissions(quote_id)] == []
    frames = armed.state("near-intents-ingest")["frames"]
    assert frames.pop("frames_received") == sum(frames.values())
    assert frames["dropped_broker_away"] >= len(missed)

    assert datetime.fromisoformat(last["price"]["primary"]["observed_at"]) > killed_at, "polled while Kafka was away"
    life = last["last_acknowledged"].rpartition("-price-")[0]
    unsaid = [f"{life}-price-{number}" for number in range(first["prices_made"] + 1, last["prices_made"] + 1)]
    assert len(unsaid) >= 3, "prices were made while Kafka was away"
    seen = {row["event_id"] for row in armed.sql("SELECT event_id FROM history.market_price")}
    assert seen.isdisjoint(unsaid[:-1]), "only the newest goes out"

    sent = [quote_id for quote_id in quotes if armed.submissions(quote_id)]
    assert [len(armed.submissions(quote_id)) for quote_id in sent] == [1] * len(sent)
    armed.until(lambda: all_recorded(armed, sent), what="the whole record of whatever was sent", timeout_s=40)
    for table, event_id in acknowledged.items():
        assert armed.sql(f"SELECT event_id FROM history.{table} WHERE event_id = %s", event_id), f"{event_id} is lost"


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
    """New funding operations are refused by a line that names it; nobody else hands out an address."""
    chain = "btc:mainnet"
    funding: tuple[tuple[str, dict[str, str]], ...] = (
        ("deposit-addresses", {"chain": chain}),
        ("refresh", {}),
        ("withdrawals/enable", {}),
    )
    armed.stop("liquidity-manager")
    try:
        for action, arguments in funding:
            with pytest.raises(CommandFailed, match="liquidity-manager does not answer at") as failed:
                armed.client.act("liquidity-manager", action, reason="scenario", **arguments)
            assert "\n" not in str(failed.value)
        told = unrip(armed, "resume", "liquidity-manager", "-r", "scenario")
        assert (told.returncode, told.stdout) == (3, "")
        assert told.stderr.startswith("unrip: liquidity-manager does not answer")
        armed.result(armed.world.demand(**BTC_IN), "settled")
        assert all(each["ready"] for each in armed.trade_ready().values())
    finally:
        armed.start("liquidity-manager")
    armed.until(armed.all_ready, what="back again")
    armed.act("liquidity-manager", "deposit-addresses", chain=chain)
