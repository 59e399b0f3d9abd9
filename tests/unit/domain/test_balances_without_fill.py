"""When the balances of two neighbouring blocks leave only one explanation: that nothing was executed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import product

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from support.executor import a_reading
from support.ledgers import BTC, EURE, an_offer
from unrip.domain.attempt import Offer
from unrip.domain.balances import Withdrawal, possible_takers, shows_no_fill
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading


def giving(asset: str, name: str, amount_in: int, amount_out: int, nonce: str | None = None) -> Offer:
    offer = an_offer(name, amount=amount_out, asset=asset, nonce=nonce)
    return msgspec.structs.replace(offer, amount_in=Amount(amount_in))


#: We give 90 EURe for 100 sat, or 100 sat for 110 EURe.
ONE, TWIN = giving(EURE, "one", 100, 90, "n1"), giving(EURE, "twin", 100, 90, "n1")
TWO, BACK = giving(EURE, "two", 200, 180, "n2"), giving(BTC, "back", 110, 100, "n3")
#: At this price somebody gives our 90 EURe back for the 100 sat: together with `ONE` nothing moves.
UNDOES = giving(BTC, "undoes", 90, 100, "n4")


def two_blocks(offers: Iterable[Offer], taken: Iterable[Offer], *, eure: int, btc: int) -> list[VerifierReading]:
    """Two blocks between which the balances change by this much."""
    nonces = {offer.nonce for offer in offers}
    used = {offer.nonce for offer in taken}
    readings = []
    for height, (change_eure, change_btc) in enumerate(((0, 0), (eure, btc))):
        reading = a_reading(height, asked=sorted(nonces), used=sorted(used) if height else [])
        credited = {EURE: Amount(10_000 + change_eure), BTC: Amount(10_000 + change_btc)}
        readings.append(msgspec.structs.replace(reading, credited=credited))
    return readings


@pytest.mark.parametrize(
    ("offers", "taken", "eure", "btc", "no_fill"),
    [
        ([ONE], [], 0, 0, True),
        ([ONE, TWIN, TWO, BACK], [], 0, 0, True),
        ([ONE], [], -90, 100, False),
        ([ONE], [], 1, 0, False),
        ([ONE], [], 0, -1, False),
        ([ONE], [], 0, 100, False),
        ([ONE, TWO], [TWO], -180, 200, True),
        ([ONE, TWO], [TWO], -270, 300, False),
        ([ONE, BACK], [BACK], 110, -100, True),
        ([ONE, TWO, TWIN], [ONE], -90, 100, False),
        ([ONE, UNDOES], [], 0, 0, False),
        ([UNDOES], [], 0, 0, True),
        ([ONE, UNDOES], [UNDOES], 0, 0, False),
        ([ONE, BACK], [BACK], 0, 0, True),
    ],
    ids=[
        "nothing moved",
        "nothing moved, with offers of both directions",
        "its own fill, forgotten",
        "a gift",
        "a withdrawal",
        "its fill, hidden by a gift of what it gave",
        "another offer's fill",
        "another offer's fill and its own",
        "a fill of the other direction",
        "a fill of one of two on a nonce",
        "two that undo each other",
        "one of them alone",
        "two that undo each other, of which one is remembered",
        "a stranger's use of a nonce",
    ],
)
def test_one_explanation_or_more(offers: list[Offer], taken: list[Offer], eure: int, btc: int, no_fill: bool) -> None:
    assert shows_no_fill(offers, *two_blocks(offers, taken, eure=eure, btc=btc)) is no_fill


def test_a_use_that_may_be_our_revocations_is_no_explanation() -> None:
    """`TWO` is used by a revocation; an equal offer that was executed and forgotten moved what it would have moved."""
    equal = giving(EURE, "equal", 200, 180, "n5")
    blocks = two_blocks([TWO, equal], [TWO], eure=-180, btc=200)
    assert shows_no_fill([TWO, equal], *blocks)
    assert not shows_no_fill([TWO, equal], *blocks, may_be_revoked={TWO.nonce})
    assert shows_no_fill([TWO, equal], *blocks, may_be_revoked={equal.nonce})


@pytest.mark.parametrize(("withdrawals", "tried"), [(12, True), (13, False)])
def test_more_explanations_than_are_tried_are_no_evidence(withdrawals: int, tried: bool) -> None:
    """Each of the owner's withdrawals may be part of it: the work has a bound, and beyond it nothing is known."""

    def blocks(moved: int) -> tuple[VerifierReading, VerifierReading]:
        before, after = two_blocks([ONE], [], eure=-moved, btc=0)
        return msgspec.structs.replace(before, block_time=after.block_time - timedelta(seconds=1)), after

    taken = [Withdrawal(asset_id=EURE, amount=Amount(1), told_at=blocks(0)[1].block_time)] * withdrawals
    assert shows_no_fill([ONE], *blocks(withdrawals), withdrawals=taken) is tried
    found = possible_takers([ONE], *blocks(withdrawals - 1), withdrawals=taken[1:])
    assert found == ([None] if tried else [None, ONE])


amounts = st.integers(1, 6)


@given(
    drawn=st.lists(
        st.tuples(st.sampled_from([EURE, BTC]), amounts, amounts, st.integers(0, 4)), min_size=1, max_size=5
    ),
    data=st.data(),
)
def test_what_was_executed_is_never_taken_for_nothing(
    drawn: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    """Any of the offers was executed, one per nonce, and the contract forgot what it pleases of it."""
    offers = [
        giving(asset, str(n), amount_in, amount_out, f"nonce {shared} {asset}")
        for n, (asset, amount_in, amount_out, shared) in enumerate(drawn)
    ]
    by_nonce = {offer.nonce: [each for each in offers if each.nonce == offer.nonce] for offer in offers}
    executed = [data.draw(st.sampled_from([None, *alike])) for alike in by_nonce.values()]
    taken = [offer for offer in executed if offer is not None]
    remembered = [offer for offer in taken if data.draw(st.booleans())]
    eure = sum(o.amount_in if o.asset_in == EURE else -o.amount_out for o in taken)
    btc = sum(o.amount_in if o.asset_in == BTC else -o.amount_out for o in taken)
    if shows_no_fill(offers, *two_blocks(offers, remembered, eure=eure, btc=btc)):
        assert len(taken) == len(remembered)


@given(pairs=st.lists(st.tuples(amounts, amounts), min_size=1, max_size=3), backs=st.lists(st.tuples(amounts, amounts)))
def test_with_prices_apart_nothing_is_taken_for_something(
    pairs: list[tuple[int, int]], backs: list[tuple[int, int]]
) -> None:
    """Balances that stay as they were prove it, whenever each direction gives less than the other asks for."""
    assume(all(out * back_out < amount_in * back_in for (amount_in, out), (back_in, back_out) in product(pairs, backs)))
    offers = [giving(EURE, f"e{n}", *pair) for n, pair in enumerate(pairs)]
    offers += [giving(BTC, f"b{n}", *pair) for n, pair in enumerate(backs)]
    assert shows_no_fill(offers, *two_blocks(offers, [], eure=0, btc=0))
