"""Fixtures for every test."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers import Servers, running_servers

# A shell starts what runs in its background with SIGINT ignored, which all our processes would inherit, and Ctrl-C with
# them would be nothing; a handler of our own is the default again in what we start.
signal.signal(signal.SIGINT, signal.default_int_handler)


_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the tests: one runs all scenarios on its desk, one all that needs its servers."""
    for item in items:
        folder = item.path.relative_to(_HERE).parts[0]
        if folder != "unit":
            item.add_marker(pytest.mark.xdist_group(folder))


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """One PostgreSQL and one Kafka for the session, or those named by UNRIP_TEST_KAFKA_BOOTSTRAP and _POSTGRES_URL."""
    with running_servers() as session_servers:
        yield session_servers
