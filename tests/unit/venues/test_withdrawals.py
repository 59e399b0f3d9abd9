"""The one function that builds what a withdrawal burns: exact for everything it takes, a reason for all else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from support.logic import PAIR
from unrip.domain.pairs import Asset
from unrip.domain.treasury import BridgeToken, WithdrawalEstimate
from unrip.domain.values import AMOUNT_MAX, Amount
from unrip.venues.near_intents.destinations import DestinationError
from unrip.venues.near_intents.withdrawals import WithdrawalOrder, WithdrawalRefused, withdrawal_intent

BTC, EURE = PAIR.assets()
DESTINATIONS = {
    BTC.chain: "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    EURE.chain: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
}
units = st.integers(0, 10) | st.integers(0, AMOUNT_MAX)


def order_of(asset: Asset = BTC, **changes: Any) -> WithdrawalOrder:
    fields = {"destination": DESTINATIONS[asset.chain], "receive": Amount(20_000), "fee_max": Amount(2_000)}
    return WithdrawalOrder(asset=asset, **{**fields, **changes})


def token_of(asset: Asset = BTC, minimum: Any = 7_000, **changes: Any) -> BridgeToken:
    token = BridgeToken(
        asset_id=asset.asset_id,
        chain=asset.chain,
        min_deposit=Amount(1),
        min_withdrawal=minimum,
        withdrawal_fee=Amount(1),
    )
    return msgspec.structs.replace(token, **changes)


def estimate_of(asset: Asset = BTC, fee: Any = 1_500, **changes: Any) -> WithdrawalEstimate:
    return WithdrawalEstimate(**{"fee": fee, "fee_decimals": asset.decimals, **changes})


def refusal(
    order: WithdrawalOrder, token: BridgeToken | None = None, estimate: WithdrawalEstimate | None = None
) -> str:
    with pytest.raises(WithdrawalRefused) as refused:
        withdrawal_intent(order, tokens=[token or token_of()], estimate=estimate or estimate_of())
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_exact_intent() -> None:
    assert withdrawal_intent(order_of(), tokens=[token_of(EURE), token_of()], estimate=estimate_of()) == {
        "intent": "ft_withdraw",
        "token": "btc.omft.near",
        "receiver_id": "btc.omft.near",
        "amount": "21500",
        "memo": "WITHDRAW_TO:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "min_gas": "17050000000000",
    }


@given(asset=st.sampled_from([BTC, EURE]), receive=units, fee=units, fee_max=units, minimum=units)
def test_it_is_exact_or_refused(asset: Asset, receive: int, fee: int, fee_max: int, minimum: int) -> None:
    order = order_of(asset, receive=Amount(receive), fee_max=Amount(fee_max))
    allowed = 0 < receive >= minimum and fee <= fee_max and receive + fee <= AMOUNT_MAX
    try:
        intent = withdrawal_intent(order, tokens=[token_of(asset, minimum)], estimate=estimate_of(asset, fee))
    except WithdrawalRefused:
        assert not allowed
        return
    assert allowed
    assert int(intent["amount"]) == receive + fee
    assert intent["amount"] == str(int(intent["amount"]))
    assert intent["memo"].encode() == b"WITHDRAW_TO:" + DESTINATIONS[asset.chain].encode()
    assert f"nep141:{intent['token']}" == f"nep141:{intent['receiver_id']}" == asset.asset_id
    assert "msg" not in intent


@given(receive=st.integers(10**18, 10**30), fee=st.integers(2**53 + 1, 10**20))
def test_no_float_touches_an_amount(receive: int, fee: int) -> None:
    assume(float(receive + fee) != receive + fee)
    order = order_of(EURE, receive=Amount(receive), fee_max=Amount(fee))
    intent = withdrawal_intent(order, tokens=[token_of(EURE, receive)], estimate=estimate_of(EURE, fee))
    assert intent["amount"] == str(receive + fee)
    assert EURE.parse_whole(EURE.whole_text(Amount(receive))) == receive


def test_below_the_minimum() -> None:
    order = order_of(receive=Amount(6_999))
    assert refusal(order) == "6999 units are below the bridge's minimum of 7000"
    assert withdrawal_intent(order, tokens=[token_of(minimum=6_999)], estimate=estimate_of())["amount"] == "8499"
    assert "below" in refusal(order_of(receive=Amount(0)), token_of(minimum=0))


def test_the_fee_does_not_help_over_the_minimum() -> None:
    assert "below" in refusal(order_of(receive=Amount(6_000)), estimate=estimate_of(fee=1_500))


def test_above_the_owners_limit_of_the_fee() -> None:
    assert refusal(order_of(), estimate=estimate_of(fee=2_001)) == (
        "the bridge's fee is 2001 units, above your limit of 2000"
    )
    assert withdrawal_intent(order_of(), tokens=[token_of()], estimate=estimate_of(fee=2_000))["amount"] == "22000"


NO_INTEGERS: list[Any] = [1_500.0, "1500", True, None, -1, Decimal(1_500), AMOUNT_MAX + 1]


@pytest.mark.parametrize("number", NO_INTEGERS)
def test_terms_that_are_no_integers(number: Any) -> None:
    assert "fee is not an integer" in refusal(order_of(), estimate=estimate_of(fee=number))
    assert "minimum is not an integer" in refusal(order_of(), token_of(minimum=number))
    with pytest.raises(WithdrawalRefused, match="to receive is not an integer"):
        order_of(receive=number)
    with pytest.raises(WithdrawalRefused, match="limit of the fee is not an integer"):
        order_of(fee_max=number)


def test_a_token_that_the_bridge_does_not_list() -> None:
    assert "lists nep141:btc.omft.near 0 times" in refusal(order_of(), token_of(EURE))
    assert "0 times" in refusal(order_of(), token_of(asset_id="nep141:nbtc.bridge.near"))
    assert "0 times" in refusal(order_of(), token_of(chain="eth:100"))
    with pytest.raises(WithdrawalRefused, match="2 times"):
        withdrawal_intent(order_of(), tokens=[token_of(), token_of()], estimate=estimate_of())


@pytest.mark.parametrize("asset_id", ["btc.omft.near", "nep245:v2_1.omni.hot.tg:56_11", "nep141:"])
def test_an_asset_that_the_bridge_cannot_burn(asset_id: str) -> None:
    with pytest.raises(WithdrawalRefused, match="is no nep141: token"):
        order_of(msgspec.structs.replace(BTC, asset_id=asset_id))


def test_other_units_than_the_bridges() -> None:
    assert refusal(order_of(), estimate=estimate_of(fee_decimals=18)) == (
        "the bridge counts BTC in 18 decimals, the settings in 8"
    )


def test_more_than_the_ledger_counts() -> None:
    assert "more than the verifier" in refusal(order_of(receive=Amount(AMOUNT_MAX)))


def test_no_order_has_a_destination_of_another_chain() -> None:
    with pytest.raises(DestinationError, match="not a Bitcoin address"):
        order_of(destination=DESTINATIONS[EURE.chain])
    with pytest.raises(DestinationError, match="not a Gnosis address"):
        order_of(EURE, destination=DESTINATIONS[BTC.chain])
