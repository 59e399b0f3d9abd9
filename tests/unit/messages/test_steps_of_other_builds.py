"""Steps of the treasury that another build wrote: those of schema version 1 mean the same, unknown ones end nobody."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.cases import ACCOUNT, NOW, PAIR
from support.engine import a_record
from support.histories import a_record as recorded
from support.inventory import Sync
from support.logic import BTC, T0, of
from unrip.domain.inventory import Reconciliation
from unrip.domain.treasury import (
    AddressAccepted,
    AddressChanged,
    AddressIssued,
    BridgeDeposit,
    DepositState,
    DepositStep,
    LiquidityAction,
    OtherStep,
    Refresh,
    Step,
    WithdrawalState,
    WithdrawalStep,
)
from unrip.domain.values import Amount
from unrip.frame.contract import BusChanged, CaughtUp, Publish, RecordReceived, Started
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import InvalidMessage
from unrip.messages.topics import LIQUIDITY_ACTION
from unrip.services.history_writer.rows import Beats, batch_of
from unrip.services.inventory_sync.reconciling import Reconciler
from unrip.services.liquidity_manager.effects import ChainRead
from unrip.services.liquidity_manager.logic import LiquidityManager
from unrip.services.trade_executor.offers.withdrawals import Withdrawals
from unrip.store.history import Position
from unrip.store.history_tables import TABLES

MESSAGES = Path(__file__).parents[2] / "fixtures" / "messages"
#: Written by the last build of schema version 1; never regenerated.
VERSION_1 = (MESSAGES / "v1" / "every_step_of_ops.liquidity_action.jsonl").read_bytes().splitlines()
TX = "ab" * 32


def a_deposit(
    state: str, status: str, *, amount: int = 150_000, tx: str | None = None, mint: str | None = None
) -> Step:
    return DepositStep(
        state=DepositState(state),
        chain="btc:mainnet",
        asset_id=BTC,
        amount=Amount(amount),
        address="bc1qdesk",
        status=status,
        tx_hash=tx,
        mint_tx_hash=mint,
    )


def a_withdrawal(state: str, status: str, *, tx: str | None = None) -> Step:
    return WithdrawalStep(
        state=WithdrawalState(state),
        chain="btc:mainnet",
        asset_id=BTC,
        amount=Amount(70_000),
        address="bc1qowner",
        status=status,
        transfer_tx_hash=tx,
    )


def where(address: str) -> dict[str, str]:
    return {"chain": "btc:mainnet", "asset_id": BTC, "address": address}


UNDERSTOOD = [
    ("5f14e12a-5ec0-5824-8f89-39aa324f834b", AddressIssued(**where("bc1qdesk"))),
    ("d1", a_deposit("pending", "PENDING")),
    ("d1", a_deposit("credited", "CREDITED", tx=TX)),
    ("d1", a_deposit("completed", "COMPLETED", tx=TX, mint="mint-1")),
    ("d2", a_deposit("failed", "FAILED", amount=7)),
    ("d3", a_deposit("unknown", "SWEPT")),
    ("w1", a_withdrawal("seen", "PENDING")),
    ("w1", a_withdrawal("failed", "FAILED")),
    ("w1", a_withdrawal("finished", "COMPLETED", tx="cd" * 32)),
    ("w2", a_withdrawal("finished", "RETURNED")),
    ("5f14e12a-5ec0-5824-8f89-39aa324f834b", AddressChanged(**where("bc1qdesk"), other="bc1qnew")),
    ("liquidity-1-accept-1", AddressAccepted(**where("bc1qnew"), actor="operator")),
    ("liquidity-1-refresh-3", Refresh(actor="operator")),
]


def read(data: bytes) -> Any:
    return decode_event(LIQUIDITY_ACTION.name, data)


def document(step: Any, *, version: int = 2, **payload: Any) -> bytes:
    """A record with a step as it stands on the topic."""
    found = json.loads(encode_event(a_record(LIQUIDITY_ACTION, action(Refresh(actor="x"))).message))
    return json.dumps(
        found | {"schema_version": version, "payload": found["payload"] | {"step": step} | payload}
    ).encode()


def received(message: Any, offset: int = 0) -> RecordReceived:
    return RecordReceived(topic=LIQUIDITY_ACTION.name, topic_id="t", offset=offset, message=message)


def action(step: Step, name: str = "a1") -> LiquidityAction:
    return LiquidityAction(action_id=name, account=ACCOUNT, step=step)


def of_version_1(step: str, **changes: Any) -> bytes:
    place = {"asset_id": BTC, "chain": "btc:mainnet", "amount": "5"}
    return document(step, version=1, **place | {"details": {"mint_tx_hash": "m", "status": "X"}} | changes)


def test_every_step_of_version_1_means_what_it_meant() -> None:
    actions = [read(line).payload for line in VERSION_1]
    assert [(each.action_id, each.step) for each in actions] == UNDERSTOOD
    assert [each.step.name for each in actions] == [json.loads(line)["payload"]["step"] for line in VERSION_1]
    assert {each.account for each in actions} == {"desk.example.near"}


@pytest.mark.parametrize("line", VERSION_1, ids=lambda line: json.loads(line)["payload"]["step"])
def test_what_was_understood_is_written_in_todays_form(line: bytes) -> None:
    understood = read(line)
    assert understood.schema_version == LIQUIDITY_ACTION.schema_version
    assert read(encode_event(understood)) == understood
    before, after = json.loads(line), json.loads(encode_event(understood))
    envelope = before.keys() - {"payload", "schema_version"}
    assert {key: after[key] for key in envelope} == {key: before[key] for key in envelope}


def test_the_history_has_the_same_columns_of_either_version() -> None:
    names = [column.name for column in TABLES[LIQUIDITY_ACTION.name].columns]
    batch, _ = batch_of(
        [recorded(read(line), offset) for offset, line in enumerate(VERSION_1)],
        Position(topic_id="topic-1", next_offset=0),
        Beats(),
    )
    told = [json.loads(line)["payload"] for line in VERSION_1]
    assert names == ["action_id", "account", "step", "asset_id", "amount"]
    for row, payload in zip(batch.rows, told, strict=True):
        on_an_address = payload["step"].startswith("address")
        assert row.values[:3] == (payload["action_id"], payload["account"], payload["step"])
        assert row.values[3:] == (payload["asset_id"], None if on_an_address else payload["amount"])


def test_money_that_version_1_told_of_is_explained() -> None:
    reconciler = Reconciler()
    for offset, line in enumerate(VERSION_1):
        reconciler.take_action(received(read(line), offset))
    books = reconciler.kept().books
    assert [(each.kind.value, int(each.change), each.evidence) for each in books.waiting] == [
        ("credit", 150_000, "mint-1"),
        ("withdrawal", -70_000, "w1"),
        ("withdrawal", -70_000, "w2"),
        ("credit", 70_000, "return of w2"),
    ]


def test_the_executor_hears_of_the_withdrawals_of_version_1() -> None:
    withdrawn = Withdrawals("desk.example.near")
    for line in VERSION_1:
        withdrawn.on_topic(received(read(line)))
    assert [(each.asset_id, int(each.amount)) for each in withdrawn] == [(BTC, 70_000)] * 2


def test_a_newer_build_repeats_nothing_that_version_1_told() -> None:
    logic = LiquidityManager(pair=PAIR, account="desk.example.near", interval_s=30)
    logic.on_event(BusChanged(up=True, reason=""), T0)
    logic.on_event(Started(active=True, generation=None, start_id="liquidity-2"), T0)
    for offset, line in enumerate(VERSION_1):
        logic.on_event(received(read(line), offset), T0)
    for topic in ("state.treasury", LIQUIDITY_ACTION.name):
        logic.on_event(CaughtUp(topic=topic, topic_id="t"), T0)
    assert logic.state(T0).deposit_addresses["btc:mainnet"].address == "bc1qnew"
    assert logic.state(T0).deposit_addresses["btc:mainnet"].usable
    again = ChainRead(
        chain="btc:mainnet",
        address="bc1qnew",
        tokens=(),
        deposits=(
            BridgeDeposit(
                deposit_id="d1",
                chain="btc:mainnet",
                asset_id=BTC,
                amount=Amount(150_000),
                address="bc1qdesk",
                state=DepositState.COMPLETED,
                status_text="COMPLETED",
                created_at=T0,
                tx_hash=TX,
                mint_tx_hash="mint-1",
            ),
        ),
        withdrawals=(),
        observed_at=T0,
    )
    told = [each.payload for each in of(Publish, logic.on_event(again, T0)) if each.topic is LIQUIDITY_ACTION]
    assert [each.step.name for each in told] == ["address_issued"], "of the address that was accepted"


UNKNOWN = {
    "a kind": ({"kind": "rebalance", "amount": "5", "asset_id": BTC, "deep": [1, {"x": None}]}, "rebalance"),
    "a kind with states": ({"kind": "funding", "state": "swept", "mint_tx_hash": "m"}, "funding_swept"),
    "a state of a deposit": (
        {"kind": "deposit", "state": "minted", "chain": "c", "asset_id": BTC, "amount": "5", "address": "a",
         "status": "MINTED", "tx_hash": None, "mint_tx_hash": "m"},
        "deposit_minted",
    ),
    "a state of a withdrawal": (
        {"kind": "withdrawal", "state": "held", "chain": "c", "asset_id": BTC, "amount": "5", "address": "a",
         "status": "x", "transfer_tx_hash": None},
        "withdrawal_held",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNKNOWN)
def test_a_step_that_is_unknown_here_is_kept_as_it_stood_and_explains_nothing(what: str) -> None:
    step, name = UNKNOWN[what]
    message = read(document(step))
    kept = message.payload.step
    assert isinstance(kept, OtherStep)
    assert (kept.name, json.loads(kept.text)) == (name, step)
    assert read(encode_event(message)) == message
    sync, withdrawn = Sync(), Withdrawals(ACCOUNT)
    sync.read()
    sync.feed(received(message))
    withdrawn.on_topic(received(message))
    LiquidityManager(pair=PAIR, account=ACCOUNT, interval_s=30).on_event(received(message), NOW)
    last = sync.read()
    assert last.books is not None
    assert (last.changes, last.books.waiting, list(withdrawn)) == ((), (), [])
    assert last.reconciliation[BTC] is Reconciliation.UNCHANGED
    batch, _ = batch_of([recorded(message, 0)], Position(topic_id="topic-1", next_offset=0), Beats())
    assert [row.values[2] for row in batch.rows] == [name]


@pytest.mark.parametrize(
    "data",
    [
        of_version_1("deposit_minted"),
        of_version_1("deposit"),
        of_version_1("rebalance_started"),
        of_version_1("deposit_credited", asset_id=None),
        of_version_1("withdrawal_seen", amount=None),
        of_version_1("address_issued", details={}),
    ],
)
def test_what_version_1_says_and_no_step_of_ours_is_kept_too(data: bytes) -> None:
    step = read(data).payload.step
    before = json.loads(data)["payload"]
    assert isinstance(step, OtherStep)
    assert step.name == before["step"]
    assert json.loads(step.text) == {key: before[key] for key in ("step", "asset_id", "chain", "amount", "details")}


DEPOSIT = json.loads(encode_event(a_record(LIQUIDITY_ACTION, action(a_deposit("pending", "PENDING"))).message))
GOOD = DEPOSIT["payload"]["step"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (document(GOOD | {"amount": "-1"}), "not an integer amount"),
        (document({key: value for key, value in GOOD.items() if key != "mint_tx_hash"}), "mint_tx_hash"),
        (document(GOOD | {"state": 7}), r"payload\.step"),
        (document(GOOD | {"kind": 7}), r"payload\.step"),
        (document({"amount": "5"}), "kind"),
        (document("deposit_credited"), r"payload\.step"),
        (document([]), r"payload\.step"),
        (of_version_1("deposit_credited", amount="-5"), "not an integer amount"),
        (of_version_1("deposit_credited", details={"mint_tx_hash": 7}), "mint_tx_hash"),
        (of_version_1("deposit_credited", action_id=7), "action_id"),
        (document({"kind": "rebalance"}, version=3), "newer than 2; upgrade this service first"),
    ],
)
def test_a_step_that_is_known_and_spoilt_is_invalid(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidMessage, match=reason):
        read(data)
