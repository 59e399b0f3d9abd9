"""Work that is done only while a switch is on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Switch:
    """A switch for work; it is off at first."""

    def __init__(self) -> None:
        self._on = asyncio.Event()
        self._off = asyncio.Event()
        self._off.set()

    def turn(self, *, on: bool) -> None:
        """Start the work, or end it by cancelling it; nothing happens where that is already so."""
        wanted, other = (self._on, self._off) if on else (self._off, self._on)
        other.clear()
        wanted.set()

    def while_on(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Do the work whenever the switch is on, anew each time, until cancelled: a source for the frame."""

        async def run() -> None:
            while True:
                await self._on.wait()
                working = asyncio.ensure_future(work())
                turned_off = asyncio.ensure_future(self._off.wait())
                try:
                    await asyncio.wait({working, turned_off}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    turned_off.cancel()
                    ended = await _end(working)
                if ended is not None:
                    raise ended

        return run


async def _end(working: asyncio.Future[None]) -> BaseException | None:
    """Cancel the work that still runs; return the fault of work that ended by itself."""
    working.cancel()
    await asyncio.wait({working})
    return None if working.cancelled() else working.exception()
