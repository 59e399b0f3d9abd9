"""When the bytes of a frame arrived at the earliest: a process that stood still must not take what waited for news.

The kernel shows when a socket can be read, not since when. So each connection notes at short intervals that the loop
runs: what is read next has arrived since the last note. A process that was stopped, a machine that was paused or a
starved loop leaves a gap between two notes, and what is read after it may be as old as the gap. The same holds after a
queue was so full that reading was paused: until the stream is quiet again, nobody knows what had piled up here or at
the other end.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode

from unrip.net.uptime import uptime_s

#: How often each connection notes that the loop runs.
PULSE_S = 0.01
#: How long a frame may have waited and still count as just arrived: that is a busy moment and no stall.
STALL_S = 0.05
#: The size of a read that may have left something behind: half of the 256 KiB that one read takes at most (asyncio).
_FULL_READ_BYTES = 128 * 1024
#: The most that a live stream brings between two notes; what has piled up here or at the other end brings more.
_CAUGHT_UP_BYTES = 4 * 1024


class ArrivalConnection(ClientConnection):
    """A connection that knows how long the last frame that it gave may have waited."""

    #: How long the frame that `recv` gave last may have waited; 0 where nothing stood still.
    waited_s = 0.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        #: What is read next has arrived since then; it is not moved on while something has piled up.
        self._since = self._noted_at = self._arrived = uptime_s()
        self._piled_up = False
        self._read_bytes = 0
        self._arrivals: deque[float] = deque()
        self._pulse = self.loop.call_soon(self._note)

    def _note(self) -> None:
        """Note that the loop runs. Sockets are read before timers fire, so what is read from now on has come since."""
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
        """So many frames wait to be taken that no more is read."""
        return hasattr(self, "recv_messages") and self.recv_messages.paused

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is read any more."""
        self._pulse.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the kernel, which may have been there since the last note."""
        self._arrived = self._since
        self._read_bytes += len(data)
        super().data_received(data)
        self._piled_up = self._piled_up or self._reading_paused or len(data) >= _FULL_READ_BYTES

    def process_event(self, event: Any) -> None:
        """Take an event; a message is as old as its first frame."""
        if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._arrivals.append(self._arrived)
        super().process_event(event)

    async def recv(self, decode: Literal[False]) -> bytes:  # type: ignore[override]
        """The next message; `waited_s` says how long it may have waited."""
        message = await super().recv(decode)
        waited_s = uptime_s() - self._arrivals.popleft()
        self.waited_s = waited_s if waited_s > STALL_S else 0.0
        return message
