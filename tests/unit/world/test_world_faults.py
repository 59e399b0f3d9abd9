"""Faults of the chain and of the relay's word: what vanishes, what is told falsely, who else executes an offer."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.virtual_world import (
    DESK,
    SALT,
    START_NS,
    Driver,
    ask,
    clear,
    fair_answer,
    held,
    strike,
    until,
    verdict,
    world,
)
from unrip_world.assets import BTC
from unrip_world.codec import NS_PER_MS
from unrip_world.config import BridgeSettings, ChainSettings, TakerSettings
from unrip_world.faults import KINDS
from unrip_world.rpc.core import RpcError
from unrip_world.world import World

ROOT = Path(__file__).parents[3]


def report(driver: Driver) -> dict[str, Any]:
    return driver.world.relay.journal.scores["desk"].report()


# -- reorganised blocks


def test_an_optimistic_settlement_vanishes_for_everybody() -> None:
    driver = Driver(world(chain=ChainSettings(final_lag_blocks=4)), respond=fair_answer)
    before = held(driver)
    quote_id = ask(driver)
    until(driver, quote_id, "settled")
    auction, (notice,) = driver.world.relay.auctions[quote_id], driver.events("quote_hash")
    settled_in = driver.world.chain.head
    assert held(driver) > before
    strike(driver, "chain", "reorg", blocks=1)
    assert held(driver) == before
    assert driver.world.chain.block(settled_in.hash) is None
    assert driver.world.chain.head.hash == settled_in.prev_hash
    assert (auction.status, auction.error) == ("failed", "lost in a reorganisation")
    assert (report(driver)["settlements"], report(driver)["failures"]) == (0, 1)
    assert verdict(driver)["settlements"] == verdict(driver)["nonces_used"] == 0
    with pytest.raises(RpcError, match="doesn't exist"):
        driver.world.near_rpc.call("tx", {"tx_hash": notice["tx_hash"], "sender_account_id": "x.near"})
    driver.run(10)
    # What was told stays told, and no block brings it back.
    assert driver.events("quote_hash") == [notice]
    assert held(driver) == before


def test_a_requeued_settlement_comes_back_in_another_block() -> None:
    driver = Driver(world(chain=ChainSettings(final_lag_blocks=4)), respond=fair_answer)
    quote_id = ask(driver)
    until(driver, quote_id, "settled")
    settled_in, after = driver.world.chain.head, held(driver)
    strike(driver, "chain", "reorg", blocks=3, requeue=True)
    assert driver.world.relay.auctions[quote_id].status == "broadcast"
    assert report(driver)["settlements"] == 0
    until(driver, quote_id, "settled")
    assert held(driver) == after
    assert driver.world.chain.head.hash != settled_in.hash
    assert (report(driver)["settlements"], verdict(driver)["settlements"]) == (1, 1)
    assert verdict(driver)["failed"] == {}
    assert len(driver.events("quote_hash")) == 2


@given(st.lists(st.one_of(st.just(0), st.integers(1, 9)), max_size=30), st.integers(0, 4), st.booleans())
def test_what_was_final_never_vanishes(steps: list[int], lag: int, requeue: bool) -> None:
    driver = Driver(world(chain=ChainSettings(final_lag_blocks=lag)))
    chain = driver.world.chain
    for step in steps:
        final, hashes, amount = chain.final, chain.head.hash, held(driver, final=True)
        if step:
            strike(driver, "chain", "reorg", blocks=step, requeue=requeue)
            assert chain.head.height >= final.height
            assert chain.final == final
            assert held(driver, final=True) == amount
            assert chain.block(hashes) == (chain.head if chain.head.hash == hashes else None)
        else:
            driver.world.submit("mt_mint", account_id=DESK.account_id, token_id=BTC, amount="1")
            driver.run(0.6)
            assert chain.final.height >= final.height
            assert chain.block(final.hash) == final


@pytest.mark.parametrize("requeue", [False, True])
def test_a_deposit_of_a_vanished_block_is_credited_once_in_the_end(requeue: bool) -> None:
    driver = Driver(world(bridge=BridgeSettings(credit_after_s=Decimal(1)), chain=ChainSettings(final_lag_blocks=4)))
    before = held(driver)
    deposit = driver.world.bridge.deposit(
        account_id=DESK.account_id, chain="btc:mainnet", amount=50_000, min_amount=None, now_ns=driver.now_ns
    )
    while deposit.status != "COMPLETED":
        driver.run(0.1)
    strike(driver, "chain", "reorg", blocks=2, requeue=requeue)
    assert (deposit.status, held(driver)) == ("PENDING", before)
    driver.run(10)
    assert (deposit.status, held(driver)) == ("COMPLETED", before + 50_000)


# -- notices that are not true


def test_a_notice_names_another_transaction() -> None:
    driver = Driver(world(), respond=fair_answer)
    strike(driver, "relay", "wrong_status_tx")
    until(driver, first := ask(driver), "settled")
    driver.run(1)
    strike(driver, "relay", "wrong_status_tx", tx_hash="AnyHash", also_right=True)
    until(driver, second := ask(driver), "settled")
    driver.run(1)
    told = [notice["tx_hash"] for notice in driver.events("quote_hash")]
    auctions = driver.world.relay.auctions
    assert told[0] != auctions[first].tx_hash
    assert driver.world.chain.outcome(told[0]) is None
    assert told[1:] == ["AnyHash", auctions[second].tx_hash]


def test_a_settlement_is_told_that_never_was() -> None:
    driver = Driver(world(), respond=fair_answer)
    strike(driver, "relay", "false_status")
    assert driver.events("quote_hash") == []
    strike(driver, "relay", "withhold_settlement")
    until(driver, quote_id := ask(driver), "broadcast")
    strike(driver, "relay", "false_status")
    strike(driver, "relay", "false_status", quote_hash="NobodysOffer")
    first, second = driver.events("quote_hash")
    winner = driver.world.relay.auctions[quote_id].winner
    assert winner is not None
    assert first["quote_hash"] == winner.quote_hash
    assert second["quote_hash"] == "NobodysOffer"
    assert driver.world.chain.outcome(first["tx_hash"]) is None
    assert verdict(driver)["nonces_used"] == 0


# -- offers that others hold


@pytest.mark.parametrize(("after_ms", "refused"), [(0, True), (5_000, True), (0, False)])
def test_a_stranger_executes_a_leaked_offer(after_ms: int, refused: bool) -> None:
    driver = Driver(world(), respond=fair_answer)
    before = held(driver)
    if refused:
        strike(driver, "relay", "refuse_answers", message="go away")
    strike(driver, "relay", "stranger", after_ms=after_ms)
    quote_id = ask(driver)
    reply = next(frame for frame in driver.frames if frame.get("id") == 99)
    assert ("error" in reply) == refused
    driver.run(after_ms / 1_000)
    if after_ms:
        assert held(driver) == before
    driver.run(5)
    # Net of the taker's fee of 1 pip the solver gets what it signed, from somebody whom it never saw.
    assert held(driver) == before + 99_999
    assert (verdict(driver)["settlements"], verdict(driver)["nonces_used"]) == (1, 1)
    assert driver.world.judge.verdict("stranger.taker.near", height=driver.world.chain.head.height)["settlements"] == 1
    assert driver.events("quote_hash") == []
    auction = driver.world.relay.auctions[quote_id]
    if refused:
        assert auction.status == "no_answer"
    else:
        assert (auction.status, auction.error) == ("failed", "nonce was already used")


def test_one_answer_leaks_after_its_refusal() -> None:
    driver = Driver(world(), respond=fair_answer)
    before = held(driver)
    strike(driver, "relay", "leak")
    strike(driver, "relay", "refuse_answers")
    ask(driver)
    driver.run(5)
    assert held(driver) == before
    quote_hash = driver.world.relay.journal.submissions[-1].quote_hash
    strike(driver, "relay", "leak", quote_hash="Unknown")
    driver.run(2)
    assert held(driver) == before
    strike(driver, "relay", "leak", quote_hash=quote_hash)
    driver.run(2)
    assert held(driver) == before + 99_999
    # The second execution of the same offer meets its nonce.
    strike(driver, "relay", "leak")
    driver.run(2)
    assert verdict(driver)["failed"] == {"nonce was already used": 1}


def test_a_stranger_makes_nothing_of_an_answer_without_a_signature() -> None:
    driver = Driver(world())
    strike(driver, "relay", "stranger")
    for params in ([], [{"quote_id": "x", "signed_data": 7}], [{"quote_id": "x", "signed_data": {"standard": "pgp"}}]):
        driver.send({"id": 1, "method": "quote_response", "params": params})
    strike(driver, "relay", "leak")
    driver.run(2)
    assert driver.world.judge.accounts == []


def test_a_withheld_settlement_is_nowhere_until_it_is_released() -> None:
    driver = Driver(world(), respond=fair_answer)
    before = held(driver)
    strike(driver, "relay", "withhold_settlement", for_s=20)
    until(driver, quote_id := ask(driver), "broadcast")
    driver.run(10)
    auction = driver.world.relay.auctions[quote_id]
    assert auction.tx_hash is not None
    assert (auction.status, driver.world.chain.outcome(auction.tx_hash)) == ("broadcast", None)
    assert (held(driver), driver.events("quote_hash")) == (before, [])
    driver.run(20)
    assert auction.status == "settled"
    assert held(driver) == before + 99_999
    assert [notice["tx_hash"] for notice in driver.events("quote_hash")] == [auction.tx_hash]


def test_a_settlement_withheld_beyond_its_deadline_fails() -> None:
    driver = Driver(world(), respond=fair_answer)
    strike(driver, "relay", "withhold_settlement")
    until(driver, quote_id := ask(driver), "broadcast")
    driver.run(300)
    clear(driver, "relay", "withhold_settlement")
    until(driver, quote_id, "failed")
    assert driver.world.relay.auctions[quote_id].error == "deadline has expired"


def test_a_gift_of_one_satoshi() -> None:
    driver = Driver(world())
    before = held(driver)
    strike(driver, "verifier", "gift", account_id=DESK.account_id, token_id=BTC)
    driver.run(1)
    assert held(driver) == before + 1


# -- what a script cannot know, and what it asks


def test_finality_falls_behind_and_catches_up() -> None:
    driver = Driver(world())
    driver.run(5)
    chain, before = driver.world.chain, driver.world.chain.final
    assert chain.head.height - before.height == 2
    strike(driver, "chain", "final_lag", blocks=20, for_s=9)
    driver.run(8)
    assert (chain.final, chain.head.height - before.height > 10) == (before, True)
    driver.run(8)
    assert chain.head.height - chain.final.height == 2


def used_nonces(driver: Driver) -> int:
    return int(verdict(driver)["nonces_used"])


def test_spent_nonces_are_forgotten_without_naming_them() -> None:
    driver = Driver(world(), respond=fair_answer)
    until(driver, ask(driver), "settled")
    strike(driver, "verifier", "cleanup_nonces", account_id=DESK.account_id)
    driver.run(1)
    # Its deadline is not past and its salt is valid: the contract keeps it.
    assert used_nonces(driver) == 1
    driver.run(200)
    strike(driver, "verifier", "cleanup_nonces", account_id=DESK.account_id)
    driver.run(1)
    assert used_nonces(driver) == 0


def test_an_asker_is_refused_with_the_reason_of_the_fault() -> None:
    driver = Driver(world())
    signed = [DESK.sign([], salt=SALT, deadline_ms=START_NS // NS_PER_MS + 60_000, unique=bytes(15))]
    strike(driver, "relay", "refuse_publish")
    refused = driver.world.askers.publish(quote_hashes=[], signed=signed, now_ns=driver.now_ns)
    assert (refused["status"], refused["reason"]) == ("FAILED", "internal")
    clear(driver, "relay", "refuse_publish")
    assert driver.world.askers.publish(quote_hashes=[], signed=signed, now_ns=driver.now_ns)["status"] == "OK"


def subscribe(driver: Driver, *parameters: object) -> list[dict[str, Any]]:
    """What the relay says to this subscription."""
    driver.frames.clear()
    driver.send({"id": 5, "method": "subscribe", "params": parameters})
    return driver.frames


def test_a_subscription_counts_though_its_confirmation_is_lost() -> None:
    driver = Driver(world())
    driver.send({"id": 3, "method": "unsubscribe", "params": [driver.frames[0]["result"]]})
    strike(driver, "relay", "lose_confirmations")
    assert subscribe(driver, "quote") == []
    ask(driver)
    assert len(driver.events("quote_id")) == 1
    clear(driver, "relay", "lose_confirmations")
    assert [frame["id"] for frame in subscribe(driver, "quote")] == [5]


def test_subscriptions_are_refused_and_those_made_before_go_on() -> None:
    driver = Driver(world())
    strike(driver, "relay", "refuse_subscriptions", message="not today")
    assert [frame["error"]["message"] for frame in subscribe(driver, "quote")] == ["not today"]
    ask(driver)
    assert len(driver.events("quote_id")) == 1
    clear(driver, "relay", "refuse_subscriptions")
    assert "result" in subscribe(driver, "quote")[0]


def test_the_guarantee_alone_is_refused() -> None:
    driver = Driver(world())
    driver.world.relay.on_open(1, solver="desk", instance_id="one")
    strike(driver, "relay", "refuse_subscriptions", guaranteed_only=True)
    assert "error" in subscribe(driver, "quote_status", None, True)[0]
    assert "result" in subscribe(driver, "quote_status")[0]
    clear(driver, "relay", "refuse_subscriptions")
    assert "result" in subscribe(driver, "quote_status", None, True)[0]


def test_the_bridge_names_other_addresses_and_its_own_again() -> None:
    driver = Driver(world())

    def addresses() -> list[str]:
        asked = [{"account_id": DESK.account_id, "chain": chain} for chain in ("btc:mainnet", "eth:100")]
        return [driver.world.bridge.call("deposit_address", [each])["address"] for each in asked]

    own = addresses()
    strike(driver, "bridge", "other_addresses")
    assert not set(own) & set(addresses())
    clear(driver, "bridge", "other_addresses")
    assert addresses() == own


DEMANDS = [
    {"at_s": 3, "direction": "btc_to_eure", "amount_in": "70000", "accept": "never", "min_wait_ms": 400},
    {"at_s": 2.5, "direction": "eure_to_btc", "amount_out": "30000", "limit_pct": 9, "protocol_fee_included": True},
]


def test_demands_of_a_script_are_published_at_their_time() -> None:
    driver = Driver(world(demands=DEMANDS), respond=fair_answer)
    driver.run(20)
    second, first = driver.world.relay.auctions.values()
    assert [auction.published_ns - START_NS for auction in (second, first)] == [25 * 10**8, 3 * 10**9]
    assert (first.status, second.status) == ("not_accepted", "settled")
    assert first.request.min_wait_ms == 400
    assert (first.request.protocol_fee_included, second.request.protocol_fee_included) == (None, True)


# -- scripts

SCRIPT = [
    {"at_s": 5, "service": "relay", "kind": "stranger", "after_ms": 700, "for_s": 10},
    {"at_s": 8, "service": "relay", "kind": "refuse_answers", "for_s": 4},
    {"at_s": 14, "service": "chain", "kind": "reorg", "blocks": 2},
    {"at_s": 16, "service": "relay", "kind": "wrong_status_tx", "also_right": True, "for_s": 10},
    {"at_s": 18, "service": "chain", "kind": "reorg", "blocks": 2, "requeue": True},
    {"at_s": 25, "service": "relay", "kind": "withhold_settlement", "for_s": 15},
    {"at_s": 27, "service": "relay", "kind": "false_status"},
    {"at_s": 30, "service": "verifier", "kind": "gift", "account_id": DESK.account_id, "token_id": BTC},
    {"at_s": 40, "service": "relay", "kind": "leak"},
    {"at_s": 41, "service": "relay", "kind": "duplicate_status", "for_s": 2},
    {"at_s": 43, "service": "relay", "kind": "delay_status_ms", "ms": 900, "for_s": 1},
    {"at_s": 44, "service": "relay", "kind": "drop_status", "for_s": 1},
    {"at_s": 44, "service": "verifier", "kind": "set_fee", "pips": 5},
    {"at_s": 44, "service": "chain", "kind": "final_lag", "blocks": 9, "for_s": 9},
    {"at_s": 45, "service": "verifier", "kind": "rotate_salt", "invalidate": True},
    {"at_s": 50, "service": "verifier", "kind": "cleanup_nonces", "account_id": DESK.account_id},
]


def test_the_same_seed_and_script_give_the_same_run() -> None:
    takers = (TakerSettings(name="a", direction="btc_to_eure", every_s=Decimal(1)),)

    def run(seed: int) -> tuple[object, ...]:
        driver = Driver(world(script=SCRIPT, demands=DEMANDS, takers=takers, seed=seed), respond=fair_answer)
        driver.run(60)
        return driver.frames, verdict(driver), driver.world.chain.head.hash, report(driver), held(driver)

    first = run(3)
    assert run(3) == first
    assert run(4) != first
    _, judged, *_ = first
    # The script did bite: strangers' executions met the relay's own.
    assert isinstance(judged, dict)
    assert judged["failed"]["nonce was already used"] > 0


def test_every_fault_is_in_the_docs_and_can_be_scripted() -> None:
    page = (ROOT / "docs" / "world.md").read_text().partition("## Faults")[2].partition("\n## ")[0]
    assert [kind for kinds in KINDS.values() for kind in kinds if f"`{kind}`" not in page] == []
    examples: dict[str, object] = {
        "public_key": DESK.public_key,
        "token_id": BTC,
        "mid": "1",
        "factor": "1",
        "side": "ask",
        "result": "{}",
        "close_code": 1008,
    }
    by_type = {int: 1, str: "text", bool: True, list: []}
    for service, kinds in KINDS.items():
        for kind, spec in kinds.items():
            values = {name: examples.get(name, by_type.get(of, "1")) for name, (of, _) in spec.parameters.items()}
            script = [{"at_s": 0, "service": service, "kind": kind, **values}]
            subject: World = world(script=script)
            subject.advance(START_NS + 10**9)
            assert [fault.kind for _, fault in subject.fault_log] == [kind]


# -- the node's clock


def test_a_node_with_a_wrong_clock_shifts_the_times_that_it_tells_and_nothing_else() -> None:
    driver = Driver(world())

    def told() -> tuple[dict[str, Any], str]:
        rpc = driver.world.near_rpc
        return rpc.call("block", {"finality": "final"})["header"], rpc.call("status", [])["sync_info"][
            "latest_block_time"
        ]

    driver.run(5)
    header, head_at = told()
    strike(driver, "rpc", "timestamp_skew_ms", ms=5_000)
    shifted, shifted_head_at = told()
    assert shifted.pop("timestamp") - header.pop("timestamp") == 5_000 * NS_PER_MS
    assert int(shifted.pop("timestamp_nanosec")) - int(header.pop("timestamp_nanosec")) == 5_000 * NS_PER_MS
    assert shifted == header
    assert shifted_head_at > head_at
    clear(driver, "rpc", "timestamp_skew_ms")
    assert told()[1] == head_at
