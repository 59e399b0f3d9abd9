"""Prices are exact: integers in, integers out, and no rounding that a taker could gain from."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import BOTH, BTC, EURE, PAIR
from unrip.domain.pairs import Direction, Pair
from unrip.domain.pricing import Proposal, fair_in_per_out, gross_edge, implied_rate, notional_eur, propose
from unrip.domain.pricing import required_edge as edge_for
from unrip.domain.values import AMOUNT_MAX, MONEY, Amount

directions = st.sampled_from(BOTH)
rates = st.decimals(min_value=Decimal("0.01"), max_value=Decimal(10_000_000), places=5)
edges = st.decimals(min_value=Decimal(0), max_value=Decimal("0.5"), places=6)
amounts = st.integers(min_value=1, max_value=AMOUNT_MAX).map(Amount)
#: The shipped pair, and pairs of any decimals: a token may have none, and the mirrored pair has them the other way.
pairs = st.just(PAIR) | st.builds(
    lambda base, quote: Pair(
        base=msgspec.structs.replace(BTC, decimals=base), quote=msgspec.structs.replace(EURE, decimals=quote)
    ),
    st.integers(min_value=0, max_value=24),
    st.integers(min_value=0, max_value=24),
)


def exact_in(direction: Direction, rate: Decimal, edge: Decimal, amount: int, pair: Pair = PAIR) -> Proposal:
    return propose(pair, direction, fair_rate=rate, edge=edge, amount_in=Amount(amount))


def exact_out(direction: Direction, rate: Decimal, edge: Decimal, amount: int, pair: Pair = PAIR) -> Proposal:
    return propose(pair, direction, fair_rate=rate, edge=edge, amount_out=Amount(amount))


@given(pairs, directions, rates, edges, amounts, amounts)
def test_who_puts_in_more_gets_no_less_and_who_takes_more_pays_no_less(
    pair: Pair, direction: Direction, rate: Decimal, edge: Decimal, one: Amount, other: Amount
) -> None:
    less, more = sorted((one, other))
    given_out = exact_in(direction, rate, edge, less, pair).amount_out
    assert given_out <= exact_in(direction, rate, edge, more, pair).amount_out
    asked_in = exact_out(direction, rate, edge, less, pair).amount_in
    assert asked_in <= exact_out(direction, rate, edge, more, pair).amount_in


@given(pairs, directions, rates, edges, edges, amounts)
def test_a_wider_edge_gives_no_more_and_asks_no_less(
    pair: Pair, direction: Direction, rate: Decimal, one: Decimal, other: Decimal, amount: Amount
) -> None:
    narrow, wide = sorted((one, other))
    given_out = exact_in(direction, rate, wide, amount, pair).amount_out
    assert given_out <= exact_in(direction, rate, narrow, amount, pair).amount_out
    asked_in = exact_out(direction, rate, wide, amount, pair).amount_in
    assert asked_in >= exact_out(direction, rate, narrow, amount, pair).amount_in


@given(pairs, rates, rates, edges, amounts)
def test_a_dearer_base_buys_no_less_of_the_quote_and_costs_no_less_of_it(
    pair: Pair, one: Decimal, other: Decimal, edge: Decimal, amount: Amount
) -> None:
    cheap, dear = sorted((one, other))
    given_out = exact_in(Direction.BASE_IN, cheap, edge, amount, pair).amount_out
    assert given_out <= exact_in(Direction.BASE_IN, dear, edge, amount, pair).amount_out
    asked_in = exact_out(Direction.BASE_OUT, cheap, edge, amount, pair).amount_in
    assert asked_in <= exact_out(Direction.BASE_OUT, dear, edge, amount, pair).amount_in


@given(pairs, directions, rates, edges, amounts)
def test_asking_for_what_exact_in_gives_never_costs_more_and_that_price_buys_the_same_again(
    pair: Pair, direction: Direction, rate: Decimal, edge: Decimal, amount: Amount
) -> None:
    given_out = exact_in(direction, rate, edge, amount, pair).amount_out
    if given_out == 0:
        return
    asked_in = exact_out(direction, rate, edge, given_out, pair).amount_in
    assert asked_in <= amount
    assert exact_in(direction, rate, edge, asked_in, pair).amount_out == given_out


@given(pairs, directions, rates, edges, amounts)
def test_rounding_is_never_in_the_takers_favour_and_costs_less_than_one_unit(
    pair: Pair, direction: Direction, rate: Decimal, edge: Decimal, amount: Amount
) -> None:
    in_per_out = fair_in_per_out(pair, direction, rate) * (1 + Fraction(edge))
    exact = amount / in_per_out
    assert 0 <= exact - exact_in(direction, rate, edge, amount, pair).amount_out < 1
    exact = amount * in_per_out
    assert 0 <= exact_out(direction, rate, edge, amount, pair).amount_in - exact < 1


@given(pairs, directions, rates, edges, amounts, st.booleans())
def test_the_gross_edge_of_the_integers_is_never_below_the_edge(
    pair: Pair, direction: Direction, rate: Decimal, edge: Decimal, amount: Amount, fixed_in: bool
) -> None:
    proposal = (exact_in if fixed_in else exact_out)(direction, rate, edge, amount, pair)
    if proposal.amount_out == 0:
        return
    assert gross_edge(pair, direction, fair_rate=rate, proposal=proposal) >= edge


@given(pairs, rates, edges, st.integers(min_value=1, max_value=2**80).map(Amount))
def test_swapping_the_assets_and_inverting_the_price_mirrors_the_amounts(
    pair: Pair, rate: Decimal, edge: Decimal, amount: Amount
) -> None:
    """Most rates have no finite inverse; what the sixtieth digit leaves out is below one unit of these amounts."""
    inverted = MONEY.divide(Decimal(1), rate)
    mirror = Pair(base=pair.quote, quote=pair.base)
    for direction, opposite in (BOTH, BOTH[::-1]):
        ours, theirs = exact_in(direction, rate, edge, amount, pair), exact_in(opposite, inverted, edge, amount, mirror)
        assert abs(ours.amount_out - theirs.amount_out) <= 1
        ours = exact_out(direction, rate, edge, amount, pair)
        theirs = exact_out(opposite, inverted, edge, amount, mirror)
        assert abs(ours.amount_in - theirs.amount_in) <= 1


@given(rates, edges, amounts)
def test_the_implied_rate_is_worse_for_the_taker_than_the_fair_rate_by_the_edge(
    rate: Decimal, edge: Decimal, amount: Amount
) -> None:
    selling = exact_in(Direction.BASE_IN, rate, edge, amount)
    assert implied_rate(PAIR, Direction.BASE_IN, selling) * (1 + Fraction(edge)) <= rate
    buying = exact_out(Direction.BASE_OUT, rate, edge, amount)
    assert implied_rate(PAIR, Direction.BASE_OUT, buying) >= Fraction(rate) * (1 + Fraction(edge))


def test_known_offers_in_whole_tokens() -> None:
    rate, edge = Decimal(60_000), Decimal("0.02")
    sell = exact_in(Direction.BASE_IN, rate, edge, 10**8)
    assert sell.amount_out == math.floor(Fraction(60_000 * 10**18 * 100, 102))
    buy = exact_out(Direction.BASE_OUT, rate, edge, 10**8)
    assert buy.amount_in == 61_200 * 10**18
    assert implied_rate(PAIR, Direction.BASE_OUT, buy) == 61_200
    assert gross_edge(PAIR, Direction.BASE_OUT, fair_rate=rate, proposal=buy) == Fraction(2, 100)


def test_the_notional_is_what_the_larger_side_is_worth_by_the_recorded_assumption() -> None:
    sell = Proposal(amount_in=Amount(10**8), amount_out=Amount(1))
    buy = Proposal(amount_in=Amount(5 * 10**18), amount_out=Amount(1))
    values = {"fair_rate": Decimal(60_000), "eur_per_quote": Decimal("0.99")}
    assert notional_eur(PAIR, Direction.BASE_IN, proposal=sell, **values) == 59_400
    assert notional_eur(PAIR, Direction.BASE_OUT, proposal=buy, **values) == Fraction("4.95")


def test_a_proposal_needs_a_fixed_amount() -> None:
    with pytest.raises(ValueError, match="one fixed amount"):
        propose(PAIR, Direction.BASE_IN, fair_rate=Decimal(1), edge=Decimal(0))


@given(st.integers(min_value=0, max_value=10**8), st.integers(min_value=0, max_value=10**8))
def test_a_longer_life_costs_no_less(one: int, other: int) -> None:
    def edge(lifetime_ms: int) -> Decimal:
        return edge_for(base=Decimal("0.02"), per_sqrt_minute=Decimal("0.002"), lifetime_ms=lifetime_ms)

    assert edge(min(one, other)) <= edge(max(one, other))
    assert edge(0) == Decimal("0.02")
    assert edge(60_000) == Decimal("0.022")
    assert edge(240_000) == Decimal("0.024")


@given(st.decimals(min_value=0, max_value=10**6, places=20))
def test_whole_tokens_are_cut_down_to_units(whole: Decimal) -> None:
    assert 0 <= Fraction(whole) * 10**8 - BTC.units(whole) < 1


def test_a_pair_knows_its_directions() -> None:
    assert PAIR.direction_of(BTC.asset_id, EURE.asset_id) is Direction.BASE_IN
    assert PAIR.direction_of(EURE.asset_id, BTC.asset_id) is Direction.BASE_OUT
    assert PAIR.direction_of(BTC.asset_id, BTC.asset_id) is None
    for direction in BOTH:
        assert PAIR.direction_of(PAIR.received(direction).asset_id, PAIR.spent(direction).asset_id) is direction
    assert msgspec.structs.replace(PAIR, base=EURE).name == "EURe/EURe"
