"""The older blocks of one node, searched for those that show how a nonce ended.

Heights are bisected; one without a block is skipped upwards, as the chain does. The number of questions is bounded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from unrip.domain.verifier import PastSpan
from unrip.venues.near_intents.rpc import Block, BlockUnknown, RpcUnavailable

#: How many heights in a row the chain may have skipped; where more are missing, the node no longer keeps the blocks.
SKIPPED_MAX = 8
#: How many blocks and salts are asked about in one search. Two bisections of a month of blocks, of which a node keeps
#: the last days, take about 140.
QUESTIONS_MAX = 256


class BlocksNotKept(RpcUnavailable):
    """The node no longer has the blocks that would show it."""


class Search:
    """One search. `block_at` may raise `BlockUnknown`; every other error ends the search."""

    def __init__(self, *, block_at: Callable[[int], Awaitable[Block]]) -> None:
        self._block_at = block_at
        self._left = QUESTIONS_MAX

    async def turn(
        self, low: int, end: Block, holds: Callable[[int], Awaitable[bool]], *, ended: str
    ) -> tuple[Block, Block]:
        """The last block at which something holds, and its successor, where it has `ended`.

        It holds at `low`, and never again once it has ended. The successor's own header names the block before it, so
        nothing lies unread between them.

        Raises:
            BlocksNotKept, RpcUnavailable: as for `Past.deciding`.

        """
        held: Block | None = None
        first, high = end, end.height
        low -= 1
        while high - low > 1:
            middle = (low + high) // 2
            block = await self._first(middle, high)
            if block is None:
                low, high = _without(middle, low, high)
                continue
            match await self._held_at(block, holds):
                case None:
                    low = block.height
                case True:
                    held, low = block, block.height
                case False:
                    first, high = block, middle
        if held is None or first.previous_hash != held.hash:
            raise BlocksNotKept(f"the node has no block before {first.height}, the first where {ended}")
        return held, first

    async def _first(self, height: int, below: int) -> Block | None:
        """The first block from a height on; None where the next ones are missing."""
        for each in range(height, min(height + SKIPPED_MAX, below)):
            self._count()
            try:
                return await self._block_at(each)
            except BlockUnknown:
                continue
        return None

    async def _held_at(self, block: Block, holds: Callable[[int], Awaitable[bool]]) -> bool | None:
        """Whether it held at a block; None where the node no longer has the state of the block."""
        self._count()
        try:
            return await holds(block.height)
        except BlockUnknown:
            return None

    def _count(self) -> None:
        if not self._left:
            raise BlocksNotKept(f"not found within {QUESTIONS_MAX} questions")
        self._left -= 1


class Past(Search):
    """The search for the blocks that judge a nonce which the newest one cannot."""

    def __init__(
        self, *, block_at: Callable[[int], Awaitable[Block]], salt_valid: Callable[[int], Awaitable[bool]]
    ) -> None:
        super().__init__(block_at=block_at)
        self._salt_valid = salt_valid

    async def deciding(self, span: PastSpan) -> tuple[Block, ...]:
        """The blocks that show it: one in the span with the salt valid; or the last with it, and the next one.

        Raises:
            BlocksNotKept: they cannot be read, or the search took too many questions.
            RpcUnavailable: see `rpc`.

        """
        end = await self._end(span)
        match await self._held_at(end, self._salt_valid):
            case None:
                raise BlocksNotKept(f"the node no longer has the state of block {end.height}")
            case True:
                return (end,)
        return await self.turn(span.valid_at, end, self._salt_valid, ended="the salt is not valid")

    async def _end(self, span: PastSpan) -> Block:
        """The newest block; where the nonce may be forgotten there, the last at which it was not."""
        in_time = span.block_time <= span.nonce_deadline
        low, high = (span.height if in_time else span.valid_at) - 1, span.height + 1
        found: Block | None = None
        while high - low > 1:
            middle = (low + high) // 2
            block = await self._first(middle, high)
            if block is None:
                low, high = _without(middle, low, high)
            elif block.time > span.nonce_deadline:
                high = middle
            else:
                found, low = block, block.height
        if found is None:
            raise BlocksNotKept(f"the node has no block that is old enough, of {span.nonce_deadline} or before")
        return found


def _without(middle: int, low: int, high: int) -> tuple[int, int]:
    """Where to search on when no block was found from the middle on: none is there, or none is kept so far back."""
    return (low, middle) if middle + SKIPPED_MAX >= high else (middle + SKIPPED_MAX - 1, high)
