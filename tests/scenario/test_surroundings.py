"""PostgreSQL and Kafka answer and refuse: named with their words, the brakes work, and it is over by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them by importing them
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from support.commands import a_command, put_on_topic
from support.desk import Desk
from unrip.bus.settings import client_settings
from unrip.messages.topics import DEAD_LETTER, TRADE_DECISION, TRADE_RESULT
from unrip.store.history_tables import TABLES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
WRITERS = ("strategy-engine", "trade-executor", "history-writer")
_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def do(desk: Desk, *statements: str) -> None:
    """As the owner of the database, whatever it refuses to others."""
    options = "-c default_transaction_read_only=off"
    with psycopg.connect(desk.settings.postgres_url(), autocommit=True, options=options) as connection:
        for statement in statements:
            connection.execute(statement)


@contextmanager
def a_refusal(desk: Desk, table: str, state: str) -> Iterator[None]:
    """Every new row of a table is refused with this SQLSTATE."""
    do(
        desk,
        "CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'refused by a scenario' USING ERRCODE = '{state}'; END $$",
        f"CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    )
    try:
        yield
    finally:
        do(desk, f"DROP TRIGGER refuse ON {table}")


def readiness(desk: Desk, service: str) -> str:
    token = desk.settings.control.read_token_file.read_text().strip()
    url = f"{desk.client.url_of(service)}/readyz"
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5).text


def test_a_database_that_only_reads_is_not_ready_and_heals_by_itself(armed: Desk) -> None:
    """As after a fail-over to a standby: it answers, and refuses every write."""
    pids = {name: pid for name, pid in armed.pids().items() if name in WRITERS}
    do(armed, "ALTER DATABASE unrip SET default_transaction_read_only = on", _END_SESSIONS)
    try:
        for service in WRITERS:
            armed.until_not_ready(service, "postgres_unreachable", "role_not_held")
            armed.until(lambda: "refuses writes" in readiness(armed, service), what="the words")  # noqa: B023 - as it is
            postgres = armed.state(service)["dependencies"]["postgres"]
            assert postgres["last_success_at"] < postgres["last_failure_at"]
            said = "watching: PostgreSQL refuses"
            armed.until(lambda: said in armed.log_lines(service, "postgres_lost")[-1]["reason"], what="the log")  # noqa: B023 - as above
        assert not any(each["ready"] for each in armed.trade_ready().values())
        assert armed.act("trade-executor", "halt", revoke=True)["after"]["halted"] == "true"
    finally:
        do(armed, "ALTER DATABASE unrip RESET default_transaction_read_only")
    armed.until(armed.all_ready, what="recovery without a hand", timeout_s=30)
    assert {name: pid for name, pid in armed.pids().items() if name in WRITERS} == pids, "every process stays"
    armed.arm()


@pytest.mark.parametrize(("state", "kind"), [("53100", "ledger_away"), ("23514", "ledger_refuses")])
def test_a_claim_that_the_ledger_does_not_take_stops_nothing_but_claims(armed: Desk, state: str, kind: str) -> None:
    """A full disk passes. A refusal is set aside and the role left, for a while; halt works meanwhile."""
    pid = armed.pids()["trade-executor"]
    command = a_command(armed)
    with a_refusal(armed, "ledger.attempt", state):
        put_on_topic(armed, command)
        armed.until(lambda: f'"{kind}: ' in readiness(armed, "trade-executor"), what="the refusal named")
        time.sleep(3)  # notes and readings are taken meanwhile
        assert "refused by a scenario" in readiness(armed, "trade-executor")
        assert armed.submissions(command.quote_id) == []
        assert armed.act("trade-executor", "halt")["after"]["halted"] == "true"
        if kind == "ledger_refuses":
            armed.until_not_ready("trade-executor", "role_left")
            query = f"SELECT 1 AS one FROM history.{TABLES[DEAD_LETTER.name].name} WHERE event::text LIKE %s"
            armed.until(lambda: armed.sql(query, f"%{command.command_id}%"), what="the command set aside")
    end = "rejected" if kind == "ledger_refuses" else "dropped"  # judged anew, or taken in the end and never sent
    armed.result(command.quote_id, end, timeout_s=30)
    assert armed.submissions(command.quote_id) == []
    armed.until(armed.all_ready, what="recovery without a hand", timeout_s=30)
    assert armed.pids()["trade-executor"] == pid


@contextmanager
def a_size_limit(desk: Desk, topic: str) -> Iterator[None]:
    """The broker takes no record of a topic that is longer than a few words."""
    admin = AdminClient(client_settings(desk.settings.kafka.bootstrap))

    def change(operation: AlterConfigOpType) -> None:
        entry = ConfigEntry("max.message.bytes", "400", incremental_operation=operation)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        (done,) = admin.incremental_alter_configs([resource]).values()
        done.result(timeout=10)

    change(AlterConfigOpType.SET)
    try:
        yield
    finally:
        change(AlterConfigOpType.DELETE)


def test_records_that_the_broker_refuses_are_named_with_its_words_until_it_takes_them(armed: Desk) -> None:
    with a_size_limit(armed, TRADE_DECISION.name):
        quote_id = armed.world.demand(**BTC_IN)
        armed.until_not_ready("strategy-engine", f"not_published: {TRADE_DECISION.name}")
        assert "too large" in readiness(armed, "strategy-engine")
        assert not any(each["ready"] for each in armed.trade_ready().values())
    armed.decision(quote_id)
    assert armed.log_lines("strategy-engine", "trouble")[-1]["reason"] == "Broker: Message size too large"
    armed.until(armed.all_ready, what="recovery without a hand", timeout_s=30)
    armed.until_trade_ready()
    with a_size_limit(armed, TRADE_RESULT.name):
        quote_id = armed.world.demand(**BTC_IN)
        armed.until(lambda: '"result_not_published: ' in readiness(armed, "trade-executor"), what="the row named")
        assert "too large" in readiness(armed, "trade-executor")
    assert armed.result(quote_id, "settled")
    armed.until(armed.all_ready, what="recovery without a hand", timeout_s=30)
