"""Which older blocks tell how a nonce ended, on chains of any shape and nodes that keep any part of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrip.domain.verifier import PastSpan
from unrip.venues.near_intents.past import QUESTIONS_MAX, SKIPPED_MAX, BlocksNotKept, Past
from unrip.venues.near_intents.rpc import Block, BlockUnknown

T0 = datetime(2026, 11, 24, tzinfo=UTC)
FIRST = 1_000


@dataclass
class Node:
    """A chain of blocks a second apart, of which the first ones may be gone, headers before states."""

    blocks: list[Block]
    #: The place of the block that ended the salt.
    salt_ended: int
    kept_from: int = 0
    states_from: int = 0
    #: Heights of blocks that this node has lost.
    hole: range = range(0)
    questions: int = 0

    async def block_at(self, height: int) -> Block:
        self.questions += 1
        for block in self.blocks[self.kept_from :]:
            if block.height == height and height not in self.hole:
                return block
        raise BlockUnknown(f"no block {height}")

    async def salt_valid(self, height: int) -> bool:
        self.questions += 1
        place = next(place for place, block in enumerate(self.blocks) if block.height == height)
        if place < self.states_from:
            raise BlockUnknown("no state")
        return place < self.salt_ended

    def deciding(self, *, deadline: int) -> list[int]:
        """The places of the deciding blocks; the nonce's deadline is the time of a block."""
        span = PastSpan(
            salt="252812b3",
            valid_at=self.blocks[0].height,
            height=self.blocks[-1].height,
            block_time=self.blocks[-1].time,
            nonce_deadline=T0 + timedelta(seconds=deadline),
        )
        found = asyncio.run(Past(block_at=self.block_at, salt_valid=self.salt_valid).deciding(span))
        return [self.blocks.index(block) for block in found]


def a_node(gaps: list[int], **fields: Any) -> Node:
    """Blocks at these distances of height."""
    blocks, height = [], FIRST
    for place, gap in enumerate([0, *gaps]):
        height += gap
        time = T0 + timedelta(seconds=place)
        blocks.append(Block(height=height, time=time, hash=f"h{place}", previous_hash=f"h{place - 1}"))
    return Node(blocks, **fields)


gaps = st.lists(st.sampled_from([1, 1, 1, 2, 3, SKIPPED_MAX]), min_size=1, max_size=200)


@given(gaps=gaps, data=st.data())
def test_the_block_that_tells_is_found_whatever_was_skipped(gaps: list[int], data: st.DataObject) -> None:
    last = len(gaps)
    ended = data.draw(st.integers(1, last + 1), label="the block that ended the salt")
    deadline = data.draw(st.integers(0, last + 5), label="the deadline")
    node = a_node(gaps, salt_ended=ended)
    end = min(deadline, last)
    assert node.deciding(deadline=deadline) == ([end] if end < ended else [ended - 1, ended])
    assert node.questions <= QUESTIONS_MAX


@given(gaps=gaps, data=st.data())
def test_where_blocks_are_gone_nothing_else_is_taken_for_them(gaps: list[int], data: st.DataObject) -> None:
    last = len(gaps)
    ended = data.draw(st.integers(1, last + 1))
    deadline = data.draw(st.integers(0, last + 5))
    kept_from = data.draw(st.integers(0, last))
    states_from = data.draw(st.integers(kept_from, last))
    node = a_node(gaps, salt_ended=ended, kept_from=kept_from, states_from=states_from)
    end = min(deadline, last)
    wanted = [end] if end < ended else [ended - 1, ended]
    if wanted[0] >= states_from:
        assert node.deciding(deadline=deadline) == wanted
    else:
        with pytest.raises(BlocksNotKept):
            node.deciding(deadline=deadline)


def test_a_salt_that_was_not_valid_where_we_think_so_tells_nothing() -> None:
    with pytest.raises(BlocksNotKept):
        a_node([1] * 20, salt_ended=0).deciding(deadline=30)


def test_blocks_around_a_hole_are_not_taken_for_neighbours() -> None:
    node = a_node([1] * 100, salt_ended=44)
    assert node.deciding(deadline=200) == [43, 44]
    node.hole = range(FIRST + 40, FIRST + 49)
    with pytest.raises(BlocksNotKept, match="the first where the salt is not valid"):
        node.deciding(deadline=200)


def test_a_month_of_blocks_takes_a_bounded_number_of_questions() -> None:
    node = a_node([1], salt_ended=1)
    far = node.blocks[0].height + 5_000_000
    node.blocks[1] = Block(height=far, time=T0 + timedelta(days=30), hash="h1", previous_hash="h0")
    with pytest.raises(BlocksNotKept):
        node.deciding(deadline=40 * 86_400)
    assert node.questions <= QUESTIONS_MAX
