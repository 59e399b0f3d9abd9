"""Fixtures for every test."""

import signal
from collections.abc import Iterator

import pytest

from support.servers import Servers, running_servers

# A shell starts what runs in its background with SIGINT ignored, which all our processes would inherit, and Ctrl-C with
# them would be nothing; a handler of our own is the default again in what we start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """One PostgreSQL and one Kafka for the session, or those named by UNRIP_TEST_KAFKA_BOOTSTRAP and _POSTGRES_URL."""
    with running_servers() as session_servers:
        yield session_servers
