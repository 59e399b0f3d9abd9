"""A case for every refusal by the desk's switches, the demand and the price."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from support.cases import (
    BTC,
    FAIR,
    NOW,
    a_coingecko,
    a_jump,
    a_kraken,
    a_peg,
    a_view,
    ago,
    an_executor,
)
from support.refusals import (
    JUMP_FINE,
    PEG_FINE,
    WITHOUT_PRICE,
    WITHOUT_PROPOSAL,
    Refused,
    demand,
    desk,
    inventory,
    price,
)
from unrip.domain.decision import Refusal
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount

UP_TO_PRICE = [
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
        price(primary=a_kraken(source_time=ago(-3_000))),
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
        Refusal.CLOCK_SKEWED,
        price(
            primary=a_kraken(source_time=ago(10_001)),
            second_opinion=a_coingecko(base_updated_at=ago(-3_600_000), observed_at=ago(-3_600_000)),
        )
        | {"policy": Policy(coingecko_fallback=True)},
        {"ahead_ms": "3600000", "of": "second_opinion", "limit": "250"},
        name="a fallback of the future",
    ),
    Refused(
        Refusal.CLOCK_SKEWED,
        price(peg=a_peg(updated_at=ago(-3_600_000), observed_at=ago(-3_600_000))),
        {"ahead_ms": "3600000", "of": "peg", "limit": "250"},
        name="a peg of the future",
    ),
    Refused(
        Refusal.PRICE_MISSING,
        {"price": None},
        {"fair_rate": "unknown", "primary_system": "unknown"},
        WITHOUT_PRICE,
        name="no price record at all",
    ),
    Refused(
        Refusal.PRICE_MISSING,
        price(fair_rate=None, primary_system="maintenance"),
        {"fair_rate": "unknown", "primary_system": "maintenance"},
        WITHOUT_PROPOSAL - {Refusal.BELOW_MINIMUM},
    ),
    Refused(
        Refusal.PRICE_STALE,
        price(primary=a_kraken(source_time=ago(10_001))),
        {"price_age_ms": "10001", "limit": "10000"},
        name="old by the source's own time",
    ),
    Refused(
        Refusal.PRICE_STALE,
        price(primary=a_kraken(observed_at=ago(10_001), source_time=None)),
        {"price_age_ms": "10001", "limit": "10000"},
        name="old by our time",
    ),
    Refused(
        Refusal.PRICE_STALE,
        price(primary=a_kraken(source_time=ago(10_001)))
        | {"policy": Policy(coingecko_fallback=True, fallback_age_max_ms=59_999)},
        {"price_age_ms": "10001", "limit": "10000"},
        name="CoinGecko too old to stand in",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(primary=a_kraken(source_time=ago(10_001)), disagreement=Decimal("0.031"))
        | {"policy": Policy(coingecko_fallback=True)},
        {"disagreement": "0.031", "limit": "0.03"},
        name="a fallback far from Kraken's last word",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(primary=None, fair_rate=None, disagreement=None) | {"policy": Policy(coingecko_fallback=True)},
        {"disagreement": "unknown", "limit": "0.03"},
        name="a fallback without any word of Kraken",
    ),
    Refused(
        Refusal.EDGE_BELOW_THRESHOLD,
        price(primary=a_kraken(source_time=ago(10_001)))
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
        Refusal.PRICE_SOURCES_DISAGREE,
        price(
            second_opinion=a_coingecko(base_asset_eur=FAIR * 2, base_updated_at=ago(7_000_000)), disagreement=Decimal(1)
        ),
        {"disagreement": "1", "limit": "0.03"},
        name="a contradiction that has grown old",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(second_opinion=a_coingecko(base_asset_eur=FAIR * Decimal("1.04"))),
        {"disagreement": "0.04", "limit": "0.03"},
        name="readings that say otherwise than they are told to",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(
            second_opinion=a_coingecko(base_asset_eur=FAIR * Decimal("1.04"), base_updated_at=ago(-40_000)),
            disagreement=None,
        ),
        {"disagreement": "unknown", "limit": "0.03"},
        name="a contradiction of the future that was not compared",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(fair_rate=Decimal(63_000)),
        {"rate_off": "0.049920826735561296", "limit": "0.02"},
        name="a rate far from what it is from",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(primary=a_kraken(bid=Decimal(0), ask=Decimal(0))),
        {"rate_off": "unknown", "limit": "0.02"},
        name="a rate from no price",
    ),
    Refused(
        Refusal.PRICE_SOURCES_DISAGREE,
        price(primary=a_kraken(source_time=ago(10_001)), second_opinion_rate=Decimal(57_000))
        | {"policy": Policy(coingecko_fallback=True)},
        {"rate_off": "0.050949050949050949", "limit": "0.02"},
        name="a fallback far from what it is from",
    ),
    Refused(
        Refusal.PRICE_JUMP,
        price(jump=a_jump(readings=9)),
        JUMP_FINE | {"readings": "9"},
        name="too few readings to tell",
    ),
    Refused(
        Refusal.PRICE_JUMP,
        price(jump=a_jump(move=Decimal("0.0101"))),
        JUMP_FINE | {"move": "0.0101"},
        name="a move that is told as none",
    ),
    Refused(
        Refusal.PRICE_JUMP,
        price(primary=a_kraken(source_time=ago(10_001)), jump=a_jump(jumped=True, since=ago(99_000), readings=0))
        | {"policy": Policy(coingecko_fallback=True)},
        JUMP_FINE | {"readings": "0"},
        name="a jump that nobody confirmed before Kraken fell silent",
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
        price(peg=a_peg(broken=True, quote_asset_eur=Decimal("0.97"), deviation=Decimal("0.03"))),
        PEG_FINE | {"quote_asset_eur": "0.97", "deviation": "0.03"},
    ),
    Refused(
        Refusal.PEG_BROKEN,
        price(peg=None),
        {"quote_asset_eur": "unknown"},
        {Refusal.PEG_UNKNOWN},
        name="a peg that nobody judged",
    ),
    Refused(
        Refusal.PEG_BROKEN,
        price(peg=a_peg(quote_asset_eur=Decimal("0.95"))),
        PEG_FINE | {"quote_asset_eur": "0.95", "deviation": "0.05"},
        name="a broken peg that is told as whole",
    ),
    Refused(
        Refusal.PEG_UNKNOWN,
        price(peg=a_peg(broken=None)),
        {"peg_age_ms": "unknown", "limit": "21600000"},
        name="a reading that nobody judged",
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
        price(peg=a_peg(broken=None, quote_asset_eur=None, updated_at=None, observed_at=None, deviation=None)),
        {"peg_age_ms": "unknown", "limit": "21600000"},
        name="no reading ever",
    ),
]
