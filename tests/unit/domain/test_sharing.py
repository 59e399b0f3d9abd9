"""Who shares a nonce: pure questions, and decisions that follow from the answers."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import (
    BTC,
    EURE,
    NOW,
    a_case,
    a_decision,
    a_demand,
    a_desk,
    a_shared_nonce,
    a_view,
    an_inventory,
    seen,
)
from unrip.domain.command import TradeCommand
from unrip.domain.decide import command_id_of
from unrip.domain.decision import Decision, Refusal
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.sharing import SharedNonce, Sharing, group_alike, group_deadline, group_of_all
from unrip.domain.values import Amount

#: What may be open together is another test's business.
POLICY = Policy(exposure_cap_eur=Decimal(1_000_000))


def decided(
    *, held: int = 0, alike: SharedNonce | None = None, pool: SharedNonce | None = None, partner: str | None = "p"
) -> Decision:
    desk = a_desk(ledger=a_view(held={EURE.asset_id: Amount(held)}), sharing=Sharing(alike=alike, pool=pool))
    return a_decision(a_case(demand=a_demand(partner_id=partner), desk=desk, policy=POLICY))


def commanded(decision: Decision) -> TradeCommand:
    assert decision.command is not None, decision.reason
    return decision.command


# --- groups ----------------------------------------------------------------------------------------------------------


def test_a_repeat_is_the_same_amount_of_the_same_partner_in_the_same_direction() -> None:
    request = a_demand(partner_id="p")
    assert group_alike(request) == group_alike(a_demand(quote_id="another", partner_id="p"))
    others = [
        a_demand(partner_id="q"),
        a_demand(partner_id="p", amount_in=Amount(1)),
        a_demand(partner_id="p", amount_in=None, amount_out=request.amount_in),
        a_demand(Direction.BASE_OUT, partner_id="p", amount_in=request.amount_in),
        a_demand(partner_id="p", dry=True),
    ]
    assert len({group_alike(each) for each in (request, *others)}) == 6


def test_dry_requests_of_a_partner_are_alike_whatever_the_amount() -> None:
    assert group_alike(a_demand(partner_id="p", dry=True)) == group_alike(
        a_demand(partner_id="p", dry=True, amount_in=Amount(1))
    )


def test_without_a_partner_nothing_is_a_repeat() -> None:
    assert group_alike(a_demand(partner_id=None)) is group_alike(a_demand(partner_id=None, dry=True)) is None


@given(st.text(max_size=40), st.sampled_from([BTC.asset_id, EURE.asset_id]))
def test_no_partner_can_name_itself_into_the_pool(partner: str, asset: str) -> None:
    assert group_alike(a_demand(partner_id=partner)) != group_of_all(asset)


@given(seconds=st.integers(0, 1_200), life_ms=st.integers(1, POLICY.deadline_max_ms))
def test_a_groups_nonce_outlives_every_offer_of_its_bucket_by_a_day(seconds: int, life_ms: int) -> None:
    """Whoever joins a nonce of the bucket leaves as long to read "unused" from the chain as an offer of its own."""
    later = NOW + timedelta(seconds=seconds)
    if group_deadline(later, POLICY) == group_deadline(NOW, POLICY):
        offer_deadline = later + timedelta(milliseconds=life_ms + POLICY.deadline_margin_ms)
        left = group_deadline(NOW, POLICY) - offer_deadline
        assert left >= timedelta(milliseconds=POLICY.nonce_life_ms)
    assert group_deadline(NOW, POLICY) <= group_deadline(later, POLICY)
    assert seconds < POLICY.sharing_bucket_ms // 1_000 or group_deadline(later, POLICY) != group_deadline(NOW, POLICY)


# --- decisions -------------------------------------------------------------------------------------------------------


def test_the_first_of_a_partner_opens_a_nonce_that_others_may_join() -> None:
    command = commanded(decided())
    assert (command.nonce_opener, command.nonce_group) == (None, group_alike(a_demand(partner_id="p")))
    assert command.nonce_deadline == group_deadline(NOW, POLICY)


def test_without_a_partner_the_nonce_is_its_own() -> None:
    command = commanded(decided(partner=None))
    assert (command.nonce_opener, command.nonce_group) == (None, None)
    assert command.nonce_deadline == command.offer_deadline + timedelta(days=1)


def test_a_repeat_carries_the_same_32_bytes_and_names_the_opener() -> None:
    first = commanded(decided())
    live = a_shared_nonce(opener=first.command_id, nonce=first.nonce)
    desk = a_desk(sharing=Sharing(alike=live))
    second = commanded(a_decision(a_case(demand=a_demand(quote_id="second", partner_id="p"), desk=desk)))
    assert (second.nonce, second.salt, second.nonce_deadline) == (first.nonce, first.salt, first.nonce_deadline)
    assert (second.nonce_opener, second.nonce_made_by) == (first.command_id, first.command_id)
    assert second.command_id != first.command_id


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"salt": "00000000"}, id="another salt"),
        pytest.param({"nonce_deadline": group_deadline(NOW, POLICY) + timedelta(minutes=10)}, id="another bucket"),
        pytest.param({"last_deadline": NOW + timedelta(milliseconds=295)}, id="perhaps dead before the answer is sent"),
    ],
)
def test_a_nonce_that_may_not_be_joined_is_left_alone(changes: dict[str, object]) -> None:
    command = commanded(decided(alike=a_shared_nonce(**changes)))
    assert command.nonce_opener is None
    assert command.nonce_made_by == command.command_id


# --- the share -------------------------------------------------------------------------------------------------------

#: Half of 5 000 credited, less room for two offers at the cap of 25.
OWN_LIMIT = 2_450 * 10**18


def test_once_the_share_is_used_all_that_spend_the_asset_share_one() -> None:
    required = decided().required
    assert required is not None
    last = commanded(decided(held=OWN_LIMIT - required))
    assert last.nonce_group == group_alike(a_demand(partner_id="p"))
    first = commanded(decided(held=OWN_LIMIT - required + 1))
    assert (first.nonce_group, first.nonce_opener) == (group_of_all(EURE.asset_id), None)
    pool = a_shared_nonce(opener=first.command_id, nonce=first.nonce)
    for partner in ("q", None):
        joining = commanded(decided(held=OWN_LIMIT, pool=pool, partner=partner))
        assert (joining.nonce_group, joining.nonce_opener) == (group_of_all(EURE.asset_id), first.command_id)


def test_a_repeat_that_adds_nothing_joins_its_like_also_when_the_share_is_used() -> None:
    live = a_shared_nonce(opener=command_id_of("first"))
    assert commanded(decided(held=OWN_LIMIT * 2, alike=live, pool=a_shared_nonce())).nonce_opener == command_id_of(
        "first"
    )
    growing = msgspec.structs.replace(live, amount=Amount(1))
    assert commanded(decided(held=OWN_LIMIT, alike=growing)).nonce_group == group_of_all(EURE.asset_id)


def test_only_what_the_hold_grows_by_must_be_free_within_the_share() -> None:
    full = 2_500 * 10**18
    assert decided(held=full).reason is Refusal.INVENTORY_HELD
    assert decided(held=full, pool=a_shared_nonce()).accepted
    required = decided().required
    assert required is not None
    smaller = a_shared_nonce(amount=Amount(required - 5))
    assert decided(held=full - 5, pool=smaller).accepted
    refused = decided(held=full - 4, pool=smaller)
    assert refused.reason is Refusal.INVENTORY_HELD
    free = next(guard for guard in refused.guards if guard.reason is Refusal.INVENTORY_HELD)
    assert free.numbers == {"spendable": str(2_500 * 10**18 + 4), "limit": "5", "share_left": "4"}


@pytest.mark.parametrize("direction", list(Direction))
@given(
    held_permille=st.integers(0, 1_000),
    share_permille=st.integers(0, 1_000),
    credited_eur=st.integers(1, 200),
    amount=st.integers(2_000, 40_000),
)
def test_nothing_is_promised_beyond_the_share(
    direction: Direction, held_permille: int, share_permille: int, credited_eur: int, amount: int
) -> None:
    """Neither by an offer of its own nor by the pool, however small the balance is against the cap."""
    asset = EURE if direction is Direction.BASE_IN else BTC
    credited = Amount(credited_eur * 10**18 if direction is Direction.BASE_IN else credited_eur * 1_700)
    held = Amount(credited * held_permille // 1_000)
    view = a_view(credited={**a_view().credited, asset.asset_id: credited}, held={asset.asset_id: held})
    inventory = seen("inventory-1", an_inventory(credited=view.credited), 1_200)
    policy = Policy(held_share=Decimal(share_permille) / 1_000, exposure_cap_eur=Decimal(1_000_000))
    amount_in = Amount(amount if direction is Direction.BASE_IN else amount * 6 * 10**14)
    case = a_case(
        demand=a_demand(direction, amount_in=amount_in), desk=a_desk(ledger=view), inventory=inventory, policy=policy
    )
    command = a_decision(case).command
    assert command is None or held + command.amount_out <= credited * share_permille // 1_000


def test_a_share_smaller_than_two_offers_at_the_cap_is_all_pool() -> None:
    credited = {BTC.asset_id: Amount(10**7), EURE.asset_id: Amount(90 * 10**18)}
    inventory = seen("inventory-1", an_inventory(credited=credited), 1_200)
    desk = a_desk(ledger=a_view(credited=credited))
    decision = a_decision(a_case(demand=a_demand(partner_id="p"), inventory=inventory, desk=desk))
    assert commanded(decision).nonce_group == group_of_all(EURE.asset_id)


@pytest.mark.parametrize("direction", list(Direction))
@given(held_permille=st.integers(0, 1_000), pool_permille=st.integers(0, 1_000), amount=st.integers(2_000, 40_000))
def test_no_offer_outside_the_pool_leaves_less_than_room_for_two_pools(
    direction: Direction, held_permille: int, pool_permille: int, amount: int
) -> None:
    """With the pool at its largest twice over, everything together still keeps to the share."""
    asset = EURE if direction is Direction.BASE_IN else BTC
    credited = a_view().credited[asset.asset_id]
    desk = a_desk(ledger=a_view(held={asset.asset_id: Amount(credited * held_permille // 1_000)}))
    policy = Policy(held_share=Decimal(pool_permille) / 1_000, exposure_cap_eur=Decimal(1_000_000))
    amount_in = Amount(amount if direction is Direction.BASE_IN else amount * 6 * 10**14)
    case = a_case(demand=a_demand(direction, amount_in=amount_in), desk=desk, policy=policy)
    command = a_decision(case).command
    if command is None or command.nonce_group == group_of_all(asset.asset_id):
        return
    at_the_cap = 25 * 10**18 if direction is Direction.BASE_IN else 41_667
    after = desk.ledger.held[asset.asset_id] + command.amount_out  # type: ignore[union-attr]
    assert after + 2 * (at_the_cap - 1) <= credited * pool_permille // 1_000


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize(("cap", "refused"), [(251, True), (252, False)])
def test_exposure_counts_an_offer_in_full_also_where_it_joins_what_is_held(
    joins: bool, cap: int, refused: bool
) -> None:
    """240 EUR are held and 11.74 more are to be spent; that the shared hold would not grow changes nothing."""
    live = a_shared_nonce(amount=Amount(240 * 10**18)) if joins else None
    view = a_view(held={EURE.asset_id: Amount(240 * 10**18)})
    desk = a_desk(ledger=view, sharing=Sharing(alike=live))
    policy = Policy(exposure_cap_eur=Decimal(cap))
    case = a_case(demand=a_demand(partner_id="p"), desk=desk, policy=policy)
    decision = a_decision(case)
    assert (decision.reason is Refusal.EXPOSURE_ABOVE_CAP) == refused
