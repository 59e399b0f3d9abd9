"""A decision is a pure function of what its record names, and its command leaves nothing to the executor's choice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cases import (
    ACCOUNT,
    BOTH,
    BTC,
    EURE,
    NOW,
    PAIR,
    PLACE,
    SALT,
    a_case,
    a_coingecko,
    a_decision,
    a_demand,
    a_desk,
    a_jump,
    a_kraken,
    a_peg,
    a_price,
    a_shared_nonce,
    a_view,
    ago,
    an_inventory,
    numbers_by_reason,
    seen,
)
from unrip.domain.case import Case
from unrip.domain.decide import DemandPlace, command_id_of, decide, nonce_free_bytes
from unrip.domain.decision import Decision, Refusal
from unrip.domain.demand import SwapDemand
from unrip.domain.inventory import IntentInventory
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.pricing import Proposal, gross_edge
from unrip.domain.reference import Observed
from unrip.domain.sharing import Sharing
from unrip.domain.values import Amount, decimal_of
from unrip.messages.envelope import decode, encode
from unrip.venues.near_intents.nonces import decode_nonce, encode_nonce

#: One name means another contract and other decimals at another time.
COARSE = msgspec.structs.replace(PAIR, quote=msgspec.structs.replace(EURE, decimals=6))
MOVED = msgspec.structs.replace(PAIR, base=msgspec.structs.replace(BTC, asset_id="nep141:nbtc.bridge.near"))
PAIRS = (PAIR, PAIR, PAIR, COARSE, MOVED)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Desks, prices and demands of every kind, many of them refused."""
    direction = draw(st.sampled_from(BOTH))
    received = PAIR.received(direction)
    amount = Amount(draw(st.integers(min_value=1, max_value=40_000 if received is BTC else 30 * 10**18)))
    exact_in = draw(st.booleans())
    spent = PAIR.spent(direction)
    if not exact_in:
        amount = Amount(draw(st.integers(min_value=1, max_value=40_000 if spent is BTC else 30 * 10**18)))
    demand = a_demand(
        direction,
        quote_id=draw(st.text(min_size=1, max_size=8)),
        amount_in=amount if exact_in else None,
        amount_out=None if exact_in else amount,
        min_deadline_ms=draw(st.integers(min_value=1, max_value=70_000)),
        answer_by=NOW + timedelta(microseconds=draw(st.integers(min_value=-1_000, max_value=3_000_000))),
        partner_id=draw(st.sampled_from([None, "partner"])),
        dry=draw(st.booleans()),
    )
    live = [a_shared_nonce(), a_shared_nonce(amount=Amount(1)), a_shared_nonce(salt="00000000")]
    shared = st.sampled_from([None, *live])
    rate = draw(st.decimals(min_value=Decimal(20_000), max_value=Decimal(200_000), places=1))
    price = a_price(
        fair_rate=draw(st.sampled_from([rate, None])),
        second_opinion_rate=rate + 7,
        primary=a_kraken(bid=rate - 1, ask=rate + 1, observed_at=ago(draw(st.sampled_from([400, 90_000])))),
        second_opinion=draw(st.sampled_from([None, a_coingecko(base_asset_eur=rate + 7)])),
        disagreement=draw(st.sampled_from([Decimal("0.001"), Decimal("0.04")])),
        peg=draw(st.sampled_from([a_peg(), a_peg(broken=True), a_peg(updated_at=ago(10**8)), None])),
        jump=draw(st.sampled_from([a_jump(), a_jump(jumped=True, since=ago(5_000)), None])),
    )
    desk = a_desk(
        armed=draw(st.sampled_from([BOTH, (Direction.BASE_IN,), ()])),
        paused=draw(st.booleans()),
        ledger=draw(
            st.sampled_from(
                [
                    None,
                    a_view(),
                    a_view(held={EURE.asset_id: Amount(4_990 * 10**18)}, incoming={BTC.asset_id: Amount(20_000)}),
                ]
            )
        ),
        sharing=Sharing(alike=draw(shared), pool=draw(shared)),
    )
    return a_case(
        demand=demand,
        pair=draw(st.sampled_from(PAIRS)),
        price=draw(st.sampled_from([None, seen("price-7", price)])),
        inventory=draw(st.sampled_from([None, seen("inventory-7", an_inventory(), 900)])),
        desk=desk,
        policy=Policy(
            edge_threshold=draw(st.decimals(min_value=0, max_value=Decimal("0.05"), places=4)),
            coingecko_fallback=draw(st.booleans()),
            quote_min=draw(st.sampled_from([None, Decimal(4_990)])),
            base_max=draw(st.sampled_from([None, Decimal("0.1003")])),
        ),
    )


def decided(case: Case) -> Decision:
    return decide(case, PLACE, account=ACCOUNT, encode_nonce=encode_nonce)


@given(cases())
def test_a_decision_recomputed_from_its_record_is_equal_byte_for_byte(case: Case) -> None:
    """The record, the policy by its hash and the three events by their ids, all read back from their wire form.

    What the desk is configured to trade today says nothing of it.
    """
    record = encode(decided(case))
    read = decode(record, Decision)
    policy = {case.policy.hash: decode(encode(case.policy), Policy)}[read.policy_hash]
    demand = {case.demand.demand_id: decode(encode(case.demand), SwapDemand)}[read.demand_id]
    assert read.traded is not None
    again = Case(
        demand=demand,
        pair=read.traded,
        price=reread(case.price, MarketPrice, read.price_id),
        inventory=reread(case.inventory, IntentInventory, read.inventory_id),
        desk=read.desk,
        policy=policy,
        now=read.decided_at,
    )
    place = DemandPlace(topic_id=read.demand_topic_id, offset=read.demand_offset)
    account = read.command.account if read.command else ACCOUNT
    assert encode(decide(again, place, account=account, encode_nonce=encode_nonce)) == record


def reread(observed: Observed[Any] | None, kind: type[Any], event_id: str | None) -> Observed[Any] | None:
    if observed is None:
        assert event_id is None
        return None
    assert observed.event_id == event_id
    return msgspec.structs.replace(observed, value=decode(encode(observed.value), kind))


def leaves(value: Any) -> Iterator[Any]:
    """Everything inside a structure, itself included."""
    yield value
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from leaves(getattr(value, name))
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(key)
            yield from leaves(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from leaves(entry)


@given(cases())
def test_no_float_is_anywhere_in_a_decision_or_in_its_inputs(case: Case) -> None:
    for structure in (decided(case), case.demand, case.price, case.inventory, case.desk, case.policy):
        assert not any(isinstance(leaf, float) for leaf in leaves(structure))


@given(cases())
def test_an_accepted_decision_is_worth_its_threshold_and_within_what_is_spendable(case: Case) -> None:
    decision = decided(case)
    assert decision.accepted == (decision.reason is None) == (decision.command is not None)
    if decision.command is None or decision.fair_rate is None or decision.spendable is None:
        return
    command = decision.command
    proposal = Proposal(amount_in=command.amount_in, amount_out=command.amount_out)
    edge = gross_edge(case.pair, command.direction, fair_rate=decision.fair_rate, proposal=proposal)
    assert edge >= decision.edge_threshold >= case.policy.edge_threshold
    assert command.gross_edge == decision.gross_edge == decimal_of(edge)
    assert command.amount_out == decision.required
    assert command.amount_out <= decision.spendable
    fixed = case.demand.amount_in if command.exact_in else case.demand.amount_out
    assert fixed == (command.amount_in if command.exact_in else command.amount_out)


def test_the_command_is_whole() -> None:
    decision = a_decision()
    command = decision.command
    assert command is not None
    assert command.command_id == command_id_of("quote-1")
    assert (command.decision_id, command.quote_id, command.account) == (decision.decision_id, "quote-1", ACCOUNT)
    assert (command.asset_in, command.asset_out, command.exact_in) == (BTC.asset_id, EURE.asset_id, True)
    assert command.answer_by == NOW + timedelta(milliseconds=295)
    # now in whole milliseconds + min_deadline_ms 60 000 + margin 10 000
    assert command.offer_deadline == NOW.replace(microsecond=123_000) + timedelta(milliseconds=70_000)
    assert command.nonce_deadline == command.offer_deadline + timedelta(hours=24)
    assert (command.inventory_id, command.inventory_height) == ("inventory-1", 1_000)
    assert command.inventory_credited == 5_000 * 10**18
    assert (command.generation, command.policy_hash) == (4, Policy().hash)
    nonce = decode_nonce(command.nonce)
    assert nonce.salt == command.salt == SALT
    assert nonce.deadline_ns == int(command.nonce_deadline.timestamp() * 1_000) * 1_000_000
    assert nonce.free == nonce_free_bytes(command.command_id)


def test_the_record_names_where_the_demand_stands_and_what_it_was_decided_on() -> None:
    decision = a_decision()
    assert (decision.demand_topic_id, decision.demand_offset) == ("demands-1", 7)
    assert (decision.price_id, decision.inventory_id, decision.price_source) == (
        "price-1",
        "inventory-1",
        "kraken.websocket",
    )
    assert (decision.price_age_ms, decision.inventory_age_ms) == (450, 1_500)
    assert decision.decided_at == NOW
    assert decision.quote_asset_eur == 1
    rest = a_decision(a_case(price=seen("p", a_price(primary=a_kraken(transport="rest", source_time=None)))))
    assert (rest.price_source, rest.price_age_ms) == ("kraken.rest", 400)


KRAKEN_OLD = {"primary": a_kraken(observed_at=ago(60_000), source_time=None)}
KRAKEN_SILENT = {"fair_rate": None, "primary_system": "maintenance"}


@pytest.mark.parametrize("flaw", [KRAKEN_OLD, KRAKEN_SILENT], ids=["too old", "not matching"])
@pytest.mark.parametrize("direction", BOTH)
def test_coingecko_stands_in_for_kraken_at_a_wider_edge_and_says_so(flaw: dict[str, Any], direction: Direction) -> None:
    policy = Policy(coingecko_fallback=True)
    price = seen("price-1", a_price(**flaw, second_opinion_rate=Decimal(60_100)))
    decision = a_decision(a_case(demand=a_demand(direction), price=price, policy=policy))
    assert decision.accepted
    assert (decision.price_source, decision.price_fallback, decision.price_degraded) == ("coingecko", True, True)
    assert (decision.fair_rate, decision.price_age_ms) == (Decimal(60_100), 60_000)
    assert decision.edge_threshold == policy.edge_threshold + policy.fallback_edge
    assert decision.gross_edge is not None
    assert decision.gross_edge >= decision.edge_threshold
    assert decision.command is not None
    assert (decision.command.fair_rate, decision.command.edge_threshold) == (Decimal(60_100), Decimal("0.03"))


def test_kraken_is_used_as_long_as_it_can_be() -> None:
    decision = a_decision(a_case(policy=Policy(coingecko_fallback=True)))
    assert decision.accepted
    assert (decision.price_source, decision.price_fallback, decision.price_degraded) == (
        "kraken.websocket",
        False,
        False,
    )
    assert (decision.fair_rate, decision.edge_threshold) == (Decimal(60_000), Decimal("0.02"))


def test_what_was_held_of_peg_and_mids_stands_in_the_record_of_an_accepted_decision_too() -> None:
    decision = a_decision()
    assert decision.accepted
    numbers = numbers_by_reason(decision)
    assert numbers[Refusal.PEG_BROKEN] == {
        "quote_asset_eur": "0.999",
        "assumed": "1",
        "deviation": "0.001",
        "breaks_beyond": "0.02",
        "heals_within": "0.01",
    }
    assert numbers[Refusal.PEG_UNKNOWN] == {"peg_age_ms": "60000", "limit": "21600000"}
    assert numbers[Refusal.PRICE_JUMP]["move"] == "0.0005"
    assert decision.quote_asset_eur == 1


@given(st.text(min_size=1))
def test_the_nonces_free_bytes_are_a_pure_function_of_the_command(quote_id: str) -> None:
    command_id = command_id_of(quote_id)
    assert nonce_free_bytes(command_id) == nonce_free_bytes(command_id_of(quote_id))
    assert len(nonce_free_bytes(command_id)) == 15
    assert nonce_free_bytes(command_id) != nonce_free_bytes(command_id_of(quote_id + "x"))


@pytest.mark.parametrize("held", [0, 1, 10**18])
def test_what_is_spendable_is_the_smaller_credit_less_every_promise(held: int) -> None:
    desk = a_desk(
        ledger=a_view(credited={BTC.asset_id: Amount(900)}, held={BTC.asset_id: Amount(held)}),
        uncounted={BTC.asset_id: Amount(50)},
    )
    assert desk.spendable(BTC.asset_id, 1_000) == 900 - held - 50
    assert desk.spendable(BTC.asset_id, 800) == 800 - held - 50
    assert desk.spendable(EURE.asset_id, 800) == 0
    assert a_desk(ledger=None).spendable(BTC.asset_id, 1_000) is None


@pytest.mark.parametrize("incoming", [0, 1, 10**18])
def test_what_could_come_is_the_larger_credit_and_all_that_offers_could_bring(incoming: int) -> None:
    desk = a_desk(
        ledger=a_view(credited={BTC.asset_id: Amount(900)}, incoming={BTC.asset_id: Amount(incoming)}),
        uncounted_in={BTC.asset_id: Amount(50)},
    )
    assert desk.reachable(BTC.asset_id, 1_000) == 1_000 + incoming + 50
    assert desk.reachable(BTC.asset_id, 800) == 900 + incoming + 50
    assert desk.reachable(EURE.asset_id, 800) is None
    assert a_desk(ledger=None).reachable(BTC.asset_id, 1_000) is None


def test_the_edge_grows_with_the_life_of_the_offer() -> None:
    short = a_decision(a_case(demand=a_demand(min_deadline_ms=1_000)))
    long = a_decision(a_case(demand=a_demand(min_deadline_ms=60_000)))
    assert short.gross_edge is not None
    assert long.gross_edge is not None
    assert Decimal("0.02") < short.gross_edge < long.gross_edge
    assert long.implied_rate is not None
    assert Fraction(long.implied_rate) < 60_000


def test_a_policy_is_named_by_everything_in_it() -> None:
    base = Policy()
    assert Policy().hash == base.hash
    for name in base.__struct_fields__:
        value = getattr(base, name)
        other = not value if isinstance(value, bool) else (value or 0) + 1
        assert msgspec.structs.replace(base, **{name: other}).hash != base.hash, name


@pytest.mark.parametrize(
    ("told", "deviation"), [(None, "0.001"), ("0.0005", "0.001"), ("0.03", "0.03")], ids=["none", "less", "more"]
)
def test_the_peg_is_as_far_off_as_told_or_by_its_numbers_whichever_is_more(told: str | None, deviation: str) -> None:
    peg = a_peg(quote_asset_eur=Decimal("0.999"), deviation=None if told is None else Decimal(told))
    assert a_case(price=seen("price", a_price(peg=peg))).peg_deviation == Decimal(deviation)
