"""Work that was started and is not awaited: it is kept alive until it is done, and ended at the stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """The tasks of one owner."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._faults: asyncio.Queue[BaseException] = asyncio.Queue()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task and keep a reference to it; the event loop alone would not keep it alive."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def watch(self) -> None:
        """Run until cancelled, or until a task ends with a fault, which is raised: nothing may fail unseen."""
        raise await self._faults.get()

    async def aclose(self) -> None:
        """Cancel what still runs and wait until it has ended."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._faults.put_nowait(fault)
