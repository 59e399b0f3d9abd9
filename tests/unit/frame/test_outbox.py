"""The outbox where the broker refuses: one row that it does not take is named, and no other waits for it."""

from __future__ import annotations

import asyncio

import pytest

from support.cases import NOW
from support.ledgers import an_event, an_offer, claim, credit
from unrip.domain.attempt import AttemptState
from unrip.frame import outbox as outbox_module
from unrip.frame.contract import Publish
from unrip.frame.outbox import OutboxPublisher
from unrip.frame.publisher import Delivery
from unrip.store.ledger import Ledger
from unrip.store.memory_ledger import MemoryLedger

TOO_LARGE = "Broker: Message size too large"


class Broker:
    """Takes every result but those of the commands named."""

    def __init__(self) -> None:
        self.refuses: set[str] = set()
        self.silent = False
        self.taken: list[tuple[str, str]] = []

    def produce(self, record: Publish, on_delivery: Delivery) -> None:
        told = (record.payload.quote_id, record.payload.state.value)
        if self.silent:
            return
        refused = record.payload.quote_id in self.refuses
        if not refused:
            self.taken.append(told)
        answer = (None, TOO_LARGE) if refused else (len(self.taken), None)
        asyncio.get_running_loop().call_soon(on_delivery, *answer)


async def an_outbox(*, commands: int) -> tuple[Ledger, Broker, OutboxPublisher]:
    ledger, broker = MemoryLedger(clock=lambda: NOW), Broker()
    await credit(ledger, 1_000_000)
    for n in range(commands):
        await claim(ledger, an_offer(str(n), amount=1), n)
    return ledger, broker, OutboxPublisher(ledger, broker.produce, named="result_not_published")


async def test_a_row_that_is_refused_is_named_and_the_others_go_out() -> None:
    ledger, broker, outbox = await an_outbox(commands=3)
    await ledger.note(an_event(an_offer("1", amount=1), AttemptState.SENT))
    broker.refuses = {"1"}
    await outbox.publish_all()
    assert broker.taken == [("0", "claimed"), ("2", "claimed")]
    (name,) = outbox.troubles()
    assert name.startswith("result_not_published: ")
    assert outbox.troubles()[name] == TOO_LARGE
    broker.refuses.clear()
    await outbox.publish_all()
    assert broker.taken[2:] == [("1", "claimed"), ("1", "sent")]
    assert outbox.troubles() == {}
    assert await ledger.unpublished(10) == []


async def test_more_refused_rows_than_one_batch_hold_up_nobody_and_are_counted() -> None:
    ledger, broker, outbox = await an_outbox(commands=130)
    broker.refuses = {str(n) for n in range(120)}
    await outbox.publish_all()
    assert [quote for quote, _ in broker.taken] == [str(n) for n in range(120, 130)]
    assert list(outbox.troubles())[-1] == "result_not_published: 117 more"
    assert len(await ledger.unpublished(1_000)) == 120


async def test_the_rows_of_a_command_go_out_in_their_order() -> None:
    ledger, broker, outbox = await an_outbox(commands=2)
    await ledger.note(an_event(an_offer("0", amount=1), AttemptState.SENT))
    await outbox.publish_all()
    assert [told for told in broker.taken if told[0] == "0"] == [("0", "claimed"), ("0", "sent")]


async def test_what_nobody_acknowledges_in_time_is_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that takes a record and says nothing has perhaps not stored it: the row goes out again."""
    monkeypatch.setattr(outbox_module, "_ACK_BOUND_S", 0.02)
    ledger, broker, outbox = await an_outbox(commands=2)
    broker.silent = True
    await outbox.publish_all()
    assert len(await ledger.unpublished(10)) == 2
    assert set(outbox.troubles().values()) == {"it was not acknowledged in time"}
    broker.silent = False
    await outbox.publish_all()
    assert (len(broker.taken), await ledger.unpublished(10)) == (2, [])
