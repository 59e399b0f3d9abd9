"""A question to the outside and its answer: exactly one event, also where there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from unrip.frame.contract import Emit, Event, Start

E = TypeVar("E", bound=Exception)
Kinds = type[E] | tuple[type[E], ...]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Puts questions beside everything else."""

    start: Start
    emit: Emit

    def __call__(self, question: Callable[[], Awaitable[Event]], *, on: Kinds[E], unread: Callable[[E], Event]) -> None:
        """Emit what the question returns; where it raises an error of this kind, what `unread` makes of that."""
        self.start(self._answer(question, on, unread))

    async def _answer(
        self, question: Callable[[], Awaitable[Event]], on: Kinds[E], unread: Callable[[E], Event]
    ) -> None:
        try:
            answer = await question()
        except on as error:
            answer = unread(error)
        self.emit(answer)
