"""The history writer from topic to table: its logic and handlers on the in-memory bus, and once on the real servers."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from support.buses import KafkaBus, eventually
from support.histories import MemoryStore, PostgresStore, Store
from support.samples import NOW, event, events_beside_the_trade, events_of_a_trade
from support.servers import Servers
from unrip.bus.memory import MemoryBroker, MemoryConsumer
from unrip.bus.ports import Consumer, OnRecords, OnTopicLost
from unrip.frame.adapters import BATCH_MAX, RealAdapters
from unrip.frame.contract import Control, Count, DatabaseChanged, Draining, Emit, Event, Log, Publish, Started
from unrip.frame.metrics import Metrics
from unrip.frame.runner import Runner
from unrip.frame.settings import KafkaSettings, PostgresSettings, Settings
from unrip.frame.wiring import Context, Wiring
from unrip.messages.codec import encode_event
from unrip.messages.envelope import Envelope
from unrip.messages.payloads import RawQuote
from unrip.messages.topics import DEAD_LETTER, TOPICS
from unrip.services.history_writer.effects import BatchRead, LoadOffsets, ReadOn, StartReading, WriteBatch
from unrip.services.history_writer.handlers import HistoryHandlers, TopicReader
from unrip.services.history_writer.logic import HistoryWriter
from unrip.services.history_writer.wiring import wire
from unrip.store.errors import StoreUnavailable
from unrip.store.history import HistorySink, Position, TopicBatch, WriteReport
from unrip.store.migrate import apply

QUOTE = "raw.near_intents.quote"
LOOK_S = 0.02
TRADE = [*events_of_a_trade("quote-1"), *events_beside_the_trade()]


@dataclass
class UnsureStore:
    """Commits, but says so only when told to."""

    sink: HistorySink
    unsure: int = 0
    written: list[int] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def offsets(self) -> dict[str, Position]:
        return await self.sink.offsets()

    async def last_write_at(self) -> datetime | None:
        return await self.sink.last_write_at()

    async def write(self, batches: Sequence[TopicBatch]) -> WriteReport:
        await self.gate.wait()
        self.written.append(sum(len(batch.rows) for batch in batches))
        report = await self.sink.write(batches)
        if self.unsure:
            self.unsure -= 1
            raise StoreUnavailable("the connection was lost while committing")
        return report

    async def close(self) -> None:
        await self.sink.close()


@dataclass
class Life:
    """One life of the service, without the frame around it."""

    runner: Runner
    published: list[Publish] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.runner.emit(event)

    def state(self) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.structs.asdict(self.runner.logic.state(datetime.now(UTC)))
        return shown

    def reasons(self) -> list[str]:
        return self.runner.logic.not_ready(datetime.now(UTC))

    @property
    def lag(self) -> int | None:
        lag: int | None = self.runner.logic.vitals(datetime.now(UTC)).details.lag
        return lag


@asynccontextmanager
async def running(make_wiring: Callable[[Emit], Wiring]) -> AsyncIterator[Life]:
    life: Life

    def emit(event: Event) -> None:
        life.runner.emit(event)

    faults: list[BaseException] = []
    wiring = make_wiring(emit)
    life = Life(Runner(wiring.logic, clock=lambda: datetime.now(UTC), on_fault=faults.append), faults=faults)
    life.runner.handle(
        {
            **wiring.handlers,
            Publish: life.published.append,
            Log: lambda line: life.lines.append(line.event),
            Count: lambda _: None,
        }
    )

    async def guarded(source: Callable[[], Awaitable[None]]) -> None:
        try:
            await source()
        except Exception as fault:
            faults.append(fault)

    tasks = [asyncio.create_task(guarded(source)) for source in wiring.sources]
    emit(DatabaseChanged(up=True, reason="it answers"))
    emit(Started(active=True, generation=1, start_id="writer-1"))
    try:
        yield life
    finally:
        emit(Draining())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        life.runner.stop_timers()


MakeConsumer = Callable[[OnRecords, OnTopicLost], Consumer]


def a_life(sink: HistorySink, make_consumer: MakeConsumer) -> AbstractAsyncContextManager[Life]:
    """On the sink and consumer of a test."""

    def make_wiring(emit: Emit) -> Wiring:
        writes, reader = HistoryHandlers(sink, emit=emit), TopicReader(make_consumer, emit=emit, look_s=LOOK_S)
        return Wiring(
            logic=HistoryWriter(lag_max=5_000),
            handlers={
                LoadOffsets: writes.call,
                WriteBatch: writes.call,
                StartReading: reader.start_reading,
                ReadOn: reader.read_on,
            },
            sources=(writes.run, reader.run),
        )

    return running(make_wiring)


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(clock=lambda: NOW)
    for topic in TOPICS.values():
        broker.create_topic(topic)
    return broker


def on(broker: MemoryBroker) -> MakeConsumer:
    def make(on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
        return MemoryConsumer(broker, on_records=on_records, on_topic_lost=on_topic_lost, batch_max=BATCH_MAX)

    return make


def put(broker: MemoryBroker, *events: Envelope[Any]) -> None:
    for each in events:
        broker.append(each.event_type, "key", encode_event(each))


def quotes(*numbers: int) -> Iterator[Envelope[Any]]:
    for number in numbers:
        payload = RawQuote(quote_id=f"quote-{number}", frame="{}", received_at=NOW, in_filter=True)
        yield event(QUOTE, f"event-{number}", payload, chain="chain")


async def ids(store: Store, topic: str = QUOTE) -> list[str]:
    return [kept["event_id"] for _, kept in await store.events(topic)]


async def test_every_topic_reaches_the_history(broker: MemoryBroker) -> None:
    store = MemoryStore()
    put(broker, *TRADE)
    async with a_life(store.sink(), on(broker)) as life:
        await eventually(lambda: life.state()["written"] == len(TRADE) and life.lag == 0)
        assert life.reasons() == []
    for topic in TOPICS:
        assert await ids(store, topic) == [each.event_id for each in TRADE if each.event_type == topic]


async def test_the_next_life_goes_on_where_the_last_one_was(broker: MemoryBroker) -> None:
    store = MemoryStore()
    put(broker, *quotes(*range(3)))
    async with a_life(store.sink(), on(broker)) as life:
        await eventually(lambda: life.state()["written"] == 3)
    put(broker, *quotes(3, 4))
    async with a_life(store.sink(), on(broker)) as life:
        await eventually(lambda: life.lag == 0)
        assert (life.state()["written"], life.state()["duplicates"]) == (2, 0)
    assert await ids(store) == [f"event-{n}" for n in range(5)]


async def test_nothing_more_is_read_before_the_batch_is_committed(broker: MemoryBroker) -> None:
    unsure = UnsureStore(MemoryStore().sink())
    unsure.gate.clear()
    batches: list[int] = []

    def make(on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
        async def counted(records: Any) -> None:
            batches.append(len(records))
            await on_records(records)

        return on(broker)(counted, on_topic_lost)

    put(broker, *quotes(*range(3 * BATCH_MAX)))
    async with a_life(unsure, make) as life:
        await eventually(lambda: life.lag == 3 * BATCH_MAX)
        assert batches == [BATCH_MAX]
        unsure.gate.set()
        await eventually(lambda: life.lag == 0)
    assert unsure.written == batches == [BATCH_MAX] * 3


async def test_a_commit_that_was_not_heard_of_is_made_again_without_harm(broker: MemoryBroker) -> None:
    store = MemoryStore()
    unsure = UnsureStore(store.sink(), unsure=1)
    put(broker, *quotes(0, 1))
    async with a_life(unsure, on(broker)) as life:
        await eventually(lambda: life.state()["last_write_at"] is not None and life.lag == 0)
        assert (unsure.written, life.state()["duplicates"], life.reasons()) == ([2, 2], 2, [])
        assert life.lines == ["write_failed"]
    assert await ids(store) == ["event-0", "event-1"]


async def test_what_is_no_event_gets_a_letter_and_stops_nothing(broker: MemoryBroker) -> None:
    store = MemoryStore()
    broker.append(QUOTE, "key", b"no event")
    broker.append(DEAD_LETTER.name, "key", b"no letter")
    put(broker, *quotes(0))
    async with a_life(store.sink(), on(broker)) as life:
        await eventually(lambda: life.lag == 0)
        assert [letter.payload.source for letter in life.published] == [QUOTE]
    assert [place[:3] for place in await store.invalid()] == [
        (DEAD_LETTER.name, broker.log(DEAD_LETTER.name).topic_id, 0),  # type: ignore[union-attr]
        (QUOTE, broker.log(QUOTE).topic_id, 0),  # type: ignore[union-attr]
    ]
    assert await ids(store) == ["event-0"]


async def test_a_writer_whose_offsets_were_moved_reads_on_from_where_they_are(broker: MemoryBroker) -> None:
    """Neither another writer nor a database of earlier ends the service: nothing is lost, and nothing stands twice."""
    store = MemoryStore()
    async with a_life(store.sink("writer-1"), on(broker)) as life:
        await eventually(lambda: life.lag == 0)
        async with a_life(store.sink("writer-2"), on(broker)) as other:
            put(broker, *quotes(0))
            await eventually(lambda: life.lag == other.lag == 0 and "write_failed" in life.lines + other.lines)
            put(broker, *quotes(1))
            await eventually(lambda: life.lag == other.lag == 0)
            assert life.faults + other.faults == []
            await eventually(lambda: life.reasons() == other.reasons() == [])
    assert await ids(store) == ["event-0", "event-1"]


@pytest.mark.parametrize("copied", [0, 1, 2], ids=["empty", "of the first record", "of now"])
async def test_a_history_that_goes_back_under_a_writer_is_written_once_more(broker: MemoryBroker, copied: int) -> None:
    store = MemoryStore()
    async with a_life(store.sink(), on(broker)) as life:
        copies = [copy.deepcopy(vars(store.record))]
        for number in range(2):
            put(broker, *quotes(number))
            await eventually(lambda: life.lag == 0 and life.state()["written"] > number)  # noqa: B023 - used at once
            copies.append(copy.deepcopy(vars(store.record)))
        vars(store.record).update(copies[copied])
        put(broker, *quotes(2))
        await eventually(lambda: life.lag == 0 and life.reasons() == [] and life.state()["written"] >= 3)
        assert life.faults == []
    assert await ids(store) == ["event-0", "event-1", "event-2"]


@pytest.mark.parametrize("running", [True, False], ids=["while it is read", "between two lives"])
async def test_a_topic_made_anew_stops_and_the_others_go_on(broker: MemoryBroker, running: bool) -> None:
    def recreate() -> None:
        broker.delete_topic(QUOTE)
        broker.create_topic(TOPICS[QUOTE])

    store = MemoryStore()
    put(broker, *quotes(0))
    async with a_life(store.sink(), on(broker)) as life:
        await eventually(lambda: life.state()["written"] == 1 and life.lag == 0)
        if running:
            recreate()
            await eventually(lambda: life.reasons() == [f"topic_stopped: {QUOTE}"])
    if not running:
        recreate()
    put(broker, *quotes(1), TRADE[3])
    async with a_life(store.sink(), on(broker)) as life:
        await eventually(lambda: life.state()["written"] == 1)
        assert life.reasons() == [f"topic_stopped: {QUOTE}"]
        assert life.lines == ["topic_recreated"]
        assert (life.lag or 0) > 5_000
    assert await ids(store) == ["event-0"]
    assert await ids(store, "norm.swap_demand") == [TRADE[3].event_id]


async def test_a_topic_that_is_not_there_yet_is_read_once_it_is(broker: MemoryBroker) -> None:
    store = MemoryStore()
    broker.delete_topic(QUOTE)
    async with a_life(store.sink(), on(broker)) as life:
        await eventually(lambda: life.reasons() == ["lag_unknown"])
        broker.create_topic(TOPICS[QUOTE])
        put(broker, *quotes(0))
        await eventually(lambda: life.state()["written"] == 1 and life.reasons() == [])


async def test_a_broker_that_is_away_is_waited_for(broker: MemoryBroker) -> None:
    broker.go_down()
    put(broker, *quotes(0))
    async with a_life(MemoryStore().sink(), on(broker)) as life:
        await eventually(lambda: life.reasons() == ["lag_unknown"])
        broker.come_up()
        await eventually(lambda: life.state()["written"] == 1 and life.reasons() == [])


async def test_paused_nothing_is_written_and_the_lag_grows(broker: MemoryBroker) -> None:
    async with a_life(MemoryStore().sink(), on(broker)) as life:
        await eventually(lambda: life.lag == 0)
        life.tell(Control(action="pause", arguments={}, actor="o", reason="r"))
        put(broker, *quotes(0, 1))
        await eventually(lambda: life.lag == 2)
        life.tell(Control(action="resume", arguments={}, actor="o", reason="r"))
        await eventually(lambda: life.lag == 0)


async def test_a_standby_has_no_consumer(broker: MemoryBroker) -> None:
    made: list[Consumer] = []

    def make(on_records: OnRecords, on_topic_lost: OnTopicLost) -> Consumer:
        made.append(on(broker)(on_records, on_topic_lost))
        return made[-1]

    reader = TopicReader(make, emit=lambda _: None)
    task = asyncio.create_task(reader.run())
    await asyncio.sleep(0)
    assert made == []
    reader.start_reading(StartReading(offsets={}))
    await eventually(lambda: len(made) == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_handler_of_ours_that_raises_is_a_fault(broker: MemoryBroker) -> None:
    def refuse(event: Event) -> None:
        if isinstance(event, BatchRead):
            raise RuntimeError("a mistake of ours")  # noqa: TRY004 - any would do

    put(broker, *quotes(0))
    reader = TopicReader(on(broker), emit=refuse)
    reader.start_reading(StartReading(offsets={}))
    with pytest.raises(Exception, match="a mistake of ours"):
        await asyncio.wait_for(reader.run(), 10)


# --- on the real servers --------------------------------------------------------------------------------------------


@pytest.fixture
def url(servers: Servers) -> str:
    url = servers.create_database("history_reader")
    asyncio.run(apply(url))
    return url


@pytest.mark.servers
async def test_on_kafka_and_postgresql_as_wired(servers: Servers, url: str) -> None:
    """Every topic, then a second life of another name that begins where the first one ended."""
    settings = Settings(kafka=KafkaSettings(bootstrap=servers.kafka_bootstrap), postgres=PostgresSettings(url=url))

    opened: list[Callable[[], Awaitable[None]]] = []

    def wired(start_id: str) -> Callable[[Emit], Wiring]:
        return lambda emit: wire(
            Context(
                settings=settings,
                pair=settings.pair.pair(),
                start_id=start_id,
                clock=lambda: datetime.now(UTC),
                random=random.Random(1),  # noqa: S311 - nothing here is secret
                new_token=lambda: "",
                emit=emit,
                metrics=Metrics(service="history-writer"),
                produce=lambda _effect, _on_delivery: None,
                adapters=RealAdapters(settings),
                leave_role=lambda _why: None,
                start=asyncio.ensure_future,
                owns=opened.append,
            )
        )

    bus, store = KafkaBus(servers.kafka_bootstrap), PostgresStore(url)
    await bus.admin().ensure_topics(TOPICS.values())
    producer = bus.producer()

    async def produce(*events: Envelope[Any]) -> None:
        failures: list[str | None] = []
        for each in events:
            producer.produce(each.event_type, "key", encode_event(each), lambda _, why: failures.append(why))
        assert await producer.flush(10) == 0
        assert set(failures) == {None}

    await produce(*TRADE)
    async with running(wired("writer-1")) as life:
        await eventually(lambda: life.state()["written"] >= len(TRADE) and life.lag == 0, within_s=30)
        assert (life.reasons(), life.faults) == ([], [])
    assert "settled" in [kept["payload"]["state"] for _, kept in await store.events("exec.trade_result")]
    await produce(*quotes(77))
    async with running(wired("writer-2")) as life:
        await eventually(lambda: life.state()["written"] == 1 and life.lag == 0, within_s=30)
        assert (life.state()["duplicates"], life.faults) == (0, [])
    for close in opened:
        await close()
    await producer.close(5)
