"""`unrip tail`: one line per event, as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer

from unrip.bus.desk_bus import DeskBus
from unrip.bus.ports import BusError, BusUnavailable, Record, Start, TopicMissing, Where
from unrip.cli.amounts import Amounts
from unrip.cli.client import settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, JsonOption
from unrip.cli.terminal import write, write_json_text
from unrip.domain.attempt import TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.status import ControlRecord, ServiceStatus
from unrip.domain.values import format_rate
from unrip.frame.desk_bus import desk_bus
from unrip.messages.codec import decode_event
from unrip.messages.envelope import Envelope, InvalidMessage
from unrip.messages.topics import SERVICE_STATUS, TOPICS

#: How many lines may wait to be printed; a terminal that is slower loses none, it only slows the reading.
_WAITING_MAX = 1_000
#: Records of one batch.
_BATCH_MAX = 500


def tail(
    topic: Annotated[list[str] | None, typer.Option("--topic", help="Repeatable; default: all but beats.")] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Start at the oldest record.")] = False,  # noqa: FBT002 - Typer's form
    config: ConfigOption = None,
    json_output: JsonOption = False,  # noqa: FBT002 - Typer's form
) -> None:
    """Show events until Ctrl-C."""
    topics = topic or [name for name in TOPICS if name != SERVICE_STATUS.name]
    if unknown := [name for name in topics if name not in TOPICS]:
        raise CommandFailed(f"no topic {unknown[0]!r}; there are: {', '.join(TOPICS)}", code=Exit.USAGE)
    where = Where.BEGINNING if from_beginning else Where.END
    settings = settings_of(config)
    bus, amounts = desk_bus(settings), Amounts(settings.pair.pair())

    async def show() -> None:
        async for record in follow(bus, topics, where):
            if json_output:
                write_json_text(record.value.decode(errors="replace"))
            else:
                write(line_of(record, amounts))

    try:
        asyncio.run(show())
    except BusUnavailable as error:
        raise CommandFailed(f"Kafka at {bus.bootstrap} does not answer ({error}): is it running?") from None
    except KeyboardInterrupt:
        return


async def follow(bus: DeskBus, topics: Sequence[str], where: Where) -> AsyncIterator[Record]:
    """Records of several topics, as they come.

    Raises:
        BusError: the broker does not answer, or a topic is missing or lost.

    """
    waiting: asyncio.Queue[Record | BusError] = asyncio.Queue(_WAITING_MAX)

    async def take(records: Sequence[Record]) -> None:
        for record in records:
            await waiting.put(record)

    def lost(_topic: str, why: BusError) -> None:
        waiting.put_nowait(why)

    consumer = bus.consumer(take, lost, batch_max=_BATCH_MAX)
    await consumer.start()
    try:
        for topic in topics:
            try:
                await consumer.subscribe(topic, Start(where=where))
            except TopicMissing:
                continue
        while True:
            item = await waiting.get()
            if isinstance(item, BusError):
                raise item
            yield item
    finally:
        await consumer.stop()


def line_of(record: Record, amounts: Amounts) -> str:
    """One line for one record."""
    try:
        message = decode_event(record.topic, record.value)
    except InvalidMessage as error:
        return f"{record.timestamp:%H:%M:%S.%f} {record.topic:28} invalid: {error}"
    return f"{message.published_at:%H:%M:%S.%f} {record.topic:28} {_gist(message, amounts)}"


def _gist(message: Envelope[Any], amounts: Amounts) -> str:
    payload = message.payload
    match payload:
        case SwapDemand():
            return f"{payload.quote_id[:8]} {payload.direction} {amounts.asked(payload)}"
        case Decision():
            verdict = "accepted" if payload.accepted else f"refused: {payload.reason}"
            return f"{payload.quote_id[:8]} {payload.direction} {verdict}, edge {_rate(payload.gross_edge)}"
        case TradeCommand():
            return f"{payload.quote_id[:8]} sign one offer: {amounts.exchanged(payload)}"
        case TradeResult():
            return f"{payload.quote_id[:8]} {payload.state}{f' ({payload.reason})' if payload.reason else ''}"
        case MarketPrice():
            return f"{payload.pair} {_short(payload.fair_rate)} ({payload.primary_source} {payload.primary_health})"
        case IntentInventory():
            return f"height {payload.height} credited {amounts.texts(payload.credited)}"
        case ControlRecord():
            return f"{payload.service} {payload.action} by {payload.actor}: {payload.reason}"
        case ServiceStatus():
            return f"{payload.service} {'ready' if payload.ready else ', '.join(payload.not_ready)}"
    return message.event_id


def _short(number: Decimal | None) -> str:
    return "unknown" if number is None else f"{number:.6g}"


def _rate(fraction: Decimal | None) -> str:
    return "unknown" if fraction is None else format_rate(Decimal(f"{fraction:.4g}"))
