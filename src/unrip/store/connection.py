"""Sessions with PostgreSQL: all of them begin here, and every one has a bound for connecting and for each statement."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from unrip.domain.desk_name import MAIN_DESK
from unrip.store.driver_errors import named_errors
from unrip.store.errors import Away, StoreRefused, StoreUnavailable
from unrip.store.sql import of_desk, statements

CONNECT_TIMEOUT_S = 3.0
#: How long to wait between two attempts of a call that is repeated until it is answered.
_AGAIN_S = 1.0

#: Judges a new session before anything of ours uses it; whatever it raises, the session is closed.
Judge = Callable[[asyncpg.Connection], Awaitable[None]]


class Database:
    """Where PostgreSQL is. Every pool, lock and probe of a process makes its sessions here.

    The address may be a function, which raises `StoreUnavailable` where it has none: a secret that stands in a file is
    read again for each session, so a rotated password needs no restart. `judge` is asked about each new session: it
    raises where this is not the database that it was.
    """

    def __init__(self, address: str | Callable[[], str], *, judge: Judge | None = None, desk: str = MAIN_DESK) -> None:
        self._address = address
        self._judge = judge
        #: Whose schemas are meant, of all the desks that share the database.
        self.desk = desk

    def statements(self, file: str) -> dict[str, str]:
        """All statements of `sql/FILE.sql` by name, as the desk asks them."""
        return statements(file, self.desk)

    async def open(self, **options: Any) -> asyncpg.Connection:
        """One session; the driver's errors, and those of the judge, pass through.

        Raises:
            StoreUnavailable: the address cannot be used now; it is read again the next time.
            StoreRefused: it cannot be used, and never will be.

        """
        connection = await self._connect(options)
        if self._judge is not None:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._judge(connection)
            except BaseException:
                connection.terminate()
                raise
        return connection

    async def _connect(self, options: dict[str, Any]) -> asyncpg.Connection:
        if isinstance(self._address, str):
            return await open_connection(self._address, **options)
        try:
            return await open_connection(self._address(), **options)
        except StoreRefused as error:
            raise StoreUnavailable(f"{error}", away=Away.AUTHORISATION) from None


def database_of(place: Database | str) -> Database:
    """A database as it is, or the main desk's behind a URL that never changes."""
    return Database(place) if isinstance(place, str) else place


async def open_connection(url: str, **options: Any) -> asyncpg.Connection:
    """Connect by the driver, without its text about a URL that it cannot read: it may hold a password.

    Raises:
        StoreRefused: the URL, or an option in it, cannot be used.

    """
    try:
        return await asyncpg.connect(url, **options)
    except ValueError:  # no error in a server's answer is a ValueError
        raise StoreRefused("the database URL cannot be used") from None


async def connect(place: Database | str, *, application: str, statement_timeout_ms: int = 5_000) -> asyncpg.Connection:
    """One direct connection.

    Raises:
        StoreUnavailable: nobody answers, or we are not let in.
        StoreRefused: the URL cannot be used.

    """
    with named_errors("connecting"):
        return await database_of(place).open(
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=None,
            server_settings=_settings(application, statement_timeout_ms),
        )


class Sessions:
    """A pool that connects when first used, so that a database that is away delays no start.

    The client gives up a little after the server must have cancelled a statement: then the connection is gone. Where
    PostgreSQL cannot do its work, the sessions are made anew: after a fail-over they lead to a server that only reads,
    and a new one leads to the one that writes.
    """

    def __init__(
        self,
        place: Database | str,
        *,
        application: str,
        size: int,
        statement_timeout_ms: int = 5_000,
        instance: str = "",
    ) -> None:
        """`instance` names to the schema whose sessions these are: it may refuse those of one that has lost a role."""
        self._database = database_of(place)
        self._pool = asyncpg.create_pool(
            min_size=0,
            max_size=size,
            connect=self._open,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_ms / 1_000 + 1,
            max_inactive_connection_lifetime=0,
            # asyncpg's own reset is one more round trip at the end of every call; nothing of ours changes a session.
            reset=_keep,
            server_settings={**_settings(application, statement_timeout_ms), "unrip.instance": instance},
        )

    def statements(self, file: str) -> dict[str, str]:
        """All statements of `sql/FILE.sql` by name, as the desk of the database asks them."""
        return self._database.statements(file)

    def of_desk(self, sql: str) -> str:
        """SQL of the main desk as that of the desk of the database."""
        return of_desk(sql, self._database.desk)

    async def fetch(self, what: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one statement; `what` names it in an error.

        Raises:
            StoreUnavailable: the outcome is unknown.
            StoreRefused: the database said no.

        """
        async with self._named(what):
            rows: list[asyncpg.Record] = await self._pool.fetch(statement, *arguments)
            return rows

    async def fetch_in_the_end(self, what: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The same, asked again and again while the outcome is unknown; only for what may be repeated.

        Raises:
            StoreRefused: the database said no.

        """
        while True:
            try:
                return await self.fetch(what, statement, *arguments)
            except StoreUnavailable:
                await asyncio.sleep(_AGAIN_S)

    @asynccontextmanager
    async def transaction(self, what: str) -> AsyncIterator[asyncpg.Connection]:
        """A session in a transaction, for several statements; raises as `fetch`."""
        async with self._named(what), self._pool.acquire() as connection, connection.transaction():
            yield connection

    def give_back(self) -> None:
        """Close the connections at once; a pool that never connected has none."""
        with contextlib.suppress(asyncpg.InterfaceError):
            self._pool.terminate()

    @asynccontextmanager
    async def _named(self, what: str) -> AsyncIterator[None]:
        try:
            with named_errors(what):
                await self._pool  # the first time; later it is ready at once
                yield
        except StoreUnavailable as error:
            if error.away is not Away.LOCKS:  # a session that waited too long for a lock is good
                await self._pool.expire_connections()
            raise

    async def _open(self, *_arguments: Any, **options: Any) -> asyncpg.Connection:
        """What the pool calls; the address that it would pass on is none."""
        return await self._database.open(**options)


async def _keep(_connection: asyncpg.Connection) -> None:
    pass


def _settings(application: str, statement_timeout_ms: int) -> dict[str, str]:
    return {
        "application_name": f"unrip {application}",
        "statement_timeout": str(statement_timeout_ms),
        "timezone": "UTC",
        # A client that vanished is noticed within seconds, and what its session holds is released.
        "tcp_keepalives_idle": "3",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        # An acknowledged commit is on the disk, whatever the server's own default is.
        "synchronous_commit": "on",
        # Ours are asked again and again, and a lock's is kept open on purpose: none is idle in the server's sense.
        "idle_session_timeout": "0",
    }
