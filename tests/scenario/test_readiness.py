"""What each service says while it cannot do its job, and that it says so no longer once the cause is gone."""

from typing import Any

import httpx
import psycopg

from support.desk import Desk
from unrip.services.registry import SERVICES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
#: The services that read back what earlier lives of theirs have published.
REMEMBERING = ("strategy-engine", "inventory-sync", "market-reference-ingest")


def rename(desk: Desk, table: str, name: str) -> None:
    """Take a table of the history out of the writer's sight, or put it back."""
    with psycopg.connect(desk.settings.postgres_url()) as connection:
        connection.execute(f"ALTER TABLE history.{table} RENAME TO {name}")


def test_every_venue_that_is_away_is_named_by_those_who_need_it(desk: Desk) -> None:
    for venue in ("kraken", "bridge", "rpc"):
        desk.world.fault(venue, "down")
    desk.until_not_ready("market-reference-ingest", "kraken_stale")
    desk.until_not_ready("liquidity-manager", "bridge_stale")
    desk.until_not_ready("trade-executor", "verifier_not_read")
    desk.until_not_ready("inventory-sync", "inventory_stale")
    desk.kill("inventory-sync")
    desk.until_not_ready("inventory-sync", "inventory_missing")
    desk.world.fault("relay", "down")
    desk.until_not_ready("near-intents-ingest", "relay_disconnected")
    desk.until_not_ready("trade-executor", "relay_disconnected")
    desk.world.delete("/faults")
    desk.until(desk.all_ready, what="recovery without a hand", timeout_s=30)


def test_a_paused_service_says_so_but_those_that_refuse_by_name(desk: Desk) -> None:
    """Strategy and executor stay ready: what comes is decided, and the executor's next beat has it refused."""
    for service in SERVICES:
        desk.act(service, "pause")
    paused = {service for service in SERVICES if "paused" in desk.state(service)["not_ready"]}
    assert paused == set(SERVICES) - {"strategy-engine", "trade-executor"}
    for service in SERVICES:
        desk.act(service, "resume")
    desk.until(desk.all_ready, what="ready after the resume")


def test_a_matching_engine_in_maintenance(desk: Desk) -> None:
    with desk.fault("kraken", "system_status", status="maintenance"):
        desk.until_not_ready("market-reference-ingest", "kraken_not_online")
    desk.until(lambda: desk.client.is_ready("market-reference-ingest"), what="online again")


def test_another_deposit_address_stops_its_use_until_an_operator_accepts_it(desk: Desk) -> None:
    """When the bridge names the first one again, that is another doubt: nobody but an operator knows which is right."""

    def told() -> dict[str, dict[str, Any]]:
        addresses: dict[str, dict[str, Any]] = desk.state("liquidity-manager")["deposit_addresses"]
        return addresses

    def doubted_and_accepted() -> None:
        desk.until(lambda: not any(each["usable"] for each in told().values()), what="a doubt about each chain")
        assert "deposit_address_changed" in desk.state("liquidity-manager")["not_ready"]
        for chain, address in told().items():
            desk.act("liquidity-manager", "deposit-addresses", chain=chain, accept=address["also_named"])
        desk.until(lambda: desk.client.is_ready("liquidity-manager"), what="no doubt left")

    own = {chain: address["address"] for chain, address in told().items()}
    with desk.fault("bridge", "other_addresses"):
        doubted_and_accepted()
        assert all(address["address"] != own[chain] for chain, address in told().items())
    doubted_and_accepted()
    assert {chain: address["address"] for chain, address in told().items()} == own
    desk.restart("liquidity-manager")
    desk.until(lambda: desk.state("liquidity-manager")["chains_read_at"].keys() == own.keys(), what="the bridge read")
    assert {chain: address["address"] for chain, address in told().items() if address["usable"]} == own
    assert desk.client.is_ready("liquidity-manager")


def test_a_ledger_that_does_not_add_up_is_unhealthy_until_it_does(desk: Desk) -> None:
    def health() -> int:
        return httpx.get(f"{desk.client.url_of('trade-executor')}/healthz", timeout=2).status_code

    def failures() -> list[str]:
        found: list[str] = desk.state("trade-executor")["health_failures"]
        return found

    change = "UPDATE ledger.inventory SET held = held + %s WHERE asset = %s RETURNING held"
    before = len(desk.log_lines("trade-executor", "ledger_differs"))
    desk.sql(change, 1, EURE)
    try:
        desk.until(lambda: failures() == ["ledger_differs"], what="the difference found")
        assert health() == 503
    finally:
        desk.sql(change, -1, EURE)
    desk.until(lambda: failures() == [], what="healthy once they agree")
    assert health() == 200
    (line,) = desk.log_lines("trade-executor", "ledger_differs")[before:]
    assert line["asset"] == EURE
    assert int(line["held"]) - int(line["open_holds"]) == 1


def test_a_start_without_kafka_and_postgres_names_what_it_waits_for(desk: Desk) -> None:
    for server in ("kafka", "postgres"):
        desk.stop(server)
    try:
        for service in (*REMEMBERING, "history-writer"):
            desk.kill(service)
        for service in REMEMBERING:
            desk.until_not_ready(service, "reading_back", "kafka_unreachable")
        desk.until_not_ready("strategy-engine", "postgres_unreachable", "role_not_held")
        desk.until_not_ready("history-writer", "offsets_not_loaded", "postgres_unreachable")
        desk.start("postgres")
        desk.until_not_ready("history-writer", "lag_unknown")
    finally:
        for server in ("postgres", "kafka"):
            desk.start(server)
    desk.until(desk.all_ready, what="recovery without a hand", timeout_s=40)


def test_history_that_cannot_be_written_says_so_and_makes_up_for_it(armed: Desk) -> None:
    armed.restart("history-writer", {"UNRIP_LIMITS__HISTORY_LAG_MAX": "10"})
    try:
        rename(armed, "trade_result", "trade_result_away")
        try:
            quote_id = armed.world.demand(**BTC_IN)
            armed.until_not_ready("history-writer", "writes_fail", "lag_above_limit")
        finally:
            rename(armed, "trade_result_away", "trade_result")
        armed.until(lambda: armed.client.is_ready("history-writer"), what="caught up without a hand")
        assert armed.result(quote_id, "settled")
    finally:
        armed.restart("history-writer", {})
