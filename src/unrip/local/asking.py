"""Questions that are asked again: at a start everything is new and busy, so nothing is asked only once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: How long a start waits for a server that reports to be there and then does not answer.
START_WITHIN_S = 30.0
_PAUSE_S = 0.25


async def ask_again(
    question: Callable[[], Awaitable[T]], *, away: type[Exception], within_s: float = START_WITHIN_S
) -> T:
    """Ask until there is an answer; raises the last `away` when the time is over, anything else at once."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await question()
        except away:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE_S)
