"""A topic is lost and made anew: nobody takes old knowledge for new, and the record says that it has a hole."""

import asyncio
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from support.commands import a_command, put_on_topic
from support.desk import Desk, running_desk
from unrip.bus.kafka_admin import KafkaAdmin
from unrip.domain.decision import Refusal
from unrip.messages.topics import EXECUTE_TRADE, INTENT_INVENTORY, MARKET_PRICE, SWAP_DEMAND, TOPICS

BTC = "nep141:btc.omft.near"
BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}


@pytest.fixture(scope="module")
def own_desk() -> Iterator[Desk]:
    """A desk of its own for this module: what is lost here stays lost."""
    with running_desk() as desk:
        yield desk


def lose_topic(desk: Desk, topic: str) -> None:
    """Delete a topic and make it anew, empty."""
    delete_topic(desk, topic)
    make_topics(desk)


def delete_topic(desk: Desk, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": desk.settings.kafka.bootstrap, "broker.address.family": "v4"})
    admin.delete_topics([topic], operation_timeout=10)[topic].result(timeout=10)
    desk.until(lambda: topic not in admin.list_topics(timeout=5).topics, what="topic deleted")


def make_topics(desk: Desk) -> None:
    async def create() -> None:
        await KafkaAdmin(desk.settings.kafka.bootstrap).ensure_topics(TOPICS.values())

    asyncio.run(create())


def test_inventory_missing_after_the_loss_of_its_topic(own_desk: Desk) -> None:
    own_desk.act("inventory-sync", "pause")
    lose_topic(own_desk, INTENT_INVENTORY.name)
    own_desk.restart("strategy-engine")
    own_desk.act("trade-executor", "arm")
    own_desk.act("strategy-engine", "arm")
    own_desk.until(
        lambda: own_desk.trade_ready()["base_in"]["reasons"][:1] == ["inventory_missing"], what="no snapshot"
    )
    guard = own_desk.refused(own_desk.world.demand(**BTC_IN))
    assert guard["reason"] == Refusal.INVENTORY_MISSING
    assert guard["numbers"]["snapshot"] == "unknown"
    # The record stops that topic by name instead of skipping for ever.
    assert f"topic_stopped: {INTENT_INVENTORY.name}" in own_desk.state("history-writer")["not_ready"]
    own_desk.until(lambda: own_desk.log_lines("history-writer", "topic_recreated"), what="the loss in the log")
    assert len(own_desk.log_lines("history-writer", "topic_recreated")) == 1
    # The books are in PostgreSQL: with the last snapshot gone a loss is still one.
    account = own_desk.settings.near_intents.account
    own_desk.world.post(f"/accounts/{account}/debit", token_id=BTC, amount="3")
    own_desk.restart("inventory-sync")
    own_desk.until(lambda: own_desk.state("inventory-sync")["unexplained"].get("BTC") == "-3", what="the loss seen")
    own_desk.accept_balance(BTC)
    own_desk.restart("inventory-sync")
    own_desk.until(lambda: own_desk.state("inventory-sync")["unexplained"].get("BTC") == "0", what="what was accepted")
    (counted,) = own_desk.sql("SELECT kind, change FROM books.evidence WHERE kind = 'accepted'")
    assert counted["change"] == -3


def test_another_topic_of_commands_quarantines_the_executor(own_desk: Desk) -> None:
    """What the lost topic held is not known: a command that the ledger does not know may have been sent."""
    first = a_command(own_desk)
    put_on_topic(own_desk, first)
    own_desk.result(first.quote_id, "refused")  # nobody asked for it; the ledger has a position now
    own_desk.stop("trade-executor")
    lose_topic(own_desk, EXECUTE_TRADE.name)
    own_desk.start("trade-executor")

    assert own_desk.until(own_desk.quarantine, what="quarantine")["reason"] == "commands_topic_is_another"
    refused = own_desk.client.act("trade-executor", "arm", reason="scenario")
    assert "quarantine: commands_topic_is_another, until" in refused["refusal"]
    own_desk.until(lambda: own_desk.state("trade-executor")["own_read"], what="the salt that a command is made with")
    unknown = a_command(own_desk)
    put_on_topic(own_desk, unknown)
    assert own_desk.result(unknown.quote_id, "claimed")["reason"] == "perhaps_sent"
    assert own_desk.submissions(unknown.quote_id) == []
    own_desk.result(unknown.quote_id, "lapsed", timeout_s=30)


def test_kraken_unknown_where_no_price_was_ever_read(own_desk: Desk) -> None:
    with own_desk.fault("kraken", "down"):
        own_desk.stop("market-reference-ingest")
        lose_topic(own_desk, MARKET_PRICE.name)
        own_desk.start("market-reference-ingest")
        own_desk.until_not_ready("market-reference-ingest", "kraken_unknown")
    own_desk.until(lambda: own_desk.client.is_ready("market-reference-ingest"), what="the first price, without a hand")


def test_a_topic_of_commands_that_ends_before_the_ledgers_place_quarantines_the_executor(own_desk: Desk) -> None:
    """The broker has lost its newest records: which of them were commands that the ledger does not know?"""
    own_desk.stop("trade-executor")
    # What an earlier test has it wait for is over.
    assert own_desk.sql("UPDATE ledger.surroundings SET quarantined_until = NULL, reason = '' RETURNING account")
    assert own_desk.sql("UPDATE ledger.position SET next_offset = next_offset + 1000 RETURNING next_offset")
    own_desk.start("trade-executor")
    found = own_desk.until(own_desk.quarantine, what="quarantine")
    assert found["reason"] == "commands_topic_is_truncated"
    assert own_desk.until(lambda: own_desk.log_lines("trade-executor", "topic_truncated"), what="the loss in the log")
    refused = own_desk.client.act("trade-executor", "arm", reason="scenario")
    assert "quarantine: commands_topic_is_truncated, until" in refused["refusal"]
    next_command = a_command(own_desk)
    put_on_topic(own_desk, next_command)
    own_desk.until(lambda: own_desk.results(next_command.quote_id), what="it reads on from the end of the topic")
    assert own_desk.submissions(next_command.quote_id) == []


def test_demands_without_a_topic_are_named_until_there_is_one(own_desk: Desk) -> None:
    name = f"topic_unreadable: {SWAP_DEMAND.name}"
    delete_topic(own_desk, SWAP_DEMAND.name)
    for service in ("strategy-engine", "history-writer"):
        own_desk.until_not_ready(service, name)
        assert "create the topics" in own_desk.state(service)["why"][name]
    assert name in own_desk.trade_ready()["base_in"]["reasons"]
    make_topics(own_desk)
    own_desk.until(lambda: own_desk.client.is_ready("strategy-engine"), what="read again")
    assert own_desk.decision(own_desk.world.demand(**BTC_IN))
