"""The same programs against somebody else's Kafka and PostgreSQL, named by URL, which several desks share."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import run_unrip
from support.desk import Desk, running_desk
from support.servers import Servers
from unrip.bus.kafka_admin import KafkaAdmin
from unrip.cli.client import ControlClient
from unrip.domain.pairs import Direction
from unrip.messages.topics import TRADE_RESULT
from unrip.net.secret_file import write_secret
from unrip.services.registry import SERVICES

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}


@pytest.fixture(scope="module")
def base(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings that name the servers, and a database on them that every desk of this file shares."""
    folder = tmp_path_factory.mktemp("outside")
    write_secret(folder / "postgres.url", servers.create_database("outside"))
    base = folder / "desk.toml"
    base.write_text(
        f'[kafka]\nbootstrap = "{servers.kafka_bootstrap}"\n[postgres]\nurl_file = "{folder / "postgres.url"}"\n'
    )
    return base


@pytest.fixture(scope="module")
def main(base: Path) -> Iterator[Desk]:
    with running_desk(base=base) as desk:
        desk.arm()
        yield desk


def settled(desk: Desk) -> str:
    """The quote of a trade from demand to settlement."""
    quote_id: str = desk.world.demand(**BTC_IN)
    desk.result(quote_id, "settled")
    return quote_id


def test_a_trade_settles_on_servers_that_are_not_ours(main: Desk, servers: Servers) -> None:
    assert main.settings.kafka.bootstrap == servers.kafka_bootstrap
    assert not {"kafka", "postgres"} & main.pids().keys()
    assert not main.local.home.postgres.exists()
    quote_id = settled(main)
    assert main.sql("SELECT 1 AS one FROM history.trade_chain WHERE quote_id = %s", quote_id)


def test_an_account_of_another_desk_is_refused_and_nothing_of_it_is_promised(main: Desk) -> None:
    account, file = main.settings.near_intents.account, str(main.local.settings_file)
    assert run_unrip("prepare", "--config", file, UNRIP_DESK__NAME="third").returncode == 0
    declared = run_unrip("prepare", "--first-start", "--config", file, UNRIP_DESK__NAME="third")
    assert declared.returncode not in {0, None}
    assert f"the account {account} belongs to the desk main, and not to third" in declared.stderr
    with main.second_instance("trade-executor", {"UNRIP_DESK__NAME": "third"}) as executor:
        reason = main.until(lambda: refusal_of(executor), what="an executor that is refused the account")
        assert f"the account {account} belongs to the desk main, and not to third" in reason
        assert executor.state("trade-executor")["active"], "it is a desk of its own, with a role of its own"
        assert not executor.is_ready("trade-executor")
        assert not executor.act("trade-executor", "arm", reason="scenario", directions=list(Direction))["applied"]
        assert executor.act("trade-executor", "halt", reason="scenario")["applied"], "the kill switch stays"
        settled(main)  # whose account it is goes on
    assert main.sql("SELECT 1 FROM third_ledger.attempt") == main.sql("SELECT 1 FROM third_ledger.surroundings") == []


def refusal_of(executor: ControlClient) -> str | None:
    """Why the executor is not ready, where it is that the account is another desk's."""
    reasons = executor.state("trade-executor")["not_ready"]
    return next((reason for reason in reasons if reason.startswith("account_of_another_desk: ")), None)


def column(desk: Desk, column: str, table: str) -> set[str]:
    """What a table of the desk holds in a column."""
    return {row["found"] for row in desk.sql(f"SELECT DISTINCT {column} AS found FROM {table}")}


def test_two_desks_trade_on_one_kafka_and_one_postgresql_and_hear_nothing_of_each_other(main: Desk, base: Path) -> None:
    with running_desk(base=base, settings={"desk": {"name": "second"}}) as second:
        assert second.settings.postgres_url() == main.settings.postgres_url()
        second.arm()
        of_main, of_second = settled(main), settled(second)
        for desk, quote_id, of_other in ((main, of_main, of_second), (second, of_second, of_main)):
            account = desk.settings.near_intents.account
            for table in (
                "ledger.attempt",
                "history.trade_result",
                "history.execute_trade",
                "history.intent_inventory",
            ):
                assert column(desk, "account", table) == {account}, table
            for table in ("raw_quote", "swap_demand", "trade_decision"):
                assert quote_id in column(desk, "quote_id", f"history.{table}")
                assert of_other not in column(desk, "quote_id", f"history.{table}"), table
            start_ids = {desk.state(service)["instance"] for service in SERVICES}
            assert start_ids <= column(desk, "instance", "history.service_status")
        instances = [column(desk, "instance", "history.service_status") for desk in (main, second)]
        assert not instances[0] & instances[1], "no desk hears the other one's beats"
        for desk, prefix in ((main, ""), (second, "second.")):
            told = desk.sql("SELECT 1 FROM ledger.outbox WHERE published_at IS NOT NULL")
            assert result_records(desk, prefix) == len(told), "at the broker, too, each result is on one topic only"


def result_records(desk: Desk, prefix: str) -> int:
    """How many records the topic of results has had."""
    topic = prefix + TRADE_RESULT.name
    return asyncio.run(KafkaAdmin(desk.settings.kafka.bootstrap).end_offsets([topic]))[topic]
