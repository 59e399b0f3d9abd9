"""One desk for all scenarios that can share it; each begins with a desk that is whole, disarmed and fault-free."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from support.desk import SPARE_TOKEN, Desk, running_desk
from unrip.services.registry import SERVICES

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder runs the real processes."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.scenario)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a scenario fails, tell what its desk looked like: what fails once in ten runs is seen once."""
    report = yield
    desk = getattr(item, "funcargs", {}).get("shared_desk")
    if report.failed and desk is not None and desk.local.settings_file.exists():  # not after its own end
        report.sections.append(("the desk", desk.condition()))
    return report


#: Every shared scenario trades under the strictest relay that the reference leaves possible. It knows one token more
#: than the desk has connections: what an operator would have to give a second executor.
STRICT_RELAY = {
    "answers_from_subscriber_only": True,
    "one_connection_per_token": True,
    "ack_window_ms": 1_000,
    "tokens": {"second-executor": SPARE_TOKEN},
}


@pytest.fixture(scope="session")
def shared_desk() -> Iterator[Desk]:
    with running_desk({"relay": STRICT_RELAY}, {"near_intents": {"one_connection_per_token": True}}) as desk:
        yield desk


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """The shared desk, put in order before the scenario and left without faults after it."""
    shared_desk.world.delete("/faults")
    shared_desk.until(shared_desk.all_ready, what="every service ready", timeout_s=30)
    for service in SERVICES:
        shared_desk.act(service, "resume")
    shared_desk.disarm()
    shared_desk.accept_balances()
    yield shared_desk
    shared_desk.world.delete("/faults")


@pytest.fixture
def armed(desk: Desk) -> Desk:
    """The shared desk, armed in both directions and trade-ready."""
    desk.arm()
    return desk
