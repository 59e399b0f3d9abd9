"""The host around a service that meets what it must survive: a database that refuses it, and a stop that fails."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from support.buses import eventually
from support.surroundings import Surroundings
from unrip.domain.values import Value
from unrip.frame.adapters import Adapters
from unrip.frame.contract import Effect, Event, Hindered, RoleChanged, Started, Subscribe
from unrip.frame.host import Host
from unrip.frame.logic import Logic
from unrip.frame.settings import ControlSettings, Settings
from unrip.frame.wiring import Context, Wiring
from unrip.messages.topics import EXECUTE_TRADE, TOPICS
from unrip.services.trade_executor.definition import SERVICE
from unrip.store.errors import StoreRefused

WORDS = "ledger note: PostgreSQL refused"


class Hearing(Logic):
    """A logic that reads the commands and remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        del now
        self.events.append(event)
        return [Subscribe(topic=EXECUTE_TRADE)] if isinstance(event, Started) else []

    def state(self, now: datetime) -> Value:
        del now
        return Value()


@dataclass
class Life:
    """One host, its logic, and how it ended."""

    host: Host
    logic: Hearing
    outside: Surroundings
    ends: list[BaseException | None]


@asynccontextmanager
async def a_life(tmp_path: Path, **wired: Any) -> AsyncIterator[Life]:
    logic, outside, ends = Hearing(), Surroundings(), list[BaseException | None]()
    for topic in TOPICS.values():
        outside.broker.create_topic(topic)

    def wire(context: Context) -> Wiring:
        made = {name: make(context) for name, make in wired.items()}
        for close in made.pop("opened", ()):
            context.owns(close)
        return Wiring(logic=logic, **made)

    host = Host(
        SERVICE,
        wire,
        cast("Adapters", outside),
        settings=Settings(control=ControlSettings(spool_dir=tmp_path)),
        start_id="trade-executor-1",
        clock=lambda: datetime.now(UTC),
        random=random.Random(1),  # noqa: S311 - nothing here is secret
        new_token=lambda: "",
        on_end=ends.append,
    )
    await host.start()
    await eventually(lambda: host.not_ready() == [])
    yield Life(host=host, logic=logic, outside=outside, ends=ends)


async def test_a_source_that_the_database_refuses_leaves_the_role_and_ends_nothing(tmp_path: Path) -> None:
    refused = asyncio.Event()

    async def source() -> None:
        await refused.wait()
        raise StoreRefused(WORDS)

    async with a_life(tmp_path, sources=lambda _: (source,)) as life:
        refused.set()
        await eventually(lambda: life.host.not_ready() == ["role_left"])
        assert life.outside.stays_out_s == 10
        assert life.host.state()["why"] == {"role_left": WORDS}
        assert life.ends == []
        assert RoleChanged(active=False, generation=None, why="role_left") in life.logic.events
        life.outside.on_role(True, 1)
        assert life.host.not_ready() == []
        await life.host.stop()


async def test_work_that_a_handler_began_ends_with_the_service_and_its_fault_ends_the_service(tmp_path: Path) -> None:
    order, contexts = list[str](), list[Context]()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("work")

    async def broken() -> None:
        raise RuntimeError("a bug")

    async def refused() -> None:
        raise StoreRefused(WORDS)

    def closes(name: str) -> Callable[[], Awaitable[None]]:
        async def close() -> None:
            order.append(name)

        return close

    def opened(context: Context) -> tuple[Callable[[], Awaitable[None]], ...]:
        contexts.append(context)
        return closes("first"), closes("second")

    async with a_life(tmp_path, opened=opened) as life:
        (context,) = contexts
        context.start(endless())
        context.start(refused())
        await eventually(lambda: life.outside.stays_out_s == 10)
        assert life.ends == [], "what the database refuses leaves the role"
        context.start(broken())
        await eventually(lambda: [type(fault) for fault in life.ends] == [RuntimeError])
        await life.host.stop()
        assert order == ["work", "second", "first"]


async def test_a_stop_that_fails_closes_everything_and_says_so(tmp_path: Path) -> None:
    closed: list[str] = []

    async def leave() -> None:
        raise StoreRefused(WORDS)

    async def close_badly() -> None:
        raise OSError("it is gone")

    async def never() -> None:
        await asyncio.Event().wait()

    async def close() -> None:
        closed.append("the last one")

    wired: dict[str, Any] = {"before_leaving": lambda _: (leave,), "opened": lambda _: (close, never, close_badly)}
    async with a_life(tmp_path, **wired) as life:
        await life.host.stop()
        assert closed == ["the last one"]
        assert [type(fault) for fault in life.ends] == [StoreRefused, OSError]
        assert [line.body["reason"] for line in life.outside.lines if line.event == "stop_incomplete"] == [
            f"{never.__qualname__} was not done within 2 s"
        ]


async def test_a_topic_that_is_gone_is_named_in_readiness_beat_and_log_and_told_to_the_logic(tmp_path: Path) -> None:
    async with a_life(tmp_path) as life:
        life.outside.broker.delete_topic(EXECUTE_TRADE.name)
        name = f"topic_unreadable: {EXECUTE_TRADE.name}"
        assert life.host.not_ready() == [name]
        await eventually(lambda: Hindered(reasons=(name,)) in life.logic.events)
        assert life.host.state()["why"][name] == f"there is no topic {EXECUTE_TRADE.name!r}"
        life.outside.broker.create_topic(EXECUTE_TRADE)
        await eventually(lambda: life.host.not_ready() == [] and "trouble_over" in life.outside.said)
        assert life.outside.said.count("trouble") == 1
        await life.host.stop()


async def test_a_broker_that_is_away_explains_every_failure(tmp_path: Path) -> None:
    troubles: dict[str, str] = {}
    async with a_life(tmp_path, troubles=lambda _: (lambda: troubles,)) as life:
        troubles["result_not_published: command-1"] = "Broker: Message size too large"
        assert life.host.not_ready() == ["result_not_published: command-1"]
        life.outside.broker.go_down()
        assert life.host.not_ready() == ["kafka_unreachable"]
        assert Hindered(reasons=("kafka_unreachable",)) in life.logic.events, "at once, not with the next beat"
        life.outside.broker.come_up()
        assert life.host.not_ready() == ["result_not_published: command-1"]
        await life.host.stop()
