"""The guards, one small function each: whether it passed, and the numbers that show it.

A guard that cannot be evaluated refuses (blueprint, principle 4); it shows `unknown` as its number.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from unrip.domain.case import Case
from unrip.domain.decision import Guard, Refusal
from unrip.domain.inventory import Reconciliation
from unrip.domain.reference import Reference
from unrip.domain.values import MONEY, age_ms, decimal_of

Verdict = tuple[bool, dict[str, str]]


def _text(number: int | Decimal | Fraction | None) -> str:
    """Plain digits, whatever the magnitude; exact but for a fraction's places beyond the eighteenth."""
    if number is None:
        return "unknown"
    if isinstance(number, Fraction):
        number = decimal_of(number).normalize(MONEY)
    return f"{number:f}" if isinstance(number, Decimal) else str(number)


def _at_most(name: str, number: int | Decimal | Fraction | None, limit: int | Decimal) -> Verdict:
    passed = number is not None and number <= limit
    return passed, {name: _text(number), "limit": _text(limit)}


def _at_least(name: str, number: int | Decimal | Fraction | None, limit: int | Decimal | None) -> Verdict:
    passed = number is not None and limit is not None and number >= limit
    return passed, {name: _text(number), "limit": _text(limit)}


def not_paused(case: Case) -> Verdict:
    return not case.desk.paused, {}


def armed(case: Case) -> Verdict:
    return bool(case.desk.armed), {"armed": ",".join(case.desk.armed) or "none"}


def direction_armed(case: Case) -> Verdict:
    return case.demand.direction in case.desk.armed, {
        "direction": case.demand.direction,
        "armed": ",".join(case.desk.armed) or "none",
    }


def not_halted(case: Case) -> Verdict:
    return not case.desk.halted, {}


def not_recovering(case: Case) -> Verdict:
    recovering = case.desk.executor.recovering if case.desk.executor else None
    return recovering is False, {"recovering": "unknown" if recovering is None else str(recovering).lower()}


def unknowns_few(case: Case) -> Verdict:
    ledger = case.desk.ledger
    return _at_most("without_answer", ledger.without_answer if ledger else None, case.policy.unknown_max)


def not_a_router_leg(case: Case) -> Verdict:
    return not case.demand.router_leg or case.policy.answer_router_legs, {
        "router_leg": str(case.demand.router_leg).lower()
    }


def demand_valid(case: Case) -> Verdict:
    return case.demand_is_valid, {
        "amount_in": str(case.demand.amount_in),
        "amount_out": str(case.demand.amount_out),
        "min_deadline_ms": str(case.demand.min_deadline_ms),
    }


def above_minimum(case: Case) -> Verdict:
    """Refuse what is worth too little. Without a price there is no notional to judge; `price_missing` refuses then."""
    if case.fair_rate is None and case.demand_is_valid:
        return True, {"notional_eur": "no price to measure it by"}
    return _at_least("notional_eur", case.notional_eur, case.policy.notional_floor_eur)


def window_open(case: Case) -> Verdict:
    return case.window_left_ms > 0, {"window_left_ms": str(case.window_left_ms)}


def window_long_enough(case: Case) -> Verdict:
    return _at_least("window_left_ms", case.window_left_ms, case.policy.window_needed_ms)


def deadline_short_enough(case: Case) -> Verdict:
    return _at_most("min_deadline_ms", case.demand.min_deadline_ms, case.policy.deadline_max_ms)


def clocks_agree(case: Case) -> Verdict:
    """No input lies ahead of our clock by more than the limit: then one of the clocks is wrong.

    A beat counts, too: one from the future would still look fresh long after its sender is gone. So do the peg, and
    CoinGecko's price where it stands in for Kraken's.
    """
    kraken = case.price.value.primary if case.price else None
    coingecko = case.price.value.second_opinion if case.price and case.price_fallback else None
    peg = case.price.value.peg if case.price else None
    instants = {"demand": case.demand.received_at}
    if kraken is not None:
        instants["price"] = kraken.source_time or kraken.observed_at
    if case.inventory is not None:
        instants["block"] = case.inventory.value.block_time
    beats = {"executor": case.desk.executor, "history": case.desk.history}
    instants |= {name: beat.observed_at for name, beat in beats.items() if beat is not None}
    if coingecko is not None:
        instants["second_opinion"] = coingecko.base_updated_at
    if peg is not None and peg.updated_at is not None:
        instants["peg"] = peg.updated_at
    ahead = {name: (instant - case.now) // timedelta(milliseconds=1) for name, instant in instants.items()}
    worst = max(ahead, key=lambda name: ahead[name])
    passed = ahead[worst] <= case.policy.clock_ahead_max_ms
    return passed, {"ahead_ms": str(ahead[worst]), "of": worst, "limit": str(case.policy.clock_ahead_max_ms)}


def price_known(case: Reference) -> Verdict:
    system = case.price.value.primary_system if case.price else None
    known = case.fair_rate is not None and case.fair_rate > 0
    numbers = {"fair_rate": _text(case.fair_rate), "primary_system": system or "unknown"}
    return known, numbers | ({"reference": "paused"} if case.price and case.price.value.paused else {})


def price_fresh(case: Reference) -> Verdict:
    return _at_most("price_age_ms", case.price_age_ms, case.price_age_max_ms)


def price_sources_agree(case: Reference) -> Verdict:
    """The sources do not contradict each other (blueprint, section 6).

    CoinGecko missing alone is degraded, not refused. A newest reading that contradicts refuses however old it is, until
    a newer one agrees or an operator accepts it. Where CoinGecko stands in for Kraken it must still agree with Kraken's
    newest reading: nothing else contradicts it there. The rate must agree with its source, too: if it is further off
    than the edge pays for, it is nobody's price.
    """
    limit = min(case.policy.disagreement_max, case.policy.edge_threshold)
    if case.fair_rate is not None and (case.rate_off is None or case.rate_off > limit):
        return _at_most("rate_off", case.rate_off, limit)
    compared = case.price is not None and case.price.value.disagreement is not None
    agreed = case.disagreement is None or case.disagreement <= case.policy.disagreement_max
    if case.fair_rate is not None and case.price_degraded and agreed and not case.price_fallback:
        return True, {"disagreement": "no second opinion", "second_opinion_age_ms": _text(case.coingecko_age_ms)}
    return _at_most("disagreement", case.disagreement if compared else None, case.disagreement_max)


def price_steady(case: Reference) -> Verdict:
    """Kraken's mid is settled, by the numbers in the price event.

    Where CoinGecko stands in for Kraken, readings of Kraken need not go on; what moved before must be confirmed all the
    same.
    """
    jump = case.price.value.jump if case.price else None
    if jump is None:
        return False, {"move": "unknown"}
    silent = jump.sparse and case.price_fallback
    return not jump.moved and (silent or not (jump.sparse or jump.jumped)), {
        "move": _text(jump.move),
        "limit": _text(jump.limit),
        "window_s": str(jump.window_s),
        "readings": str(jump.readings),
        "readings_needed": str(jump.readings_min),
        "contradicted": str(jump.contradicted).lower(),
    }


def peg_holds(case: Reference) -> Verdict:
    """EURe is worth what we assume, by the numbers in the price event. Without any reading `peg_unknown` refuses."""
    peg = case.price.value.peg if case.price else None
    if peg is None:
        return False, {"quote_asset_eur": "unknown"}
    within = case.peg_deviation is None or case.peg_deviation <= peg.breaks_beyond
    return peg.broken is not True and within, {
        "quote_asset_eur": _text(peg.quote_asset_eur),
        "assumed": _text(case.price.value.quote_asset_eur if case.price else None),
        "deviation": _text(case.peg_deviation),
        "breaks_beyond": _text(peg.breaks_beyond),
        "heals_within": _text(peg.heals_within),
    }


def peg_known(case: Reference) -> Verdict:
    return _at_most("peg_age_ms", case.peg_age_ms, case.policy.peg_age_max_ms)


def inventory_known(case: Case) -> Verdict:
    """There is a snapshot; one without a salt that nonces can carry cannot be used for an offer."""
    snapshot = case.inventory.value if case.inventory else None
    salted = snapshot is None or snapshot.salt_known
    return case.credited is not None and salted, {
        "snapshot": "unknown" if snapshot is None else str(snapshot.height) if salted else "of no salt",
        "ledger": "unknown" if case.desk.ledger is None else str(case.desk.ledger.height),
    }


def inventory_fresh(case: Case) -> Verdict:
    return _at_most("inventory_age_ms", case.inventory_age_ms, case.policy.inventory_age_max_ms)


def inventory_reconciled(case: Case) -> Verdict:
    """The change of the balance is explained.

    A rise that nothing explains does not refuse: it is not spendable. A fall refuses, whatever it is called.
    """
    snapshot, asset = case.inventory.value if case.inventory else None, case.demand.asset_out
    unexplained = snapshot.unexplained(asset) if snapshot else None
    state = snapshot.reconciliation.get(asset) if snapshot else None
    fallen = unexplained is None or (unexplained < 0 and state is not Reconciliation.AWAITED)
    passed = not fallen and state not in {None, Reconciliation.UNEXPLAINED_FALL}
    return passed, {"unexplained": _text(unexplained), "reconciliation": state or "unknown"}


def inventory_sufficient(case: Case) -> Verdict:
    return _at_least("credited", case.credited, case.proposal.amount_out if case.proposal else case.demand.amount_out)


def inventory_free(case: Case) -> Verdict:
    """What is not held covers what the offer would add to the hold of its nonce, and that keeps within the share.

    An offer that adds nothing may join its nonce also where a smaller balance has left more held than the share.
    """
    required = case.nonce.growth if case.nonce else case.demand.amount_out
    free, numbers = _at_least("spendable", case.spendable, required)
    within, _ = _at_least("share_left", case.share_left, required)
    return free and (within or required == 0), {**numbers, "share_left": _text(case.share_left)}


def edge_sufficient(case: Case) -> Verdict:
    return _at_least("gross_edge", case.gross_edge, case.edge_threshold)


def notional_below_cap(case: Case) -> Verdict:
    return _at_most("notional_eur", case.notional_eur, case.policy.notional_cap_eur)


def exposure_below_cap(case: Case) -> Verdict:
    return _at_most("exposure_eur", case.exposure_eur, case.policy.exposure_cap_eur)


def inventory_in_band(case: Case) -> Verdict:
    """The inventory stays within its band, whatever settles of this offer and the open ones.

    A bound that is not set is not checked. Only what makes things worse is judged: an asset that is out of its band may
    be traded back into it.
    """
    lower, upper = case.lower_bound, case.upper_bound
    low_enough = upper is None or (case.highest is not None and case.highest <= upper)
    high_enough = lower is None or (case.lowest is not None and case.lowest >= lower)
    return low_enough and high_enough, {
        "spent": case.pair.spent(case.demand.direction).symbol,
        "lowest": _text(case.lowest),
        "lower_bound": "none" if lower is None else _text(lower),
        "received": case.pair.received(case.demand.direction).symbol,
        "highest": _text(case.highest),
        "upper_bound": "none" if upper is None else _text(upper),
    }


def day_result_sufficient(case: Case) -> Verdict:
    return _at_least("day_result_eur", case.desk.day_result_eur, case.policy.day_result_min_eur)


def rate_below_limit(case: Case) -> Verdict:
    """At most the last offer that its minute allows."""
    earlier = case.desk.offers_last_minute
    return _at_most("offers_in_60_s", None if earlier is None else earlier + 1, case.policy.offers_per_minute_max)


def executor_ready(case: Case) -> Verdict:
    """The active executor's beat is recent, and it is ready, running and armed for this direction."""
    executor = case.desk.executor
    if executor is None:
        return False, {"executor_age_ms": "unknown"}
    age = age_ms(case.now, executor.observed_at)
    passed = (
        age <= case.policy.beat_age_max_ms
        and executor.ready
        and not executor.paused
        and not executor.halted
        and case.demand.direction in executor.armed
    )
    return passed, {
        "executor_age_ms": str(age),
        "limit": str(case.policy.beat_age_max_ms),
        "ready": str(executor.ready).lower(),
        "paused": str(executor.paused).lower(),
        "halted": str(executor.halted).lower(),
        "armed": ",".join(executor.armed) or "none",
    }


def audit_store_available(case: Case) -> Verdict:
    """What is decided can be recorded: our own session and the history writer's database both live."""
    history = case.desk.history
    if history is None:
        return False, {"store_up": str(case.desk.store_up).lower(), "history_age_ms": "unknown"}
    age = age_ms(case.now, history.observed_at)
    passed = (
        case.desk.store_up
        and history.database_up
        and age <= case.policy.beat_age_max_ms
        and history.lag is not None
        and history.lag <= case.policy.history_lag_max
    )
    return passed, {
        "store_up": str(case.desk.store_up).lower(),
        "history_database_up": str(history.database_up).lower(),
        "history_age_ms": str(age),
        "limit": str(case.policy.beat_age_max_ms),
        "history_lag": _text(history.lag),
        "lag_limit": str(case.policy.history_lag_max),
    }


def key_registered(case: Case) -> Verdict:
    snapshot = case.inventory.value if case.inventory else None
    if snapshot is None:
        return False, {"key_registered": "unknown"}
    return snapshot.key_registered and not snapshot.account_locked, {
        "key_registered": str(snapshot.key_registered).lower(),
        "account_locked": str(snapshot.account_locked).lower(),
    }


def venue_running(case: Case) -> Verdict:
    paused = case.inventory.value.contract_paused if case.inventory else None
    return paused is False, {"contract_paused": "unknown" if paused is None else str(paused).lower()}


#: The guards that judge the price alone: the executor asks them about the price that it read itself.
PRICE_GUARDS: dict[Refusal, Callable[[Reference], Verdict]] = {
    Refusal.PRICE_MISSING: price_known,
    Refusal.PRICE_STALE: price_fresh,
    Refusal.PRICE_SOURCES_DISAGREE: price_sources_agree,
    Refusal.PRICE_JUMP: price_steady,
    Refusal.PEG_BROKEN: peg_holds,
    Refusal.PEG_UNKNOWN: peg_known,
}

#: All guards in the order of the blueprint (section 6); the first that refuses is named.
GUARDS: dict[Refusal, Callable[[Case], Verdict]] = {
    Refusal.PAUSED: not_paused,
    Refusal.DISARMED: armed,
    Refusal.DIRECTION_DISARMED: direction_armed,
    Refusal.HALTED: not_halted,
    Refusal.RECOVERING: not_recovering,
    Refusal.TOO_MANY_UNKNOWN: unknowns_few,
    Refusal.ROUTER_LEG: not_a_router_leg,
    Refusal.DEMAND_INVALID: demand_valid,
    Refusal.BELOW_MINIMUM: above_minimum,
    Refusal.WINDOW_CLOSED: window_open,
    Refusal.WINDOW_TOO_SHORT: window_long_enough,
    Refusal.DEADLINE_TOO_LONG: deadline_short_enough,
    Refusal.CLOCK_SKEWED: clocks_agree,
    **PRICE_GUARDS,
    Refusal.INVENTORY_MISSING: inventory_known,
    Refusal.INVENTORY_STALE: inventory_fresh,
    Refusal.INVENTORY_UNRECONCILED: inventory_reconciled,
    Refusal.INSUFFICIENT_INVENTORY: inventory_sufficient,
    Refusal.INVENTORY_HELD: inventory_free,
    Refusal.EDGE_BELOW_THRESHOLD: edge_sufficient,
    Refusal.NOTIONAL_ABOVE_CAP: notional_below_cap,
    Refusal.EXPOSURE_ABOVE_CAP: exposure_below_cap,
    Refusal.INVENTORY_OUT_OF_BAND: inventory_in_band,
    Refusal.DAILY_LOSS_HALT: day_result_sufficient,
    Refusal.RATE_LIMITED: rate_below_limit,
    Refusal.EXECUTOR_NOT_READY: executor_ready,
    Refusal.AUDIT_STORE_UNAVAILABLE: audit_store_available,
    Refusal.KEY_NOT_REGISTERED: key_registered,
    Refusal.VENUE_PAUSED: venue_running,
}


def ask_all(case: Case) -> tuple[Guard, ...]:
    """Ask every guard, even after one has refused."""
    verdicts = ((reason, guard(case)) for reason, guard in GUARDS.items())
    return tuple(Guard(reason=reason, passed=passed, numbers=numbers) for reason, (passed, numbers) in verdicts)
