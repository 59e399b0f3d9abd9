"""A service that is one folder and nowhere else runs on the host, with all that derives from what it says of itself."""

from __future__ import annotations

import asyncio
import random
import re
import runpy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest

from support import toy_service
from support.buses import eventually
from support.documents import require_described, state_schema
from support.samples import one_of_each_topic
from support.surroundings import Surroundings
from support.toy_service.definition import PRICE_COUNT, SERVICE, ToySettings
from unrip.domain.status import OtherVitals, ServiceStatus
from unrip.frame.adapters import Adapters
from unrip.frame.definition import Service, events_of, settings_for
from unrip.frame.host import Host
from unrip.frame.http import build_app
from unrip.frame.settings import Settings, SettingsError, read_settings
from unrip.frame.tokens import Tokens
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.topics import CONTROL_ACTION, MARKET_PRICE, SERVICE_STATUS, TOPICS
from unrip.services.registry import SERVICES, wire_of
from unrip.services.settings import load_settings

READ, OPERATOR = "r" * 43, "o" * 43
DESK = {**SERVICES, SERVICE.name: SERVICE}
REFERENCE = Path(__file__).parents[3] / "scripts" / "reference"


def settings_of(tmp_path: Path) -> Settings:
    file = tmp_path / "unrip.toml"
    account = '[near_intents]\naccount = "toy.near"'
    file.write_text(
        f'[toy]\nevery = 3\n{account}\n[control]\nspool_dir = "{tmp_path}"\n[ports]\nprice_counter = 9001\n'
    )
    with pytest.raises(SettingsError, match=r"ports.price_counter|toy"):
        load_settings(file)  # the shipped desk knows nothing of it
    return read_settings(file, settings_for(DESK.values()))


@dataclass
class Life:
    """A host that runs the service, and an operator at its control surface."""

    host: Host
    outside: Surroundings
    operator: httpx.AsyncClient
    ends: list[BaseException | None]

    def prices(self, count: int) -> None:
        for _ in range(count):
            self.outside.broker.append(MARKET_PRICE.name, "key", encode_event(one_of_each_topic()[MARKET_PRICE.name]))

    def records(self, topic: str) -> list[bytes]:
        log = self.outside.broker.log(topic)
        assert log is not None
        return [record.value for record in log.records]

    def counts(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(value) for value in self.records(PRICE_COUNT.name)]

    def beat(self) -> ServiceStatus:
        beat: ServiceStatus = decode_event(SERVICE_STATUS.name, self.records(SERVICE_STATUS.name)[-1]).payload
        return beat

    async def act(self, action: str) -> dict[str, Any]:
        answer = await self.operator.post(f"/{action}", json={"reason": "a test"})
        outcome: dict[str, Any] = answer.json()
        return outcome


@asynccontextmanager
async def a_life(tmp_path: Path, service: Service = SERVICE) -> AsyncIterator[Life]:
    outside, ends = Surroundings(), list[BaseException | None]()
    for topic in (*TOPICS.values(), PRICE_COUNT):
        outside.broker.create_topic(topic)
    host = Host(
        service,
        wire_of(service),
        cast("Adapters", outside),
        settings=settings_of(tmp_path),
        start_id="price-counter-1",
        clock=lambda: datetime.now(UTC),
        random=random.Random(1),  # noqa: S311 - nothing here is secret
        new_token=lambda: "",
        on_end=ends.append,
    )
    app = build_app(service.name, host, Tokens(read=READ, operator=OPERATOR), service.all_actions, state=service.state)
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://toy", headers=headers
    ) as operator:
        await host.start()
        try:
            yield Life(host, outside, operator, ends)
        finally:
            await host.stop()


async def test_it_reads_writes_and_beats_under_its_own_name(tmp_path: Path) -> None:
    async with a_life(tmp_path) as life:
        await eventually(lambda: life.host.not_ready() == [])
        life.prices(1)
        await eventually(lambda: life.host.state()["prices"] == 1)
        life.prices(6)
        await eventually(lambda: life.host.state()["prices"] == 7)
        await eventually(lambda: len(life.counts()) == 2)
        assert [(each["producer"]["service"], each["payload"]["prices"]) for each in life.counts()] == [
            ("price-counter", 3),
            ("price-counter", 6),
        ]
        beats = [decode_event(SERVICE_STATUS.name, value) for value in life.records(SERVICE_STATUS.name)]
        assert {beat.payload.service for beat in beats} == {"price-counter"}
        assert {beat.payload.account for beat in beats} == {"toy.near"}
        own = OtherVitals(name="price_counter", text='{"kind":"price_counter","hushed":false}')
        assert {beat.payload.details for beat in beats} == {own}, "kept by who does not know it"
        assert life.ends == []


async def test_what_it_shows_is_what_it_says_of_it(tmp_path: Path) -> None:
    async with a_life(tmp_path) as life:
        document, shown = [(await life.operator.get(path)).json() for path in ("/openapi.json", "/state")]
        require_described(document, shown)
        assert (shown["account"], shown["prices"]) == ("toy.near", 0)
        assert state_schema(document)["properties"]["prices"] == {"type": "integer"}
        with pytest.raises(AssertionError, match="prices"):
            require_described(document, {**shown, "prices": "0"})


async def test_its_brake_acts_without_a_broker_and_its_other_action_does_not(tmp_path: Path) -> None:
    async with a_life(tmp_path) as life:
        await eventually(lambda: life.host.not_ready() == [])
        life.outside.broker.go_down()
        assert (await life.act("hush")) | {"kept": None} == {
            "applied": True,
            "before": {"paused": "false", "hushed": "false"},
            "after": {"paused": "false", "hushed": "true"},
            "recorded": "spooled",
            "kept": None,
            "refusal": None,
        }
        assert not (await life.act("speak"))["applied"]
        life.outside.broker.come_up()
        assert (await life.act("speak"))["applied"]
        assert [word for word in life.outside.said if word in {"hushed", "control_applied", "control_failed"}] == [
            "hushed",
            "control_failed",
            "control_applied",
        ]
        assert (await life.operator.post("/shout", json={"reason": "a test"})).status_code == httpx.codes.NOT_FOUND
        told = [decode_event(CONTROL_ACTION.name, value).payload for value in life.records(CONTROL_ACTION.name)]
        assert {(each.service, each.action) for each in told} == {("price-counter", "hush"), ("price-counter", "speak")}
        assert {each.account for each in told} == {"toy.near"}


async def test_it_is_paused_resumed_and_drained_although_it_says_nothing_of_that(tmp_path: Path) -> None:
    assert not {"pause", "resume", "drain"} & words_of_the_toy()
    async with a_life(tmp_path) as life:
        await eventually(lambda: life.host.not_ready() == [])
        paused = await life.act("pause")
        assert (paused["applied"], paused["before"]["paused"], paused["after"]["paused"]) == (True, "false", "true")
        assert life.host.not_ready() == ["paused"]
        await eventually(lambda: life.beat().paused)
        life.outside.broker.go_down()
        assert not (await life.act("resume"))["applied"], "it is recorded first"
        life.outside.broker.come_up()
        resumed = await life.act("resume")
        assert (resumed["applied"], resumed["after"]["paused"]) == (True, "false")
        await eventually(lambda: life.host.not_ready() == [])
        await eventually(lambda: not life.beat().paused)
        life.outside.broker.go_down()
        drained = asyncio.create_task(life.act("drain"))
        await eventually(lambda: "draining" in life.host.not_ready())
        assert (await drained)["applied"]
        life.outside.broker.come_up()
        await eventually(lambda: [line.event for line in life.outside.lines].count("control_failed") == 1)


def words_of_the_toy() -> set[str]:
    text = " ".join(file.read_text() for file in Path(str(toy_service.__path__[0])).glob("*.py")).lower()
    return set(re.findall("[a-z]+", text))


@pytest.mark.parametrize("silent", ["reads", "writes"])
async def test_what_it_does_not_say_it_cannot(tmp_path: Path, silent: str) -> None:
    async with a_life(tmp_path, msgspec.structs.replace(SERVICE, **{silent: ()})) as life:
        while not life.ends:
            life.prices(1)
            await asyncio.sleep(0.01)
        assert isinstance(life.ends[0], AssertionError)
        assert life.counts() == []


def test_settings_log_catalogue_and_tables_know_it(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert (settings.section(ToySettings).every, settings.port_of(SERVICE.name)) == (3, 9001)
    assert settings.port_of("trade-executor") == 8107
    assert events_of(DESK.values())["hushed"] == SERVICE.logs["hushed"]
    reference = runpy.run_path(str(REFERENCE))
    assert "| [price-counter](price-counter.md) | 8199 | counts prices |" in reference["services_table"](DESK)
    assert "| price-counter | `ref.market_price` | the last record |" in reference["places_table"](DESK)
    assert "strategy-engine; trade-executor; price-counter |" in reference["writers_table"](DESK)
    assert "| `hushed` | an operator wants to hear no more counts | price-counter |" in reference["logs_table"](DESK)
