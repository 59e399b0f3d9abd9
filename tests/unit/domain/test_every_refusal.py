"""Every refusal by itself: what puts it in force, that it is the one named, and the numbers it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from support.cases import (
    BOTH,
    BTC,
    EURE,
    FAIR,
    NOW,
    a_books,
    a_case,
    a_coingecko,
    a_decision,
    a_demand,
    a_desk,
    a_history,
    a_jump,
    a_kraken,
    a_peg,
    a_price,
    a_view,
    ago,
    an_executor,
    an_inventory,
    numbers_of,
    seen,
)
from unrip.domain.case import Case
from unrip.domain.decision import Refusal
from unrip.domain.guards import GUARDS, ask_all
from unrip.domain.inventory import Reconciliation
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount, Delta


@dataclass
class Refused:
    """A case that is refused for one reason, and the numbers that must be shown."""

    reason: Refusal
    changes: dict[str, Any]
    numbers: dict[str, str]
    #: Guards that refuse for the same cause, after the one that is named.
    also: set[Refusal] = field(default_factory=set)
    name: str = ""


def desk(**changes: Any) -> dict[str, Any]:
    return {"desk": a_desk(**changes)}


def demand(**changes: Any) -> dict[str, Any]:
    return {"demand": a_demand(**changes)}


def price(**changes: Any) -> dict[str, Any]:
    return {"price": seen("price-1", a_price(**changes))}


def inventory(**changes: Any) -> dict[str, Any]:
    return {"inventory": seen("inventory-1", an_inventory(**changes), 1_200)}


def band(**bounds: str) -> dict[str, Any]:
    return {"policy": msgspec.structs.replace(Policy(), **{name: Decimal(bound) for name, bound in bounds.items()})}


EXECUTOR_FINE = {
    "executor_age_ms": "600",
    "limit": "5000",
    "ready": "true",
    "paused": "false",
    "halted": "false",
    "armed": "base_in,base_out",
}
STORE_FINE = {
    "store_up": "true",
    "history_database_up": "true",
    "history_age_ms": "600",
    "limit": "5000",
    "history_lag": "3",
    "lag_limit": "5000",
}
JUMP_FINE = {
    "move": "0.0005",
    "limit": "0.01",
    "window_s": "60",
    "readings": "60",
    "readings_needed": "10",
    "contradicted": "false",
}
PEG_FINE = {
    "eure_eur": "0.999",
    "assumed": "1",
    "deviation": "0.001",
    "breaks_beyond": "0.02",
    "heals_within": "0.01",
}
#: What cannot be worked out without a price, after the price itself.
WITHOUT_PRICE = {
    Refusal.PRICE_MISSING,
    Refusal.PRICE_STALE,
    Refusal.PRICE_SOURCES_DISAGREE,
    Refusal.PRICE_JUMP,
    Refusal.PEG_BROKEN,
    Refusal.PEG_UNKNOWN,
    Refusal.INSUFFICIENT_INVENTORY,
    Refusal.INVENTORY_HELD,
    Refusal.EDGE_BELOW_THRESHOLD,
    Refusal.NOTIONAL_ABOVE_CAP,
    Refusal.EXPOSURE_ABOVE_CAP,
}
ABOUT_PRICE = {
    Refusal.PRICE_MISSING,
    Refusal.PRICE_STALE,
    Refusal.PRICE_SOURCES_DISAGREE,
    Refusal.PRICE_JUMP,
    Refusal.PEG_BROKEN,
    Refusal.PEG_UNKNOWN,
}
WITHOUT_PROPOSAL = WITHOUT_PRICE - ABOUT_PRICE | {Refusal.BELOW_MINIMUM}
WITHOUT_SNAPSHOT = {
    Refusal.INVENTORY_STALE,
    Refusal.INVENTORY_UNRECONCILED,
    Refusal.INSUFFICIENT_INVENTORY,
    Refusal.INVENTORY_HELD,
    Refusal.KEY_NOT_REGISTERED,
    Refusal.VENUE_PAUSED,
}

ONE = 10**18
#: What a demand here would leave of 5 000 EURe, and make of 0.1 BTC.
IN_BAND = {
    "spent": "EURe",
    "lowest": "4988.260157801675675312",
    "lower_bound": "none",
    "received": "BTC",
    "highest": "0.1002",
    "upper_bound": "none",
}

#: What 20 000 sat at 60 000 EUR with the edge of a 70 s offer buy.
OUT = Amount(11_739_842_198_324_324_688)

CASES = [
    Refused(Refusal.PAUSED, desk(paused=True), {}),
    Refused(Refusal.DISARMED, desk(armed=()), {"armed": "none"}, {Refusal.DIRECTION_DISARMED}),
    Refused(
        Refusal.DIRECTION_DISARMED,
        desk(armed=(Direction.BASE_OUT,)),
        {"direction": "base_in", "armed": "base_out"},
    ),
    Refused(Refusal.HALTED, desk(halted=True), {}),
    Refused(Refusal.RECOVERING, desk(executor=an_executor(recovering=True)), {"recovering": "true"}),
    Refused(
        Refusal.RECOVERING,
        desk(executor=None),
        {"recovering": "unknown"},
        {Refusal.EXECUTOR_NOT_READY},
        name="no beat of the executor",
    ),
    Refused(
        Refusal.TOO_MANY_UNKNOWN,
        desk(ledger=a_view(without_answer=11)),
        {"without_answer": "11", "limit": "10"},
    ),
    Refused(
        Refusal.TOO_MANY_UNKNOWN,
        desk(ledger=a_view(without_answer=None)),
        {"without_answer": "unknown", "limit": "10"},
        name="an executor that does not say how many",
    ),
    Refused(
        Refusal.TOO_MANY_UNKNOWN,
        desk(ledger=None),
        {"without_answer": "unknown", "limit": "10"},
        {
            Refusal.INVENTORY_MISSING,
            Refusal.INSUFFICIENT_INVENTORY,
            Refusal.INVENTORY_HELD,
            Refusal.EXPOSURE_ABOVE_CAP,
        },
        name="no ledger",
    ),
    Refused(Refusal.ROUTER_LEG, demand(router_leg=True), {"router_leg": "true"}),
    Refused(
        Refusal.DEMAND_INVALID,
        demand(amount_in=None),
        {"amount_in": "None", "amount_out": "None", "min_deadline_ms": "60000"},
        WITHOUT_PROPOSAL,
        name="no amount",
    ),
    Refused(
        Refusal.DEMAND_INVALID,
        demand(amount_out=Amount(5)),
        {"amount_in": "20000", "amount_out": "5", "min_deadline_ms": "60000"},
        WITHOUT_PROPOSAL - {Refusal.INSUFFICIENT_INVENTORY, Refusal.INVENTORY_HELD},
        name="both amounts",
    ),
    Refused(
        Refusal.DEMAND_INVALID,
        demand(amount_in=Amount(0)),
        {"amount_in": "0", "amount_out": "None", "min_deadline_ms": "60000"},
        WITHOUT_PROPOSAL,
        name="nothing",
    ),
    Refused(
        Refusal.DEMAND_INVALID,
        demand(amount_in=Amount(2**127)),
        {"amount_in": str(2**127), "amount_out": "None", "min_deadline_ms": "60000"},
        WITHOUT_PROPOSAL,
        name="more than the venue can carry",
    ),
    Refused(
        Refusal.DEMAND_INVALID,
        demand(min_deadline_ms=0),
        {"amount_in": "20000", "amount_out": "None", "min_deadline_ms": "0"},
        WITHOUT_PROPOSAL,
        name="no life",
    ),
    Refused(
        Refusal.DEMAND_INVALID,
        demand(asset_out=BTC.asset_id),
        {"amount_in": "20000", "amount_out": "None", "min_deadline_ms": "60000"},
        WITHOUT_PROPOSAL,
        name="an asset against itself",
    ),
    Refused(Refusal.BELOW_MINIMUM, demand(amount_in=Amount(1_666)), {"notional_eur": "0.9996", "limit": "1"}),
    Refused(
        Refusal.BELOW_MINIMUM,
        demand(direction=Direction.BASE_OUT, amount_in=Amount(1)),
        {"notional_eur": "unknown", "limit": "1"},
        WITHOUT_PROPOSAL,
        name="worth less than one satoshi",
    ),
    Refused(Refusal.WINDOW_CLOSED, demand(answer_by=NOW), {"window_left_ms": "0"}, {Refusal.WINDOW_TOO_SHORT}),
    Refused(
        Refusal.WINDOW_TOO_SHORT,
        demand(answer_by=NOW + timedelta(milliseconds=39)),
        {"window_left_ms": "39", "limit": "40"},
    ),
    Refused(Refusal.DEADLINE_TOO_LONG, demand(min_deadline_ms=60_001), {"min_deadline_ms": "60001", "limit": "60000"}),
    Refused(
        Refusal.CLOCK_SKEWED,
        demand(received_at=ago(-251)),
        {"ahead_ms": "251", "of": "demand", "limit": "250"},
        name="a demand of the future",
    ),
    Refused(
        Refusal.CLOCK_SKEWED,
        price(kraken=a_kraken(source_time=ago(-3_000))),
        {"ahead_ms": "3000", "of": "price", "limit": "250"},
        name="a price of the future",
    ),
    Refused(
        Refusal.CLOCK_SKEWED,
        inventory(block_time=ago(-400)),
        {"ahead_ms": "400", "of": "block", "limit": "250"},
        name="a block of the future",
    ),
    Refused(
        Refusal.CLOCK_SKEWED,
        desk(executor=an_executor(observed_at=ago(-3_600_000))),
        {"ahead_ms": "3600000", "of": "executor", "limit": "250"},
        name="a beat of the future",
    ),
    Refused(
        Refusal.PRICE_MISSING,
        {"price": None},
        {"fair_rate": "unknown", "kraken_system": "unknown"},
        WITHOUT_PRICE,
        name="no price record at all",
    ),
    Refused(
        Refusal.PRICE_MISSING,
        price(fair_rate=None, kraken_system="maintenance"),
        {"fair_rate": "unknown", "kraken_system": "maintenance"},
        WITHOUT_PROPOSAL - {Refusal.BELOW_MINIMUM},
    ),
    Refused(
        Refusal.PRICE_STALE,
        price(kraken=a_kraken(source_time=ago(10_001))),
        {"price_age_ms": "10001", "limit": "10000"},
        name="old by the source's own time",
    ),
    Refused(
        Refusal.PRICE_STALE,
        price(kraken=a_kraken(observed_at=ago(10_001), source_time=None)),
        {"price_age_ms": "10001", "limit": "10000"},
        name="old by our time",
    ),
    Refused(
        Refusal.PRICE_STALE,
        price(kraken=a_kraken(source_time=ago(10_001)))
        | {"policy": Policy(coingecko_fallback=True, fallback_age_max_ms=59_999)},
        {"price_age_ms": "10001", "limit": "10000"},
        name="CoinGecko too old to stand in",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(kraken=a_kraken(source_time=ago(10_001)), disagreement=Decimal("0.031"))
        | {"policy": Policy(coingecko_fallback=True)},
        {"disagreement": "0.031", "limit": "0.03"},
        name="a fallback far from Kraken's last word",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(kraken=None, fair_rate=None, disagreement=None) | {"policy": Policy(coingecko_fallback=True)},
        {"disagreement": "unknown", "limit": "0.03"},
        name="a fallback without any word of Kraken",
    ),
    Refused(
        Refusal.EDGE_BELOW_THRESHOLD,
        price(kraken=a_kraken(source_time=ago(10_001)))
        | {"policy": Policy(coingecko_fallback=True, edge_threshold=Decimal("0.025"))},
        {"gross_edge": "0.032160246899469286", "limit": "0.035"},
        name="a fallback at the edge that was enough for Kraken",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(disagreement=Decimal("0.0301")),
        {"disagreement": "0.0301", "limit": "0.03"},
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(disagreement=None),
        {"disagreement": "unknown", "limit": "0.03"},
        name="a second opinion that was not compared",
    ),
    Refused(
        Refusal.PRICE_JUMP,
        price(jump=a_jump(jumped=True, since=ago(9_000), move=Decimal("0.02"), readings=7)),
        JUMP_FINE | {"move": "0.02", "readings": "7"},
    ),
    Refused(
        Refusal.PRICE_JUMP,
        price(jump=a_jump(jumped=True, since=ago(99_000), contradicted=True)),
        JUMP_FINE | {"contradicted": "true"},
        name="a level that CoinGecko contradicts",
    ),
    Refused(Refusal.PRICE_JUMP, price(jump=None), {"move": "unknown"}, name="a price that nobody judged"),
    Refused(
        Refusal.PEG_BROKEN,
        price(peg=a_peg(broken=True, eure_eur=Decimal("0.97"), deviation=Decimal("0.03"))),
        PEG_FINE | {"eure_eur": "0.97", "deviation": "0.03"},
    ),
    Refused(
        Refusal.PEG_BROKEN,
        price(peg=None),
        {"eure_eur": "unknown"},
        {Refusal.PEG_UNKNOWN},
        name="a peg that nobody judged",
    ),
    Refused(
        Refusal.PEG_UNKNOWN,
        price(peg=a_peg(updated_at=ago(21_600_001))),
        {"peg_age_ms": "21600001", "limit": "21600000"},
        name="a reading of six hours ago by CoinGecko's time",
    ),
    Refused(
        Refusal.PEG_UNKNOWN,
        price(peg=a_peg(observed_at=ago(21_600_001))),
        {"peg_age_ms": "21600001", "limit": "21600000"},
        name="a reading of six hours ago by our time",
    ),
    Refused(
        Refusal.PEG_UNKNOWN,
        price(peg=a_peg(broken=None, eure_eur=None, updated_at=None, observed_at=None, deviation=None)),
        {"peg_age_ms": "unknown", "limit": "21600000"},
        name="no reading ever",
    ),
    Refused(
        Refusal.INVENTORY_MISSING,
        {"inventory": None},
        {"snapshot": "unknown", "ledger": "999"},
        WITHOUT_SNAPSHOT,
        name="no snapshot",
    ),
    Refused(
        Refusal.INVENTORY_STALE,
        inventory(block_time=ago(10_001)),
        {"inventory_age_ms": "10001", "limit": "10000"},
        name="an old block read just now",
    ),
    Refused(
        Refusal.INVENTORY_UNRECONCILED,
        inventory(
            reconciliation={EURE.asset_id: Reconciliation.UNEXPLAINED_FALL},
            books=a_books({EURE.asset_id: Delta(5_000 * 10**18 + 3)}),
        ),
        {"unexplained": "-3", "reconciliation": "unexplained_fall"},
    ),
    Refused(
        Refusal.INVENTORY_UNRECONCILED,
        inventory(books=None),
        {"unexplained": "unknown", "reconciliation": "unchanged"},
        {Refusal.INSUFFICIENT_INVENTORY, Refusal.INVENTORY_HELD},
        name="a snapshot without books",
    ),
    Refused(
        Refusal.INSUFFICIENT_INVENTORY,
        inventory(
            reconciliation={EURE.asset_id: Reconciliation.UNEXPLAINED_RISE},
            books=a_books({EURE.asset_id: Delta(OUT - 1)}),
        ),
        {"credited": str(OUT - 1), "limit": str(OUT)},
        {Refusal.INVENTORY_HELD},
        name="a rise that nothing explains is not spendable",
    ),
    Refused(
        Refusal.INSUFFICIENT_INVENTORY,
        inventory(credited={EURE.asset_id: Amount(OUT - 1)}),
        {"credited": str(OUT - 1), "limit": str(OUT)},
        {Refusal.INVENTORY_HELD},
        name="never had it by the snapshot",
    ),
    Refused(
        Refusal.INSUFFICIENT_INVENTORY,
        desk(ledger=a_view(credited={EURE.asset_id: Amount(OUT - 1)})),
        {"credited": str(OUT - 1), "limit": str(OUT)},
        {Refusal.INVENTORY_HELD},
        name="never had it by the ledger",
    ),
    Refused(
        Refusal.INVENTORY_HELD,
        desk(ledger=a_view(held={EURE.asset_id: Amount(5_000 * 10**18 - OUT + 1)})),
        {"spendable": str(OUT - 1), "limit": str(OUT)},
        {Refusal.EXPOSURE_ABOVE_CAP},
        name="promised by the ledger",
    ),
    Refused(
        Refusal.INVENTORY_HELD,
        desk(uncounted={EURE.asset_id: Amount(5_000 * 10**18)}),
        {"spendable": "0", "limit": str(OUT)},
        {Refusal.EXPOSURE_ABOVE_CAP},
        name="promised by own commands",
    ),
    Refused(
        Refusal.EDGE_BELOW_THRESHOLD,
        {"policy": Policy(edge_threshold=Decimal("0.03"))},
        {"gross_edge": "0.022160246899469286", "limit": "0.03"},
    ),
    Refused(
        Refusal.NOTIONAL_ABOVE_CAP,
        demand(amount_in=Amount(41_667)),
        {"notional_eur": "25.0002", "limit": "25"},
    ),
    Refused(
        Refusal.EXPOSURE_ABOVE_CAP,
        desk(ledger=a_view(held={EURE.asset_id: Amount(239 * 10**18)})),
        {"exposure_eur": "250.739842198324324688", "limit": "250"},
        name="promised by the ledger",
    ),
    Refused(
        Refusal.EXPOSURE_ABOVE_CAP,
        desk(ledger=a_view(held={BTC.asset_id: Amount(200_000)}), uncounted={BTC.asset_id: Amount(200_000)})
        | demand(direction=Direction.BASE_OUT),
        {"exposure_eur": "251.7396", "limit": "250"},
        name="promised by ledger and own commands together",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(quote_min="4988.27"),
        IN_BAND | {"lower_bound": "4988.27"},
        name="what is spent could fall too low",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="0.10019999"),
        IN_BAND | {"upper_bound": "0.10019999"},
        name="what is received could rise too high",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(quote_min="4988.2")
        | desk(ledger=a_view(held={EURE.asset_id: ONE}), uncounted={EURE.asset_id: Amount(2 * ONE)}),
        IN_BAND | {"lowest": "4985.260157801675675312", "lower_bound": "4988.2"},
        name="what is promised by ledger and own commands could all settle",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="0.1003")
        | desk(ledger=a_view(incoming={BTC.asset_id: Amount(10_000)}), uncounted_in={BTC.asset_id: Amount(1)}),
        IN_BAND | {"highest": "0.10030001", "upper_bound": "0.1003"},
        name="what ledger and own commands expect could all come",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(quote_max="5012") | demand(direction=Direction.BASE_OUT, amount_in=Amount(12 * ONE + 1)),
        {
            "spent": "BTC",
            "lowest": "0.09980434",
            "lower_bound": "none",
            "received": "EURe",
            "highest": "5012.000000000000000001",
            "upper_bound": "5012",
        },
        name="one unit too many, the other way",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="1") | desk(ledger=a_view(incoming=None)),
        IN_BAND | {"highest": "unknown", "upper_bound": "1"},
        name="a ledger that does not say what could come",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="1") | desk(uncounted_in=None),
        IN_BAND | {"highest": "unknown", "upper_bound": "1"},
        name="a record that does not say what own commands could bring",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="1") | desk(ledger=a_view(credited={EURE.asset_id: Amount(5_000 * ONE)})),
        IN_BAND | {"highest": "unknown", "upper_bound": "1"},
        name="a ledger that has not read what is credited of it",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="0.10019999") | inventory(books=a_books({EURE.asset_id: Delta(5_000 * ONE)})),
        IN_BAND | {"upper_bound": "0.10019999"},
        name="what nobody explains is there all the same",
    ),
    Refused(
        Refusal.DAILY_LOSS_HALT,
        desk(day_result_eur=Decimal("-10.01")),
        {"day_result_eur": "-10.01", "limit": "-10"},
    ),
    Refused(
        Refusal.DAILY_LOSS_HALT,
        desk(day_result_eur=None),
        {"day_result_eur": "unknown", "limit": "-10"},
        name="a day that nobody knows",
    ),
    Refused(Refusal.RATE_LIMITED, desk(offers_last_minute=60), {"offers_in_60_s": "61", "limit": "60"}),
    Refused(
        Refusal.RATE_LIMITED,
        desk(offers_last_minute=None),
        {"offers_in_60_s": "unknown", "limit": "60"},
        name="a desk that does not say",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(observed_at=ago(5_001))),
        EXECUTOR_FINE | {"executor_age_ms": "5001"},
        name="a silent executor",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(ready=False)),
        EXECUTOR_FINE | {"ready": "false"},
        name="an executor that is not ready",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(paused=True)),
        EXECUTOR_FINE | {"paused": "true"},
        name="a paused executor",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(halted=True)),
        EXECUTOR_FINE | {"halted": "true"},
        name="a halted executor",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(armed=(Direction.BASE_OUT,))),
        EXECUTOR_FINE | {"armed": "base_out"},
        name="an executor armed for the other direction",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(store_up=False),
        STORE_FINE | {"store_up": "false"},
        name="our own session lost",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=None),
        {"store_up": "true", "history_age_ms": "unknown"},
        name="no beat of the history writer",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(database_up=False)),
        STORE_FINE | {"history_database_up": "false"},
        name="a history writer without a database",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(lag=5_001)),
        STORE_FINE | {"history_lag": "5001"},
        name="a history writer far behind",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(lag=None)),
        STORE_FINE | {"history_lag": "unknown"},
        name="a history writer that does not say how far behind it is",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(observed_at=ago(5_001))),
        STORE_FINE | {"history_age_ms": "5001"},
        name="a silent history writer",
    ),
    Refused(
        Refusal.KEY_NOT_REGISTERED,
        inventory(key_registered=False),
        {"key_registered": "false", "account_locked": "false"},
    ),
    Refused(
        Refusal.KEY_NOT_REGISTERED,
        inventory(account_locked=True),
        {"key_registered": "true", "account_locked": "true"},
        name="a locked account",
    ),
    Refused(Refusal.VENUE_PAUSED, inventory(contract_paused=True), {"contract_paused": "true"}),
]


def test_everything_in_order_is_accepted() -> None:
    decision = a_decision()
    assert decision.accepted
    assert decision.reason is None
    assert all(guard.passed for guard in decision.guards)
    assert decision.required == OUT


@pytest.mark.parametrize("refused", CASES, ids=lambda case: f"{case.reason}: {case.name}" if case.name else case.reason)
def test_a_refusal_is_named_with_the_numbers_that_decided_it(refused: Refused) -> None:
    decision = a_decision(a_case(**refused.changes))
    assert not decision.accepted
    assert decision.reason is refused.reason
    assert decision.command is None
    assert dict(numbers_of(decision)) == refused.numbers
    others = {guard.reason for guard in decision.guards if not guard.passed} - {refused.reason}
    assert others == refused.also - {refused.reason}


def test_every_refusal_has_a_case() -> None:
    assert {refused.reason for refused in CASES} == set(Refusal)


def test_the_guards_are_the_refusals_in_their_order() -> None:
    assert list(GUARDS) == list(Refusal)
    assert tuple(guard.reason for guard in ask_all(a_case())) == tuple(Refusal)


def test_the_first_that_refuses_is_named_and_all_are_recorded() -> None:
    """With everything out of order at once, undoing the named reason each time names them all, in order."""
    named = []
    broken: dict[Refusal, dict[str, Any]] = {
        Refusal.PAUSED: {"paused": True},
        Refusal.DISARMED: {"armed": ()},
        Refusal.HALTED: {"halted": True},
        Refusal.AUDIT_STORE_UNAVAILABLE: {"store_up": False},
    }
    while True:
        changes: dict[str, Any] = {}
        for change in broken.values():
            changes |= change
        decision = a_decision(a_case(desk=a_desk(**changes)))
        assert len(decision.guards) == len(Refusal)
        if decision.reason is None:
            break
        named.append(decision.reason)
        del broken[decision.reason]
    assert named == [Refusal.PAUSED, Refusal.DISARMED, Refusal.HALTED, Refusal.AUDIT_STORE_UNAVAILABLE]


def blind(case: Case, missing: str) -> Case:
    """The same case with one input unknown."""
    if missing in {"executor", "history", "ledger"}:
        return a_case(desk=msgspec.structs.replace(case.desk, **{missing: None}))
    return a_case(**{missing: None})


@pytest.mark.parametrize("missing", ["price", "inventory", "executor", "history", "ledger"])
def test_a_guard_that_cannot_be_evaluated_refuses_and_says_unknown(missing: str) -> None:
    decision = a_decision(blind(a_case(), missing))
    assert not decision.accepted
    refused = [guard for guard in decision.guards if not guard.passed]
    assert refused
    assert all("unknown" in guard.numbers.values() for guard in refused)


def test_a_missing_second_opinion_is_degraded_not_refused() -> None:
    old = (a_coingecko(btc_updated_at=ago(600_001)), a_coingecko(observed_at=ago(600_001)))
    for coingecko in (None, *old):
        decision = a_decision(a_case(**price(coingecko=coingecko, disagreement=None)))
        assert decision.accepted
        assert decision.price_degraded
    assert not a_decision().price_degraded


def test_a_router_leg_is_answered_where_the_policy_says_so() -> None:
    policy = Policy(answer_router_legs=True)
    assert a_decision(a_case(policy=policy, **demand(router_leg=True))).accepted


@pytest.mark.parametrize("direction", BOTH)
def test_both_directions_go_through_the_same_guards(direction: Direction) -> None:
    decision = a_decision(a_case(**demand(direction=direction)))
    assert decision.accepted
    poor = an_inventory(credited={BTC.asset_id: Amount(0), EURE.asset_id: Amount(0)})
    decision = a_decision(a_case(inventory=seen("i", poor), **demand(direction=direction)))
    assert decision.reason is Refusal.INSUFFICIENT_INVENTORY


def test_numbers_are_plain_digits_whatever_their_magnitude() -> None:
    """`1E+2` or a float's rounding would be no help to whoever must explain a refusal."""
    huge = a_demand(amount_in=Amount(2**127 - 1))
    decision = a_decision(a_case(demand=huge))
    assert decision.reason is Refusal.INSUFFICIENT_INVENTORY
    for guard in decision.guards:
        assert not any("E+" in number or "E-" in number for number in guard.numbers.values())
    notional = next(guard for guard in decision.guards if guard.reason is Refusal.NOTIONAL_ABOVE_CAP).numbers
    assert Fraction(notional["notional_eur"]) == (2**127 - 1) * Fraction(FAIR) / 10**8
