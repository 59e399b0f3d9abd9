"""What the owner asked for, seen on one whole desk: who may do what, what every service shows, how funding arrives.

The fixture lives through one story in virtual time, and each test reads another requirement in what is left of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from support.whole_desk import WholeDesk
from unrip.domain.decision import Decision, Refusal
from unrip.domain.status import ControlRecord
from unrip.domain.treasury import DepositStep, WithdrawalStep
from unrip.frame.contract import Log
from unrip.messages.envelope import Envelope
from unrip.messages.topics import (
    CONTROL_ACTION,
    EXECUTE_TRADE,
    INTENT_INVENTORY,
    LIQUIDITY_ACTION,
    MARKET_PRICE,
    RAW_QUOTE,
    RAW_QUOTE_STATUS,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TOPICS,
    TRADE_DECISION,
    TRADE_RESULT,
    TREASURY,
)
from unrip.net.events import SendFrame
from unrip.services.registry import SERVICES
from unrip_world.assets import BTC, EURE

STRATEGY, EXECUTOR = "strategy-engine", "trade-executor"
FUNDED = 50_000


@dataclass
class Story:
    """What happened, by the moments that the tests ask about."""

    desk: WholeDesk
    settled: str = ""
    refused: str = ""
    #: `GET /state` of every service at these moments.
    states: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def look(self, moment: str) -> None:
        self.states[moment] = {name: process.host.state() for name, process in self.desk.processes.items()}

    def decision(self, quote_id: str) -> Decision:
        (event,) = self.desk.chain(TRADE_DECISION, quote_id)
        decision: Decision = event.payload
        return decision


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with WholeDesk() as desk:
        story = Story(desk)
        story.look("before")
        story.settled = desk.demand(direction="btc_to_eure", amount_in="15000")
        desk.run(12)
        story.refused = desk.demand(direction="btc_to_eure", amount_in="9999999")
        desk.run(3)
        story.look("traded")
        deposit = desk.world.bridge.deposit(
            account_id=desk.account, chain="btc:mainnet", amount=FUNDED, min_amount=None, now_ns=desk.loop.now_ns
        )
        desk.run(40)
        story.look("seen")
        desk.world.bridge.credit(deposit)
        desk.run(40)
        story.look("credited")
        yield story


# --- R7, R10 to R16: who may do what -------------------------------------------------------------------------------

#: Who writes what; beats and an operator's actions everybody writes of itself.
WRITERS = {
    RAW_QUOTE: {"near-intents-ingest"},
    SWAP_DEMAND: {"near-intents-ingest"},
    RAW_QUOTE_STATUS: {EXECUTOR},
    MARKET_PRICE: {"market-reference-ingest"},
    INTENT_INVENTORY: {"inventory-sync"},
    TREASURY: {"liquidity-manager"},
    LIQUIDITY_ACTION: {"liquidity-manager"},
    TRADE_DECISION: {STRATEGY},
    EXECUTE_TRADE: {STRATEGY},
    TRADE_RESULT: {EXECUTOR},
    CONTROL_ACTION: {STRATEGY, EXECUTOR},
    SERVICE_STATUS: set(SERVICES),
}
#: The only service that may have each of these done for it.
ALONE = {
    "SignOffer": EXECUTOR,
    "ClaimOffer": EXECUTOR,
    "RejectCommand": EXECUTOR,
    "SignRevocation": EXECUTOR,
    "PublishRevocation": EXECUTOR,
    "ProveAuthority": EXECUTOR,
    "ApplyReading": EXECUTOR,
    "WriteBatch": "history-writer",
    "PollCoinGecko": "market-reference-ingest",
    "ReadBridge": "inventory-sync",
    "ReadChain": "liquidity-manager",
}


def test_every_topic_has_its_writer_and_no_other(story: Story) -> None:
    written = {
        topic: {event.producer.service for event in story.desk.records(topic)}
        for topic in TOPICS.values()
        if story.desk.records(topic)
    }
    assert written == WRITERS


def test_only_the_executor_signs_claims_and_answers_and_each_asks_only_its_own_sources(story: Story) -> None:
    done: dict[str, set[str]] = {}
    for who, effect in story.desk.log:
        done.setdefault(type(effect).__name__, set()).add(who)
    assert {name: done[name] for name in ALONE if name in done} == {
        name: {who} for name, who in ALONE.items() if name in done
    }
    assert {"SignOffer", "ClaimOffer", "WriteBatch", "ReadBridge", "ReadChain"} <= done.keys()
    answers = {who for who, effect in story.desk.log if isinstance(effect, SendFrame) and "signed_data" in effect.text}
    assert answers == {EXECUTOR}


def test_nothing_is_sent_before_a_recorded_arming(story: Story) -> None:
    """R7: the first act of each of the two is an operator's, in the record before the first command."""
    records: list[Envelope[ControlRecord]] = story.desk.records(CONTROL_ACTION)
    armed = {event.producer.service: event for event in records if event.payload.action == "arm"}
    assert armed.keys() == {STRATEGY, EXECUTOR}
    for event in armed.values():
        assert event.payload.applied
        assert (event.payload.before["armed"], event.payload.actor) == ("none", "operator")
        assert event.payload.reason
    (command,) = story.desk.records(EXECUTE_TRADE)
    assert max(event.observed_at for event in armed.values()) < command.observed_at


# --- R5, R23: what a decision says ---------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["settled", "refused"])
def test_every_decision_names_the_assumed_euro_and_all_that_was_asked(story: Story, which: str) -> None:
    decision = story.decision(getattr(story, which))
    asked = {guard.reason: guard for guard in decision.guards}
    # One that was not asked stands in no record: nobody could say later why a quote became no trade.
    assert set(asked) == set(Refusal)
    failed = [guard.reason for guard in decision.guards if not guard.passed]
    assert (decision.accepted, decision.reason) == (not failed, failed[0] if failed else None)
    assert (which == "settled") == decision.accepted
    numbers = {**asked[Refusal.PEG_BROKEN].numbers, **asked[Refusal.PRICE_SOURCES_DISAGREE].numbers}
    assert Decimal(numbers["assumed"]) == 1
    assert Decimal(numbers["quote_asset_eur"]) > 0
    assert Decimal(numbers["disagreement"]) >= 0


# --- R31 to R37: what every service shows and follows --------------------------------------------------------------


def actions_of(story: Story, service: str) -> set[str]:
    return {action.name for action in SERVICES[service].all_actions}


def test_every_service_can_be_paused_resumed_and_drained(story: Story) -> None:
    for service in SERVICES:
        assert {"pause", "resume", "drain"} <= actions_of(story, service), service


def test_near_intents_ingest_shows_filter_connection_frames_and_counts(story: Story) -> None:
    shown = story.states["traded"]["near-intents-ingest"]
    assert shown["connection"]["up"]
    assert shown["subscriptions"].keys() == {"quote", "quote_status"}
    assert (shown["pair_filter"]["mode"], set(shown["pair_filter"]["tokens"])) == ("enabled", {BTC, EURE})
    frames = shown["frames"]
    assert (frames["quotes_published"], frames["dropped_broker_away"]) == (2, 0)
    assert frames["frames_received"] == sum(each for name, each in frames.items() if name != "frames_received")
    assert "pair-filter" in actions_of(story, "near-intents-ingest")


def test_market_reference_ingest_shows_sources_fair_price_age_and_health(story: Story) -> None:
    shown = story.states["traded"]["market-reference-ingest"]
    price = shown["price"]
    assert Decimal(price["fair_rate"]) == (Decimal(price["primary"]["bid"]) + Decimal(price["primary"]["ask"])) / 2
    assert Decimal(price["second_opinion"]["base_asset_eur"]) > 0
    assert (price["primary_health"], price["second_opinion_health"]) == ("fresh", "fresh")
    assert Decimal(price["quote_asset_eur"]) == 1
    assert 0 <= shown["kraken_age_ms"] < 2_000
    assert 0 <= shown["coingecko_age_ms"] <= 60_000
    assert "refresh" in actions_of(story, "market-reference-ingest")


def test_inventory_sync_shows_credited_pending_last_sync_and_reconciliation(story: Story) -> None:
    shown, world = story.states["traded"]["inventory-sync"], story.desk.world
    assert shown["credited"] == world.balances(story.desk.account, height=shown["height"])
    assert shown["pending"]["deposits"] == {}
    assert shown["last_successful_at"] <= shown["now"]
    assert 0 <= shown["inventory_age_ms"] < 10_000
    assert shown["reconciliation"] == dict.fromkeys((BTC, EURE), "unchanged")
    assert "sync" in actions_of(story, "inventory-sync")


def test_liquidity_manager_shows_addresses_deposits_and_switches(story: Story) -> None:
    shown = story.states["credited"]["liquidity-manager"]
    assert shown["deposit_addresses"].keys() == {"btc:mainnet", "eth:100"}
    (deposit,) = shown["treasury"]["deposits"]
    assert (deposit["amount"], deposit["state"]) == (str(FUNDED), "completed")
    assert not shown["treasury"]["withdrawals_enabled"]
    assert not shown["treasury"]["rebalances_enabled"]
    assert actions_of(story, "liquidity-manager") >= {
        "refresh",
        "deposit-addresses",
        "trackers/pause",
        "trackers/resume",
        "withdrawals/disable",
        "rebalances/disable",
    }


def test_history_writer_shows_where_it_is_in_every_topic_and_how_writing_goes(story: Story) -> None:
    shown = story.states["credited"]["history-writer"]
    written = {name: place["next_offset"] for name, place in shown["offsets"].items()}
    ends = {topic.name: len(story.desk.records(topic)) for topic in TOPICS.values()}
    assert {name: end for name, end in ends.items() if end} == written
    assert (set(shown["lag"]), shown["lag_total"]) == (set(ends), 0)
    assert shown["database_up"]
    assert shown["last_write_at"] is not None
    assert shown["last_error"] is None


def test_strategy_engine_shows_switches_threshold_inputs_decisions_and_counts(story: Story) -> None:
    shown = story.states["traded"][STRATEGY]
    assert (shown["armed"], shown["paused"], shown["halted"]) == ("base_in,base_out", "false", "false")
    assert (shown["edge_threshold"], shown["notional_cap_eur"]) == ("2 %", "25")
    assert (
        shown["price"]["value"]["fair_rate"] == story.states["traded"]["market-reference-ingest"]["price"]["fair_rate"]
    )
    assert shown["inventory"]["value"]["credited"] == story.states["traded"]["inventory-sync"]["credited"]
    told = str(shown)
    for quote_id in (story.settled, story.refused):
        assert quote_id in told
    assert str(Refusal.INSUFFICIENT_INVENTORY) in told
    assert actions_of(story, STRATEGY) >= {"arm", "disarm", "threshold", "limits"}


def test_trade_executor_shows_switches_the_last_command_the_venues_word_and_counts(story: Story) -> None:
    shown = story.states["traded"][EXECUTOR]
    assert (shown["armed"], shown["paused"]) == ("base_in,base_out", "false")
    assert shown["last_command"]["quote_id"] == story.settled
    assert shown["last_venue_response"] | {"received_at": ""} == {
        "accepted": True,
        "code": None,
        "text": "OK",
        "received_at": "",
    }
    assert shown["last_error"] is None
    assert (shown["in_flight"], shown["completed"]) == (0, {"settled": 1})
    assert [attempt["quote_id"] for attempt in shown["attempts"]] == [story.settled]
    assert actions_of(story, EXECUTOR) >= {"arm", "disarm", "halt"}


# --- R54, R72: an address is nothing, a funding is followed to its credit -------------------------------------------


def spendable(story: Story, moment: str) -> int:
    return int(story.states[moment][STRATEGY]["trade_ready"]["base_out"]["spendable"])


def test_an_address_that_was_never_funded_is_not_liquidity(story: Story) -> None:
    before = story.states["before"]
    assert before["liquidity-manager"]["deposit_addresses"]["btc:mainnet"]["usable"]
    held = story.desk.world.balances(story.desk.account, height=before["inventory-sync"]["height"])
    assert before["inventory-sync"]["credited"] == held
    assert spendable(story, "before") == int(held[BTC])


def test_no_snapshot_ever_credits_more_or_less_than_the_ledger_at_its_block(story: Story) -> None:
    snapshots = [event.payload for event in story.desk.records(INTENT_INVENTORY)]
    assert any(snapshot.pending and snapshot.pending.deposits for snapshot in snapshots)
    for snapshot in snapshots:
        held = story.desk.world.balances(story.desk.account, height=snapshot.height)
        assert {token: str(int(amount)) for token, amount in snapshot.credited.items()} == held


def test_funding_is_seen_never_spendable_and_counted_once_it_is_credited(story: Story) -> None:
    traded, seen, credited = (story.states[moment]["inventory-sync"] for moment in ("traded", "seen", "credited"))
    assert (seen["pending"]["deposits"], credited["pending"]["deposits"]) == ({BTC: str(FUNDED)}, {})
    assert seen["credited"] == traded["credited"]
    assert int(credited["credited"][BTC]) == int(traded["credited"][BTC]) + FUNDED
    assert (credited["reconciliation"][BTC], credited["unexplained"]["BTC"]) == ("unchanged", "0")
    assert spendable(story, "seen") == spendable(story, "traded")
    assert spendable(story, "credited") == spendable(story, "traded") + FUNDED
    actions = [event.payload for event in story.desk.records(LIQUIDITY_ACTION)]
    deposits = [each for each in actions if isinstance(each.step, DepositStep)]
    assert [(each.step.name, int(each.step.amount)) for each in deposits] == [
        ("deposit_pending", FUNDED),
        ("deposit_completed", FUNDED),
    ]
    assert len({each.action_id for each in deposits}) == 1
    assert deposits[-1].step.mint_tx_hash
    assert not [each for each in actions if isinstance(each.step, WithdrawalStep)]


def test_funding_is_told_from_the_address_to_the_credit(story: Story) -> None:
    lines = [each for who, each in story.desk.log if who == "liquidity-manager" and isinstance(each, Log)]
    assert [line.event for line in lines if line.event.startswith("funding_")] == [
        "funding_requested",
        "funding_requested",
        "funding_pending",
        "funding_credited",
    ]
