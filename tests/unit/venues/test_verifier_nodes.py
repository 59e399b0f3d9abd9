"""Several nodes behind the verifier: which one is asked, and what two together must answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from support.near_node import (
    HEIGHT,
    NONCE,
    NOW,
    Clock,
    Counts,
    Node,
    an_error,
    endpoints_of,
    named,
    places,
    verifier_at,
)
from unrip.venues.near_intents.endpoints import BACK_TO_FIRST_AFTER, LAG_MAX
from unrip.venues.near_intents.rpc import ContractPanic, RpcContradicted, RpcUnavailable


def forward(clock: Clock, by: timedelta, *nodes: Node) -> None:
    """Let time pass, also on these nodes' chain."""
    clock.now += by
    for node in nodes:
        node.nanoseconds += by // timedelta(microseconds=1) * 1_000


def down() -> Node:
    node = Node()
    node.raw = an_error("HANDLER_ERROR", "NO_SYNCED_BLOCKS")
    return node


async def test_the_next_node_is_asked_where_one_is_unavailable_and_stays_for_a_while() -> None:
    first, second, third, clock, counts = down(), down(), Node(), Clock(), Counts()
    verifier = verifier_at(endpoints_of(first, second, third, clock=clock, counts=counts))
    assert (await verifier.read()).height == HEIGHT
    assert places(counts) == [("1", "unavailable"), ("2", "unavailable"), ("3", "answered")]
    first.raw = None
    counts.clear()
    forward(clock, BACK_TO_FIRST_AFTER - timedelta(seconds=1), first, third)
    await verifier.read()
    assert places(counts) == [("3", "answered")]
    counts.clear()
    forward(clock, timedelta(seconds=1), first, third)
    await verifier.read()
    assert places(counts) == [("1", "answered")], "back to the first"
    counts.clear()
    forward(clock, BACK_TO_FIRST_AFTER * 2, first, third)
    await verifier.read()
    assert places(counts) == [("1", "answered")]


async def test_a_first_node_that_is_still_away_is_left_for_another_while() -> None:
    first, second, clock, counts = down(), Node(), Clock(), Counts()
    verifier = verifier_at(endpoints_of(first, second, clock=clock, counts=counts))
    await verifier.read()
    forward(clock, BACK_TO_FIRST_AFTER, first, second)
    await verifier.read()
    counts.clear()
    await verifier.read()
    assert places(counts) == [("2", "answered")]
    second.raw = first.raw
    first.raw = None
    counts.clear()
    await verifier.read()
    assert places(counts) == [("2", "unavailable"), ("1", "answered")], "any other, when the one that stood in is away"


async def test_a_node_that_lags_behind_our_clock_is_passed_over_while_another_is_further() -> None:
    first, second, clock, counts = Node(), Node(), Clock(), Counts()
    verifier = verifier_at(endpoints_of(first, second, clock=clock, counts=counts))
    forward(clock, LAG_MAX, second)
    await verifier.read()
    assert places(counts) == [("1", "answered")], "at the bound it does not lag yet"
    counts.clear()
    forward(clock, timedelta(seconds=1), second)
    reading = await verifier.read()
    assert (clock.now - reading.block_time) < LAG_MAX
    assert places(counts) == [("1", "lagging"), ("2", "answered")]
    counts.clear()
    await verifier.read()
    assert places(counts) == [("2", "answered")], "and the other one stays for a while"


async def test_a_node_that_lags_behind_another_is_passed_over_whatever_our_clock_says() -> None:
    ahead, behind, other, clock, counts = Node(), Node(), Node(), Clock(), Counts()
    forward(clock, LAG_MAX + timedelta(seconds=1), ahead, other)
    clock.now = NOW
    verifier = verifier_at(endpoints_of(ahead, behind, other, clock=clock, counts=counts))
    await verifier.read()
    ahead.raw = down().raw
    await verifier.read()
    assert places(counts) == [("1", "answered"), ("1", "unavailable"), ("2", "lagging"), ("3", "answered")]


async def test_where_every_node_lags_the_newest_answer_counts() -> None:
    """A chain that stands still is no reason to forget what it said: its age is judged by those who use it."""
    first, second, clock, counts = Node(), Node(), Clock(), Counts()
    forward(clock, timedelta(seconds=1), second)
    verifier = verifier_at(endpoints_of(first, second, clock=clock, counts=counts))
    forward(clock, LAG_MAX * 2)
    reading = await verifier.read()
    assert clock.now - reading.block_time < LAG_MAX * 2
    assert places(counts) == [("1", "lagging"), ("2", "lagging")]


async def test_a_node_that_is_not_believed_is_turned_away_from_whatever_time_it_gave() -> None:
    """Its time would make every other node lag for ever."""
    liar, other, clock = Node(), Node(), Clock()
    forward(clock, timedelta(minutes=5), liar)
    clock.now = NOW
    verifier = verifier_at(named(liar, other, clock=clock))
    assert (await verifier.read()).node == "1"
    assert (await verifier.read(elsewhere=True)).node == "2"
    assert (await verifier.read()).node == "2", "as if it stood in for the first"
    clock.now += BACK_TO_FIRST_AFTER
    other.nanoseconds += BACK_TO_FIRST_AFTER // timedelta(microseconds=1) * 1_000
    assert (await verifier.read()).node == "1"


async def test_two_nodes_that_had_to_agree_are_both_named() -> None:
    verifier = verifier_at(named(Node(), Node(), clock=lambda: NOW), cross_check=True)
    assert (await verifier.read()).node == "1+2"


async def test_two_nodes_together_lag_by_the_block_that_both_have() -> None:
    first, second, clock, counts = Node(), Node(), Clock(), Counts()
    clock.now += LAG_MAX * 2
    reading = await verifier_at(endpoints_of(first, second, clock=clock, counts=counts), cross_check=True).read()
    assert reading.height == HEIGHT
    assert places(counts) == [("1", "lagging"), ("2", "lagging")]


async def test_a_reading_never_comes_from_two_nodes() -> None:
    first, second = Node(), Node()
    first.views["is_account_locked"] = None
    await verifier_at(endpoints_of(first, second)).read()
    assert len(second.asked) == 6


async def test_without_any_node_the_last_reason_stands() -> None:
    with pytest.raises(RpcUnavailable, match="NO_SYNCED_BLOCKS"):
        await verifier_at(endpoints_of(down(), down())).read()


async def test_a_definite_word_is_not_asked_about_elsewhere() -> None:
    first, second, counts = Node(), Node(), Counts()
    first.panics["simulate_intents"] = "wasm execution failed: MethodNotFound"
    with pytest.raises(ContractPanic):
        await verifier_at(endpoints_of(first, second, counts=counts)).read()
    assert places(counts) == [("1", "answered")]
    assert second.asked == []


async def test_simulations_and_transactions_fail_over_too() -> None:
    node = Node()
    node.views["tx"] = {"final_execution_status": "FINAL", "receipts_outcome": []}
    verifier = verifier_at(endpoints_of(down(), node))
    assert (await verifier.simulate([{}])).refusal is None
    assert await verifier.transaction_fills("tx", "desk.example.near") == []


@pytest.mark.parametrize("ahead", ["neither", "first", "second"])
async def test_two_nodes_that_agree_are_believed_at_the_block_that_both_have(ahead: str) -> None:
    first, second = Node(), Node()
    if ahead != "neither":
        (first if ahead == "first" else second).final = HEIGHT + 2
    reading = await verifier_at(endpoints_of(first, second), cross_check=True).read(nonces=[NONCE], salts=["252812b3"])
    assert (reading.height, reading.nonces) == (HEIGHT, {NONCE: True})
    assert sorted(name for name, _ in first.asked) == sorted(name for name, _ in second.asked)


CONTRADICTIONS: dict[str, Any] = {
    "mt_batch_balance_of": ["152000000", "84000000000000000000000"],
    "is_nonce_used": False,
    "is_valid_salt": True,
    "current_salt": "252812b4",
}


@pytest.mark.parametrize("view", CONTRADICTIONS)
async def test_two_nodes_that_differ_are_both_not_believed(view: str) -> None:
    first, second, counts = Node(), Node(), Counts()
    second.views[view] = CONTRADICTIONS[view]
    with pytest.raises(RpcContradicted, match=f"block {HEIGHT}"):
        await verifier_at(endpoints_of(first, second, Node(), counts=counts), cross_check=True).read(
            nonces=[NONCE], salts=["252812b3"]
        )
    assert places(counts) == [("1", "contradicted")], "a third node is not asked until somebody agrees"


async def test_two_nodes_must_agree_about_the_time_of_a_block() -> None:
    first, second = Node(), Node()
    second.nanoseconds += 10**9
    with pytest.raises(RpcContradicted, match="times"):
        await verifier_at(endpoints_of(first, second), cross_check=True).read()


async def test_what_one_node_says_alone_is_unknown() -> None:
    with pytest.raises(RpcUnavailable):
        await verifier_at(endpoints_of(Node(), down()), cross_check=True).read()


async def test_a_third_node_stands_in_for_either_of_two() -> None:
    for nodes in ((down(), Node(), Node()), (Node(), down(), Node()), (Node(), Node(), down())):
        assert (await verifier_at(endpoints_of(*nodes), cross_check=True).read()).height == HEIGHT
