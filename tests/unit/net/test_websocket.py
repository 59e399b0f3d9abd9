"""The contract of Socket, against a real WebSocket server on loopback."""

from __future__ import annotations

import asyncio
import http
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import ClassVar, TypeVar

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from unrip.domain.values import Value
from unrip.net import websocket
from unrip.net.events import (
    CloseSocket,
    FrameNotSent,
    FrameReceived,
    FrameSent,
    SendFrame,
    SocketClosed,
    SocketOpened,
)
from unrip.net.reconnect import Backoff, Cause, ReconnectPolicy, cause_of_status
from unrip.net.secret_file import SecretFileError
from unrip.net.websocket import WRITES_QUEUED_MAX, Socket

V = TypeVar("V", bound=Value)
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
AT_ONCE = ReconnectPolicy(
    rows={cause: Backoff(first_s=0.01, base_s=0.01, cap_s=0.01) for cause in Cause}, stable_after_s=10
)


class Desk:
    """Collects what a socket emits and waits for what a test needs."""

    def __init__(
        self, url: str, headers: Callable[[], dict[str, str]] = dict, *, policy: ReconnectPolicy = AT_ONCE
    ) -> None:
        self.events: list[Value] = []
        self.counts: list[tuple[str, dict[str, str]]] = []
        self.now = NOW
        self._news = asyncio.Event()
        self.socket = Socket(
            name="relay",
            url=url,
            headers=headers,
            emit=self._take,
            clock=lambda: self.now,
            random=random.Random(1),  # noqa: S311 - seeded, for tests
            reconnect=policy,
            count=lambda name, labels: self.counts.append((name, labels)),
        )

    def _take(self, event: Value) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not done():
                self._news.clear()
                await self._news.wait()

    def of(self, kind: type[V]) -> list[V]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until_seen(self, kind: type[V], times: int = 1) -> V:
        await self.until(lambda: len(self.of(kind)) >= times)
        return self.of(kind)[times - 1]


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[Desk]:
    task = asyncio.create_task(desk.socket.run())
    try:
        yield desk
    finally:
        task.cancel()
        await asyncio.wait([task])


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def serving(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[Server]:
    async with serve(handler, "127.0.0.1", 0, ping_interval=None, close_timeout=0.2) as server:
        yield server


def frame(text: str, token: str | None = None, not_after: datetime | None = None) -> SendFrame:
    return SendFrame(connection="relay", text=text, token=token, not_after=not_after)


async def test_frames_go_out_in_order_and_come_back_with_their_size_and_time() -> None:
    async with serving(echo) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened)
        for number in range(50):
            desk.socket.send(frame(f"ü{number}", token=str(number)))
        await desk.until_seen(FrameReceived, 50)
        assert [event.token for event in desk.of(FrameSent)] == [str(number) for number in range(50)]
        assert desk.of(FrameReceived)[7] == FrameReceived(connection="relay", text="ü7", size_bytes=3, received_at=NOW)


async def test_a_frame_past_its_window_is_not_sent() -> None:
    async with serving(echo) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened)
        desk.socket.send(frame("late", token="late", not_after=NOW - timedelta(microseconds=1)))
        desk.socket.send(frame("in time", token="in time", not_after=NOW))
        await desk.until_seen(FrameReceived)
        assert desk.of(FrameNotSent) == [
            FrameNotSent(connection="relay", token="late", nothing_left=True, reason="too_late")
        ]
        assert [event.text for event in desk.of(FrameReceived)] == ["in time"]


async def test_the_window_is_judged_when_the_frame_is_written_not_when_it_is_handed_over() -> None:
    async with serving(echo) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened)
        desk.socket.send(frame("offer", token="offer", not_after=NOW))
        desk.now = NOW + timedelta(seconds=1)
        await desk.until_seen(FrameNotSent)
        assert not desk.of(FrameReceived)


async def test_a_clock_that_was_set_back_keeps_no_window_open() -> None:
    """Between handing over and writing the process stood still, and the wall clock says that no time has passed."""
    async with serving(echo) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened)
        desk.socket.send(frame("offer", token="offer", not_after=NOW + timedelta(milliseconds=100)))
        desk.now = NOW - timedelta(hours=1)
        time.sleep(0.2)  # noqa: ASYNC251 - that nothing runs is the point
        await desk.until_seen(FrameNotSent)
        assert [event.reason for event in desk.of(FrameNotSent)] == ["too_late"]
        assert not desk.of(FrameReceived)


async def test_without_a_connection_nothing_left() -> None:
    desk = Desk("ws://127.0.0.1:9/ws")
    desk.socket.send(frame("offer", token="offer"))
    assert desk.events == [FrameNotSent(connection="relay", token="offer", nothing_left=True, reason="socket_gone")]


async def test_a_write_that_is_stuck_when_the_connection_ends_is_unknown_and_the_next_never_left() -> None:
    gate = asyncio.Event()

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await gate.wait()
        connection.transport.abort()

    async with serving(deaf) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened)
        for number in range(20):  # more than loopback's buffers take
            desk.socket.send(frame("x" * 1_000_000, token=str(number)))
        await desk.until_seen(FrameSent)
        gate.set()
        await desk.until_seen(SocketClosed)
        fates = desk.of(FrameNotSent)
        assert len(fates) + len(desk.of(FrameSent)) == 20
        assert [fate.nothing_left for fate in fates] == [False] + [True] * (len(fates) - 1)


class Asked(ReconnectPolicy):
    """Notes what it was asked about, and lets nobody wait."""

    asked: ClassVar[list[tuple[Cause, int]]] = []

    def delay(self, cause: Cause, attempt: int, source: random.Random) -> float:
        self.asked.append((cause, attempt))
        return super().delay(cause, attempt, source) * 0


@pytest.mark.parametrize(("stable_after_s", "attempts"), [(0.0, [0, 0, 0]), (60.0, [0, 1, 2])])
async def test_only_a_connection_that_lived_makes_the_next_retry_the_first(
    stable_after_s: float, attempts: list[int]
) -> None:
    """A peer who opens and closes at once is not stormed."""

    async def once(connection: ServerConnection) -> None:
        await connection.close()

    policy = Asked(stable_after_s=stable_after_s)
    policy.asked.clear()
    async with serving(once) as server, running(Desk(url_of(server), policy=policy)) as desk:
        await desk.until_seen(SocketOpened, 4)
    assert policy.asked[:3] == [(Cause.CLOSED, attempt) for attempt in attempts]


async def test_it_connects_again_and_asks_for_the_headers_each_time() -> None:
    seen: list[str | None] = []
    tokens = iter(["first", "second", *["more"] * 99])

    async def once(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request.headers.get("Authorization"))

    async with serving(once) as server:
        desk = Desk(url_of(server), headers=lambda: {"Authorization": f"Bearer {next(tokens)}"})
        async with running(desk):
            await desk.until_seen(SocketClosed, 2)
    assert seen[:2] == ["Bearer first", "Bearer second"]
    assert all("Bearer" not in repr(event) for event in desk.events)


@pytest.mark.parametrize("status", [401, 403, 429, 503, 520, 404])
async def test_a_refused_handshake_is_an_event_with_its_status_and_never_the_end(status: int) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(http.HTTPStatus.FORBIDDEN, "no")
        response.status_code = status
        return response

    async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server, running(Desk(url_of(server))) as desk:
        closed = await desk.until_seen(SocketClosed, 2)
    assert (closed.cause, closed.http_status) == (cause_of_status(status), status)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "location", ["ws://127.0.0.1:{port}/elsewhere", "wss://relay.example:99999/ws", "http://[", "", None]
)
async def test_a_redirect_is_a_refusal_wherever_it_points(status: int, location: str | None) -> None:
    paths: list[str] = []

    def redirect(connection: ServerConnection, request: Request) -> Response:
        paths.append(request.path)
        response = connection.respond(http.HTTPStatus.FOUND, "elsewhere")
        response.status_code = status
        if location is not None:
            response.headers["Location"] = location.format(port=connection.local_address[1])
        return response

    async with serve(echo, "127.0.0.1", 0, process_request=redirect) as server, running(Desk(url_of(server))) as desk:
        closed = await desk.until_seen(SocketClosed, 2)
    assert (closed.cause, closed.http_status) == (Cause.REFUSED, status)
    assert set(paths) == {"/ws"}


async def test_unreadable_credentials_are_an_event_and_never_the_end() -> None:
    def headers() -> dict[str, str]:
        raise SecretFileError("secret file /run/token is empty")

    async with running(Desk("ws://127.0.0.1:9/ws", headers)) as desk:
        closed = await desk.until_seen(SocketClosed, 2)
    assert closed.reason == "secret file /run/token is empty"
    assert ("socket_attempts", {"connection": "relay", "outcome": "credentials"}) in desk.counts


async def test_nobody_there_is_an_event() -> None:
    async with serving(echo) as server:
        url = url_of(server)
    async with running(Desk(url)) as desk:
        closed = await desk.until_seen(SocketClosed, 2)
    assert (closed.cause, closed.http_status) == (Cause.UNREACHABLE, None)


async def test_a_connection_that_is_given_up_is_opened_again() -> None:
    async with serving(echo) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened)
        desk.socket.close(CloseSocket(connection="relay", reason="mute"))
        closed = await desk.until_seen(SocketClosed)
        await desk.until_seen(SocketOpened, 2)
    assert (closed.reason, closed.cause) == ("mute", Cause.MUTE)


async def test_binary_frames_count_as_text_when_they_are() -> None:
    async def speak(connection: ServerConnection) -> None:
        await connection.send(b'{"id":1}')
        await connection.send(b"\xff\xfe")
        await connection.wait_closed()

    async with serving(speak) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(FrameReceived, 2)
    assert [(event.text, event.size_bytes) for event in desk.of(FrameReceived)] == [('{"id":1}', 8), (None, 2)]


async def test_a_frame_above_the_bound_ends_the_connection_but_not_the_socket() -> None:
    async def shout(connection: ServerConnection) -> None:
        await connection.send("x" * (4 * 1024 * 1024 + 1))
        await connection.wait_closed()

    async with serving(shout) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened, 2)
    assert not desk.of(FrameReceived)


async def test_more_than_wait_for_the_writer_never_leave_and_are_told_at_once() -> None:
    async with serving(echo) as server, running(Desk(url_of(server))) as desk:
        await desk.until_seen(SocketOpened)
        for number in range(WRITES_QUEUED_MAX + 2):  # the writer has no turn meanwhile
            desk.socket.send(frame("", token=str(number)))
        assert desk.of(FrameNotSent) == [
            FrameNotSent(connection="relay", token=str(number), nothing_left=True, reason="socket_gone")
            for number in (WRITES_QUEUED_MAX, WRITES_QUEUED_MAX + 1)
        ]
        await desk.until_seen(FrameSent, WRITES_QUEUED_MAX)
        assert len(desk.of(FrameNotSent)) == 2


async def test_stopping_tells_the_fate_of_every_frame() -> None:
    async with serving(echo) as server:
        desk = Desk(url_of(server))
        async with running(desk):
            await desk.until_seen(SocketOpened)
            desk.socket.send(frame("offer", token="offer"))
        assert isinstance(desk.events[-1], SocketClosed)
        assert len(desk.of(FrameSent)) + len(desk.of(FrameNotSent)) == 1


async def test_a_half_open_connection_is_found_by_its_own_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_INTERVAL_S", 0.1)
    monkeypatch.setattr(websocket, "PING_TIMEOUT_S", 0.1)

    async def half_open(connection: ServerConnection) -> None:
        connection.transport.pause_reading()  # pings arrive at nobody, and nothing says that it is over
        await left.wait()
        connection.transport.abort()

    left = asyncio.Event()
    async with serving(half_open) as server, running(Desk(url_of(server))) as desk:
        closed = await desk.until_seen(SocketClosed)
        left.set()
    assert closed.cause is Cause.HALF_OPEN


def test_a_half_open_connection_is_found_within_ten_seconds() -> None:
    assert websocket.PING_INTERVAL_S + websocket.PING_TIMEOUT_S <= 10


async def test_a_connection_that_is_closed_for_its_token_is_named_so() -> None:
    async def refusing(connection: ServerConnection) -> None:
        await connection.close(4401, "token expired")

    policy = Asked(stable_after_s=0)
    policy.asked.clear()
    async with serving(refusing) as server, running(Desk(url_of(server), policy=policy)) as desk:
        closed = await desk.until_seen(SocketClosed)
        assert closed.cause is Cause.UNAUTHORIZED
        assert "token expired" in closed.reason
        await desk.until_seen(SocketClosed, 2)
        assert {cause for cause, _attempt in policy.asked} == {Cause.UNAUTHORIZED}
