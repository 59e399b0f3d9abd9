"""What a service says of itself is what it does: its definition is compared with its code and with a whole desk."""

from __future__ import annotations

import ast
import asyncio
import copy
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sized
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from support.cases import ACCOUNT, NOW, PAIR
from support.documents import require_described, state_schema
from support.engine import a_beat, a_record
from support.whole_desk import WholeDesk
from unrip.domain.values import Value
from unrip.frame.action import Action
from unrip.frame.adapters import Adapters
from unrip.frame.contract import Control, ControlRefused, Publish, Subscribe
from unrip.frame.definition import READ_BY_ALL, STORES, Service, events_of
from unrip.frame.http import build_app
from unrip.frame.log_events import EVENTS
from unrip.frame.logic import Logic
from unrip.frame.metrics import Metrics
from unrip.frame.settings import Section, Settings, outside_urls
from unrip.frame.state import HostState
from unrip.frame.tokens import Tokens
from unrip.frame.wiring import Context
from unrip.local.desk import every_venue_is_loopback
from unrip.messages.topics import SERVICE_STATUS
from unrip.services.registry import SERVICES, service_of, wire_of
from unrip.services.settings import DESK_SETTINGS
from unrip.services.strategy_engine.daily_pnl import DailyPnl
from unrip.services.strategy_engine.inputs import Inputs

PACKAGES = Path(__file__).parents[2] / "src" / "unrip" / "services"
#: What an action needs beside its reason, as an operator would write it; the logic may still refuse the value.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "pair-filter": {"mode": "disable"},
    "accept-disagreement": {"up_to": "5 %", "minutes": 5},
    "accept-balance": {"asset": "BTC", "unexplained": "-1"},
    "deposit-addresses": {"chain": "btc:mainnet"},
    "arm": {"directions": ["base_in"], "lease_minutes": 5},
    "threshold": {"edge_threshold": "3 %"},
    "limits": {"notional_cap_eur": "5"},
    "halt": {"revoke": False},
    "resolve": {"command_id": "nobody's", "outcome": "lapsed"},
}

#: Two tokens that may have to differ: each service compares its own with the other's, where it can read that.
COMPARED = {"near_intents.ingest_token_file", "near_intents.executor_token_file"}

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)


@pytest.fixture(scope="module")
def desk() -> Iterator[WholeDesk]:
    with WholeDesk() as desk:
        desk.demand(direction="btc_to_eure", amount_in="15000")
        desk.run(12)
        yield desk


def an_action(name: str) -> Control:
    return Control(action=name, arguments=ARGUMENTS.get(name, {}), actor="operator", reason="a test")


def followed(logic: Logic, control: Control, now: datetime) -> dict[str, str] | str:
    """What an action would change, or why it is refused; to ask for that has changed nothing."""
    before = everything_in(logic, set())
    try:
        said: dict[str, str] | str = logic.follow(control, now)
    except ControlRefused as refusal:
        said = str(refusal).replace(control.action, "?")
    changed = everything_in(logic, set()) != before  # they are long: a failure need not show them
    assert not changed
    return said


@every_service
def test_every_action_is_followed_by_its_logic_and_no_other_is(desk: WholeDesk, service: Service) -> None:
    logic, now = desk.processes[service.name].host.logic, desk.loop.now
    unknown = followed(logic, an_action("teleport"), now)
    every = {action.name for other in SERVICES.values() for action in other.all_actions}
    known = {name for name in every if followed(logic, an_action(name), now) != unknown}
    assert known == {action.name for action in service.all_actions}


def everything_in(value: object, seen: set[int]) -> object:
    """All that an object holds, as one text: what differs in any part is another text."""
    if isinstance(value, Value | str | int | float | bytes | datetime | Decimal | timedelta | None):
        return repr(value)
    if id(value) in seen:
        return type(value).__name__
    seen.add(id(value))
    if isinstance(value, Mapping):
        return [(repr(key), everything_in(part, seen)) for key, part in value.items()]
    if isinstance(value, Iterable) and isinstance(value, Sized):
        return [everything_in(part, seen) for part in value]
    return [type(value).__name__, *(everything_in(part, seen) for part in getattr(value, "__dict__", {}).items())]


ACTIONS = [(service, action) for service in SERVICES.values() for action in service.all_actions]
every_action = pytest.mark.parametrize(
    ("service", "action"), ACTIONS, ids=[f"{service.name}-{action.name}" for service, action in ACTIONS]
)


@every_action
def test_an_action_changes_what_it_was_said_to_change(desk: WholeDesk, service: Service, action: Action) -> None:
    """On a copy, for the desk goes on: what was said and recorded before is what is so after."""
    logic, now = copy.deepcopy(desk.processes[service.name].host.logic), desk.loop.now
    control, before = an_action(action.name), logic.control_state(now)
    said = followed(logic, control, now)
    if isinstance(said, str):
        with pytest.raises(ControlRefused) as refused:
            logic.on_event(control, now)
        assert str(refused.value).replace(control.action, "?") == said
        said = {}
    else:
        logic.on_event(control, now)
    assert logic.control_state(now) == {**before, **said}


def test_no_logic_is_ever_copied() -> None:
    sources = PACKAGES.parent.rglob("*.py")
    assert [file for file in sources if re.search(r"\bimport copy\b|\bfrom copy\b|deepcopy\(", file.read_text())] == []


# --- settings ------------------------------------------------------------------------------------------------------


class Told:
    """Settings that remember which of their keys were read."""

    def __init__(self, settings: object, seen: set[str], above: str = "") -> None:
        self._settings, self._seen, self._above = settings, seen, above

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        if isinstance(value, Section):
            return Told(value, self._seen, f"{name}.")
        self._seen.add(self._above + name)
        return value

    def section(self, kind: type[Section]) -> Told:
        (name,) = [name for name, value in cast("Settings", self._settings) if type(value) is kind]
        return Told(getattr(self._settings, name), self._seen, f"{name}.")


def read_by(desk: WholeDesk, service: Service) -> tuple[set[str], set[str]]:
    """The keys of the settings that a wiring reads, and the stores that it opens."""
    keys, stores = set[str](), set[str]()
    process = desk.processes[service.name]

    class Watched:
        def __getattr__(self, name: str) -> Any:
            stores.add(name)
            return getattr(process, name)

    context = Context(
        settings=cast("Settings", Told(desk.settings, keys)),
        pair=desk.settings.pair.pair(),
        start_id=process.start_id,
        clock=lambda: desk.loop.now,
        random=random.Random(1),  # noqa: S311 - nothing here is secret
        new_token=lambda: "",
        emit=lambda _: None,
        metrics=Metrics(service=service.name),
        produce=lambda _effect, _delivery: None,
        adapters=cast("Adapters", Watched()),
        leave_role=lambda _: None,
        start=lambda _: None,
        owns=lambda _: None,
    )
    wire_of(service)(context)
    return keys, stores & {store.name for store in STORES}


@every_service
def test_a_wiring_reads_the_sections_secrets_and_stores_that_are_named_and_no_others(
    desk: WholeDesk, service: Service
) -> None:
    keys, stores = read_by(desk, service)
    assert {key.partition(".")[0] for key in keys if "." in key} - set(READ_BY_ALL) == {
        *service.settings,
        *service.uses,
    }
    files = {key for key in keys if "." in key and key.endswith("_file")}
    assert set(service.secrets) <= files
    assert files - set(service.secrets) <= COMPARED
    assert stores == {store.name for store in service.stores}


def test_every_secret_of_the_settings_is_somebodys() -> None:
    named = {secret for service in SERVICES.values() for secret in service.secrets}
    files = {
        f"{name}.{key}"
        for name, section in DESK_SETTINGS()
        if isinstance(section, Section)
        for key, _ in section
        if key.endswith("_file")
    }
    assert files == named | {"control.read_token_file", "control.operator_token_file", "postgres.url_file"}


def test_every_url_of_the_outside_is_known_as_one() -> None:
    """Only what the walk finds keeps `unrip up` from arming a desk that leaves this machine."""
    settings = DESK_SETTINGS()
    found = set(outside_urls(settings))
    for name, section in settings:
        for key, value in section if isinstance(section, Section) else ():
            if key.endswith(("_url", "_urls")):
                urls = (value,) if isinstance(value, str) else value
                assert set(urls) <= found, f"[{name}] {key} is neither a WsUrl nor a HttpUrl"


def test_each_url_alone_shows_that_the_desk_leaves_this_machine() -> None:
    local = {"ws": "ws://127.0.0.1:1/", "http": "http://127.0.0.1:2/"}
    outside = {"ws": "wss://relay.example/", "http": "https://node.example/"}
    sections: dict[str, Any] = {}
    for name, section in DESK_SETTINGS():
        for key, value in section if isinstance(section, Section) else ():
            if key.endswith("_url"):
                sections.setdefault(name, {})[key] = local["ws" if value.startswith("ws") else "http"]
            elif key.endswith("_urls"):
                sections.setdefault(name, {})[key] = [local["http"], local["http"] + "other"]
    assert every_venue_is_loopback(DESK_SETTINGS(**sections))
    for name, keys in sections.items():
        for key, value in keys.items():
            moved = [value[0], outside["http"]] if isinstance(value, list) else outside[value.partition(":")[0]]
            there: dict[str, Any] = {**sections, name: {**keys, key: moved}}
            assert not every_venue_is_loopback(DESK_SETTINGS(**there)), f"[{name}] {key}"


# --- log lines -----------------------------------------------------------------------------------------------------


def words_in(*files: Path) -> set[str]:
    """Every text that stands in the code of these files."""
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@every_service
def test_a_service_names_the_lines_that_it_logs_and_no_others(service: Service) -> None:
    own = [file for file in (PACKAGES / service.key).rglob("*.py") if file.name != "definition.py"]
    shared = {"LINK_LOGS": PACKAGES.parent / "frame" / "link.py", "RELAY_LOGS": PACKAGES / "relay_link.py"}
    definition = (PACKAGES / service.key / "definition.py").read_text()
    spoken = words_in(*own) | words_in(*(file for name, file in shared.items() if name in definition))
    spoken |= words_in(shared["LINK_LOGS"]) if "RELAY_LOGS" in definition else set()
    spoken |= {action.log_event for action in service.all_actions}
    assert set(service.logs) <= spoken, "it names a line that it does not log"
    assert words_in(*own) & events_of(SERVICES.values()).keys() <= EVENTS.keys() | service.logs.keys()
    assert {action.log_event for action in service.all_actions} <= EVENTS.keys() | service.logs.keys()


def logged_in(file: Path) -> set[str]:
    """The events that are written out where a line is made."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Log"]
    values = [each.value for call in made for each in call.keywords if each.arg == "event"]
    branches = [
        part for value in values for part in ((value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,))
    ]
    return {part.value for part in branches if isinstance(part, ast.Constant) and isinstance(part.value, str)}


@every_service
def test_every_line_that_is_written_out_is_named(service: Service) -> None:
    logged = {event for file in (PACKAGES / service.key).rglob("*.py") for event in logged_in(file)}
    assert logged <= EVENTS.keys() | service.logs.keys()


def test_one_line_has_one_meaning() -> None:
    events = events_of(SERVICES.values())
    for service in SERVICES.values():
        assert {name: events[name] for name in service.logs} == service.logs
        assert EVENTS.keys() & service.logs.keys() == set()


# --- topics --------------------------------------------------------------------------------------------------------


@every_service
def test_a_service_subscribes_and_publishes_nothing_that_it_does_not_name(desk: WholeDesk, service: Service) -> None:
    """Of one trade; the reader and the publisher refuse anything else at any time."""
    done = [effect for who, effect in desk.log if who == service.name]
    read = {effect.topic.name for effect in done if isinstance(effect, Subscribe)}
    written = {effect.topic.name for effect in done if isinstance(effect, Publish)}
    assert read <= {each.topic.name for each in service.reads}
    assert written <= {topic.name for topic in service.all_writes}


@every_service
def test_a_service_beats_what_it_names_for_the_account_of_its_desk(desk: WholeDesk, service: Service) -> None:
    beats = [each.payload for each in desk.records(SERVICE_STATUS) if each.payload.service == service.name]
    assert {type(beat.details) for beat in beats} == {service.vitals or type(None)}
    assert {beat.account for beat in beats} == {desk.account}


def test_the_strategy_takes_in_the_beats_of_those_that_trade_ready_depends_on() -> None:
    heard = set()
    for name in SERVICES:
        inputs = Inputs(account=ACCOUNT, day=DailyPnl(pair=PAIR, markout=timedelta(0)))
        inputs.take(a_record(SERVICE_STATUS, a_beat(name)), NOW)
        if inputs.executor is not None or inputs.history is not None:
            heard.add(name)
    assert heard == {name for name, service in SERVICES.items() if service.trade_ready_depends}


# --- what they show ------------------------------------------------------------------------------------------------


def document(desk: WholeDesk, service: Service) -> dict[str, Any]:
    host, tokens = desk.processes[service.name].host, Tokens(read="r" * 43, operator="o" * 43)
    app = build_app(service.name, host, tokens, service.all_actions, state=service.state)

    async def asked() -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {'r' * 43}"}
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://desk", headers=headers) as client:
            found: dict[str, Any] = (await client.get("/openapi.json")).json()
            return found

    return asyncio.run(asked())


@every_service
def test_what_a_service_shows_is_what_its_document_says(desk: WholeDesk, service: Service) -> None:
    described, shown = document(desk, service), desk.processes[service.name].host.state()
    assert service.state is not Value
    assert set(shown) == {*HostState.__struct_fields__, *service.state.__struct_fields__}
    assert shown["account"] == desk.account
    require_described(described, shown)
    for name in shown:
        for spoilt in ({**shown, name: object()}, {key: value for key, value in shown.items() if key != name}):
            with pytest.raises(AssertionError, match=name):
                require_described(described, spoilt)
    with pytest.raises(AssertionError, match="tomorrow"):
        require_described(described, {**shown, "tomorrow": 1})


@every_service
def test_no_field_of_a_service_hides_one_of_the_host(service: Service) -> None:
    assert set(HostState.__struct_fields__) & set(service.state.__struct_fields__) == set()


@every_service
def test_every_value_in_a_document_is_described_to_its_end(desk: WholeDesk, service: Service) -> None:
    """Every reference leads somewhere, and only a mapping may have keys that nobody names."""
    described = document(desk, service)
    text = json.dumps(described)
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names <= set(described["components"]["schemas"])
    for field, schema in state_schema(described)["properties"].items():
        assert schema not in ({}, {"type": "object"}, {"type": "array"}), field


# --- the registry --------------------------------------------------------------------------------------------------


@every_service
def test_who_works_alone_hears_of_its_role_and_nobody_else_does(service: Service) -> None:
    hears = [file.name for file in (PACKAGES / service.key).rglob("*.py") if "RoleChanged" in file.read_text()]
    assert service.single_active == bool(hears)


def test_every_folder_of_a_service_is_in_the_registry() -> None:
    folders = {path.parent.name for path in PACKAGES.glob("*/wiring.py")}
    assert folders == {service.key for service in SERVICES.values()}
    for name, service in SERVICES.items():
        assert (service.name, service.wiring) == (name, f"unrip.services.{service.key}.wiring")
        assert service_of(name) is service
        assert callable(wire_of(service))


def test_no_two_services_have_one_port() -> None:
    ports = [service.port for service in SERVICES.values()]
    assert sorted(set(ports)) == sorted(ports)


def test_what_services_say_of_themselves_loads_no_web_framework_and_no_wiring() -> None:
    """The brake needs it, and waits for nothing else."""
    found = subprocess.run(
        [sys.executable, "-c", "import sys, unrip.services.registry; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(found.stdout.split())
    heavy = {"fastapi", "starlette", "uvicorn", "uvloop", "confluent_kafka", "websockets", "unrip.frame.host"}
    assert loaded & heavy == set()
    assert {
        name for name in loaded if name.startswith("unrip.services.") and name.endswith((".wiring", ".logic"))
    } == set()
