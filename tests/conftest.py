"""Fixtures for every test."""

from collections.abc import Iterator

import pytest

from support.servers import Servers, running_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """One PostgreSQL and one Kafka for the session, or those named by UNRIP_TEST_KAFKA_BOOTSTRAP and _POSTGRES_URL."""
    with running_servers() as session_servers:
        yield session_servers
