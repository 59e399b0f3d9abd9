"""A broker that may be killed and set up otherwise without disturbing other tests."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from support.servers import Servers, free_server_ports, temporary_home
from unrip.local.paths import user_data_folder
from unrip.local.stack import ServerStack


@pytest.fixture(scope="package")
def own_broker(servers: Servers) -> Iterator[tuple[ServerStack, str]]:
    """A broker that may be killed without disturbing other tests."""
    with temporary_home() as home:
        stack = ServerStack(
            home=home,
            user_data=user_data_folder(os.environ),
            progress=lambda _: None,
            ports=free_server_ports(),
            postgres_url=servers.postgres_url,
            tied_to_caller=True,
        )
        endpoints = asyncio.run(stack.start())
        try:
            yield stack, endpoints.kafka_bootstrap
        finally:
            asyncio.run(stack.stop())
