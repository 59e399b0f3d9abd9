"""Every service answers on the same paths, to the right token only; it pauses, resumes and drains."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from support.desk import Desk
from support.documents import require_described
from unrip.messages.topics import TOPICS
from unrip.services.registry import SERVICES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
PROBES = {"/livez", "/healthz", "/readyz"}
#: What an endpoint answers to no token, a wrong one, the read-only one, and the operator's with an empty reason.
OPEN, READABLE, ACTION = (200, 200, 200, 200), (401, 401, 200, 200), (401, 401, 403, 422)
COMMON = {"/livez", "/healthz", "/readyz", "/state", "/metrics", "/pause", "/resume", "/drain"}


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(shared_desk: Desk, service: str) -> Iterator[Ask]:
    """Asks one service, over one connection: `ask(method, path, token, body)`."""
    with httpx.Client(base_url=shared_desk.client.url_of(service), timeout=5) as client:

        def asked(method: str, path: str, token: str | None, body: Any = None) -> httpx.Response:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            return client.request(method, path, headers=headers, json=body)

        yield asked


def token_of(desk: Desk, access: str) -> str:
    files = {"read": desk.settings.control.read_token_file, "operator": desk.settings.control.operator_token_file}
    return files[access].read_text().strip()


@pytest.mark.parametrize("service", SERVICES)
def test_every_documented_endpoint_refuses_a_missing_wrong_or_read_only_token(
    desk: Desk, ask: Ask, service: str
) -> None:
    """The sweep over the OpenAPI documents: what each endpoint answers to no, a wrong, a read and an operator token."""
    read, operator = token_of(desk, "read"), token_of(desk, "operator")
    wrong = operator[:-1] + ("a" if operator[-1] != "a" else "b")
    document = ask("GET", "/openapi.json", read).json()
    assert set(document["paths"]) >= COMMON - {"/openapi.json"}
    require_described(document, ask("GET", "/state", read).json())
    endpoints = [(path, method) for path, methods in document["paths"].items() for method in methods]
    presented = {None: "let me in", wrong: "let me in", read: "let me in", operator: ""}
    for path, method in (*endpoints, ("/openapi.json", "get")):
        answers = [ask(method, path, token, {"reason": reason}) for token, reason in presented.items()]
        expected = OPEN if path in PROBES else READABLE if method == "get" else ACTION
        assert tuple(answer.status_code for answer in answers) == expected, (method, path)
        assert not any(token in answer.text for answer in answers for token in (read, operator)), (method, path)
    assert desk.client.is_ready(service)


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_answers_beside_the_documented_endpoints(shared_desk: Desk, ask: Ask, service: str) -> None:
    operator = token_of(shared_desk, "operator")
    paths = ask("GET", "/openapi.json", operator).json()["paths"]
    for path, methods in paths.items():
        for method in {"get", "post", "put", "patch", "delete", "options"} - set(methods):
            assert ask(method, path, operator, {"reason": "try it"}).status_code == 405, (method, path)
    for path in ("/", "/docs", "/redoc", "/admin", "/State"):
        assert ask("GET", path, operator).status_code == 404, path


@pytest.mark.parametrize("service", SERVICES)
def test_state_names_no_secret(shared_desk: Desk, ask: Ask, service: str) -> None:
    state = ask("GET", "/state", token_of(shared_desk, "read")).text
    assert token_of(shared_desk, "operator") not in state
    assert (shared_desk.local.home.secrets / "desk.key").read_text().strip() not in state


@pytest.mark.parametrize("service", SERVICES)
def test_pause_and_resume_are_recorded_and_beaten_at_once(desk: Desk, service: str) -> None:
    def beats_of_a_pause() -> int:
        paused = "event #>> '{payload,paused}' = 'true'"
        return len(desk.sql(f"SELECT 1 AS one FROM history.service_status WHERE service = %s AND {paused}", service))

    beats = beats_of_a_pause()
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
    desk.until(lambda: beats_of_a_pause() > beats, what="the beat of a pause that lasted for less than one interval")


@pytest.mark.parametrize("service", SERVICES)
def test_drained_it_takes_nothing_new_and_stops_with_code_zero(desk: Desk, service: str) -> None:
    desk.act(service, "drain")
    desk.until(lambda: "draining" in desk.state(service)["not_ready"], what="draining")
    stops = len(desk.log_lines(service, "stopped"))
    desk.stop(service)
    desk.until(lambda: len(desk.log_lines(service, "stopped")) > stops, what="its last line in the log")
    told = desk.log_lines(service)
    assert told[-1]["exit_code"] == 0
    leaving = told[max(number for number, line in enumerate(told) if line["event"] == "draining") :]
    assert [line for line in leaving if line["level"] != "info"] == []
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
    for topic in TOPICS.values():
        armed.until(partial(armed.sql, f"SELECT 1 AS one FROM history.{topic.table} LIMIT 1"), what=topic.table)
