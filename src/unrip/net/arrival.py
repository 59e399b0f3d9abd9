"""When the bytes of a frame arrived, at the earliest: a process that stood still must not take what waited for news.

The kernel says when a socket can be read, not since when. So each connection notes at short intervals that the loop
runs: what is read next has arrived since the last note. A process that was stopped, a machine that was paused or a
starved loop leaves a gap between two notes, and what is read after it may be as old as the gap. So it is after a
queue was so full that reading was paused: until the stream is quiet again, nobody knows what had piled up here or at
the other end.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from unrip.net.uptime import uptime_s

#: How often the loop shows that it runs.
PULSE_S = 0.01
#: A frame that can have waited for no longer counts as just arrived: that is a busy moment and no stall.
STALL_S = 0.05
#: One read takes 256 KiB at most (asyncio): one of half as much may have left something behind.
_FULL_READ_BYTES = 128 * 1024
#: What a live stream brings between two notes stays below this; what has piled up here or at the other end does not.
_CAUGHT_UP_BYTES = 4 * 1024


class ArrivalConnection(ClientConnection):
    """A connection that knows of the frame it gave last how long that one may have waited."""

    #: Of the frame that `recv` gave last; 0 where nothing stood still.
    waited_s = 0.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        #: What is read next has arrived since then; it stands still while something has piled up.
        self._since = self._noted_at = self._arrived = uptime_s()
        self._piled_up = False
        self._read_bytes = 0
        self._arrivals: deque[float] = deque()
        self._pulse = self.loop.call_soon(self._note)

    def _note(self) -> None:
        """The loop runs. Sockets are read before timers fire, so what is read from now on has come since."""
        now = uptime_s()
        if self._reading_paused or now - self._noted_at > STALL_S:
            self._piled_up = True
        elif self._read_bytes < _CAUGHT_UP_BYTES:
            self._piled_up = False
        if not self._piled_up:
            self._since = now
        self._noted_at, self._read_bytes = now, 0
        self._pulse = self.loop.call_later(PULSE_S, self._note)

    @property
    def _reading_paused(self) -> bool:
        """The frames that nobody has taken yet are so many that no more is read."""
        return hasattr(self, "recv_messages") and self.recv_messages.paused

    def connection_lost(self, exc: Exception | None) -> None:
        """No more is read."""
        self._pulse.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the kernel, which may have been there since the last note."""
        self._arrived = self._since
        self._read_bytes += len(data)
        super().data_received(data)
        self._piled_up = self._piled_up or self._reading_paused or len(data) >= _FULL_READ_BYTES

    def process_event(self, event: Any) -> None:
        """A message is as old as its first frame."""
        if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._arrivals.append(self._arrived)
        super().process_event(event)

    async def recv(self, decode: Literal[False]) -> bytes:  # type: ignore[override]
        """The next message; `waited_s` says how long it may have waited."""
        message = await super().recv(decode)
        waited_s = uptime_s() - self._arrivals.popleft()
        self.waited_s = waited_s if waited_s > STALL_S else 0.0
        return message
