"""After trades, kills and a fault: no key, token or password is anywhere but in the secrets' own folder (R16)."""

import base64
import binascii
import os
from collections.abc import Iterator
from pathlib import Path

import base58
import httpx
import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from support.desk import Desk
from unrip.messages.topics import TOPICS
from unrip.services.registry import SERVICES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}


def spellings(desk: Desk) -> dict[bytes, str]:
    """Every secret in every form in which it could leak, with its file's name."""
    found: dict[bytes, str] = {}
    for file in desk.local.home.secrets.iterdir():
        if file.name in {"postgres-url", "world-tokens.toml"}:
            continue  # made of the others
        secret = file.read_text().strip()
        found[secret.encode()] = file.name
        if file.suffix == ".key":
            private = base58.b58decode(secret.removeprefix("ed25519:"))
            seed = private[:32]
            forms = [base58.b58encode(private), base58.b58encode(seed), base64.b64encode(seed)[:-1], seed]
            found |= dict.fromkeys((*forms, binascii.hexlify(seed)), file.name)
    assert {"desk.key", "operator.token", "read.token", "postgres-password", "relay-executor.token"} <= set(
        found.values()
    )
    return found


def leaks(secrets: dict[bytes, str], where: str, content: bytes) -> list[str]:
    return [f"{name} in {where}" for secret, name in secrets.items() if secret in content]


def files(desk: Desk) -> Iterator[Path]:
    """Logs, state, configuration, launch scripts, the broker's data; PostgreSQL is read through its own door."""
    home = desk.local.home
    for path in home.root.rglob("*"):
        if path.is_file() and home.secrets not in path.parents and home.postgres not in path.parents:
            yield path


def records(desk: Desk) -> Iterator[tuple[str, bytes]]:
    """Every record of every topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": desk.settings.kafka.bootstrap,
            "broker.address.family": "v4",
            "group.id": "sweep",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    known = consumer.list_topics(timeout=10).topics
    parts = [TopicPartition(topic, part, OFFSET_BEGINNING) for topic in TOPICS for part in known[topic].partitions]
    consumer.assign(parts)
    ends = 0
    while ends < len(parts):
        message = consumer.poll(10)
        assert message is not None, "the broker gives no more"
        if message.error() is not None:
            ends += 1
        else:
            yield str(message.topic()), (message.key() or b"") + b" " + (message.value() or b"")
    consumer.close()


def rows(desk: Desk) -> Iterator[tuple[str, bytes]]:
    """Every row of every table of ours."""
    with psycopg.connect(desk.settings.postgres_url()) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        ).fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f"SELECT t::text FROM {table} AS t"):
                yield table, row.encode()


def command_lines(desk: Desk) -> Iterator[tuple[str, bytes]]:
    """What every process of the desk was called with, as anybody on the machine can read it."""
    for name, pid in desk.pids().items():
        if pid is not None:
            yield name, Path(f"/proc/{pid}/cmdline").read_bytes()


_CLAIM = "ledger.claim_of_known_strategy"
_ARGUMENTS = "jsonb, bigint, text, bigint, jsonb, jsonb, boolean, bigint"


@pytest.fixture
def faulted(armed: Desk) -> Desk:
    """A desk that has traded, and whose executor, which holds the key, has ended with a traceback in its log.

    What the database refuses ends no process; an answer that no version of ours gives does.
    """
    armed.result(armed.world.demand(**BTC_IN), "settled")
    executor = armed.pids()["trade-executor"]
    with psycopg.connect(armed.settings.postgres_url(), autocommit=True) as connection:
        connection.execute(f"ALTER FUNCTION {_CLAIM}({_ARGUMENTS}) RENAME TO claim_away")
        connection.execute(
            f"CREATE FUNCTION {_CLAIM}({_ARGUMENTS}) RETURNS TABLE (kind text, ledger_view jsonb) LANGUAGE sql "
            "AS $$ SELECT 'unheard-of', '{}'::jsonb $$"
        )
        try:
            armed.world.demand(**BTC_IN)
            armed.until(lambda: armed.log_lines("trade-executor", "fault"), what="a fault")
        finally:
            connection.execute(f"DROP FUNCTION {_CLAIM}({_ARGUMENTS})")
            connection.execute(f"ALTER FUNCTION ledger.claim_away({_ARGUMENTS}) RENAME TO claim_of_known_strategy")
    armed.until(lambda: armed.pids()["trade-executor"] not in {None, executor}, what="a new executor")
    armed.until(armed.all_ready, what="every service ready")
    return armed


def test_secrets_are_nowhere_but_in_their_folder(faulted: Desk) -> None:
    secrets = spellings(faulted)
    found: list[str] = []
    for path in files(faulted):
        found += leaks(secrets, str(path.relative_to(faulted.local.home.root)), path.read_bytes())
    read = faulted.settings.control.read_token_file.read_text().strip()
    for service in SERVICES:
        for page in ("/state", "/metrics", "/openapi.json", "/healthz", "/readyz"):
            url = faulted.client.url_of(service) + page
            answer = httpx.get(url, headers={"Authorization": f"Bearer {read}"}, timeout=5)
            found += leaks(secrets, f"{service} {page}", answer.content)
    for where, content in (*records(faulted), *rows(faulted), *command_lines(faulted)):
        found += leaks(secrets, where, content)
    assert found == []
    assert "Traceback" in faulted.local.home.log_of("trade-executor").read_text(), "the fault left its traceback"


def test_the_sweep_finds_what_lies_about(desk: Desk) -> None:
    """A sweep that finds nothing proves something only if it can find."""
    secrets = spellings(desk)
    planted = desk.local.home.log / "planted.log"
    planted.write_bytes(b"x" + next(iter(secrets)) + os.linesep.encode())
    try:
        assert any(leaks(secrets, str(path), path.read_bytes()) for path in files(desk))
    finally:
        planted.unlink()
