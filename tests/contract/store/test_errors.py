"""What PostgreSQL does to a session becomes one of our two answers, in whichever instant it is noticed."""

import asyncio
import time

import psycopg
import pytest

from support.servers import Servers
from unrip.store.connection import connect
from unrip.store.driver_errors import named_errors
from unrip.store.errors import StoreUnavailable

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    return servers.create_database("ended_sessions")


@pytest.mark.parametrize("turns", range(5))
async def test_a_session_that_just_ended_is_unavailable(url: str, turns: int) -> None:
    """The server's last word and the socket's end are read in two turns of the loop; ask before, between, after."""
    connection = await connect(url, application="test")
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    time.sleep(0.2)  # noqa: ASYNC251 - the loop must not turn while both arrive
    for _ in range(turns):
        await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable), named_errors("asking"):
        await connection.fetchval("SELECT 1")
    connection.terminate()
