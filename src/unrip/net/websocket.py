"""A text socket that reconnects by itself and reports everything it does as events."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Literal, Protocol

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.protocol import State

from unrip.domain.values import Value
from unrip.net.arrival import STALL_S, ArrivalConnection
from unrip.net.events import (
    CloseSocket,
    FrameNotSent,
    FrameReceived,
    FrameSent,
    SendFrame,
    SocketClosed,
    SocketOpened,
)
from unrip.net.reconnect import ENDS, Cause, ReconnectPolicy, cause_of_close, cause_of_status
from unrip.net.secret_file import SecretFileError

OPEN_TIMEOUT_S = 10.0
#: How often we ping and how long we wait for the answer: both together find a dead connection within ten seconds
#: (blueprint, section 11).
PING_INTERVAL_S = 5.0
PING_TIMEOUT_S = 5.0
#: A peer that does not answer the closing handshake is left after this.
CLOSE_TIMEOUT_S = 1.0
FRAME_BYTES_MAX = 4 * 1024 * 1024
#: How many frames are read ahead of the logic; a slow logic shows as TCP back-pressure, not as memory.
FRAMES_QUEUED_MAX = 1_024
#: How many frames may wait for the writer; beyond it a frame is refused, since its fate would be decided too late.
WRITES_QUEUED_MAX = 1_024

#: The library's text for pings that stayed unanswered.
_PINGS_UNANSWERED = "keepalive ping timeout"

#: The library writes the handshake's headers, token included, at DEBUG.
_library_log = logging.getLogger("unrip.websockets")
_library_log.setLevel(logging.CRITICAL)


class Connection(Protocol):
    """An open connection, as the library gives it."""

    @property
    def state(self) -> State:
        """Whether it is open still."""
        ...

    @property
    def waited_s(self) -> float:
        """How long the frame that `recv` gave last may have waited before: 0 where nothing stood still."""
        ...

    async def recv(self, decode: Literal[False]) -> bytes:
        """The next frame; raises `ConnectionClosed` at the end."""
        ...

    async def send(self, message: str) -> None:
        """Hand the bytes of a frame to the operating system; `ConnectionClosed` leaves open how many have left."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


#: Opens one connection to a URL with these headers; raises whatever ended the handshake.
Connect = Callable[[str, dict[str, str]], Awaitable[Connection]]


class _Direct(connect):
    """Follows no redirect: what we sign goes to the address that the operator named, and the answer is a refusal."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Return the error as it is: no redirect is followed."""
        return exc


async def open_websocket(url: str, headers: dict[str, str]) -> Connection:
    """Open a real connection: every option that matters is written here."""
    opened = await _Direct(
        url,
        additional_headers=headers,
        compression=None,  # frames are small and we are racing
        proxy=None,  # no environment variable decides where signed bytes go
        open_timeout=OPEN_TIMEOUT_S,
        ping_interval=PING_INTERVAL_S,
        ping_timeout=PING_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=FRAME_BYTES_MAX,
        max_queue=FRAMES_QUEUED_MAX,
        logger=_library_log,
        create_connection=ArrivalConnection,
    )
    if not isinstance(opened, ArrivalConnection):
        raise TypeError("a connection that does not know when its frames arrived")
    return opened


class Socket:
    """One named connection, opened again after every end until `run` is cancelled.

    `emit` is called in the event loop's thread. `headers` is called before each attempt, so a token file is read again
    there; it may raise `SecretFileError`. `count` receives the outcome of every attempt and every written frame.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        headers: Callable[[], dict[str, str]],
        emit: Callable[[Value], None],
        clock: Callable[[], datetime],
        random: random.Random,
        reconnect: ReconnectPolicy,
        count: Callable[[str, dict[str, str]], None],
        connect: Connect = open_websocket,
    ) -> None:
        self.name = name
        self._url = url
        self._headers = headers
        self._emit = emit
        self._clock = clock
        self._random = random
        self._reconnect = reconnect
        self._count = count
        self._connect = connect
        self._connection: Connection | None = None
        #: Each frame with the last instant of the loop's own clock at which it may leave; None where it always may.
        self._outbox: asyncio.Queue[tuple[SendFrame, float | None]] = asyncio.Queue(WRITES_QUEUED_MAX)
        self._close_reason: str | None = None
        self._closing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        attempt = -1
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            cause = await self._connect_once()
            stable = cause in ENDS and loop.time() - started_s >= self._reconnect.stable_after_s
            attempt = 0 if stable else attempt + 1
            await asyncio.sleep(self._reconnect.delay(cause, attempt, self._random))

    def send(self, frame: SendFrame) -> None:
        """Start writing a frame. Frames leave in the order of the calls."""
        if self._connection is None or self._outbox.full():
            self._not_sent(frame, nothing_left=True, reason="socket_gone")
            return
        last_s: float | None = None
        if frame.not_after is not None:
            last_s = asyncio.get_running_loop().time() + (frame.not_after - self._clock()).total_seconds()
        self._outbox.put_nowait((frame, last_s))

    def close(self, request: CloseSocket) -> None:
        """Give the present connection up; `run` opens a new one."""
        if self._connection is not None and self._close_reason is None:
            self._close_reason = request.reason
            self._closing = asyncio.create_task(self._connection.close())

    async def _connect_once(self) -> Cause:
        """Open one connection and live through it; return why it ended."""
        try:
            connection = await self._connect(self._url, self._headers())
        except (WebSocketException, SecretFileError, OSError, EOFError) as error:
            cause, status, reason = _explain(error)
            self._count("socket_attempts", {"connection": self.name, "outcome": cause.value})
            self._emit(SocketClosed(connection=self.name, cause=cause, reason=reason, http_status=status))
            return cause
        self._count("socket_attempts", {"connection": self.name, "outcome": "opened"})
        return await self._live(connection)

    async def _live(self, connection: Connection) -> Cause:
        self._connection, self._close_reason = connection, None
        writer = asyncio.create_task(self._write(connection))
        cause, reason = Cause.CLOSED, "stopped"
        try:
            self._emit(SocketOpened(connection=self.name))
            while True:
                data = await connection.recv(decode=False)
                self._received(data, timedelta(seconds=connection.waited_s))
        except ConnectionClosed as closed:
            cause, reason = self._end(closed)
        finally:
            self._connection = None
            writer.cancel()
            await asyncio.wait([writer])
            while not self._outbox.empty():
                self._not_sent(self._outbox.get_nowait()[0], nothing_left=True, reason="socket_gone")
            self._emit(SocketClosed(connection=self.name, cause=cause, reason=reason))
            await connection.close()
        return cause

    def _end(self, closed: ConnectionClosed) -> tuple[Cause, str]:
        """Why an open connection ended: given up by us, found dead by our pings, or ended by the other side."""
        if self._close_reason is not None:
            return Cause.MUTE, self._close_reason
        if closed.sent is not None and closed.sent.reason == _PINGS_UNANSWERED:
            return Cause.HALF_OPEN, str(closed)
        said = closed.rcvd
        return cause_of_close(said.code if said else None, said.reason if said else ""), str(closed)

    def _received(self, data: bytes, waited: timedelta) -> None:
        """The event of a frame, with the earliest instant at which it can have arrived."""
        if waited:
            self._count("frames_waited", {"connection": self.name})
        received_at = self._clock() - waited
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = None
        self._emit(FrameReceived(connection=self.name, text=text, size_bytes=len(data), received_at=received_at))

    async def _write(self, connection: Connection) -> None:
        """Write frames one after the other; each is judged right before its first byte, by both clocks.

        The wall clock shows that a machine slept, and the other clock that the wall clock was set back.
        """
        loop = asyncio.get_running_loop()
        while True:
            frame, last_s = await self._outbox.get()
            closed = frame.not_after is not None and self._clock() > frame.not_after
            if closed or (last_s is not None and loop.time() > last_s + STALL_S):
                self._not_sent(frame, nothing_left=True, reason="too_late")
            elif connection.state is not State.OPEN:
                self._not_sent(frame, nothing_left=True, reason="socket_gone")
            else:
                await self._write_one(connection, frame)

    async def _write_one(self, connection: Connection, frame: SendFrame) -> None:
        sent = False
        try:
            await connection.send(frame.text)
            sent = True
        except ConnectionClosed:
            pass  # some bytes may have left before it ended
        finally:
            if sent:
                self._sent(frame)
            else:
                self._not_sent(frame, nothing_left=False, reason="socket_gone")

    def _sent(self, frame: SendFrame) -> None:
        self._count("socket_writes", {"connection": self.name, "outcome": "sent"})
        if frame.token is not None:
            self._emit(FrameSent(connection=self.name, token=frame.token, sent_at=self._clock()))

    def _not_sent(self, frame: SendFrame, *, nothing_left: bool, reason: str) -> None:
        self._count("socket_writes", {"connection": self.name, "outcome": reason if nothing_left else "unknown"})
        if frame.token is not None:
            self._emit(FrameNotSent(connection=self.name, token=frame.token, nothing_left=nothing_left, reason=reason))


def _explain(error: Exception) -> tuple[Cause, int | None, str]:
    """Cause, HTTP status and a text without secrets, for an attempt that did not open."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return cause_of_status(status), status, f"the handshake was answered with HTTP {status}"
    if isinstance(error, SecretFileError):
        return Cause.CREDENTIALS, None, str(error)
    return Cause.UNREACHABLE, None, f"{type(error).__name__}: {error}"[:200]
