"""A contradiction of the sources refuses until something newer agrees, or an operator accepts it for a while."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from support.cases import a_case, a_coingecko, a_decision, a_kraken, a_price, ago, seen
from support.engine import a_control, a_record
from support.logic import after
from support.market import Market, case_of, refused
from unrip.domain.decision import Refusal
from unrip.domain.market import AcceptedDisagreement, MarketPrice
from unrip.frame.contract import Control, ControlRefused
from unrip.messages.topics import MARKET_PRICE

DISAGREE = Refusal.PRICE_SOURCES_DISAGREE


def contradicted(coingecko: str = "73500") -> Market:
    """Kraken is calm; CoinGecko has said otherwise (by 5 %), and nothing since."""
    market = Market()
    market.coingecko(coingecko, age_s=0)
    market.ticks("70000", seconds=20)
    return market


def accepting(up_to: str = "6 %", minutes: int = 30) -> Control:
    return a_control("accept-disagreement", up_to=up_to, minutes=minutes)


@pytest.mark.parametrize("said", ["73500", "140000", "35000"])
@pytest.mark.parametrize("age_s", [30, 599, 601, 3_600, 4 * 3_600])
def test_it_does_not_end_by_growing_old(said: str, age_s: int) -> None:
    market = contradicted(said)
    market.run(seconds=age_s - 30)
    market.ticks("70000", seconds=10)
    assert refused(case_of(market)) is DISAGREE


def test_a_newer_word_that_agrees_ends_it_and_an_older_one_does_not() -> None:
    market = contradicted()
    market.coingecko("70000", age_s=25)
    market.ticks("70000", seconds=2)
    assert refused(case_of(market)) is DISAGREE, "a cache that goes back in time"
    market.coingecko("70000", age_s=0)
    market.ticks("70000", seconds=2)
    assert refused(case_of(market)) is None


@pytest.mark.parametrize("ahead_s", [1, 50])
def test_a_word_that_is_dated_ahead_neither_ends_it_nor_stands_in_the_way_of_a_newer_one(ahead_s: int) -> None:
    market = contradicted()
    market.coingecko("70000", age_s=-ahead_s)
    market.ticks("70000", seconds=2)
    assert refused(case_of(market)) is DISAGREE
    assert market.logic.state(market.now).coingecko_last_failure == "its price is dated ahead of our clock"
    market.coingecko("70000", age_s=0)
    market.ticks("70000", seconds=2)
    assert refused(case_of(market)) is None


def test_a_price_of_eure_that_is_dated_ahead_is_no_word_on_the_peg() -> None:
    market = Market()
    market.coingecko("70000", age_s=-50)
    market.ticks("70000", seconds=12)
    assert refused(case_of(market)) is Refusal.PEG_UNKNOWN


def test_a_restart_does_not_forget_it() -> None:
    before = contradicted()
    before.run(seconds=2)
    again = Market(at=after(hours=2), remembers=before.prices()[-1])
    again.ticks("70000", seconds=12)
    assert refused(case_of(again)) is DISAGREE
    sooner = Market(at=after(seconds=40), caught_up=False)
    sooner.coingecko("70000", age_s=45)
    sooner.emit(a_record(MARKET_PRICE, before.prices()[-1], published_at=after(seconds=30)))
    price: Any = sooner.logic.state(sooner.now).price
    assert price.second_opinion.base_asset_eur == 73_500, "the last word by its own time"


def test_readiness_names_source_difference_and_age() -> None:
    market = contradicted()
    market.run(seconds=581)
    market.ticks("70000", seconds=2)
    assert market.logic.not_ready(market.now) == ["sources_disagree: coingecko is 5.0% away from kraken and 10 min old"]


# --- an operator ----------------------------------------------------------------------------------------------------


def test_an_operator_accepts_it_for_a_while() -> None:
    market = contradicted()
    market.run(seconds=700)
    assert not market.logic.tightens(accepting()), "it is recorded first"
    said = market.logic.follow(accepting(), market.now)
    assert market.logic.control_state(market.now)["accepted_disagreement"] == "none"
    market.emit(accepting())
    assert said.items() <= market.logic.control_state(market.now).items()
    market.ticks("70000", seconds=12)
    case = case_of(market)
    assert (refused(case), case.price_degraded, case.disagreement_max) == (None, True, Decimal("0.06"))
    assert market.logic.not_ready(market.now) == []
    assert market.logic.control_state(market.now)["accepted_disagreement"].startswith("6 % until 2026-11-22T10:42")
    market.run(minutes=30)
    market.ticks("70000", seconds=12)
    assert refused(case_of(market)) is DISAGREE
    assert market.logic.control_state(market.now)["accepted_disagreement"] == "none"


@pytest.mark.parametrize(
    ("up_to", "minutes", "complaint"),
    [("4.9 %", 30, "5 % apart by now"), ("6", 30, "needs its unit"), ("a %", 30, "no number")],
)
def test_no_less_than_there_is_can_be_accepted(up_to: str, minutes: int, complaint: str) -> None:
    market = contradicted()
    with pytest.raises(ControlRefused, match=complaint):
        market.emit(accepting(up_to, minutes))
    market.coingecko("70000", age_s=0)
    with pytest.raises(ControlRefused, match="do not contradict"):
        market.emit(accepting())


def test_what_was_accepted_covers_no_more_and_ends_where_they_agree_once() -> None:
    market = contradicted()
    market.emit(accepting())
    market.coingecko("74300", age_s=0)
    market.ticks("70000", seconds=2)
    assert refused(case_of(market)) is DISAGREE
    market.coingecko("70000", age_s=0)
    market.ticks("70000", seconds=2)
    market.coingecko("73500", age_s=0)
    market.ticks("70000", seconds=2)
    assert refused(case_of(market)) is DISAGREE


def test_it_is_taken_back_at_once_and_a_restart_takes_it_back() -> None:
    market = contradicted()
    market.emit(accepting())
    market.ticks("70000", seconds=2)
    assert refused(case_of(market)) is None
    again = Market(at=market.now, remembers=market.prices()[-1])
    again.ticks("70000", seconds=12)
    assert refused(case_of(again)) is DISAGREE
    assert market.logic.tightens(accepting(minutes=0))
    market.emit(accepting(minutes=0))
    market.run(seconds=1)
    assert refused(case_of(market)) is DISAGREE


# --- what the strategy is handed ------------------------------------------------------------------------------------

OLD = a_coingecko(base_asset_eur=Decimal(63_000), base_updated_at=ago(601_000))


def a_word(until: datetime) -> AcceptedDisagreement:
    return AcceptedDisagreement(up_to=Decimal("0.06"), until=until, actor="operator")


@pytest.mark.parametrize(
    ("until", "accepted"), [(ago(0), False), (ago(-1), True), (ago(-3_600_000), True), (ago(-3_600_001), False)]
)
def test_the_strategy_believes_no_word_that_has_ended_or_claims_more_than_an_hour(
    until: datetime, *, accepted: bool
) -> None:
    price = a_price(second_opinion=OLD, disagreement=Decimal("0.05"), accepted=a_word(until))
    decision = a_decision(a_case(price=seen("p", price)))
    assert decision.accepted is accepted
    assert decision.price_degraded


def degraded(**changes: Any) -> bool:
    price: MarketPrice = a_price(**changes)
    decision = a_decision(a_case(price=seen("p", price)))
    assert decision.accepted
    return decision.price_degraded


def test_a_second_opinion_dated_ahead_of_our_clock_or_of_the_first_is_none() -> None:
    assert not degraded(second_opinion=a_coingecko(base_updated_at=ago(200)))
    assert degraded(second_opinion=a_coingecko(base_updated_at=ago(-40_000)))
    assert degraded(primary=a_kraken(source_time=ago(9_000)), second_opinion=a_coingecko(base_updated_at=ago(5_000)))
