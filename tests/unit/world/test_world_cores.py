"""The whole world on virtual time, and its smaller cores, without a socket."""

import hashlib
import json
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from support.solver import Signer, intent_hash, token_diff
from support.virtual_world import DESK, SALT, START_NS, Driver, fair_answer, world
from unrip_world.assets import BTC, EURE
from unrip_world.codec import NS_PER_MS, NS_PER_S
from unrip_world.config import (
    AccountSettings,
    ChainSettings,
    MarketSettings,
    RelaySettings,
    TakerSettings,
    WorldSettings,
)
from unrip_world.demands import read_demand
from unrip_world.effects import Send
from unrip_world.exchange.walk import Tick, Walk
from unrip_world.faults import read_fault
from unrip_world.relay.delivery import GuaranteedQueue
from unrip_world.verifier.fees import net_of
from unrip_world.world import World

TAKERS = (
    TakerSettings(name="a", direction="btc_to_eure"),
    TakerSettings(name="b", direction="eure_to_btc", exact_out_share=Decimal("0.7")),
)


def supply(subject: World, token: str) -> object:
    return subject.verifier.view(
        "mt_supply", {"token_id": token}, height=subject.chain.head.height, now_ns=subject.chain.head.timestamp_ns
    )


def test_a_quarter_of_an_hour_of_trading_conserves_everything() -> None:
    subject = world(takers=TAKERS)
    before = {token: supply(subject, token) for token in (BTC, EURE)}
    driver = Driver(subject, respond=fair_answer)
    driver.run(900)
    report = subject.relay.journal.scores["desk"].report()
    statuses = driver.events("quote_hash")
    assert report["answers"] == len(driver.events("quote_id")) > 200
    assert report["failures"] == 0
    # Those still on their way at the end are the only ones without a notice.
    assert report["wins"] - 5 <= len(statuses) == report["settlements"] > 200
    assert {token: supply(subject, token) for token in (BTC, EURE)} == before
    verdict = subject.judge.verdict(DESK.account_id, height=subject.chain.head.height)
    assert verdict["nonces_used"] == verdict["settlements"] == report["settlements"]
    held = subject.balances(DESK.account_id, height=subject.chain.head.height)
    assert int(held[BTC]) - 10**9 == int(verdict["flows"][BTC])


@pytest.mark.parametrize(("side", "amount"), [("exact_amount_in", 100_000), ("exact_amount_out", 70 * 10**18)])
def test_an_asker_signs_the_quote_as_it_was_told_and_the_batch_balances(side: str, amount: int) -> None:
    asker = Signer(account_id="asker.near", key=SigningKey(hashlib.sha256(b"asker").digest()))
    accounts = [
        AccountSettings(account_id=who.account_id, public_keys=[who.public_key], balances={token: str(10**23)})
        for who, token in ((asker, BTC), (DESK, EURE))
    ]
    driver = Driver(world(accounts=accounts), respond=fair_answer)
    assets = {"defuse_asset_identifier_in": BTC, "defuse_asset_identifier_out": EURE}
    driver.take(driver.world.askers.quote({**assets, side: str(amount)}, ticket=1, now_ns=driver.now_ns))
    driver.run(1)
    ((quote,),) = driver.replies
    # An asker's SDK drops a quote that does not repeat its own fixed side.
    assert quote[side.removeprefix("exact_")] == str(amount)
    diff = {BTC: -int(quote["amount_in"]), EURE: int(quote["amount_out"])}
    deadline_ms = driver.now_ns // NS_PER_MS + 60_000
    signed = asker.sign([token_diff(diff)], salt=SALT, deadline_ms=deadline_ms, unique=bytes(15))
    published = driver.world.askers.publish(quote_hashes=[quote["quote_hash"]], signed=[signed], now_ns=driver.now_ns)
    assert published == {"status": "OK", "intent_hashes": [intent_hash(signed)]}
    driver.run(1)
    assert driver.world.askers.get_status(intent_hash(signed))["status"] == "SETTLED"
    assert driver.events("quote_hash")[0]["intent_hash"] == intent_hash(signed)


def test_a_price_beyond_the_takers_limit_is_not_accepted() -> None:
    driver = Driver(
        world(takers=TAKERS[:1]), respond=lambda driver, event: fair_answer(driver, event, give_pct=Decimal("96.4"))
    )
    driver.run(60)
    assert {auction.status for auction in driver.world.relay.auctions.values()} <= {"not_accepted", "open"}
    assert driver.world.relay.journal.scores["desk"].report()["wins"] == 0


def test_same_seed_same_demands_and_other_ids_after_a_restart() -> None:
    def demands(now_ns: int) -> tuple[list[str], list[object]]:
        subject = World(WorldSettings(seed=5), now_ns=now_ns)
        while (due_ns := subject.next_at_ns()) < now_ns + 60 * NS_PER_S:
            subject.advance(due_ns)
        requests = [auction.request for auction in subject.relay.auctions.values()]
        return [request.quote_id for request in requests], [
            (request.asset_in, request.exact_amount_in, request.exact_amount_out) for request in requests
        ]

    (ids, amounts), (later_ids, later_amounts) = demands(START_NS), demands(START_NS + NS_PER_S)
    assert amounts == later_amounts
    assert demands(START_NS) == (ids, amounts)
    assert not set(ids) & set(later_ids)


@given(seed=st.integers(0, 2**32))
def test_the_walk_repeats_and_keeps_its_shape(seed: int) -> None:
    def prices() -> list[Tick]:
        walk = Walk(settings=MarketSettings(), rng=Random(seed), now_ns=START_NS)  # noqa: S311  (a seeded walk)
        return [walk.advance(walk.next_at_ns) for _ in range(50)]

    ticks = prices()
    assert ticks == prices()
    for tick in ticks:
        assert tick.ask > tick.bid > 0
        assert tick.bid % Decimal("0.1") == 0
        assert tick.low <= tick.last <= tick.high


def test_final_lags_and_old_heights_keep_their_state() -> None:
    driver = Driver(world(chain=ChainSettings(block_ms=500, final_lag_blocks=3)))
    chain, first = driver.world.chain, driver.world.chain.head.height
    driver.world.submit("mt_mint", account_id=DESK.account_id, token_id=BTC, amount="7")
    driver.run(0.5)
    assert (chain.head.height, chain.final.height) == (first + 1, first)
    assert driver.world.balances(DESK.account_id, height=chain.final.height)[BTC] == str(10**9)
    assert driver.world.balances(DESK.account_id, height=chain.head.height)[BTC] == str(10**9 + 7)
    driver.run(1.5)
    assert chain.final.height == first + 1
    genesis = chain.block(first)
    assert genesis is not None
    assert genesis.timestamp_ns == START_NS


def test_a_pause_of_the_process_is_one_block_and_one_tick_not_a_burst() -> None:
    subject = world()
    height = subject.chain.head.height
    subject.advance(START_NS + 3_600 * NS_PER_S)
    assert subject.chain.head.height <= height + 2
    assert subject.chain.head.timestamp_ns == START_NS + 3_600 * NS_PER_S


def test_oldversions_are_dropped_beyond_the_kept_blocks() -> None:
    driver = Driver(world(chain=ChainSettings(block_ms=100, keep_blocks=20)))
    for _ in range(60):
        driver.world.submit("mt_mint", account_id=DESK.account_id, token_id=BTC, amount="1")
        driver.run(0.1)
    versions = driver.world.verifier.storage.versions["balances"][DESK.account_id, BTC]
    assert len(versions) <= 22
    assert driver.world.chain.block(driver.world.chain.head.height - 20) is None


def test_status_is_told_at_final_when_so_configured_and_faults_change_it() -> None:
    def told(fault: dict[str, Any] | None = None, **relay: Any) -> list[int]:
        driver = Driver(world(relay=RelaySettings(**relay)), respond=fair_answer)
        if fault:
            driver.world.set_fault(read_fault(fault, now_ns=START_NS), START_NS)
        _, effects = driver.world.demand(
            read_demand({"direction": "btc_to_eure", "amount_in": "100000", "min_wait_ms": 300}), driver.now_ns
        )
        driver.take(effects)
        moments: list[int] = []
        for _ in range(80):
            driver.run(0.1)
            moments += [driver.now_ns - START_NS] * (len(driver.events("quote_hash")) - len(moments))
        return [moment // NS_PER_MS for moment in moments]

    (optimistic,) = told()
    (final,) = told(status_at="final")
    assert final - optimistic == 2 * 600
    assert len(told({"service": "relay", "kind": "duplicate_status"})) == 2
    assert told({"service": "relay", "kind": "drop_status"}) == []
    (delayed,) = told({"service": "relay", "kind": "delay_status_ms", "ms": 1_000})
    assert delayed - optimistic == 1_000


def answer_of(driver: Driver, event: dict[str, Any], **changes: Any) -> object:
    """What the relay says to an answer that is right but for the changes."""
    driver.respond = fair_answer
    seen = len(driver.frames)
    fair_answer(driver, event)
    raw = json.loads(driver.world.relay.journal.submissions[-1].raw)["params"][0]
    del driver.frames[seen:]
    driver.send({"id": 5, "method": "quote_response", "params": [{**raw, **changes}]})
    reply = driver.frames[-1]
    return reply.get("result") or reply["error"]["message"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "OK"),
        ({"quote_output": {"amount_out": "0"}}, "quote_output.amount_out must be a positive integer as text"),
        ({"quote_output": {"amount_out": 5}}, "quote_output.amount_out must be a positive integer as text"),
        ({"quote_output": {"amount_out": "5"}}, "signed token_diff does not match the request and quote_output"),
        ({"quote_output": {"amount_out": "5", "amount_in": "1"}}, "quote_output.amount_in differs from the request"),
        ({"quote_output": None}, "quote_output must be an object"),
        ({"quote_id": "another"}, "quote not found or already finished"),
        ({"quote_id": 7}, "quote_id must be a string"),
    ],
)
def test_answers_are_checked(changes: dict[str, Any], told: str) -> None:
    driver = Driver(world())
    _, effects = driver.world.demand(read_demand({"direction": "btc_to_eure", "amount_in": "100000"}), START_NS)
    driver.take(effects)
    assert answer_of(driver, driver.events("quote_id")[0], **changes) == told


def test_relay_modes() -> None:
    strict = Driver(world(relay=RelaySettings(answers_from_subscriber_only=True, error_form="text", envelope="flat")))
    strict.world.relay.on_open(2, solver="other", instance_id=None)
    (reply,) = strict.world.relay.on_frame(
        2, json.dumps({"id": 0, "method": "quote_response", "params": [{"quote_id": "x"}]}), START_NS
    )
    assert isinstance(reply, Send)
    assert json.loads(reply.text)["error"] == "this connection has no quote subscription"
    _, effects = strict.world.demand(read_demand({"direction": "btc_to_eure", "amount_in": "5000"}), START_NS)
    (event,) = [json.loads(effect.text) for effect in effects if isinstance(effect, Send)]
    assert event["method"] == "subscribe"
    assert "quote_id" in event["params"]


@pytest.mark.parametrize(
    "frame",
    [
        "[" * 100_000,
        '{"id":"\\ud800"}',
        "",
        "[]",
        "7",
        '{"method":"nothing","id":1}',
        '{"id":1,"method":"subscribe"}',
        "NaN",
        '{"params":[[]]}',
    ],
)
def test_no_frame_of_a_stranger_breaks_the_relay(frame: str) -> None:
    driver = Driver(world())
    (reply,) = driver.world.relay.on_frame(1, frame, START_NS)
    assert isinstance(reply, Send)
    assert "error" in json.loads(reply.text)


def test_guaranteed_queue_repeats_only_what_is_not_acknowledged() -> None:
    queue = GuaranteedQueue(ack_window_ms=5_000)
    queue.push({"n": 1})
    queue.push({"n": 2})
    assert [seq for seq, _ in queue.due(START_NS)] == [1, 2]
    assert queue.due(START_NS + 4_999 * NS_PER_MS) == []
    queue.acknowledge(1)
    assert queue.next_due_ns() == START_NS + 5_000 * NS_PER_MS
    assert queue.due(START_NS + 5_000 * NS_PER_MS) == [(2, {"n": 2})]
    queue.reconnected()
    assert queue.due(START_NS + 5_001 * NS_PER_MS) == [(2, {"n": 2})]


def test_salt_rotation_and_key_removal_act_in_the_next_block() -> None:
    driver = Driver(world(), respond=fair_answer)
    for fault in (
        {"service": "verifier", "kind": "rotate_salt", "invalidate": True},
        {"service": "verifier", "kind": "set_fee", "pips": 100},
    ):
        driver.world.set_fault(read_fault(fault, now_ns=START_NS), START_NS)
    driver.run(1)
    _, effects = driver.world.demand(read_demand({"direction": "btc_to_eure", "amount_in": "1000000"}), driver.now_ns)
    driver.take(effects)
    assert driver.frames[-1]["error"]["message"] == "invalid salt"
    assert driver.events("quote_id")[-1]["exact_amount_in"] == str(net_of(BTC, 1_000_000, 100))


def test_a_script_acts_at_its_time_and_ends_by_itself() -> None:
    script = [{"at_s": 2, "service": "rpc", "kind": "lag_blocks", "blocks": 5, "for_s": 3}]
    driver = Driver(world(script=script))

    def lag() -> int:
        return driver.world.chain.head.height - driver.world.near_rpc._head.height

    lags = []
    for _ in range(6):
        driver.run(1)
        lags.append(lag())
    assert lags[0] == 0
    assert max(lags[1:4]) > 0
    assert lags[5] == 0
