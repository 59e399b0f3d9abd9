"""Inventory bands: whatever of the open offers settles, nothing that was accepted carries an asset out of its band."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from support.cases import BOTH, BTC, EURE, PAIR, a_case, a_decision, a_demand, a_desk, a_view, an_inventory, seen
from unrip.domain.case import Case
from unrip.domain.decision import Refusal
from unrip.domain.guards import ask_all
from unrip.domain.pairs import Asset, Direction
from unrip.domain.policy import Policy
from unrip.domain.sharing import most_by_asset
from unrip.domain.values import Amount

Parts = list[tuple[str, str, Amount]]
BOUNDS = ("base_min", "base_max", "quote_min", "quote_max")
#: About 60 EUR each, so that an offer here matters.
HAD = {BTC: 10**5, EURE: 60 * 10**18}


@dataclass(frozen=True)
class Live:
    """An offer that may still settle; of those that carry one nonce only one can."""

    nonce: str
    direction: Direction
    brings: Amount
    spends: Amount
    #: The ledger has it already; otherwise it is an own command on its way there.
    claimed: bool


@st.composite
def live_offers(draw: st.DrawFn) -> list[Live]:
    offers = []
    for number in range(draw(st.integers(0, 4))):
        direction = draw(st.sampled_from(BOTH))
        brings, spends = draw(amounts(PAIR.received(direction))), draw(amounts(PAIR.spent(direction)))
        nonce = f"{direction} {draw(st.sampled_from(['shared', str(number)]))}"
        offers.append(Live(nonce, direction, brings, spends, draw(st.booleans())))
    return offers


def amounts(asset: Asset) -> st.SearchStrategy[Amount]:
    """From a hundredth of what there is to a third of it, in steps, so that bounds are met exactly."""
    return st.integers(1, 33).map(lambda percent: Amount(HAD[asset] * percent // 100))


def bounds() -> st.SearchStrategy[Policy]:
    def whole(asset: Asset) -> st.SearchStrategy[Decimal | None]:
        percents = st.integers(0, 200).map(lambda percent: Decimal(HAD[asset] * percent // 100).scaleb(-asset.decimals))
        return st.none() | percents

    return st.builds(Policy, base_min=whole(BTC), base_max=whole(BTC), quote_min=whole(EURE), quote_max=whole(EURE))


@st.composite
def banded_cases(draw: st.DrawFn) -> tuple[Case, list[Live]]:
    offers = draw(live_offers())
    direction = draw(st.sampled_from(BOTH))

    def moved(*, out: bool, claimed: bool) -> dict[str, Amount]:
        parts: Parts = []
        for offer in offers:
            if offer.claimed is claimed:
                side = PAIR.spent if out else PAIR.received
                parts.append((offer.nonce, side(offer.direction).asset_id, offer.spends if out else offer.brings))
        return most_by_asset(parts)

    had = {asset.asset_id: Amount(amount) for asset, amount in HAD.items()}
    desk = a_desk(
        ledger=a_view(credited=had, held=moved(out=True, claimed=True), incoming=moved(out=False, claimed=True)),
        uncounted=moved(out=True, claimed=False),
        uncounted_in=moved(out=False, claimed=False),
    )
    case = a_case(
        demand=a_demand(direction, amount_in=draw(amounts(PAIR.received(direction)))),
        inventory=seen("inventory-1", an_inventory(credited=had), 1_200),
        desk=desk,
        policy=draw(bounds()),
    )
    return case, offers


def every_outcome(offers: list[Live]) -> Iterator[dict[str, int]]:
    """What may be there in the end: of each nonce one offer settles, or none."""
    by_nonce: dict[str, list[Live | None]] = {}
    for offer in offers:
        by_nonce.setdefault(offer.nonce, [None]).append(offer)
    for settled in product(*by_nonce.values()):
        there = {asset.asset_id: amount for asset, amount in HAD.items()}
        for one in settled:
            if one is not None:
                there[PAIR.received(one.direction).asset_id] += one.brings
                there[PAIR.spent(one.direction).asset_id] -= one.spends
        yield there


def in_band(case: Case) -> bool:
    return next(guard.passed for guard in ask_all(case) if guard.reason is Refusal.INVENTORY_OUT_OF_BAND)


@given(banded_cases())
def test_nothing_that_is_accepted_can_carry_an_asset_out_of_its_band(drawn: tuple[Case, list[Live]]) -> None:
    case, offers = drawn
    assume(in_band(case))
    proposal, demand, policy = case.proposal, case.demand, case.policy
    assert proposal is not None
    least = {BTC.asset_id: policy.base_min, EURE.asset_id: policy.quote_min}[demand.asset_out]
    most = {BTC.asset_id: policy.base_max, EURE.asset_id: policy.quote_max}[demand.asset_in]
    spent, received = PAIR.spent(demand.direction), PAIR.received(demand.direction)
    for there in every_outcome(offers):
        assert least is None or there[demand.asset_out] - proposal.amount_out >= least * 10**spent.decimals
        assert most is None or there[demand.asset_in] + proposal.amount_in <= most * 10**received.decimals


@given(banded_cases())
def test_what_is_refused_could_have_left_the_band(drawn: tuple[Case, list[Live]]) -> None:
    """It is no stricter than it must be: where no nonce is shared across ledger and own commands, some outcome does."""
    case, offers = drawn
    counted_once = {(offer.nonce, offer.claimed) for offer in offers}
    assume(len(counted_once) == len({offer.nonce for offer in offers}) and not in_band(case))
    proposal, demand = case.proposal, case.demand
    assert proposal is not None
    spent, received = PAIR.spent(demand.direction), PAIR.received(demand.direction)
    outcomes = list(every_outcome(offers))
    lowest = spent.whole(min(there[demand.asset_out] for there in outcomes) - proposal.amount_out)
    highest = received.whole(max(there[demand.asset_in] for there in outcomes) + proposal.amount_in)
    too_low = case.lower_bound is not None and lowest < case.lower_bound
    too_high = case.upper_bound is not None and highest > case.upper_bound
    assert too_low or too_high


@given(banded_cases())
def test_without_a_band_the_guard_asks_nothing_and_no_other_guard_looks_at_it(drawn: tuple[Case, list[Live]]) -> None:
    case, _offers = drawn
    free = a_case(
        demand=case.demand,
        inventory=case.inventory,
        desk=case.desk,
        policy=msgspec.structs.replace(case.policy, **dict.fromkeys(BOUNDS)),
    )
    assert in_band(free)
    others = [
        [guard for guard in ask_all(each) if guard.reason is not Refusal.INVENTORY_OUT_OF_BAND] for each in (case, free)
    ]
    assert others[0] == others[1]
    if in_band(case) and (decided := a_decision(case)).accepted:
        command = a_decision(free).command
        assert command is not None
        assert msgspec.structs.replace(command, policy_hash=case.policy.hash) == decided.command


@pytest.mark.parametrize("missing", ["price", "inventory", "ledger", "incoming", "uncounted_in"])
@pytest.mark.parametrize("direction", BOTH)
def test_without_a_band_nothing_needs_to_be_known_for_it(missing: str, direction: Direction) -> None:
    case = a_case(demand=a_demand(direction))
    if missing == "incoming":
        case = a_case(demand=case.demand, desk=a_desk(ledger=a_view(incoming=None)))
    elif missing in {"ledger", "uncounted_in"}:
        case = a_case(demand=case.demand, desk=a_desk(**{missing: None}))
    else:
        case = a_case(demand=case.demand, **{missing: None})
    assert in_band(case)


@pytest.mark.parametrize("direction", BOTH)
def test_what_is_out_of_its_band_may_be_traded_back_into_it(direction: Direction) -> None:
    """Both assets are: one lies above its most and is spent, the other below its least and is received."""
    above, below = ("quote", "base") if direction is Direction.BASE_IN else ("base", "quote")
    bounds = {f"{above}_max": Decimal("0.001"), f"{below}_min": Decimal(10_000)}
    assert a_decision(a_case(demand=a_demand(direction), policy=msgspec.structs.replace(Policy(), **bounds))).accepted


@given(banded_cases(), st.sampled_from(BOUNDS), st.integers(0, 200))
def test_a_tighter_bound_never_lets_more_through(drawn: tuple[Case, list[Live]], name: str, percent: int) -> None:
    case, _offers = drawn
    asset = BTC if name.startswith("base") else EURE
    bound, before = Decimal(HAD[asset] * percent // 100).scaleb(-asset.decimals), getattr(case.policy, name)
    assume(before is None or (bound >= before if name.endswith("min") else bound <= before))
    tighter = msgspec.structs.replace(case.policy, **{name: bound})
    assert in_band(case) or not in_band(
        a_case(demand=case.demand, inventory=case.inventory, desk=case.desk, policy=tighter)
    )


def test_a_band_that_holds_nothing_is_named() -> None:
    assert Policy(base_min=Decimal(1), base_max=Decimal(1)).crossed_band() is None
    assert Policy(base_min=Decimal(2)).crossed_band() is None
    crossed = Policy(quote_min=Decimal(2), quote_max=Decimal("1.5")).crossed_band()
    assert crossed == "quote_min 2 is above quote_max 1.5"
