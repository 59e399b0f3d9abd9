"""One PostgreSQL and one Kafka for a whole test session, the same code that `unrip up` runs."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from support.ports import free_ports
from unrip.local.paths import Home, user_data_folder
from unrip.local.stack import Endpoints, ServerPorts, ServerStack


@dataclass(frozen=True)
class Servers:
    """Addresses of the session's servers; databases are made per test module, topics carry names of their own."""

    kafka_bootstrap: str
    #: The database `unrip`; tests that write should ask for a database of their own.
    postgres_url: str = field(repr=False)

    def create_database(self, name: str) -> str:
        """Make a fresh, empty database (an older one of this name is dropped) and return its URL."""
        asyncio.run(_recreate(self.postgres_url, name))
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{name}"))


def free_server_ports() -> ServerPorts:
    postgres, kafka, controller = free_ports(3)
    return ServerPorts(postgres=postgres, kafka=kafka, kafka_controller=controller)


@contextmanager
def temporary_home() -> Iterator[Home]:
    """A home that everybody may traverse, as a desk's home in a normal folder; removed afterwards."""
    root = Path(tempfile.mkdtemp(prefix="unrip-"))
    root.chmod(0o755)
    try:
        yield Home(root)
    finally:
        shutil.rmtree(root)


@contextmanager
def running_servers() -> Iterator[Servers]:
    """The servers named in the environment, or our own for as long as the context lasts."""
    kafka = os.environ.get("UNRIP_TEST_KAFKA_BOOTSTRAP")
    postgres = os.environ.get("UNRIP_TEST_POSTGRES_URL")
    with temporary_home() as home:
        stack = ServerStack(
            home=home,
            user_data=user_data_folder(os.environ),
            progress=lambda _: None,
            ports=free_server_ports(),
            kafka_bootstrap=kafka,
            postgres_url=postgres,
            tied_to_caller=True,
        )
        endpoints: Endpoints = asyncio.run(stack.start())
        try:
            yield Servers(kafka_bootstrap=endpoints.kafka_bootstrap, postgres_url=endpoints.postgres_url)
        finally:
            asyncio.run(stack.stop())


async def _recreate(url: str, name: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        quoted = await connection.fetchval("SELECT quote_ident($1)", name)
        await connection.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {quoted}")
    finally:
        await connection.close()
