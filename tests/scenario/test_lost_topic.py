"""A topic is lost and made anew: nobody takes old knowledge for new, and the record says that it has a hole."""

import asyncio
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from support.desk import Desk, running_desk
from unrip.bus.kafka_admin import KafkaAdmin
from unrip.domain.decision import Refusal
from unrip.messages.topics import INTENT_INVENTORY, TOPICS

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}


@pytest.fixture
def own_desk() -> Iterator[Desk]:
    """A desk of its own: what is lost here stays lost."""
    with running_desk() as desk:
        yield desk


def lose_topic(desk: Desk, topic: str) -> None:
    """Delete a topic and make it anew, empty."""
    bootstrap = desk.settings.kafka.bootstrap
    admin = AdminClient({"bootstrap.servers": bootstrap, "broker.address.family": "v4"})
    admin.delete_topics([topic], operation_timeout=10)[topic].result(timeout=10)

    async def create() -> None:
        await KafkaAdmin(bootstrap).ensure_topics(TOPICS.values())

    desk.until(lambda: topic not in admin.list_topics(timeout=5).topics, what="topic deleted")
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
    assert len(own_desk.log_lines("history-writer", "topic_recreated")) == 1
