from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_service import client_of
from unrip.domain.treasury import DepositState
from unrip.venues.near_intents.bridge import Bridge, BridgeRefused, BridgeUnavailable

EURE = "gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"


def bridge_of(result: Callable[[dict[str, Any]], Any]) -> Bridge:
    """A bridge whose results come from `result(params)`; a text stands for the whole reply."""

    def answer(request: Any) -> Any:
        said = result({"method": request["method"], **request["params"][0]})
        return said if isinstance(said, str) else {"jsonrpc": "2.0", "id": request["id"], "result": said}

    return Bridge(client_of(answer), "http://127.0.0.1:9/rpc", account="desk.example.near")


def deposit(**changes: Any) -> dict[str, Any]:
    return {
        "tx_hash": "",
        "chain": "btc:mainnet",
        "defuse_asset_identifier": "btc:mainnet:native",
        "near_token_id": "btc.omft.near",
        "decimals": 8,
        "amount": 150_000,
        "account_id": "desk.example.near",
        "address": "bc1qdesk",
        "status": "PENDING",
        "created_at": "2026-11-22T10:00:00.000Z",
        **changes,
    }


def listed(*deposits: dict[str, Any]) -> Bridge:
    return bridge_of(lambda _: {"deposits": list(deposits), "total": len(deposits), "limit": 100, "offset": 0})


async def test_amounts_beyond_a_float_stay_exact() -> None:
    text = json.dumps({"deposits": [deposit(near_token_id=EURE)], "total": 1})
    for written in ("84000000000000000000001", "8.4000000000000000000001e22"):
        bridge = bridge_of(lambda _, w=written: '{"result":' + text.replace("150000", w) + "}")  # type: ignore[misc]
        (found,) = await bridge.recent_deposits("eth:100")
        assert found.amount == 84_000_000_000_000_000_000_001
        assert found.asset_id == f"nep141:{EURE}"


async def test_a_deposit_as_the_bridge_tells_it() -> None:
    (found,) = await listed(deposit(status="CREDITED", mint_tx_hash="m")).recent_deposits("btc:mainnet")
    assert (found.state, found.status_text) == (DepositState.CREDITED, "CREDITED")
    assert (found.tx_hash, found.mint_tx_hash) == (None, "m")
    assert found.created_at == datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", ["SWEPT", "unknown", "Pending?"])
async def test_an_unknown_status_is_kept_as_unknown(status: str) -> None:
    (found,) = await listed(deposit(status=status)).recent_deposits("btc:mainnet")
    assert (found.state, found.status_text) == (DepositState.UNKNOWN, status)


async def test_a_deposit_keeps_its_id_while_its_state_changes() -> None:
    (pending,) = await listed(deposit()).recent_deposits("btc:mainnet")
    (done,) = await listed(deposit(status="COMPLETED", mint_tx_hash="m")).recent_deposits("btc:mainnet")
    assert pending.deposit_id == done.deposit_id


async def test_deposits_that_look_alike_are_two() -> None:
    first, second = await listed(deposit(), deposit()).recent_deposits("btc:mainnet")
    assert first.deposit_id != second.deposit_id


async def test_pages_are_read_to_the_end() -> None:
    everything = [deposit(amount=number) for number in range(250)]
    asked: list[int] = []

    def page(params: dict[str, Any]) -> Any:
        asked.append(params["offset"])
        return {"deposits": everything[params["offset"] :][: params["limit"]], "total": 250}

    found = await bridge_of(page).recent_deposits("btc:mainnet")
    assert [int(entry.amount) for entry in found] == list(range(250))
    assert asked == [0, 100, 200]


async def test_endless_pages_have_a_bound() -> None:
    found = await bridge_of(lambda _: {"deposits": [deposit()] * 100, "total": 10**9}).recent_deposits("btc:mainnet")
    assert len(found) == 1_000


@pytest.mark.parametrize(("pages", "total"), [([100, 0], 150), ([0], 1), ([100, 20, 0], 150)])
async def test_a_list_that_ends_before_its_own_end_is_unknown(pages: list[int], total: int) -> None:
    left = iter(pages)
    bridge = bridge_of(lambda _: {"deposits": [deposit()] * next(left), "total": total})
    with pytest.raises(BridgeUnavailable, match="ended"):
        await bridge.recent_deposits("btc:mainnet")


async def test_deposits_in_another_order_are_the_same_ones() -> None:
    told = [deposit(), deposit(amount=7), deposit(), deposit(created_at=None, tx_hash="t")]
    there = await listed(*told).recent_deposits("btc:mainnet")
    back = await listed(*reversed(told)).recent_deposits("btc:mainnet")
    assert len({each.deposit_id for each in there}) == len(told)
    assert {each.deposit_id for each in there} == {each.deposit_id for each in back}


@pytest.mark.parametrize("status", [408, 429, 503])
async def test_a_bridge_that_is_asked_too_much_is_away(status: int) -> None:
    bridge = Bridge(client_of(lambda _: "{}", status=status), "http://127.0.0.1:9/rpc", account="desk.example.near")
    with pytest.raises(BridgeUnavailable, match=str(status)):
        await bridge.recent_deposits("btc:mainnet")


async def test_a_list_that_changes_while_it_is_read_is_unknown() -> None:
    totals = iter([200, 201])
    bridge = bridge_of(lambda _: {"deposits": [deposit()] * 100, "total": next(totals)})
    with pytest.raises(BridgeUnavailable, match="changed"):
        await bridge.recent_deposits("btc:mainnet")


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "150000"},
        {"amount": 1.5},
        {"amount": -1},
        {"amount": 2**127},
        {"amount": None},
        {"status": None},
        {"address": 7},
        {"near_token_id": ""},
    ],
)
async def test_one_unreadable_deposit_makes_the_sum_unknown(changes: dict[str, Any]) -> None:
    with pytest.raises(BridgeUnavailable):
        await listed(deposit(), deposit(**changes)).recent_deposits("btc:mainnet")


@pytest.mark.parametrize("error", ['"Withdrawals not found"', '{"code":-1,"message":"Withdrawals not found"}'])
async def test_both_forms_of_errors_are_its_own_words(error: str) -> None:
    with pytest.raises(BridgeRefused, match="Withdrawals not found"):
        await bridge_of(lambda _: '{"error":' + error + "}").recent_withdrawals("btc:mainnet")


@pytest.mark.parametrize(
    "reply", ["[]", "{}", '{"result":7}', '{"result":{"deposits":7,"total":0}}', "not json", '{"error":[]}']
)
async def test_other_replies_are_errors_of_the_tree(reply: str) -> None:
    with pytest.raises((BridgeUnavailable, BridgeRefused)):
        await bridge_of(lambda _: reply).recent_deposits("btc:mainnet")


@pytest.mark.parametrize(
    ("status", "finished"),
    [
        ("PENDING", False),
        ("COMPLETED", True),
        ("RETURNED", True),
        ("FAILED", False),
        ("AWAITING", False),
        ("NEW", False),
    ],
)
async def test_a_withdrawal_that_is_not_through_is_in_no_balance(status: str, finished: bool) -> None:
    data = {
        "tx_hash": "burn",
        "transfer_tx_hash": None,
        "chain": "btc:mainnet",
        "near_token_id": "btc.omft.near",
        "amount": 2_501_500,
        "address": "bc1qowner",
        "created": "2026-11-22T10:00:00Z",
    }
    bridge = bridge_of(lambda _: {"withdrawals": [{"status": status, "data": data}]})
    (found,) = await bridge.recent_withdrawals("btc:mainnet")
    assert (found.amount, found.finished, found.status_text) == (2_501_500, finished, status)


async def test_tokens_are_read_as_integers_and_nothing_else() -> None:
    token = {
        "intents_token_id": "nep141:btc.omft.near",
        "min_deposit_amount": "10000",
        "min_withdrawal_amount": "70000",
        "withdrawal_fee": "1500",
    }
    (found,) = await bridge_of(lambda _: {"tokens": [token]}).supported_tokens("btc:mainnet")
    assert (found.chain, found.min_deposit, found.min_withdrawal, found.withdrawal_fee) == (
        "btc:mainnet",
        10_000,
        70_000,
        1_500,
    )
    with pytest.raises(BridgeUnavailable):
        await bridge_of(lambda _: {"tokens": [{**token, "withdrawal_fee": "0.001"}]}).supported_tokens("btc:mainnet")


def burned(**changes: Any) -> dict[str, Any]:
    data = {
        "tx_hash": "burn",
        "transfer_tx_hash": "payout",
        "chain": "btc:mainnet",
        "near_token_id": "btc.omft.near",
        "amount": 21_500,
        "address": "bc1qowner",
        **changes,
    }
    return {"status": "COMPLETED", "data": data}


def said_of(result: Any) -> Any:
    return bridge_of(lambda _: result).withdrawal_status("burn", asset_id="nep141:btc.omft.near")


@pytest.mark.parametrize("result", [burned(), {"withdrawals": [burned(near_token_id=EURE), burned()]}])
async def test_both_shapes_of_a_withdrawals_status(result: Any) -> None:
    found = await said_of(result)
    assert (found.status_text, found.finished, found.transfer_tx_hash) == ("COMPLETED", True, "payout")
    assert (found.asset_id, found.amount) == ("nep141:btc.omft.near", 21_500)


@pytest.mark.parametrize(
    "result",
    [
        '{"error":"Withdrawals not found"}',
        '{"error":{"code":-1,"message":"Withdrawals not found"}}',
        {"withdrawals": []},
        {"status": "NOT_FOUND", "data": None},
        {"withdrawals": [{"status": "NOT_FOUND"}]},
        {"withdrawals": [burned(near_token_id=EURE)]},
    ],
)
async def test_a_burn_that_the_bridge_has_not_seen_is_no_failure(result: Any) -> None:
    assert await said_of(result) is None


@pytest.mark.parametrize("status", ["AWAITING", "SWEPT", "completed?"])
async def test_an_unknown_status_of_a_withdrawal_is_kept(status: str) -> None:
    found = await said_of({**burned(), "status": status})
    assert (found.status_text, found.finished) == (status, False)


async def test_two_withdrawals_that_cannot_be_told_apart_are_unknown() -> None:
    with pytest.raises(BridgeUnavailable, match="told apart"):
        await said_of({"withdrawals": [burned(), burned(amount=7)]})


@pytest.mark.parametrize("result", [None, 7, {}, {"withdrawals": 7}, {"withdrawals": [7]}, {"status": "PENDING"}])
async def test_a_status_that_cannot_be_read_is_unknown(result: Any) -> None:
    with pytest.raises(BridgeUnavailable):
        await said_of(result)


async def test_any_other_refusal_is_the_bridges_word() -> None:
    with pytest.raises(BridgeRefused, match="hash is malformed"):
        await said_of('{"error":"hash is malformed"}')


@given(amount=st.integers(10**18, 10**30), fee=st.integers(2**53 + 1, 10**20))
async def test_no_float_touches_amounts_of_pages_statuses_and_estimates(amount: int, fee: int) -> None:
    (paged,) = await listed(deposit(amount=amount, near_token_id=EURE)).recent_deposits("eth:100")
    status = await bridge_of(lambda _: burned(amount=amount)).withdrawal_status("burn", asset_id="nep141:btc.omft.near")
    terms = {"withdrawalFee": str(fee), "withdrawalFeeDecimals": 18}
    estimate = await bridge_of(lambda _: terms).withdrawal_estimate("eth:100", token=EURE, destination="0x")
    assert status is not None
    assert (paged.amount, status.amount, estimate.fee) == (amount, amount, fee)


async def test_an_estimate_is_asked_for_the_token_and_the_address() -> None:
    asked: list[Any] = []

    def answer(params: dict[str, Any]) -> Any:
        asked.append(params)
        return {"withdrawalFee": "1500", "withdrawalFeeDecimals": 8, "token": {}}

    estimate = await bridge_of(answer).withdrawal_estimate("btc:mainnet", token="btc.omft.near", destination="bc1q")
    assert (estimate.fee, estimate.fee_decimals) == (1_500, 8)
    assert asked == [
        {"method": "withdrawal_estimate", "chain": "btc:mainnet", "token": "btc.omft.near", "address": "bc1q"}
    ]


@pytest.mark.parametrize(
    "terms",
    [
        {"withdrawalFee": "0.001", "withdrawalFeeDecimals": 8},
        {"withdrawalFee": 1500, "withdrawalFeeDecimals": 8},
        {"withdrawalFee": "1.5e3", "withdrawalFeeDecimals": 8},
        {"withdrawalFee": "1500", "withdrawalFeeDecimals": "8"},
        {"withdrawalFee": "1500"},
        None,
    ],
)
async def test_an_estimate_of_anything_but_integers_is_unknown(terms: Any) -> None:
    with pytest.raises(BridgeUnavailable, match="withdrawal_estimate"):
        await bridge_of(lambda _: terms).withdrawal_estimate("btc:mainnet", token="btc.omft.near", destination="bc1q")


async def test_the_deposit_address_is_asked_for_the_account() -> None:
    asked: list[Any] = []

    def answer(params: dict[str, Any]) -> Any:
        asked.append(params)
        return {"address": "bc1qdesk", "chain": "btc:mainnet"}

    assert await bridge_of(answer).deposit_address("btc:mainnet") == "bc1qdesk"
    assert asked == [{"method": "deposit_address", "account_id": "desk.example.near", "chain": "btc:mainnet"}]
    with pytest.raises(BridgeUnavailable):
        await bridge_of(lambda _: {"address": ""}).deposit_address("btc:mainnet")


async def test_an_amount_that_is_nested_deeply_is_refused_like_any_other() -> None:
    fee: list[Any] = []
    for _ in range(900):
        fee = [fee]
    token = {"intents_token_id": "nep141:t", "min_deposit_amount": fee}
    with pytest.raises(BridgeUnavailable, match="list"):
        await bridge_of(lambda _: {"tokens": [token]}).supported_tokens("btc:mainnet")
