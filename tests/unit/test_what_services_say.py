"""What a service says of itself is what it does: its definition is compared with its code and with a whole desk."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.whole_desk import WholeDesk
from unrip.service.contract import Control, ControlRefused
from unrip.service.definition import Service
from unrip.services.registry import SERVICES, service_of, wire_of

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

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)


@pytest.fixture(scope="module")
def desk() -> Iterator[WholeDesk]:
    with WholeDesk() as desk:
        desk.demand(direction="btc_to_eure", amount_in="15000")
        desk.run(12)
        yield desk


def answer(desk: WholeDesk, service: Service, action: str) -> object:
    """What the logic makes of an action, tried on a copy as the host tries it."""
    control = Control(action=action, arguments=ARGUMENTS.get(action, {}), actor="operator", reason="a test")
    logic, now = copy.deepcopy(desk.processes[service.name].host.logic), desk.loop.now
    try:
        effects = logic.on_event(control, now)
    except ControlRefused as refusal:
        return str(refusal).replace(action, "?")
    return effects, logic.control_state(now), logic.state(now)


@every_service
def test_every_action_is_followed_by_its_logic_and_no_other_is(desk: WholeDesk, service: Service) -> None:
    """What it does not know it refuses, or nothing changes."""
    unknown = answer(desk, service, "teleport")
    others = {action.name for other in SERVICES.values() for action in other.actions}
    known = {name for name in others if answer(desk, service, name) != unknown}
    assert known == {action.name for action in service.actions}


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
    heavy = {"fastapi", "starlette", "uvicorn", "uvloop", "confluent_kafka", "websockets", "unrip.service.host"}
    assert loaded & heavy == set()
    assert {
        name for name in loaded if name.startswith("unrip.services.") and name.endswith((".wiring", ".logic"))
    } == set()
