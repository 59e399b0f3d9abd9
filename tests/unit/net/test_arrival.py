"""A frame is as old as it can be: what waited while this process stood still is not stamped as new."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import websockets
from websockets.asyncio.server import ServerConnection

from unrip.domain.values import Value
from unrip.net.events import FrameReceived, SocketOpened
from unrip.net.reconnect import ReconnectPolicy
from unrip.net.websocket import Socket

#: What a frame may be stamped too new: a gap shorter than this is no stall.
TOLERANCE = timedelta(milliseconds=60)


def now() -> datetime:
    return datetime.now(UTC)


class Sender:
    """A server in a thread of its own, so that it goes on while the client stands still."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._client: ServerConnection | None = None
        self._connected, self._listening = threading.Event(), threading.Event()
        self._over: asyncio.Event | None = None

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        async with websockets.serve(self._handle, "127.0.0.1", 0) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._listening.set()
            await self._over.wait()

    async def _handle(self, client: ServerConnection) -> None:
        self._client = client
        self._connected.set()
        await client.wait_closed()

    def send(self, count: int, *, padding: int = 0, after_s: float = 0.0) -> None:
        """Send frames, each with the time of its sending; returns at once."""

        async def send() -> None:
            await asyncio.sleep(after_s)
            assert self._client is not None
            for _ in range(count):
                await self._client.send(json.dumps({"at": now().isoformat(), "padding": "x" * padding}))

        assert self._connected.wait(5)
        asyncio.run_coroutine_threadsafe(send(), self._loop)

    def wait(self) -> None:
        assert self._listening.wait(5)

    def stop(self) -> None:
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)


@contextmanager
def a_sender() -> Iterator[Sender]:
    sender = Sender()
    thread = threading.Thread(target=sender.run)
    thread.start()
    sender.wait()
    yield sender
    sender.stop()
    thread.join(5)


class Client:
    """A real socket, whose logic can be made slow."""

    def __init__(self, port: int) -> None:
        self.frames: list[tuple[datetime, datetime]] = []
        self.waited = 0
        self.slow_s = 0.0
        self.opened = asyncio.Event()
        self.socket = Socket(
            name="relay",
            url=f"ws://127.0.0.1:{port}/",
            headers=dict,
            emit=self._take,
            clock=now,
            random=random.Random(1),  # noqa: S311 - jitter
            reconnect=ReconnectPolicy(stable_after_s=10),
            count=lambda name, _labels: self._count(name),
        )

    def _count(self, name: str) -> None:
        self.waited += name == "frames_waited"

    def _take(self, event: Value) -> None:
        if isinstance(event, SocketOpened):
            self.opened.set()
        elif isinstance(event, FrameReceived):
            time.sleep(self.slow_s)
            sent_at = datetime.fromisoformat(json.loads(event.text or "")["at"])
            self.frames.append((sent_at, event.received_at))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.frames) < count:  # noqa: ASYNC110 - the socket sets no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(sender: Sender) -> AsyncIterator[Client]:
    client = Client(sender.port)
    running = asyncio.create_task(client.socket.run())
    await asyncio.wait_for(client.opened.wait(), 5)
    yield client
    running.cancel()
    await asyncio.wait([running])


async def test_what_came_while_the_process_stood_still_is_as_old_as_it_can_be() -> None:
    with a_sender() as sender:
        async with connected(sender) as client:
            await asyncio.sleep(0.05)
            stopped_at = now()
            sender.send(3)
            time.sleep(0.4)  # noqa: ASYNC251 - that nothing runs is the point
            await client.until(3)
            for sent_at, received_at in client.frames:
                assert stopped_at - TOLERANCE < received_at < sent_at + TOLERANCE
            assert client.waited == 3
            await asyncio.sleep(0.1)
            sender.send(1)
            await client.until(4)
            sent_at, received_at = client.frames[-1]
            assert sent_at - TOLERANCE < received_at < now()
            assert client.waited == 3


@pytest.mark.parametrize("padding", [0, 4_000])
async def test_a_queue_that_is_full_makes_no_frame_younger(padding: int) -> None:
    """Also what waits in the kernel, since reading was paused, counts from its pause on."""
    count = 2_500
    with a_sender() as sender:
        async with connected(sender) as client:
            client.slow_s = 0.0004
            sender.send(count, padding=padding)
            await client.until(count)
            client.slow_s = 0.0
            late = [received_at - sent_at for sent_at, received_at in client.frames]
            assert max(late) < 4 * TOLERANCE, "of the second or so that it takes; the sender has to wait, too"
            assert client.waited > 0
            await asyncio.sleep(0.1)
            sender.send(1)
            await client.until(count + 1)
            sent_at, received_at = client.frames[-1]
            assert sent_at - TOLERANCE < received_at
