"""A whole trade in both directions with no I/O at all: our logic against the world's own relay, chain and judge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from support.whole_desk import WholeDesk
from unrip.messages.topics import EXECUTE_TRADE, RAW_QUOTE_STATUS, SWAP_DEMAND, TRADE_DECISION, TRADE_RESULT
from unrip.net.events import SendFrame
from unrip.services.trade_executor.effects import ClaimOffer
from unrip_world.assets import BTC, EURE

DEMANDS = {
    "sells BTC": {"direction": "btc_to_eure", "amount_in": "20000"},
    "buys BTC": {"direction": "eure_to_btc", "amount_in": str(14 * 10**18)},
    "wants EURe": {"direction": "btc_to_eure", "amount_out": str(12 * 10**18)},
    "wants BTC": {"direction": "eure_to_btc", "amount_out": "17000"},
}


@pytest.fixture(scope="module")
def desk() -> Iterator[WholeDesk]:
    with WholeDesk() as desk:
        yield desk


@pytest.mark.parametrize("taker", DEMANDS)
def test_a_taker_is_served_from_the_quote_to_the_settlement(desk: WholeDesk, taker: str) -> None:
    before = desk.balances()
    quote_id = desk.demand(**DEMANDS[taker])
    desk.run(15)

    (demand,), (decision,), (command,) = (
        desk.chain(topic, quote_id) for topic in (SWAP_DEMAND, TRADE_DECISION, EXECUTE_TRADE)
    )
    results = desk.chain(TRADE_RESULT, quote_id)
    assert decision.payload.accepted, decision.payload.reason
    assert [event.payload.state.value for event in results] == ["claimed", "sent", "accepted", "settled"]
    assert (decision.causation_id, command.causation_id) == (demand.event_id, decision.event_id)
    assert len({event.payload.quote_hash for event in results}) == 1
    assert len(desk.chain(RAW_QUOTE_STATUS, quote_id)) == 1
    stages = results[-1].stages
    order = ["received", "decided", "decision_acknowledged", "signed", "claimed", "sent", "accepted", "settled"]
    assert sorted(stages, key=lambda name: (stages[name], order.index(name))) == order

    settled = results[-1].payload
    assert settled.evidence.nonce_used
    assert settled.evidence.diff == {
        command.payload.asset_in: command.payload.amount_in,
        command.payload.asset_out: -command.payload.amount_out,
    }
    after = desk.balances()
    assert after[command.payload.asset_in] - before[command.payload.asset_in] == command.payload.amount_in
    assert before[command.payload.asset_out] - after[command.payload.asset_out] == command.payload.amount_out


def test_what_was_recorded_is_what_was_sent(desk: WholeDesk) -> None:
    quote_id = desk.demand(**DEMANDS["sells BTC"])
    desk.run(12)
    (claim,) = [
        effect for _who, effect in desk.log if isinstance(effect, ClaimOffer) and effect.offer.quote_id == quote_id
    ]
    frames = [effect for _who, effect in desk.log if isinstance(effect, SendFrame) and effect.token is not None]
    (frame,) = [frame for frame in frames if frame.token == claim.offer.command_id]
    assert claim.offer.signed_payload in frame.text
    sent = next(event for event in desk.chain(TRADE_RESULT, quote_id) if event.payload.state == "sent")
    assert sent.payload.request == frame.text


def test_strategy_and_executor_measure_an_offer_by_the_same_assumed_euro() -> None:
    """104 EURe are 98.80 EUR where one is assumed to be worth 0.95."""
    settings = {
        "pair": {"quote_asset_eur": "0.95"},
        "price": {"peg_breaks_beyond": "10 %", "peg_heals_within": "10 %"},
        "limits": {"notional_cap_eur": "100", "notional_ceiling_eur": "100", "held_share": "100 %"},
        "spending": {"base_per_command": "0.002"},
    }
    with WholeDesk(settings=settings) as desk:
        quote_id = desk.demand(direction="eure_to_btc", amount_in=str(104 * 10**18), accept="never")
        desk.run(5)
        (decision,) = desk.chain(TRADE_DECISION, quote_id)
        results = desk.chain(TRADE_RESULT, quote_id)
    assert decision.payload.accepted, decision.payload.reason
    assert 98 < decision.payload.notional_eur < 100
    assert [event.payload.state.value for event in results] == ["claimed", "sent", "accepted"]


def test_an_offer_that_nobody_takes_holds_until_the_chain_shows_that_it_is_dead(desk: WholeDesk) -> None:
    quote_id = desk.demand(**DEMANDS["sells BTC"], accept="never")
    desk.run(60)
    (command,) = desk.chain(EXECUTE_TRADE, quote_id)
    held = desk.chain(TRADE_RESULT, quote_id)[-1].payload.ledger.held
    assert held[EURE] == command.payload.amount_out
    assert "lapsed" not in [event.payload.state for event in desk.chain(TRADE_RESULT, quote_id)]
    desk.run(25)
    last = desk.chain(TRADE_RESULT, quote_id)[-1]
    assert last.payload.state == "lapsed"
    assert last.payload.ledger.held == {BTC: 0, EURE: 0}
    assert not last.payload.evidence.nonce_used
    assert last.payload.evidence.block_time > command.payload.offer_deadline
    assert last.observed_at - command.payload.offer_deadline < timedelta(seconds=10)


def test_a_taker_who_wants_more_than_we_give_is_no_trade_and_no_loss(desk: WholeDesk) -> None:
    before = desk.balances()
    quote_id = desk.demand(**DEMANDS["buys BTC"], limit_pct=1)
    desk.run(90)
    states = [event.payload.state.value for event in desk.chain(TRADE_RESULT, quote_id)]
    assert states == ["claimed", "sent", "accepted", "lapsed"]
    assert desk.balances() == before


def test_a_refused_demand_ends_at_its_decision(desk: WholeDesk) -> None:
    quote_id = desk.demand(direction="btc_to_eure", amount_in="40000")
    desk.run(5)
    (decision,) = desk.chain(TRADE_DECISION, quote_id)
    assert decision.payload.reason == "notional_above_cap"
    assert desk.chain(EXECUTE_TRADE, quote_id) == desk.chain(TRADE_RESULT, quote_id) == []


def test_at_the_end_the_worlds_judge_and_our_ledger_agree(desk: WholeDesk) -> None:
    desk.run(5)
    verdict: dict[str, Any] = desk.world.judge.verdict(desk.account, height=desk.world.chain.head.height)
    results = [event.payload for event in desk.topics[TRADE_RESULT.name]]
    settled = [result for result in results if result.state == "settled"]
    assert (verdict["settlements"], verdict["failed"]) == (len(settled), {})
    assert verdict["nonces_used"] == len(settled)
    newest = results[-1].ledger
    assert newest.held == {BTC: 0, EURE: 0}
    commands = [event.payload.command_id for event in desk.topics[EXECUTE_TRADE.name]]
    ended = [result.command_id for result in results if result.state.terminal]
    assert sorted(ended) == sorted(commands)
    assert len(set(commands)) == len(commands)
