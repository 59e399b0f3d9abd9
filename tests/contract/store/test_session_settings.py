"""A session's settings are its own: no default of the server's or of the database's makes a commit less than one."""

import asyncpg
import pytest

from support.servers import Servers
from unrip.store.connection import Sessions, connect

pytestmark = pytest.mark.servers

_ASKED = "SELECT name, setting FROM pg_settings WHERE name = ANY($1)"
_WANTED = {
    "synchronous_commit": "on",
    "statement_timeout": "700",
    "idle_session_timeout": "0",
    "TimeZone": "UTC",
    "tcp_keepalives_idle": "3",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
}


@pytest.fixture
def url(servers: Servers) -> str:
    return servers.create_database("session_settings")


async def test_a_session_is_as_durable_and_as_patient_as_we_say(url: str) -> None:
    operator = await asyncpg.connect(url, timeout=5)
    others = (
        "synchronous_commit = off",
        "statement_timeout = 0",
        "timezone = 'Asia/Tokyo'",
        "idle_session_timeout = 100",
    )
    for setting in others:
        await operator.execute(f"ALTER DATABASE session_settings SET {setting}")
    await operator.close()
    sessions = Sessions(url, application="a", size=1, statement_timeout_ms=700)
    assert dict(await sessions.fetch("asking", _ASKED, list(_WANTED))) == _WANTED
    sessions.give_back()
    alone = await connect(url, application="b", statement_timeout_ms=700)
    assert dict(await alone.fetch(_ASKED, list(_WANTED))) == _WANTED
    await alone.close()
