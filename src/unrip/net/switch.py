"""Work that is done while a switch is on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Switch:
    """Off at first."""

    def __init__(self) -> None:
        self._on = asyncio.Event()
        self._off = asyncio.Event()
        self._off.set()

    def turn(self, *, on: bool) -> None:
        """Start the work, or end it by cancelling it; nothing happens where that is so already."""
        wanted, other = (self._on, self._off) if on else (self._off, self._on)
        other.clear()
        wanted.set()

    def while_on(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """A source for the frame: it does the work whenever the switch is on, anew each time, until it is cancelled."""

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
    """Cancel what still works; give the fault of what ended by itself."""
    working.cancel()
    await asyncio.wait({working})
    return None if working.cancelled() else working.exception()
