"""The bridge's withdrawals on virtual time: what a transaction burned is told one by one, and paid or not."""

import hashlib
from typing import Any

import pytest

from support.virtual_world import DESK, SALT, Driver, world
from unrip_world.assets import BTC, EURE
from unrip_world.bridge.core import BridgeRefusedError
from unrip_world.codec import NS_PER_MS
from unrip_world.faults import read_fault

BITCOIN, GNOSIS = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "0x00000000000000000000000000000000000000aa"


def to_bridge(token_id: str, amount: int, address: str) -> dict[str, Any]:
    token = token_id.removeprefix("nep141:")
    memo = f"WITHDRAW_TO:{address}"
    return {"intent": "ft_withdraw", "token": token, "receiver_id": token, "amount": str(amount), "memo": memo}


def withdraw(driver: Driver, *intents: dict[str, Any]) -> str:
    """Publish one signed batch; gives the hash of its transaction."""
    signed = DESK.sign(
        list(intents),
        salt=SALT,
        deadline_ms=driver.now_ns // NS_PER_MS + 60_000,
        unique=hashlib.sha256(repr(intents).encode()).digest()[:15],
    )
    result = driver.world.askers.publish(quote_hashes=[], signed=[signed], now_ns=driver.now_ns)
    (intent_hash,) = result["intent_hashes"]
    return str(driver.world.askers.get_status(intent_hash)["data"]["hash"])


def told(driver: Driver, tx_hash: str) -> dict[str, dict[str, Any]]:
    """What `withdrawal_status` says of a transaction, by address; the order means nothing."""
    listed = driver.world.bridge.call("withdrawal_status", [{"withdrawal_hash": tx_hash}])["withdrawals"]
    return {entry["data"]["address"]: {"status": entry["status"], **entry["data"]} for entry in listed}


def strike(driver: Driver, kind: str, **parameters: Any) -> None:
    fault = read_fault({"service": "chain", "kind": kind, **parameters}, now_ns=driver.now_ns)
    driver.take(driver.world.set_fault(fault, driver.now_ns))


def test_every_withdrawal_of_a_transaction_is_told_and_paid() -> None:
    driver = Driver(world())
    tx_hash = withdraw(driver, to_bridge(BTC, 201_500, BITCOIN), to_bridge(EURE, 502 * 10**16, GNOSIS))
    with pytest.raises(BridgeRefusedError, match=r"^Withdrawals not found$"):
        told(driver, tx_hash)
    driver.run(1)
    assert {entry["status"] for entry in told(driver, tx_hash).values()} == {"PENDING"}
    assert {entry["transfer_tx_hash"] for entry in told(driver, tx_hash).values()} == {None}
    driver.run(10)
    paid = told(driver, tx_hash)
    assert {address: (entry["status"], entry["withdraw_amount"]) for address, entry in paid.items()} == {
        BITCOIN: ("COMPLETED", "200000"),
        GNOSIS: ("COMPLETED", "5000000000000000000"),
    }
    # Each chain writes its hashes in its own way.
    bitcoin, gnosis = paid[BITCOIN]["transfer_tx_hash"], paid[GNOSIS]["transfer_tx_hash"]
    assert (len(bitcoin), len(gnosis), gnosis[:2]) == (64, 66, "0x")
    recent = driver.world.bridge.call("recent_withdrawals", [{"account_id": DESK.account_id}])["withdrawals"]
    assert {entry["data"]["address"] for entry in recent} == {BITCOIN, GNOSIS}


def test_two_withdrawals_of_one_token_have_payments_of_their_own() -> None:
    driver = Driver(world())
    tx_hash = withdraw(driver, to_bridge(BTC, 201_500, BITCOIN), to_bridge(BTC, 301_500, "bc1qother"))
    driver.run(10)
    assert len({entry["transfer_tx_hash"] for entry in told(driver, tx_hash).values()}) == 2


@pytest.mark.parametrize("ordinary", [{}, {"memo": "rent"}])
def test_an_ordinary_withdrawal_beside_is_none_of_the_bridges(ordinary: dict[str, str]) -> None:
    driver = Driver(world())
    moved = {"intent": "ft_withdraw", "token": "btc.omft.near", "receiver_id": "friend.near", "amount": "5", **ordinary}
    tx_hash = withdraw(driver, moved, to_bridge(BTC, 201_500, BITCOIN))
    driver.run(1)
    assert list(told(driver, tx_hash)) == [BITCOIN]


@pytest.mark.parametrize(("amount", "status"), [(900, "FAILED"), (8_499, "FAILED"), (8_500, "COMPLETED")])
def test_what_is_below_the_minimum_is_burned_and_never_sent(amount: int, status: str) -> None:
    driver = Driver(world())
    tx_hash = withdraw(driver, to_bridge(BTC, amount, BITCOIN))
    driver.run(10)
    entry = told(driver, tx_hash)[BITCOIN]
    assert (entry["status"], entry["transfer_tx_hash"] is None) == (status, status == "FAILED")
    assert int(entry["withdraw_amount"]) == max(0, amount - 1_500)


def test_a_vanished_burn_is_no_withdrawal() -> None:
    driver = Driver(world())
    tx_hash = withdraw(driver, to_bridge(BTC, 201_500, BITCOIN), to_bridge(EURE, 502 * 10**16, GNOSIS))
    driver.run(0.7)
    assert len(told(driver, tx_hash)) == 2
    strike(driver, "reorg", blocks=1)
    driver.run(10)
    with pytest.raises(BridgeRefusedError, match=r"^Withdrawals not found$"):
        told(driver, tx_hash)


def test_a_payment_waits_until_the_burn_is_final() -> None:
    driver = Driver(world())
    strike(driver, "final_lag", blocks=50, for_s=12)
    tx_hash = withdraw(driver, to_bridge(BTC, 201_500, BITCOIN))
    driver.run(11)
    assert told(driver, tx_hash)[BITCOIN]["status"] == "PENDING"
    driver.run(4)
    assert told(driver, tx_hash)[BITCOIN]["status"] == "COMPLETED"
