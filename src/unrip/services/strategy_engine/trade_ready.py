"""Trade-ready: one answer per direction, yes or every reason why not (blueprint, section 11)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec

from unrip.domain.case import Case
from unrip.domain.decision import Refusal
from unrip.domain.demand import SwapDemand
from unrip.domain.guards import ask_all
from unrip.domain.pairs import Direction, Pair
from unrip.domain.pricing import fair_in_per_out, propose, spent_units
from unrip.domain.values import Amount, decimal_of
from unrip.services.strategy_engine.state import Readiness

#: The amount that readiness is asked about where the policy has no floor.
_SMALLEST_EUR = Fraction(1)
#: Guards about a demand's own shape say nothing about the desk.
_ABOUT_THE_DEMAND = frozenset(
    {
        Refusal.ROUTER_LEG,
        Refusal.DEMAND_INVALID,
        Refusal.BELOW_MINIMUM,
        Refusal.WINDOW_CLOSED,
        Refusal.WINDOW_TOO_SHORT,
        Refusal.DEADLINE_TOO_LONG,
    }
)


def trade_ready(case_of: Callable[[SwapDemand], Case], pair: Pair, now: datetime) -> dict[str, Readiness]:
    """Ask the real guards about the smallest demand worth an offer, once per direction."""
    return {direction.value: _ready(case_of, pair, direction, now) for direction in Direction}


def hindered(answers: dict[str, Readiness], *, by: Sequence[str]) -> dict[str, Readiness]:
    """The same answer where the strategy itself is not ready: then no direction is, whatever the guards remember."""
    own = tuple(dict.fromkeys(by))
    return {
        direction: msgspec.structs.replace(answer, ready=answer.ready and not own, reasons=(*own, *answer.reasons))
        for direction, answer in answers.items()
    }


def _ready(case_of: Callable[[SwapDemand], Case], pair: Pair, direction: Direction, now: datetime) -> Readiness:
    case = case_of(_smallest_demand(case_of, pair, direction, now))
    reasons = tuple(
        guard.reason.value for guard in ask_all(case) if not guard.passed and guard.reason not in _ABOUT_THE_DEMAND
    )
    return Readiness(
        ready=not reasons,
        reasons=reasons,
        spends=pair.spent(direction).symbol,
        spendable=None if case.spendable is None else str(case.spendable),
        largest_quotable=_largest_quotable(case, pair, direction),
    )


def _smallest_demand(
    case_of: Callable[[SwapDemand], Case], pair: Pair, direction: Direction, now: datetime
) -> SwapDemand:
    """An exact-in demand worth the notional floor, or of one unit where there is no price to measure it by."""
    received, spent = pair.received(direction), pair.spent(direction)
    demand = SwapDemand(
        demand_id="trade-ready",
        quote_id="trade-ready",
        pair=pair.name,
        direction=direction,
        asset_in=received.asset_id,
        asset_out=spent.asset_id,
        amount_in=Amount(1),
        amount_out=None,
        min_deadline_ms=60_000,
        router_leg=False,
        dry=False,
        partner_id=None,
        received_at=now,
        answer_by=now + timedelta(seconds=1),
    )
    case = case_of(demand)
    if case.fair_rate is None or case.fair_rate <= 0:
        return demand
    one_eur = 10**pair.quote.decimals
    floor_quote_units = max(Fraction(case.policy.notional_floor_eur), _SMALLEST_EUR) * one_eur
    floor_units = (
        floor_quote_units * fair_in_per_out(pair, Direction.BASE_IN, case.fair_rate)
        if direction is Direction.BASE_IN
        else floor_quote_units
    )
    return msgspec.structs.replace(demand, amount_in=Amount(max(1, math.ceil(floor_units))))


def _largest_quotable(case: Case, pair: Pair, direction: Direction) -> str | None:
    """The most we could spend in one offer now: what is spendable, within caps and bands, in whole tokens."""
    spent = pair.spent(direction)
    promised = case.desk.promised(spent.asset_id)
    if case.price is None or case.fair_rate is None or case.fair_rate <= 0:
        return None
    if case.spendable is None or promised is None:
        return None

    def worth(eur: Decimal) -> Fraction:
        return spent_units(pair, direction, eur=eur, eur_per_quote=eur_per_quote, fair_rate=fair_rate)

    eur_per_quote, fair_rate = case.price.value.quote_asset_eur, case.fair_rate
    kept = Fraction(case.lower_bound or 0) * 10**spent.decimals
    joined = case.nonce.joined if case.nonce else None
    within_share = Fraction(max(0, case.share_left or 0) + (joined.amount if joined else 0))
    rooms = [
        case.spendable - kept,
        within_share,
        worth(case.policy.notional_cap_eur),
        worth(case.policy.exposure_cap_eur) - promised,
    ]
    if case.upper_bound is not None:
        rooms.append(_spent_for(case, pair, direction, up_to=case.upper_bound, fair_rate=fair_rate))
    units = min(rooms)
    return str(decimal_of(units / 10**spent.decimals, digits=8)) if units > 0 else None


def _spent_for(case: Case, pair: Pair, direction: Direction, *, up_to: Decimal, fair_rate: Decimal) -> Fraction:
    """What we would give for all that may still come of the asset we receive; nothing where that is not known."""
    room = 0 if case.reachable is None else pair.received(direction).units(up_to) - case.reachable
    given = propose(pair, direction, fair_rate=fair_rate, edge=case.edge, amount_in=Amount(max(0, room)))
    return Fraction(given.amount_out)
