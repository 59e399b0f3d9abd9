"""Exact prices: integer amounts in, integer amounts out, rounding always in favour of the desk."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from unrip.domain.pairs import Asset, Direction, Pair
from unrip.domain.values import MONEY, Amount, Value


class Proposal(Value):
    """The two amounts of an offer, with its edge and rates."""

    #: What we receive.
    amount_in: Amount
    #: What we spend.
    amount_out: Amount


def required_edge(*, base: Decimal, per_sqrt_minute: Decimal, lifetime_ms: int) -> Decimal:
    """The edge to offer for a life: `base + k * sqrt(life / 60 s)` (blueprint, section 6)."""
    minutes = MONEY.divide(Decimal(lifetime_ms), Decimal(60_000))
    return MONEY.add(base, MONEY.multiply(per_sqrt_minute, MONEY.sqrt(minutes)))


def fair_in_per_out(pair: Pair, direction: Direction, fair_rate: Decimal) -> Fraction:
    """Smallest units of what we receive that one smallest unit of what we spend is worth."""
    quote_units_per_base_unit = Fraction(fair_rate) * Fraction(10) ** (pair.quote.decimals - pair.base.decimals)
    return 1 / quote_units_per_base_unit if direction is Direction.BASE_IN else quote_units_per_base_unit


def propose(
    pair: Pair,
    direction: Direction,
    *,
    fair_rate: Decimal,
    edge: Decimal,
    amount_in: Amount | None = None,
    amount_out: Amount | None = None,
) -> Proposal:
    """The offer for the fixed amount of a demand; exactly one of the two is given.

    Exact-in: what we spend is rounded down. Exact-out: what we receive is rounded up.
    """
    in_per_out = fair_in_per_out(pair, direction, fair_rate) * (1 + Fraction(edge))
    if amount_in is not None:
        return Proposal(amount_in=amount_in, amount_out=Amount(math.floor(amount_in / in_per_out)))
    if amount_out is None:
        raise ValueError("a proposal needs one fixed amount")
    return Proposal(amount_in=Amount(math.ceil(amount_out * in_per_out)), amount_out=amount_out)


def gross_edge(pair: Pair, direction: Direction, *, fair_rate: Decimal, proposal: Proposal) -> Fraction:
    """Fair value received over fair value spent, minus one, from the integers that will be signed."""
    fair_amount_in = proposal.amount_out * fair_in_per_out(pair, direction, fair_rate)
    return Fraction(proposal.amount_in) / fair_amount_in - 1


def implied_rate(pair: Pair, direction: Direction, proposal: Proposal) -> Fraction:
    """The rate of the offer in whole quote per whole base, comparable with the fair rate."""
    base, quote = (
        (proposal.amount_in, proposal.amount_out)
        if direction is Direction.BASE_IN
        else (proposal.amount_out, proposal.amount_in)
    )
    return Fraction(quote, base) / Fraction(10) ** (pair.quote.decimals - pair.base.decimals)


def spent_units(
    pair: Pair, direction: Direction, *, eur: Decimal, eur_per_quote: Decimal, fair_rate: Decimal
) -> Fraction:
    """How many smallest units of what we spend this many EUR are worth at the fair rate."""
    quote_units: Fraction = Fraction(eur) / Fraction(eur_per_quote) * 10**pair.quote.decimals
    if direction is Direction.BASE_IN:
        return quote_units
    return quote_units * fair_in_per_out(pair, Direction.BASE_IN, fair_rate)


def notional_eur(
    pair: Pair, direction: Direction, *, fair_rate: Decimal, eur_per_quote: Decimal, proposal: Proposal
) -> Fraction:
    """The fair value in EUR of the larger side, which is the one we receive."""
    received = pair.received(direction)
    return value_eur(pair, received, proposal.amount_in, fair_rate=fair_rate, eur_per_quote=eur_per_quote)


def value_eur(pair: Pair, asset: Asset, amount: int, *, fair_rate: Decimal, eur_per_quote: Decimal) -> Fraction:
    """The fair value in EUR of an amount of one of the pair's assets."""
    whole = Fraction(amount, 10**asset.decimals)
    return (whole * Fraction(fair_rate) if asset == pair.base else whole) * Fraction(eur_per_quote)
