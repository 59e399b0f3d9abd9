"""Several NEAR nodes used as one: asked in their order, the next one where one gives no usable answer.

A whole question goes to one node, never its parts to several: nodes are not equally far along the chain. A node that
lags behind the others, or behind our clock, is passed over while another is further.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from unrip.venues.near_intents.rpc import NearRpc, RpcContradicted, RpcError, RpcUnavailable

#: How long after another node has stood in the first one is asked again.
BACK_TO_FIRST_AFTER = timedelta(seconds=60)
#: How old a final block may be: usually it is two to four seconds old. One that is older than this, or so much older
#: than the newest that any node has given, comes from a node that lags. It is half the age at which an inventory is
#: stale by default.
LAG_MAX = timedelta(seconds=5)

T = TypeVar("T")
#: The time of the block that an answer is about.
AsOf = Callable[[T], datetime]


class Endpoints:
    """The nodes in the order of preference; `count` receives the outcome of every question, by the node's place."""

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
        #: The time of the newest final block that any node has given.
        self._newest: datetime | None = None

    async def ask(self, question: Callable[[NearRpc], Awaitable[T]], *, as_of: AsOf[T] | None = None) -> T:
        """The first usable answer that does not lag by its block's time (`as_of`), else the newest of those that do.

        Raises:
            RpcUnavailable: no node has one; the last one's reason.
            RpcRefused, ContractPanic: a node's definite word, which no other node is asked about.

        """
        return await self._first_answer(lambda place: question(self._nodes[place]), as_of)

    async def ask_two(self, question: Callable[[NearRpc, NearRpc], Awaitable[T]], *, as_of: AsOf[T] | None = None) -> T:
        """The first usable answer of a node and its successor together, chosen as by `ask`.

        Raises:
            RpcContradicted: the two say different things; no other pair is asked to hide that.
            RpcUnavailable, RpcRefused, ContractPanic: as for `ask`.

        """
        count = len(self._nodes)
        return await self._first_answer(
            lambda place: question(self._nodes[place], self._nodes[(place + 1) % count]), as_of
        )

    def turn_away(self) -> None:
        """Do not believe the last answer: begin with the next node, as if it stood in, and forget whose time led."""
        self._current = (self._current + 1) % len(self._nodes)
        self._since = None if self._current == 0 else self._clock()
        self._newest = None

    async def _first_answer(self, question: Callable[[int], Awaitable[T]], as_of: AsOf[T] | None) -> T:
        reason: RpcUnavailable | None = None
        lagging: list[tuple[datetime, T]] = []
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
                if as_of is not None and self._lags(as_of(answer)):
                    self._counted(place, "lagging")
                    lagging.append((as_of(answer), answer))
                    continue
                self._answered(place)
                return answer
        if lagging:  # no node is further: an old answer is still more than none
            return max(lagging, key=lambda each: each[0])[1]
        try:
            raise reason or RpcUnavailable("no endpoint is named")
        finally:
            reason = None  # its traceback knows this frame: a circle that would keep whole answers in memory

    def _lags(self, block_time: datetime) -> bool:
        self._newest = max(self._newest or block_time, block_time)
        return max(self._newest, self._clock()) - block_time > LAG_MAX

    def _order(self) -> list[int]:
        """All places, each once, beginning with the preferred one."""
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
