from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest

from support.engine import a_control
from support.logic import BTC, EURE, PAIR, T0, act, after, lines, of, published
from unrip.domain.treasury import (
    AddressAccepted,
    BridgeDeposit,
    BridgeToken,
    BridgeWithdrawal,
    DepositState,
    Treasury,
)
from unrip.domain.values import Amount
from unrip.frame.contract import (
    BusChanged,
    CaughtUp,
    ControlRefused,
    Effect,
    Publish,
    Published,
    PublishFailed,
    RecordReceived,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
)
from unrip.messages.envelope import Envelope, Producer
from unrip.services.liquidity_manager.definition import SERVICE
from unrip.services.liquidity_manager.effects import ChainRead, ChainUnread, ReadChain
from unrip.services.liquidity_manager.logic import LiquidityManager
from unrip.services.liquidity_manager.treasury import MOVEMENTS_MAX

BITCOIN, GNOSIS = "btc:mainnet", "eth:100"
ACTIONS = "ops.liquidity_action"


def manager(*earlier: Publish) -> LiquidityManager:
    """A manager that has started, has learned from its earlier life and has asked about both chains."""
    logic = LiquidityManager(pair=PAIR, account="desk.example.near", interval_s=30)
    logic.on_event(BusChanged(up=True, reason=""), T0)
    logic.on_event(Started(active=True, generation=None, start_id="liquidity-1"), T0)
    for number, record in enumerate(earlier):
        logic.on_event(_received(record, number), T0)
    for topic in ("state.treasury", ACTIONS):
        logic.on_event(CaughtUp(topic=topic, topic_id="t"), T0)
    return logic


def _received(record: Publish, offset: int) -> RecordReceived:
    envelope = Envelope(
        event_id=record.event_id,
        event_type=record.topic.name,
        schema_version=1,
        producer=Producer(service="liquidity-manager", instance="earlier", version="0"),
        occurred_at=record.occurred_at,
        observed_at=record.observed_at,
        published_at=record.observed_at,
        venue=record.venue,
        pair=None,
        correlation_id=record.correlation_id,
        causation_id=None,
        stages={},
        payload=record.payload,
    )
    return RecordReceived(topic=record.topic.name, topic_id="t", offset=offset, message=envelope)


def deposit(state: DepositState = DepositState.PENDING, **changes: Any) -> BridgeDeposit:
    base = BridgeDeposit(
        deposit_id="d1",
        chain=BITCOIN,
        asset_id=BTC,
        amount=Amount(150_000),
        address="bc1qdesk",
        state=state,
        status_text=state.upper(),
        created_at=T0,
        tx_hash=None,
        mint_tx_hash=None,
    )
    return msgspec.structs.replace(base, **changes)


def withdrawal(status: str = "PENDING", *, finished: bool = False) -> BridgeWithdrawal:
    return BridgeWithdrawal(
        withdrawal_id="w1",
        chain=BITCOIN,
        asset_id=BTC,
        amount=Amount(70_000),
        address="bc1qowner",
        status_text=status,
        finished=finished,
        transfer_tx_hash=None,
    )


def chain(
    name: str = BITCOIN,
    *deposits: BridgeDeposit,
    address: str | None = None,
    withdrawals: tuple[BridgeWithdrawal, ...] = (),
    now: datetime = T0,
) -> ChainRead:
    asset = BTC if name == BITCOIN else EURE
    token = BridgeToken(
        asset_id=asset, chain=name, min_deposit=Amount(1), min_withdrawal=Amount(2), withdrawal_fee=Amount(3)
    )
    return ChainRead(
        chain=name,
        address=address or ("bc1qdesk" if name == BITCOIN else "0xdesk"),
        tokens=(token,),
        deposits=deposits,
        withdrawals=withdrawals,
        observed_at=now,
    )


def told(logic: LiquidityManager, answer: ChainRead | ChainUnread, now: datetime = T0) -> list[Effect]:
    return list(logic.on_event(answer, now))


def steps(effects: list[Effect]) -> list[str]:
    return [record.payload.step.name for record in published(effects, ACTIONS)]


def test_it_learns_from_its_earlier_life_before_it_asks() -> None:
    logic = LiquidityManager(pair=PAIR, account="desk.example.near", interval_s=30)
    effects = logic.on_event(Started(active=True, generation=None, start_id="liquidity-1"), T0)
    assert [(wanted.topic.name, wanted.until_end) for wanted in of(Subscribe, effects)] == [
        ("state.treasury", True),
        (ACTIONS, True),
    ]
    assert not of(ReadChain, effects)
    assert not of(ReadChain, logic.on_event(CaughtUp(topic=ACTIONS, topic_id="t"), T0))
    asked = of(ReadChain, logic.on_event(CaughtUp(topic="state.treasury", topic_id="t"), T0))
    assert [question.chain for question in asked] == [BITCOIN, GNOSIS]
    assert not of(ReadChain, logic.on_event(CaughtUp(topic=ACTIONS, topic_id="t"), T0))


def test_without_kafka_it_asks_after_a_bound() -> None:
    logic = LiquidityManager(pair=PAIR, account="desk.example.near", interval_s=30)
    (timer,) = of(SetTimer, logic.on_event(Started(active=True, generation=None, start_id="liquidity-1"), T0))
    assert of(ReadChain, logic.on_event(TimerFired(name=timer.name), timer.at))


def test_the_state_is_published_when_every_chain_has_answered() -> None:
    logic = manager()
    assert not published(told(logic, chain(BITCOIN, deposit(), now=after(seconds=1))), "state.treasury")
    (record,) = published(told(logic, chain(GNOSIS, now=after(seconds=2))), "state.treasury")
    treasury: Treasury = record.payload
    assert (record.event_id, record.observed_at) == ("liquidity-1-treasury-1", after(seconds=1))
    assert treasury.bridge_observed_at == after(seconds=1)
    assert {address.chain: address.address for address in treasury.addresses} == {BITCOIN: "bc1qdesk", GNOSIS: "0xdesk"}
    assert [token.asset_id for token in treasury.tokens] == [BTC, EURE]
    assert treasury.deposits == (deposit(),)
    assert (treasury.withdrawals_enabled, treasury.rebalances_enabled) == (False, False)


def test_a_chain_that_cannot_be_read_leaves_the_other_and_is_unknown() -> None:
    logic = manager()
    told(logic, chain(GNOSIS))
    (record,) = published(told(logic, ChainUnread(chain=BITCOIN, reason="bridge: no answer")), "state.treasury")
    assert record.payload.bridge_observed_at is None
    assert [address.chain for address in record.payload.addresses] == [GNOSIS]
    assert logic.state(T0).failures == {BITCOIN: "bridge: no answer"}
    assert logic.not_ready(after(seconds=90)) == []
    assert logic.not_ready(after(seconds=91)) == ["bridge_stale"]


def test_it_asks_every_interval_and_never_twice_at_once() -> None:
    logic = manager()
    told(logic, chain(GNOSIS))
    effects = list(logic.on_event(TimerFired(name="read"), after(seconds=30)))
    assert [question.chain for question in of(ReadChain, effects)] == [GNOSIS]
    assert of(SetTimer, effects) == [SetTimer(name="read", at=after(seconds=60))]


# --- steps -------------------------------------------------------------------------------------------------------


def test_a_deposit_is_told_once_per_change_of_state() -> None:
    logic = manager()
    seen: list[str] = []
    logged: list[str] = []
    for state in [
        DepositState.PENDING,
        DepositState.PENDING,
        DepositState.CREDITED,
        DepositState.CREDITED,
        DepositState.COMPLETED,
        DepositState.COMPLETED,
    ]:
        effects = told(logic, chain(BITCOIN, deposit(state)))
        seen += steps(effects)
        logged += lines(effects)
    assert seen == ["address_issued", "deposit_pending", "deposit_credited", "deposit_completed"]
    assert logged == ["funding_requested", "funding_pending", "funding_credited"]


def test_a_failed_deposit_may_still_be_completed_by_hand() -> None:
    logic = manager()
    effects = [
        e for state in ("failed", "completed") for e in told(logic, chain(BITCOIN, deposit(DepositState(state))))
    ]
    assert steps(effects)[1:] == ["deposit_failed", "deposit_completed"]
    assert lines(effects)[1:] == ["funding_failed", "funding_credited"]


def test_an_unknown_status_is_a_step_of_its_own_and_no_line() -> None:
    logic = manager()
    effects = told(logic, chain(BITCOIN, deposit(DepositState.UNKNOWN, status_text="SWEPT")))
    assert steps(effects) == ["address_issued", "deposit_unknown"]
    assert published(effects, ACTIONS)[1].payload.step.status == "SWEPT"
    assert lines(effects) == ["funding_requested"]


def test_a_withdrawal_is_told_once_per_change_of_state() -> None:
    logic = manager()
    seen = []
    for status, finished in [("PENDING", False), ("PENDING", False), ("FAILED", False), ("COMPLETED", True)]:
        seen += steps(told(logic, chain(BITCOIN, withdrawals=(withdrawal(status, finished=finished),))))
    assert seen == ["address_issued", "withdrawal_seen", "withdrawal_failed", "withdrawal_finished"]


def test_a_restart_repeats_nothing_that_was_told() -> None:
    first = manager()
    earlier = published(told(first, chain(BITCOIN, deposit(), withdrawals=(withdrawal(),))), ACTIONS)
    effects = told(manager(*earlier), chain(BITCOIN, deposit(), withdrawals=(withdrawal(),)))
    assert steps(effects) == []
    assert lines(effects) == []


def test_a_restart_without_memory_repeats_the_very_same_records() -> None:
    first, second = (
        published(told(manager(), chain(BITCOIN, deposit(), withdrawals=(withdrawal(),))), ACTIONS) for _ in range(2)
    )
    assert [(record.event_id, record.payload) for record in first] == [
        (record.event_id, record.payload) for record in second
    ]


def test_a_credit_during_a_stop_is_told_after_it() -> None:
    earlier = published(told(manager(), chain(BITCOIN, deposit())), ACTIONS)
    effects = told(manager(*earlier), chain(BITCOIN, deposit(DepositState.COMPLETED, mint_tx_hash="m")))
    assert steps(effects) == ["deposit_completed"]
    assert lines(effects) == ["funding_credited"]


def test_a_deposit_that_the_bridge_forgets_and_finds_again_is_told_once() -> None:
    """It stands in no treasury meanwhile: what is on its way is what the bridge says now."""
    logic = manager()
    told(logic, chain(GNOSIS))
    assert "deposit_credited" in steps(told(logic, chain(BITCOIN, deposit(DepositState.CREDITED))))
    forgotten = told(logic, chain(BITCOIN))
    (record,) = published(forgotten, "state.treasury")
    assert (steps(forgotten), record.payload.deposits) == ([], ())
    found = told(logic, chain(BITCOIN, deposit(DepositState.CREDITED)))
    assert (steps(found), lines(found)) == ([], [])


def test_another_word_about_the_same_state_is_another_record() -> None:
    logic = manager()
    first = published(told(logic, chain(BITCOIN, deposit(DepositState.COMPLETED))), ACTIONS)
    second = published(told(logic, chain(BITCOIN, deposit(DepositState.COMPLETED, mint_tx_hash="m"))), ACTIONS)
    assert first[-1].event_id != second[-1].event_id


def test_the_steps_of_another_account_are_not_ours() -> None:
    (issued,) = published(told(manager(), chain(BITCOIN, address="bc1qother")), ACTIONS)
    foreign = msgspec.structs.replace(issued, payload=msgspec.structs.replace(issued.payload, account="other.near"))
    assert steps(told(manager(foreign), chain(BITCOIN))) == ["address_issued"]


# --- broker ------------------------------------------------------------------------------------------------------


def test_while_the_broker_is_away_steps_wait_for_a_later_reading() -> None:
    logic = manager()
    logic.on_event(BusChanged(up=False, reason="gone"), T0)
    assert not steps(told(logic, chain(BITCOIN, deposit())))
    logic.on_event(BusChanged(up=True, reason=""), T0)
    assert steps(told(logic, chain(BITCOIN, deposit()))) == ["address_issued", "deposit_pending"]


def test_a_step_that_is_not_acknowledged_is_told_again_but_logged_once() -> None:
    logic = manager()
    issued, pending = published(told(logic, chain(BITCOIN, deposit())), ACTIONS)
    assert not logic.idle()
    logic.on_event(Published(token=issued.token or "", offset=1), T0)
    logic.on_event(PublishFailed(token=pending.token or "", reason="timed out"), T0)
    effects = told(logic, chain(BITCOIN, deposit()))
    assert [record.event_id for record in published(effects, ACTIONS)] == [pending.event_id]
    assert lines(effects) == []


# --- addresses ---------------------------------------------------------------------------------------------------


def test_another_address_is_an_alarm_and_neither_is_used() -> None:
    logic = manager()
    told(logic, chain(GNOSIS))
    told(logic, chain(BITCOIN))
    effects = told(logic, chain(BITCOIN, address="bc1qstranger"))
    assert steps(effects) == ["address_changed"]
    assert lines(effects) == ["deposit_address_changed"]
    (record,) = published(effects, "state.treasury")
    assert [address.chain for address in record.payload.addresses] == [GNOSIS]
    assert logic.not_ready(T0) == ["deposit_address_changed"]
    assert not steps(told(logic, chain(BITCOIN, address="bc1qstranger")))
    assert logic.state(T0).deposit_addresses[BITCOIN].also_named == "bc1qstranger"


def test_the_first_address_again_does_not_end_the_doubt() -> None:
    logic = manager()
    told(logic, chain(BITCOIN))
    told(logic, chain(BITCOIN, address="bc1qstranger"))
    told(logic, chain(BITCOIN))
    assert not logic.state(T0).deposit_addresses[BITCOIN].usable


def test_the_doubt_survives_a_restart() -> None:
    first = manager()
    earlier = [*published(told(first, chain(BITCOIN)), ACTIONS)]
    earlier += published(told(first, chain(BITCOIN, address="bc1qstranger")), ACTIONS)
    second = manager(*earlier)
    told(second, chain(BITCOIN, address="bc1qstranger"))
    assert not second.state(T0).deposit_addresses[BITCOIN].usable


def test_an_accepted_address_survives_a_restart() -> None:
    first = manager()
    earlier = [*published(told(first, chain(BITCOIN)), ACTIONS)]
    earlier += published(told(first, chain(BITCOIN, address="bc1qnew")), ACTIONS)
    earlier += published(act(first, "deposit-addresses", chain=BITCOIN, accept="bc1qnew"), ACTIONS)
    earlier += published(told(first, chain(BITCOIN, address="bc1qnew")), ACTIONS)
    second = manager(*earlier)
    assert steps(told(second, chain(BITCOIN, address="bc1qnew"))) == [], "an earlier life has told it"
    assert second.not_ready(T0) == []
    assert second.state(T0).deposit_addresses[BITCOIN].address == "bc1qnew"


def test_an_accepted_address_survives_a_restart_before_the_next_reading() -> None:
    """The bridge may name the old address once more on its way back; what the operator said is not in any reading."""
    first = manager()
    earlier = [*published(told(first, chain(BITCOIN)), ACTIONS)]
    earlier += published(told(first, chain(BITCOIN, address="bc1qnew")), ACTIONS)
    earlier += published(act(first, "deposit-addresses", chain=BITCOIN, accept="bc1qnew"), ACTIONS)
    accepted = AddressAccepted(chain=BITCOIN, asset_id=BTC, address="bc1qnew", actor="operator")
    assert earlier[-1].payload.step == accepted
    second = manager(*earlier)
    told(second, chain(BITCOIN, address="bc1qnew"))
    assert second.not_ready(T0) == []
    assert second.state(T0).deposit_addresses[BITCOIN].address == "bc1qnew"


def test_the_old_address_can_be_confirmed_and_the_other_one_named_again_is_another_doubt() -> None:
    logic = manager()
    told(logic, chain(BITCOIN))
    first = told(logic, chain(BITCOIN, address="bc1qstranger"))
    act(logic, "deposit-addresses", chain=BITCOIN, accept="bc1qdesk")
    assert logic.not_ready(T0) == []
    assert logic.state(T0).deposit_addresses[BITCOIN].usable
    again = told(logic, chain(BITCOIN, address="bc1qstranger"))
    assert logic.not_ready(T0) == ["deposit_address_changed"]
    assert (steps(again), lines(again)) == (["address_changed"], ["deposit_address_changed"])
    ids = {record.event_id for effects in (first, again) for record in published(effects, ACTIONS)}
    assert len(ids) == 2, "the history keeps one record of an id"
    assert steps(told(logic, chain(BITCOIN, address="bc1qstranger"))) == []


def test_an_address_that_changed_during_a_stop_is_noticed_from_the_last_state() -> None:
    first = manager()
    told(first, chain(BITCOIN))
    (treasury,) = published(told(first, chain(GNOSIS)), "state.treasury")
    assert steps(told(manager(treasury), chain(BITCOIN, address="bc1qstranger"))) == ["address_changed"]


def test_only_the_operators_own_word_ends_the_doubt() -> None:
    logic = manager()
    told(logic, chain(BITCOIN))
    told(logic, chain(BITCOIN, address="bc1qnew"))
    for name, accept in ((BITCOIN, None), (BITCOIN, "bc1qwrong"), (GNOSIS, "x")):
        with pytest.raises(ControlRefused):
            act(logic, "deposit-addresses", chain=name, accept=accept)
    accepting = a_control("deposit-addresses", chain=BITCOIN, accept="bc1qnew")
    assert logic.follow(accepting, T0) == {f"deposit_address {BITCOIN}": "bc1qnew"}
    assert logic.control_state(T0)[f"deposit_address {BITCOIN}"] == "none"
    asked = act(logic, "deposit-addresses", chain=BITCOIN, accept="bc1qnew")
    assert of(ReadChain, asked) == [ReadChain(chain=BITCOIN)]
    assert steps(told(logic, chain(BITCOIN, address="bc1qnew"))) == ["address_issued"]
    assert logic.control_state(T0)[f"deposit_address {BITCOIN}"] == "bc1qnew"


def test_a_chain_that_is_not_ours_has_no_address() -> None:
    with pytest.raises(ControlRefused, match="chain must be one of"):
        act(manager(), "deposit-addresses", chain="sol:mainnet")


# --- controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["withdrawals", "rebalances"])
def test_the_switches_are_off_at_the_start_and_recorded(subject: str) -> None:
    logic = manager()
    assert logic.control_state(T0)[f"{subject}_enabled"] == "false"
    (record,) = published(act(logic, f"{subject}/enable"), "state.treasury")
    assert getattr(record.payload, f"{subject}_enabled")
    assert logic.control_state(T0)[f"{subject}_enabled"] == "true"
    act(logic, f"{subject}/disable")
    assert logic.control_state(T0)[f"{subject}_enabled"] == "false"


def test_paused_trackers_ask_nothing_but_the_state_goes_on() -> None:
    logic = manager()
    told(logic, chain(BITCOIN))
    told(logic, chain(GNOSIS))
    assert published(act(logic, "trackers/pause"), "state.treasury")[0].payload.trackers_paused
    effects = list(logic.on_event(TimerFired(name="read"), after(seconds=30)))
    assert not of(ReadChain, effects)
    assert published(effects, "state.treasury")
    assert len(of(ReadChain, act(logic, "trackers/resume"))) == 2


def test_paused_it_asks_and_publishes_nothing() -> None:
    logic = manager()
    told(logic, chain(BITCOIN))
    act(logic, "pause")
    assert not published(told(logic, chain(GNOSIS)), "state.treasury")
    assert not of(ReadChain, logic.on_event(TimerFired(name="read"), after(seconds=30)))
    for action in ("refresh", "deposit-addresses"):
        with pytest.raises(ControlRefused, match="resume first"):
            act(logic, action, chain=BITCOIN)
    assert logic.vitals(T0).paused
    assert len(of(ReadChain, act(logic, "resume"))) == 2


def test_refresh_asks_now_and_is_recorded() -> None:
    logic = manager()
    told(logic, chain(BITCOIN))
    told(logic, chain(GNOSIS))
    effects = act(logic, "refresh")
    assert steps(effects) == ["refresh"]
    assert len(of(ReadChain, effects)) == 2


@pytest.mark.parametrize("action", ["withdraw", "withdrawals/send", "withdrawals", "trackers/stop", "arm"])
def test_nothing_here_moves_money(action: str) -> None:
    with pytest.raises(ControlRefused, match="has no action"):
        act(manager(), action)


def test_every_action_it_declares_is_followed() -> None:
    logic = manager()
    for action in [each.name for each in SERVICE.actions]:
        act(logic, action, chain=BITCOIN) if "pause" not in action else None
    act(logic, "trackers/pause")


# --- bounds ------------------------------------------------------------------------------------------------------


def test_the_record_is_bounded_and_unfinished_movements_come_first() -> None:
    logic = manager()
    old = [deposit(DepositState.COMPLETED, deposit_id=f"d{number}") for number in range(500)]
    pending = deposit(DepositState.PENDING, deposit_id="waiting", created_at=None)
    told(logic, chain(BITCOIN, *old, pending))
    (record,) = published(told(logic, chain(GNOSIS)), "state.treasury")
    assert len(record.payload.deposits) == MOVEMENTS_MAX
    assert record.payload.deposits[0].deposit_id == "waiting"


def test_steps_beyond_the_bound_are_told_with_the_next_readings() -> None:
    logic = manager()
    many = [deposit(deposit_id=f"d{number}") for number in range(1_500)]
    told_ids: list[str] = []
    for _ in range(4):
        records = published(told(logic, chain(BITCOIN, *many)), ACTIONS)
        told_ids += [record.event_id for record in records]
        for record in records:
            logic.on_event(Published(token=record.token or "", offset=1), T0)
    assert len(told_ids) == len(set(told_ids)) == 1_501
