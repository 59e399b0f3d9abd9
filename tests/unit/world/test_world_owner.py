"""What the owner does past the desk: with another key he spends nonces, withdraws, deposits and sees both told."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from support.virtual_world import DESK, SALT, START_NS, Driver, ask, clear, fair_answer, held, strike, until, world
from unrip_world.assets import BTC
from unrip_world.codec import NS_PER_MS
from unrip_world.config import BridgeSettings
from unrip_world.faults import FaultError, read_fault
from unrip_world.verifier.nonces import nonce_text
from unrip_world.verifier.state import NONCES


def events(driver: Driver, name: str) -> list[dict[str, Any]]:
    """The entries of all events of this name, oldest first."""
    lines = [
        json.loads(line.removeprefix("EVENT_JSON:"))
        for block in reversed(list(driver.world.chain.newest_first()))
        for outcome in block.outcomes
        for receipt in outcome.receipts
        for line in receipt.logs
    ]
    return [entry for line in lines if line["event"] == name for entry in line["data"]]


def answered(driver: Driver) -> tuple[str, str]:
    """Quote id and nonce of an answer that could be executed and is not."""
    strike(driver, "relay", "withhold_settlement")
    until(driver, quote_id := ask(driver), "broadcast")
    signed: Any = driver.world.relay.journal.submissions[-1].signed
    return quote_id, signed["payload"]["nonce"]


def is_used(driver: Driver, nonce: str) -> bool:
    state = driver.world.verifier.storage.at(driver.world.chain.head.height)
    return bool(state.get(NONCES, (DESK.account_id, base64.b64decode(nonce)), default=False))


def test_the_owners_other_tool_spends_the_nonce_of_a_live_answer_and_moves_nothing() -> None:
    driver = Driver(world(), respond=fair_answer)
    quote_id, nonce = answered(driver)
    before = held(driver)
    strike(driver, "verifier", "spend_nonces", account_id=DESK.account_id)
    driver.run(1)
    assert is_used(driver, nonce)
    assert held(driver) == before
    executed = events(driver, "intents_executed")
    assert [(each["account_id"], each["nonce"]) for each in executed] == [(DESK.account_id, nonce)]
    assert executed[0]["intent_hash"] != driver.world.relay.journal.submissions[-1].quote_hash
    assert events(driver, "token_diff") == []
    clear(driver, "relay", "withhold_settlement")
    until(driver, quote_id, "failed")
    assert driver.world.relay.auctions[quote_id].error == "nonce was already used"


def test_it_may_execute_something_else_under_that_nonce() -> None:
    driver = Driver(world(), respond=fair_answer)
    _, nonce = answered(driver)
    before = held(driver)
    moves = [{"intent": "transfer", "receiver_id": "other.near", "tokens": {BTC: "7"}}]
    strike(driver, "verifier", "spend_nonces", account_id=DESK.account_id, nonces=[nonce], intents=moves)
    driver.run(1)
    assert is_used(driver, nonce)
    assert held(driver) == before - 7


def test_spent_expired_and_foreign_answers_have_no_live_nonce() -> None:
    driver = Driver(world(), respond=fair_answer)
    _, nonce = answered(driver)

    def live() -> list[str]:
        return driver.world.owner.spend(DESK.account_id, [], [], now_ns=driver.now_ns)

    strike(driver, "verifier", "spend_nonces", account_id="other.near")
    assert driver.world.owner.spend("other.near", [], [], now_ns=driver.now_ns) == []
    driver.run(300)
    assert live() == []
    until(driver, ask(driver), "broadcast")
    second: Any = driver.world.relay.journal.submissions[-1].signed
    assert live() == [second["payload"]["nonce"]] != [nonce]
    driver.run(1)
    assert live() == []
    assert [each["nonce"] for each in events(driver, "intents_executed")] == [second["payload"]["nonce"]]


def test_a_nonce_is_spent_once() -> None:
    driver, free = Driver(world()), nonce_text(bytes(32))
    for _ in range(2):
        strike(driver, "verifier", "spend_nonces", account_id=DESK.account_id, nonces=[free])
        driver.run(1)
    assert [each["nonce"] for each in events(driver, "intents_executed")] == [free]


@pytest.mark.parametrize(
    "parameters", [{"nonces": ["AAAA"]}, {"nonces": [7]}, {"intents": [Decimal(1)]}, {"nonces": "x"}]
)
def test_what_no_tool_could_sign_is_no_fault(parameters: dict[str, Any]) -> None:
    body = {"service": "verifier", "kind": "spend_nonces", "account_id": "a.near", **parameters}
    with pytest.raises(FaultError):
        read_fault(body, now_ns=START_NS)


def test_a_withdrawal_past_the_desk_burns() -> None:
    driver = Driver(world())
    before = held(driver)
    strike(driver, "verifier", "withdraw", account_id=DESK.account_id, token_id=BTC, amount=1_000)
    driver.run(1)
    assert held(driver) == before - 1_000
    (burn,) = events(driver, "mt_burn")
    assert (burn["owner_id"], burn["amounts"], burn["memo"]) == (DESK.account_id, ["1000"], "withdraw")


def test_a_deposit_is_told_in_steps_with_one_mint() -> None:
    driver = Driver(world(bridge=BridgeSettings(credit_after_s=Decimal(2))))
    before = held(driver)
    strike(driver, "bridge", "credit_in_steps")
    driver.world.bridge.deposit(
        account_id=DESK.account_id, chain="btc:mainnet", amount=50_000, min_amount=None, now_ns=driver.now_ns
    )

    def told() -> tuple[str, str | None]:
        (deposit,) = driver.world.bridge.call("recent_deposits", [{"account_id": DESK.account_id}])["deposits"]
        return deposit["status"], deposit["mint_tx_hash"]

    assert told() == ("PENDING", None)
    driver.run(5)
    status, mint = told()
    assert (status, mint is not None, held(driver)) == ("CREDITED", True, before + 50_000)
    clear(driver, "bridge", "credit_in_steps")
    driver.run(5)
    assert (told(), held(driver)) == (("COMPLETED", mint), before + 50_000)
    assert len(events(driver, "mt_mint")) == 1


@pytest.mark.parametrize(("status", "back"), [("FAILED", 0), ("REJECTED", 0), ("RETURNED", 20_000)])
def test_a_withdrawal_ends_otherwise_than_paid(status: str, back: int) -> None:
    driver = Driver(world())
    strike(driver, "bridge", "end_withdrawals", status=status)
    intent = {
        "intent": "ft_withdraw",
        "token": "btc.omft.near",
        "receiver_id": "btc.omft.near",
        "amount": "20000",
        "memo": "WITHDRAW_TO:bc1q",
    }
    strike(
        driver, "verifier", "spend_nonces", account_id=DESK.account_id, nonces=[nonce_text(bytes(32))], intents=[intent]
    )
    before = held(driver)
    driver.run(20)
    (told,) = driver.world.bridge.call("recent_withdrawals", [{"account_id": DESK.account_id}])["withdrawals"]
    assert (told["status"], told["data"]["transfer_tx_hash"]) == (status, None)
    assert held(driver) == before - 20_000 + back
    assert [each["memo"] for each in events(driver, "mt_mint")] == ["refund"] * bool(back)


# -- the relay's word about intents of ours


def revoke(driver: Driver) -> tuple[str, str]:
    signed = DESK.sign([], salt=SALT, deadline_ms=START_NS // NS_PER_MS + 600_000, unique=bytes(15))
    told = driver.world.askers.publish(quote_hashes=[], signed=[signed], now_ns=driver.now_ns)
    (intent_hash,) = told["intent_hashes"]
    return intent_hash, told.get("reason", told["status"])


@pytest.mark.parametrize("executed", [False, True])
def test_a_revocation_stays_pending(executed: bool) -> None:
    driver = Driver(world())
    strike(driver, "relay", "stay_pending", executed=executed)
    intent_hash, reason = revoke(driver)
    assert reason == "OK"
    assert revoke(driver) == (intent_hash, "already processed")
    driver.run(30)
    assert driver.world.askers.get_status(intent_hash) == {"intent_hash": intent_hash, "status": "PENDING"}
    assert len(events(driver, "intents_executed")) == executed
    clear(driver, "relay", "stay_pending")
    driver.run(1)
    assert driver.world.askers.get_status(intent_hash)["status"] == "SETTLED"
    assert len(events(driver, "intents_executed")) == 1


def test_what_two_faults_withhold_is_sent_when_the_last_one_ends() -> None:
    driver = Driver(world())
    strike(driver, "relay", "stay_pending")
    strike(driver, "relay", "withhold_settlement")
    revoke(driver)
    for kind, executed in (("withhold_settlement", 0), ("stay_pending", 1)):
        clear(driver, "relay", kind)
        driver.run(1)
        assert len(events(driver, "intents_executed")) == executed


def test_a_relay_forgets_what_it_executed() -> None:
    driver = Driver(world())
    intent_hash, _ = revoke(driver)
    driver.run(1)
    strike(driver, "relay", "forget_intents")
    assert driver.world.askers.get_status(intent_hash)["status"] == "NOT_FOUND_OR_NOT_VALID"
    assert revoke(driver) == (intent_hash, "nonce was already used")
