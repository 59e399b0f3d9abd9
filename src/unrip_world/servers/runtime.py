"""The one place with a clock: runs the world, carries out its effects, keeps the sockets."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from aiohttp import WSCloseCode, web

from unrip_world.codec import NS_PER_S
from unrip_world.effects import Disconnect, Effect, Reply, Send
from unrip_world.world import World

#: Frames that wait for a slow reader before its socket is closed.
_QUEUE_LIMIT = 2_048
_CLOSE_TIMEOUT_S = 1.0
#: A control frame holds 125 bytes, two of them the code.
_REASON_BYTES_MAX = 123


class Socket:
    """One WebSocket with its own queue, so that a slow reader delays nobody else."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws, self._code, self._reason = ws, int(WSCloseCode.GOING_AWAY), b""
        self._queue: asyncio.Queue[tuple[float, str]] = asyncio.Queue(maxsize=_QUEUE_LIMIT)
        self._writer = asyncio.create_task(self._write())

    def send(self, text: str, *, delay_s: float) -> None:
        """Queue a frame; a full queue closes the socket."""
        try:
            self._queue.put_nowait((asyncio.get_running_loop().time() + delay_s, text))
        except asyncio.QueueFull:
            self._code = WSCloseCode.TRY_AGAIN_LATER
            self._writer.cancel()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, text = await self._queue.get()
                if (wait_s := due - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                await self._ws.send_str(text)
        except ConnectionError:
            pass  # the reader is gone; its handler sees the same and cleans up
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._ws.close(code=self._code, message=self._reason)
        except (TimeoutError, ConnectionError):
            pass  # the peer does not answer the close; the transport is dropped with the handler

    async def close(self, *, code: int | None = None, reason: str = "") -> None:
        """Stop writing and close, with this code if one is given."""
        if code is not None:
            self._code, self._reason = code, reason.encode()[:_REASON_BYTES_MAX]
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        # A writer that was cancelled before its first step has not closed anything.
        await self._close()


class Runtime:
    """Feeds the world with real time and carries out what it wants. `keep` remembers what it did, before it is told."""

    def __init__(
        self, world: World, *, clock: Callable[[], int] = time.time_ns, keep: Callable[[], None] = lambda: None
    ) -> None:
        self.world, self.now_ns, self.keep = world, clock, keep
        self._sockets: dict[str, dict[int, Socket]] = {}
        self._connections, self._tickets = count(1), count(1)
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._wake, self._changed = asyncio.Event(), asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Advance the world whenever something is due, for ever."""
        while True:
            self.carry_out(self.world.advance(self.now_ns()))
            self._wake.clear()
            wait_s = max(0, self.world.next_at_ns() - self.now_ns()) / NS_PER_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def carry_out(self, effects: list[Effect]) -> None:
        """Carry out effects now, and look at the world's next moment again."""
        self.keep()
        for effect in effects:
            match effect:
                case Send(service=service, connection=connection, text=text):
                    self._send(service, connection, text)
                case Disconnect():
                    self._disconnect(effect)
                case Reply(ticket=ticket, result=result):
                    if (reply := self._waiting.get(ticket)) is not None and not reply.done():
                        reply.set_result(result)
        self._wake.set()
        self._changed.set()
        self._changed = asyncio.Event()

    async def next_change(self) -> None:
        """Wait until the world has done something."""
        await self._changed.wait()

    # -- sockets

    def open_socket(self, service: str, ws: web.WebSocketResponse) -> int:
        """Register a socket; gives its connection number."""
        connection = next(self._connections)
        self._sockets.setdefault(service, {})[connection] = Socket(ws)
        return connection

    def is_open(self, service: str, connection: int) -> bool:
        """Whether we have not begun to close this socket."""
        return connection in self._sockets.get(service, {})

    async def close_socket(self, service: str, connection: int, *, code: int | None = None, reason: str = "") -> None:
        """Forget a socket whose handler ends, or that is closed with a code."""
        socket = self._sockets.get(service, {}).pop(connection, None)
        if socket is not None:
            await socket.close(code=code, reason=reason)

    def _send(self, service: str, connection: int, text: str) -> None:
        socket = self._sockets.get(service, {}).get(connection)
        if socket is not None and self.world.faults.get(service, "mute") is None:
            socket.send(text, delay_s=self.delay_s(service))

    def _disconnect(self, effect: Disconnect) -> None:
        for connection in list(self._sockets.get(effect.service, {})):
            closing = self.close_socket(effect.service, connection, code=effect.code, reason=effect.reason)
            task = asyncio.create_task(closing)
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all sockets."""
        sockets = [(service, connection) for service, open_ in self._sockets.items() for connection in open_]
        await asyncio.gather(*(self.close_socket(*socket) for socket in sockets))

    # -- faults of the transport

    def delay_s(self, service: str) -> float:
        """Give the delay of each answer of a slow service."""
        fault = self.world.faults.get(service, "slow_ms")
        return 0.0 if fault is None else fault["ms"] / 1_000

    # -- waiting requests

    @contextmanager
    def ticket(self) -> Iterator[tuple[int, asyncio.Future[object]]]:
        """Make a ticket and the future of the `Reply` that will come under it."""
        ticket, reply = next(self._tickets), asyncio.get_running_loop().create_future()
        self._waiting[ticket] = reply
        try:
            yield ticket, reply
        finally:
            self._waiting.pop(ticket, None)
