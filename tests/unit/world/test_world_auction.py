"""Auction windows with an explicit clock."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrip_world.codec import NS_PER_MS
from unrip_world.relay.auction import Answer, Auction, Offer, QuoteRequest

START_NS = 1_900_000_000 * 10**9


def auction(**fields: Any) -> Auction:
    request = QuoteRequest(quote_id="q", asset_in="a", asset_out="b", exact_amount_in="1", **fields)
    return Auction(request=request, published_ns=START_NS)


def offer(amount_in: int = 1, amount_out: int = 1) -> Offer:
    return Offer(
        solver="s",
        account_id="s.near",
        quote_hash="h",
        amount_in=amount_in,
        amount_out=amount_out,
        deadline_ns=0,
        signed={},
    )


def answered(found: Auction, *, after_ms: int, **amounts: Any) -> Auction:
    answer = Answer(solver="s", received_ms=after_ms, reply="OK", offer=offer(**amounts))
    found.add(answer, now_ns=START_NS + after_ms * NS_PER_MS)
    return found


def window_ms(found: Auction) -> int:
    return (found.closes_ns - START_NS) // NS_PER_MS


@pytest.mark.parametrize(
    ("fields", "unanswered_ms", "answered_ms"),
    [
        ({}, 3_000, 600),
        ({"min_wait_ms": 1}, 3_000, 600),
        ({"min_wait_ms": 1_900, "max_wait_ms": 3_000}, 3_000, 2_200),
        ({"min_wait_ms": 1_900, "max_wait_ms": 2_000}, 2_000, 2_000),
        ({"min_wait_ms": 1, "protocol_fee_included": True}, 51, 51),
        ({"min_wait_ms": 1, "max_wait_ms": 500, "protocol_fee_included": True}, 500, 60),
    ],
)
def test_windows_of_the_documentation(fields: dict[str, Any], unanswered_ms: int, answered_ms: int) -> None:
    found = auction(**fields)
    assert window_ms(found) == unanswered_ms
    assert window_ms(answered(found, after_ms=10)) == answered_ms


def test_a_first_answer_after_min_wait_opens_the_grace() -> None:
    assert window_ms(answered(auction(max_wait_ms=3_000), after_ms=1_000)) == 1_300


def test_the_closing_instant_is_late() -> None:
    found = auction(max_wait_ms=300)
    assert found.accepts_answers(found.closes_ns - 1)
    assert not found.accepts_answers(found.closes_ns)


@given(
    min_wait_ms=st.none() | st.integers(0, 5_000),
    max_wait_ms=st.none() | st.integers(0, 5_000),
    leg=st.booleans(),
    after_ms=st.integers(0, 5_000),
)
def test_an_answer_never_prolongs_and_never_shortens_below_min_wait(
    min_wait_ms: int | None, max_wait_ms: int | None, leg: bool, after_ms: int
) -> None:
    found = auction(min_wait_ms=min_wait_ms, max_wait_ms=max_wait_ms, protocol_fee_included=leg)
    before = window_ms(found)
    if after_ms < before:
        after = window_ms(answered(found, after_ms=after_ms))
        assert max(min_wait_ms or 0, 0 if leg else 300) <= after <= before


def test_the_best_offer_is_the_takers() -> None:
    exact_in = auction()
    for out in (5, 9, 7):
        answered(exact_in, after_ms=1, amount_out=out)
    best = exact_in.best()
    assert best is not None
    assert best.amount_out == 9
    exact_out = Auction(
        request=QuoteRequest(quote_id="q", asset_in="a", asset_out="b", exact_amount_out="1"), published_ns=START_NS
    )
    for amount_in in (5, 3, 7):
        answered(exact_out, after_ms=1, amount_in=amount_in)
    cheapest = exact_out.best()
    assert cheapest is not None
    assert cheapest.amount_in == 3
    assert auction().best() is None
