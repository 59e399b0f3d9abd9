"""A broker that comes back empty while the services run: none of them ends of it."""

from __future__ import annotations

import pytest

from support.whole_desk import WholeDesk
from unrip.messages.topics import TOPICS, TRADE_RESULT, Topic

DEMAND = {"direction": "btc_to_eure", "amount_in": "20000"}


@pytest.mark.parametrize("lost", [[TRADE_RESULT], list(TOPICS.values())], ids=["results", "everything"])
def test_no_service_ends_where_topics_are_made_anew(lost: list[Topic]) -> None:
    with WholeDesk() as desk:
        desk.demand(**DEMAND)
        desk.run(15)
        for topic in lost:
            desk.broker.delete_topic(topic.name)
            desk.broker.create_topic(topic)
        desk.run(10)
        assert {service for service, process in desk.processes.items() if not process.alive} == set()
        assert desk.counts["crashes"] == 0
