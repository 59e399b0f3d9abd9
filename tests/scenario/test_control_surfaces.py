"""Every service answers on the same paths, to the right token only; it pauses, resumes and drains."""

from functools import partial
from typing import Any

import httpx
import pytest

from support.desk import Desk
from unrip.services.registry import SERVICES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
COMMON = {"/livez", "/healthz", "/readyz", "/state", "/metrics", "/pause", "/resume", "/drain"}


def ask(desk: Desk, service: str, method: str, path: str, token: str | None, body: Any = None) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.request(method, desk.client.url_of(service) + path, headers=headers, json=body, timeout=5)


@pytest.mark.parametrize("service", SERVICES)
def test_same_paths_and_the_right_token_only(desk: Desk, service: str) -> None:
    read = desk.settings.control.read_token_file.read_text().strip()
    operator = desk.settings.control.operator_token_file.read_text().strip()
    for probe in ("/livez", "/healthz", "/readyz"):
        assert ask(desk, service, "GET", probe, None).json() == {"ok": True}
    document = ask(desk, service, "GET", "/openapi.json", read).json()
    assert set(document["paths"]) >= COMMON - {"/openapi.json"}
    for path, methods in document["paths"].items():
        if "post" in methods:
            body = {"reason": "scenario"}
            assert ask(desk, service, "POST", path, None, body).status_code == 401
            assert ask(desk, service, "POST", path, "wrong", body).status_code == 401
            assert ask(desk, service, "POST", path, read, body).status_code == 403
            assert ask(desk, service, "POST", path, operator, {}).status_code == 422
    for path in ("/state", "/metrics"):
        assert ask(desk, service, "GET", path, None).status_code == 401
        assert ask(desk, service, "GET", path, read).status_code == 200
    state = ask(desk, service, "GET", "/state", read).text
    assert operator not in state
    assert (desk.local.home.secrets / "desk.key").read_text().strip() not in state


@pytest.mark.parametrize("service", SERVICES)
def test_pause_and_resume_are_recorded(desk: Desk, service: str) -> None:
    paused = desk.act(service, "pause")
    assert (paused["before"]["paused"], paused["after"]["paused"]) == ("false", "true")
    resumed = desk.act(service, "resume")
    assert (resumed["before"]["paused"], resumed["after"]["paused"]) == ("true", "false")
    desk.until(lambda: desk.client.is_ready(service), what="ready again")
    query = (
        "SELECT event->'payload' AS record FROM history.control_action "
        "WHERE service = %s AND action = 'resume' ORDER BY \"offset\" DESC LIMIT 1"
    )
    (row,) = desk.until(lambda: desk.sql(query, service), what="record of the resume")
    assert row["record"]["actor"] == "operator"
    assert row["record"]["reason"] == "scenario"


@pytest.mark.parametrize("service", SERVICES)
def test_drained_it_takes_nothing_new_and_stops_with_code_zero(desk: Desk, service: str) -> None:
    desk.act(service, "drain")
    desk.until(lambda: "draining" in desk.state(service)["not_ready"], what="draining")
    desk.stop(service)
    assert desk.log_lines(service, "stopped")[-1]["exit_code"] == 0
    desk.start(service)
    desk.until(lambda: desk.client.is_ready(service), what="ready after the restart")


def test_paused_executor_keeps_commands_waiting_and_rejects_what_is_late(armed: Desk) -> None:
    """The strategy does not see a pause before the next beat: a command in between waits, and is then too late."""
    armed.act("trade-executor", "pause")
    quote_id = armed.world.demand(**BTC_IN, min_wait_ms=1_000, max_wait_ms=1_500)
    if armed.decision(quote_id)["accepted"]:
        armed.until(lambda: armed.world.get(f"/demands/{quote_id}")["status"] == "no_answer", what="window over")
        armed.act("trade-executor", "resume")
        assert armed.result(quote_id, "rejected")["reason"] == "window_closed"
    assert armed.submissions(quote_id) == []


def test_postgres_keeps_every_kind_of_record(armed: Desk) -> None:
    armed.world.fault("relay", "malformed_frame", text="not json")
    armed.result(armed.world.demand(**BTC_IN), "settled")
    kinds = (
        "raw_quote raw_quote_status swap_demand market_price intent_inventory treasury liquidity_action trade_decision "
        "execute_trade trade_result control_action service_status dead_letter"
    )
    for table in kinds.split():
        armed.until(partial(armed.sql, f"SELECT 1 AS one FROM history.{table} LIMIT 1"), what=table)
