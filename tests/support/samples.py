"""One event of every topic, of one chain: a quote that was accepted, sent and settled."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from unrip.domain.attempt import AttemptState, ChainEvidence, TradeResult, VenueReply, result_id
from unrip.domain.case import Case
from unrip.domain.command import Exchange
from unrip.domain.decide import DemandPlace, decide
from unrip.domain.decision import Decision
from unrip.domain.demand import SwapDemand
from unrip.domain.desk_state import CommandPosition, DeskState, ExecutorView, HistoryView, LedgerView
from unrip.domain.inventory import (
    BalanceChange,
    Books,
    ChangeKind,
    IntentInventory,
    PendingMovements,
    Reconciliation,
)
from unrip.domain.market import Jump, MarketPrice, Peg, PrimaryReading, SecondReading, SourceHealth
from unrip.domain.pairs import Asset, Direction, Pair
from unrip.domain.policy import Policy
from unrip.domain.reference import Observed
from unrip.domain.sharing import Sharing
from unrip.domain.status import ControlRecord, ExecutorVitals, ServiceStatus, SwitchView
from unrip.domain.treasury import (
    BridgeDeposit,
    BridgeToken,
    BridgeWithdrawal,
    DepositAddress,
    DepositState,
    DepositStep,
    LiquidityAction,
    Treasury,
)
from unrip.domain.values import Amount, Delta, derived_id
from unrip.messages.dead_letters import dead_letter
from unrip.messages.envelope import Envelope, Producer
from unrip.messages.payloads import RawQuote, RawQuoteStatus
from unrip.messages.topics import TOPICS

NOW = datetime(2026, 11, 24, 9, 0, 0, 250_000, tzinfo=UTC)
ACCOUNT = "desk.near"
PAIR = Pair(
    base=Asset(symbol="BTC", asset_id="nep141:btc.omft.near", decimals=8, chain="btc:mainnet"),
    quote=Asset(
        symbol="EURe",
        asset_id="nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near",
        decimals=18,
        chain="eth:100",
    ),
)
BTC, EURE = PAIR.base.asset_id, PAIR.quote.asset_id
CREDITED = {BTC: Amount(100_000), EURE: Amount(500 * 10**18)}
LEDGER = LedgerView(
    height=200_000_000,
    credited=CREDITED,
    held={BTC: Amount(0), EURE: Amount(0)},
    without_answer=1,
    incoming={BTC: Amount(15_000)},
    position=CommandPosition(topic_id="commands-1", next_offset=7),
)
POLICY = Policy()


def ago(milliseconds: int) -> datetime:
    return NOW - timedelta(milliseconds=milliseconds)


def demand(quote_id: str) -> SwapDemand:
    """Somebody gives 20 000 satoshi for EURe."""
    return SwapDemand(
        demand_id=derived_id("demand", quote_id),
        quote_id=quote_id,
        pair=PAIR.name,
        direction=Direction.BASE_IN,
        asset_in=BTC,
        asset_out=EURE,
        amount_in=Amount(20_000),
        amount_out=None,
        min_deadline_ms=30_000,
        router_leg=False,
        dry=False,
        partner_id="partner-1",
        received_at=ago(5),
        answer_by=ago(5) + timedelta(milliseconds=300),
    )


PRICE = MarketPrice(
    pair=PAIR.name,
    primary_source="kraken",
    primary=PrimaryReading(
        bid=Decimal("80000.1"),
        ask=Decimal("80001.9"),
        observed_at=ago(120),
        source_time=ago(150),
        transport="websocket",
    ),
    primary_health=SourceHealth.FRESH,
    primary_system="online",
    second_opinion_source="coingecko",
    second_opinion=SecondReading(
        base_asset_eur=Decimal(80100),
        base_updated_at=ago(30_000),
        quote_asset_eur=Decimal("0.9998"),
        quote_updated_at=ago(45_000),
        observed_at=ago(2_000),
    ),
    second_opinion_health=SourceHealth.FRESH,
    fair_rate=Decimal(80_001),
    second_opinion_rate=Decimal(80_100),
    quote_asset_eur=Decimal(1),
    quote_asset_eur_observed=Decimal("0.9998"),
    peg=Peg(
        broken=False,
        quote_asset_eur=Decimal("0.9998"),
        updated_at=ago(45_000),
        observed_at=ago(2_000),
        deviation=Decimal("0.0002"),
        breaks_beyond=Decimal("0.02"),
        heals_within=Decimal("0.01"),
    ),
    jump=Jump(
        jumped=False,
        since=None,
        lowest=Decimal(79_990),
        lowest_at=ago(40_000),
        highest=Decimal("80010.5"),
        highest_at=ago(9_000),
        move=Decimal("0.0002562820352544068008501062632829103637954744343042880360"),
        limit=Decimal("0.01"),
        window_s=60,
        readings=58,
        readings_min=10,
        contradicted=False,
    ),
    disagreement=Decimal("0.001237484531443356958038024524693441332"),
)
INVENTORY = IntentInventory(
    account=ACCOUNT,
    height=200_000_000,
    block_time=ago(1_500),
    credited=CREDITED,
    pending=PendingMovements(deposits={BTC: Amount(5_000)}, withdrawals={}, observed_at=ago(3_000)),
    reconciliation={BTC: Reconciliation.UNCHANGED, EURE: Reconciliation.CHANGED},
    salt="252812b3",
    fee_pips=1,
    key_registered=True,
    account_locked=False,
    contract_paused=False,
    changes=(
        BalanceChange(
            kind=ChangeKind.ACCEPTED, asset_id=EURE, change=Delta(-3), evidence="operator", seen_by=ago(5_000)
        ),
    ),
    books=Books(
        explained={BTC: Delta(100_000), EURE: Delta(500 * 10**18)},
        waiting=(
            BalanceChange(kind=ChangeKind.CREDIT, asset_id=BTC, change=Delta(7), evidence="mint", seen_by=ago(-2_000)),
        ),
        transferred={EURE: Delta(-3)},
        results_read=CommandPosition(topic_id="results-1", next_offset=40),
        actions_read=None,
    ),
)
DESK = DeskState(
    armed=(Direction.BASE_IN, Direction.BASE_OUT),
    paused=False,
    halted=False,
    store_up=True,
    generation=3,
    executor=ExecutorView(
        observed_at=ago(400),
        ready=True,
        recovering=False,
        paused=False,
        halted=False,
        armed=(Direction.BASE_IN, Direction.BASE_OUT),
    ),
    history=HistoryView(observed_at=ago(600), database_up=True, lag=2),
    ledger=LEDGER,
    uncounted={},
    uncounted_in={EURE: Amount(10 * 10**18)},
    sharing=Sharing(),
    offers_last_minute=0,
    day_result_eur=Decimal("-1.25"),
)


def decision(quote_id: str, **changes: Any) -> Decision:
    """The decision about `demand(quote_id)`; `changes` are fields of the case."""
    case = Case(
        demand=demand(quote_id),
        pair=PAIR,
        price=Observed(event_id="price-1", observed_at=ago(120), value=PRICE),
        inventory=Observed(event_id="inventory-1", observed_at=ago(1_000), value=INVENTORY),
        desk=DESK,
        policy=POLICY,
        now=NOW,
    )
    case = replace(case, **changes)
    return decide(case, DemandPlace(topic_id="demands-1", offset=11), account=ACCOUNT, encode_nonce=_nonce)


def result(of: Decision, state: AttemptState, **changes: Any) -> TradeResult:
    """A state of the attempt that an accepted decision commands."""
    if of.command is None:
        raise AssertionError("a refused decision has no attempt")
    result = TradeResult(
        command_id=of.command.command_id,
        quote_id=of.quote_id,
        account=ACCOUNT,
        pair=of.pair,
        direction=of.direction,
        state=state,
        reason=None,
        numbers={},
        quote_hash=f"hash of {of.quote_id}",
        request=None,
        response=None,
        evidence=None,
        next_check_at=None,
        ledger=LEDGER,
        exchange=Exchange(
            asset_in=of.command.asset_in,
            amount_in=of.command.amount_in,
            asset_out=of.command.asset_out,
            amount_out=of.command.amount_out,
        ),
    )
    return msgspec.structs.replace(result, **changes)


SETTLED = ChainEvidence(
    height=200_000_005,
    block_time=NOW + timedelta(seconds=5),
    nonce_used=True,
    salt_valid=True,
    tx_hash="8cUjxqqHVT4qXXjRPNEwMBgnYkZPEvGz2ZzQTtVQmXGx",
    diff={BTC: Delta(20_000), EURE: Delta(-15_600_000_000_000_000_000)},
)
REPLY = VenueReply(accepted=True, code=None, text="OK", received_at=NOW + timedelta(milliseconds=40))


def event(topic: str, event_id: str, payload: Any, *, chain: str, cause: str | None = None) -> Envelope[Any]:
    """An event of a topic, in its envelope."""
    return Envelope(
        event_id=event_id,
        event_type=topic,
        schema_version=TOPICS[topic].schema_version,
        producer=Producer(service="sample", instance="sample-1", version="0.1.0"),
        occurred_at=None,
        observed_at=ago(5),
        published_at=NOW,
        venue="near_intents",
        pair=PAIR.name,
        correlation_id=chain,
        causation_id=cause,
        stages={"received": ago(5), "decided": NOW},
        payload=payload,
    )


def events_of_a_trade(quote_id: str) -> list[Envelope[Any]]:
    """The whole chain of a quote that settled, in the order in which it came about."""
    decided = decision(quote_id)
    command = decided.command
    if command is None:
        raise AssertionError(f"the sample was refused: {decided.reason}")
    asked = demand(quote_id)

    def told(state: AttemptState, **changes: Any) -> Envelope[Any]:
        name = result_id(command.command_id, state)
        payload = result(decided, state, **changes)
        return event("exec.trade_result", name, payload, chain=quote_id, cause=command.command_id)

    frame = f'{{"quote_id":"{quote_id}"}}'
    raw = RawQuote(quote_id=quote_id, frame=frame, received_at=ago(5), in_filter=True)
    notice = RawQuoteStatus(
        quote_hash=f"hash of {quote_id}", intent_hash="intent-1", tx_hash=SETTLED.tx_hash, frame="{}", received_at=NOW
    )
    raw_id = derived_id("raw_quote", quote_id)
    return [
        event("ref.market_price", "price-1", PRICE, chain="price-1"),
        event("state.intent_inventory", "inventory-1", INVENTORY, chain="inventory-1"),
        event("raw.near_intents.quote", raw_id, raw, chain=quote_id),
        event("norm.swap_demand", asked.demand_id, asked, chain=quote_id, cause=raw_id),
        event("decision.trade_decision", decided.decision_id, decided, chain=quote_id, cause=asked.demand_id),
        event("cmd.execute_trade", command.command_id, command, chain=quote_id, cause=decided.decision_id),
        told(AttemptState.CLAIMED),
        told(AttemptState.SENT, request=frame),
        told(AttemptState.ACCEPTED, response=REPLY),
        event("raw.near_intents.quote_status", derived_id("quote_status", quote_id), notice, chain=quote_id),
        told(AttemptState.SETTLED, evidence=SETTLED),
    ]


def a_treasury() -> Treasury:
    """With one of everything that the bridge tells."""
    address = DepositAddress(chain="btc:mainnet", asset_id=BTC, address="bc1qexample", observed_at=NOW)
    return Treasury(
        account=ACCOUNT,
        addresses=(address,),
        tokens=(
            BridgeToken(
                asset_id=BTC,
                chain="btc:mainnet",
                min_deposit=Amount(700),
                min_withdrawal=Amount(700),
                withdrawal_fee=Amount(500),
            ),
        ),
        deposits=(
            BridgeDeposit(
                deposit_id="deposit-1",
                chain="btc:mainnet",
                asset_id=BTC,
                amount=Amount(5_000),
                address="bc1qexample",
                state=DepositState.PENDING,
                status_text="PENDING",
                created_at=NOW,
                tx_hash="ab" * 32,
                mint_tx_hash=None,
            ),
        ),
        withdrawals=(
            BridgeWithdrawal(
                withdrawal_id="withdrawal-1",
                chain="eth:100",
                asset_id=EURE,
                amount=Amount(10**18),
                address="0x0000000000000000000000000000000000000001",
                status_text="COMPLETED",
                finished=True,
                transfer_tx_hash="cd" * 32,
            ),
        ),
        bridge_observed_at=NOW,
        withdrawals_enabled=False,
        rebalances_enabled=False,
        trackers_paused=False,
    )


def events_beside_the_trade() -> list[Envelope[Any]]:
    """One event of each topic that no chain of a quote passes through."""
    action = LiquidityAction(
        action_id=derived_id("action", "deposit-1"),
        account=ACCOUNT,
        step=DepositStep(
            state=DepositState.PENDING,
            chain="btc:mainnet",
            asset_id=BTC,
            amount=Amount(5_000),
            address="bc1qexample",
            status="PENDING",
            tx_hash="ab" * 32,
            mint_tx_hash=None,
        ),
    )
    control = ControlRecord(
        service="strategy-engine",
        instance="strategy-engine-1",
        action="arm",
        actor="operator",
        reason="the first trade",
        arguments={"directions": "base_in"},
        before={"armed": "none"},
        after={"armed": "base_in"},
        acted_at=NOW,
        applied=True,
        reason_refused=None,
    )
    status = ServiceStatus(
        service="trade-executor",
        instance="trade-executor-1",
        active=True,
        started_at=ago(60_000),
        healthy=True,
        ready=True,
        not_ready=(),
        account=ACCOUNT,
        paused=False,
        generation=2,
        database_up=True,
        details=ExecutorVitals(
            switches=SwitchView(halted=False, armed=(Direction.BASE_IN,), arm_expires_at=NOW + timedelta(hours=1)),
            recovering=False,
            lag=0,
            ledger=LEDGER,
        ),
    )
    letter = dead_letter(
        source="norm.swap_demand", data=b"{", reason="truncated", topic_id="demands-1", partition=0, offset=3
    )
    return [
        event("state.treasury", "treasury-1", a_treasury(), chain="treasury-1"),
        event("ops.liquidity_action", action.action_id, action, chain=action.action_id),
        event("ops.control_action", "control-1", control, chain="control-1"),
        event("ops.service_status", "beat-1", status, chain="beat-1"),
        event("dlq.invalid_message", "letter-1", letter, chain="letter-1"),
    ]


def one_of_each_topic() -> dict[str, Envelope[Any]]:
    """Of each topic one event; of the results the one that carries evidence."""
    events = [*events_of_a_trade("quote-1"), *events_beside_the_trade()]
    return {envelope.event_type: envelope for envelope in events}


def _nonce(salt: str, deadline_ms: int, free: bytes) -> str:
    """A stand-in for the venue's encoding, which is the venue adapter's to test."""
    return base64.b64encode(f"{salt}{deadline_ms}".encode() + free).decode()
