"""Several NEAR nodes as one: asked in their order, the next one where one gives no usable answer.

A whole question goes to one node, never its parts to several: nodes are not equally far along the chain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from unrip.venues.near_intents.rpc import NearRpc, RpcContradicted, RpcError, RpcUnavailable

#: So long after another node has stood in, the first one is asked again.
BACK_TO_FIRST_AFTER = timedelta(seconds=60)

T = TypeVar("T")


class Endpoints:
    """The nodes in the order of preference. `count` receives what became of every question, by the node's place."""

    def __init__(
        self,
        nodes: Sequence[NearRpc],
        *,
        clock: Callable[[], datetime],
        count: Callable[[str, dict[str, str]], None],
    ) -> None:
        self._nodes = list(nodes)
        self._clock = clock
        self._count = count
        #: The place of the node that answered last, and since when it has stood in for the first.
        self._current = 0
        self._since: datetime | None = None

    async def ask(self, question: Callable[[NearRpc], Awaitable[T]]) -> T:
        """The first usable answer.

        Raises:
            RpcUnavailable: no node has one; the last one's reason.
            RpcRefused, ContractPanic: a node's definite word, which no other node is asked about.

        """
        return await self._first_answer(lambda place: question(self._nodes[place]))

    async def ask_two(self, question: Callable[[NearRpc, NearRpc], Awaitable[T]]) -> T:
        """The first usable answer of a node and its successor together.

        Raises:
            RpcContradicted: the two say different things; no other pair is asked to hide that.
            RpcUnavailable, RpcRefused, ContractPanic: as for `ask`.

        """
        count = len(self._nodes)
        return await self._first_answer(lambda place: question(self._nodes[place], self._nodes[(place + 1) % count]))

    async def _first_answer(self, question: Callable[[int], Awaitable[T]]) -> T:
        reason: RpcUnavailable | None = None
        for place in self._order():
            try:
                answer = await question(place)
            except RpcUnavailable as error:
                self._counted(place, "unavailable")
                reason = error
            except RpcContradicted:
                self._counted(place, "contradicted")
                raise
            except RpcError:
                self._answered(place)
                raise
            else:
                self._answered(place)
                return answer
        raise reason or RpcUnavailable("no endpoint is named")

    def _order(self) -> list[int]:
        """The places from the preferred one on, each once."""
        if self._since is not None and self._clock() - self._since >= BACK_TO_FIRST_AFTER:
            self._current, self._since = 0, None
        places = range(len(self._nodes))
        return [*places[self._current :], *places[: self._current]]

    def _answered(self, place: int) -> None:
        self._counted(place, "answered")
        if place != self._current:
            self._current = place
            self._since = None if place == 0 else self._clock()

    def _counted(self, place: int, outcome: str) -> None:
        self._count("rpc_questions", {"endpoint": str(place + 1), "outcome": outcome})
