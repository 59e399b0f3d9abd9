"""What the outside says about an offer, lost, repeated, early, wrong or by strangers: only the chain ends it, once."""

import json
from datetime import datetime
from typing import Any

from support.cli import unrip
from support.desk import Desk
from unrip.domain.attempt import AttemptState
from unrip_world.assets import BTC

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
#: A taker who never accepts: the offer lives for a few seconds and is then provably dead.
NEVER = {**BTC_IN, "accept": "never", "min_deadline_ms": 3_000}


def the_offer(desk: Desk, quote_id: str) -> dict[str, Any]:
    """The one submission, parsed."""
    (submission,) = desk.until(lambda: desk.submissions(quote_id), what="the submission")
    frame: dict[str, Any] = json.loads(submission["raw"])
    return frame


def held(desk: Desk, quote_id: str) -> int:
    asset = desk.decision(quote_id)["command"]["asset_out"]
    return int(desk.state("trade-executor")["ledger"]["held"].get(asset, "0"))


def ended_once(desk: Desk, quote_id: str, state: str) -> dict[str, Any]:
    """The one terminal result, with its hold gone and one submission made."""
    result = desk.result(quote_id, state, timeout_s=30)
    assert [each for each in desk.results(quote_id) if AttemptState(each["state"]).terminal] == [result]
    desk.until(lambda: held(desk, quote_id) == 0, what="no hold")
    assert len(desk.submissions(quote_id)) == 1
    return result


def test_a_notice_that_comes_again_and_again_changes_nothing(armed: Desk) -> None:
    with armed.fault("relay", "duplicate_status"):
        quote_id = armed.world.demand(**BTC_IN)
        settled = ended_once(armed, quote_id, "settled")
    assert settled["evidence"]["nonce_used"]


def test_a_false_notice_ends_nothing(armed: Desk) -> None:
    """One names our offer, one an offer of nobody, both a transaction that exists nowhere."""
    quote_id = armed.world.demand(**NEVER)
    quote_hash = armed.result(quote_id, "accepted")["quote_hash"]
    for named in (quote_hash, "1" * 43):
        armed.world.fault("relay", "false_status", quote_hash=named)
    assert not ended_once(armed, quote_id, "lapsed")["evidence"]["nonce_used"]


def test_a_notice_with_a_wrong_transaction_is_made_up_for_by_the_nonce(armed: Desk) -> None:
    with armed.fault("relay", "wrong_status_tx"):
        quote_id = armed.world.demand(**BTC_IN, min_deadline_ms=3_000)
        settled = ended_once(armed, quote_id, "settled")
    seen = settled["evidence"]
    assert (seen["diff"], seen["executed"]) == (None, None), "a transaction that shows no fill of ours proves nothing"
    received = armed.decision(quote_id)["command"]["amount_in"]
    assert (seen["compared_with"] < seen["height"], seen["moved"][BTC]) == (True, received)


def test_a_leaked_offer_is_executed_by_a_stranger_after_its_refusal(armed: Desk) -> None:
    with (
        armed.fault("relay", "stranger", after_ms=500),
        armed.fault("relay", "refuse_answers", code=-32000, message="not today"),
    ):
        quote_id = armed.world.demand(**BTC_IN, min_deadline_ms=3_000)
        assert armed.result(quote_id, "refused")["reason"] == "not today"
        settled = ended_once(armed, quote_id, "settled")
    assert settled["evidence"]["nonce_used"]
    account = armed.settings.near_intents.account
    assert armed.world.get("/judge", account_id=account)["accounts"][account]["insufficient_balance"] == 0


def test_a_nonce_that_somebody_else_spends_with_our_key_is_no_fill(armed: Desk) -> None:
    """The venue's own SDK has a call for it; nothing moved, and the books stay explained."""
    account = armed.settings.near_intents.account
    quote_id = armed.world.demand(**{**NEVER, "min_deadline_ms": 6_000})
    armed.result(quote_id, "accepted")
    armed.world.fault("verifier", "spend_nonces", account_id=account)
    voided = ended_once(armed, quote_id, "voided")
    evidence = voided["evidence"]
    assert (evidence["nonce_used"], voided["exchange"], set(evidence["moved"].values())) == (True, None, {"0"})
    assert "unexplained_fall" not in armed.state("inventory-sync")["reconciliation"].values()
    armed.until(
        lambda: (
            armed.sql("SELECT class FROM history.loss_ledger WHERE quote_id = %s", quote_id) == [{"class": "voided"}]
        ),
        what="its class in the record",
    )


def test_a_chain_that_is_not_believed_is_refused_by_name_and_freezes_nothing(armed: Desk) -> None:
    for by, doubt in ((10**12, "height_absurd"), (-(10**6), "chain_went_back")):
        with armed.fault("rpc", "height_shift", by=by):
            armed.until_not_ready("trade-executor", f"verifier_doubted: {doubt}")
            armed.until_not_ready("inventory-sync", doubt)
        armed.until(lambda: armed.client.is_ready("trade-executor"), what="a chain that is believed again")
    assert armed.log_lines("trade-executor", "reading_refused")
    assert armed.state("trade-executor")["ledger"]["height"] < 10**12
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="a fresh inventory")
    ended_once(armed, armed.world.demand(**BTC_IN), "settled")


def test_replies_twice_late_and_against_each_other_are_one_note(armed: Desk) -> None:
    """The first reply is noted; a contradiction and a repetition after it are counted and change nothing."""
    quote_id = armed.world.demand(**NEVER)
    armed.result(quote_id, "accepted")
    request = the_offer(armed, quote_id)["id"]
    refusal = {"jsonrpc": "2.0", "id": request, "error": {"code": -32000, "message": "on second thoughts"}}
    for reply in (refusal, {"jsonrpc": "2.0", "id": request, "result": "OK"}):
        armed.world.fault("relay", "malformed_frame", text=json.dumps(reply))
    ended_once(armed, quote_id, "lapsed")
    assert [each["state"] for each in armed.results(quote_id)] == ["claimed", "sent", "accepted", "lapsed"]


def test_a_notice_before_the_reply(armed: Desk) -> None:
    """The relay forgets to reply; the settlement is heard of first, and the missing reply is noted as unknown."""
    with armed.fault("relay", "lose_replies"):
        quote_id = armed.world.demand(**BTC_IN, min_wait_ms=300, max_wait_ms=500)
        ended_once(armed, quote_id, "settled")


def test_a_lagging_node_neither_ends_an_offer_nor_takes_balances_back(armed: Desk) -> None:
    quote_id = armed.world.demand(**BTC_IN)
    armed.result(quote_id, "accepted")
    height = armed.state("trade-executor")["ledger"]["height"]
    with armed.fault("rpc", "lag_blocks", blocks=8):
        armed.until(
            lambda: armed.world.get(f"/demands/{quote_id}")["status"] == "settled", what="settled on the world's chain"
        )
        assert armed.state("trade-executor")["ledger"]["height"] >= height
    settled = ended_once(armed, quote_id, "settled")
    assert settled["ledger"]["height"] >= settled["evidence"]["height"]


def test_a_salt_rotated_between_signing_and_settlement(armed: Desk) -> None:
    """The old salt stays valid for a while, and so does the offer."""
    with armed.fault("relay", "withhold_settlement"):
        quote_id = armed.world.demand(**BTC_IN)
        armed.result(quote_id, "accepted")
        armed.world.fault("verifier", "rotate_salt")
        salt = armed.decision(quote_id)["command"]["salt"]
        armed.until(lambda: armed.state("inventory-sync")["salt"] != salt, what="the new salt")
    ended_once(armed, quote_id, "settled")
    later = armed.world.demand(**BTC_IN)
    assert armed.decision(later)["command"]["salt"] != salt
    ended_once(armed, later, "settled")


def wait_for_the_new_salt(desk: Desk, quote_id: str) -> None:
    """The next decision must not be made with the salt of this one's."""
    salt = desk.decision(quote_id)["command"]["salt"]
    desk.until(lambda: desk.state("inventory-sync")["salt"] != salt, what="the new salt")


def test_an_open_offer_whose_salt_is_invalidated_lapses_by_the_blocks_around_that(armed: Desk) -> None:
    """The newest block proves nothing any more; the last one of the salt and its successor do."""
    quote_id = armed.world.demand(**NEVER)
    armed.result(quote_id, "accepted")
    armed.world.fault("verifier", "rotate_salt", invalidate=True)
    lapsed = ended_once(armed, quote_id, "lapsed")
    evidence, deadline = lapsed["evidence"], armed.decision(quote_id)["command"]["offer_deadline"]
    assert (evidence["nonce_used"], evidence["salt_valid"]) == (False, False)
    assert evidence["salt_valid_at"] == evidence["height"] - 1 < lapsed["ledger"]["height"]
    assert datetime.fromisoformat(evidence["block_time"]) < datetime.fromisoformat(deadline)
    wait_for_the_new_salt(armed, quote_id)


def test_a_settlement_that_was_forgotten_before_the_executor_is_back_is_still_one(armed: Desk) -> None:
    """Notice dropped, executor away, salt invalidated, nonce erased: all that is left of it is in older blocks."""
    account = armed.settings.near_intents.account
    with armed.fault("relay", "drop_status"):
        with armed.fault("relay", "withhold_settlement"):
            quote_id = armed.world.demand(**BTC_IN)
            armed.result(quote_id, "accepted")
            nonce = the_offer(armed, quote_id)["params"][0]["signed_data"]["payload"]["nonce"]
            armed.stop("trade-executor")
        armed.until(lambda: armed.world.get(f"/demands/{quote_id}")["status"] == "settled", what="settled")
        armed.world.fault("verifier", "rotate_salt", invalidate=True)
        armed.world.fault("verifier", "cleanup_nonces", account_id=account)
        wait_for_the_new_salt(armed, quote_id)
        armed.until(lambda: not armed.world.nonce_used(account, nonce), what="a nonce that is forgotten")
        armed.start("trade-executor")
        settled = ended_once(armed, quote_id, "settled")
    assert (settled["evidence"]["nonce_used"], settled["evidence"]["salt_valid"]) == (True, True)
    assert settled["evidence"]["height"] < settled["ledger"]["height"]


def test_what_no_block_can_judge_is_held_until_an_operator_says(armed: Desk) -> None:
    """A gift in the very block that ends the salt is one explanation too many."""
    quote_id = armed.world.demand(**NEVER)
    command_id = armed.result(quote_id, "accepted")["command_id"]
    resolve = ("resolve", command_id, "--as", "lapsed", "--reason", "seen in the explorer")
    early = unrip(armed, *resolve)
    assert (early.returncode, "the chain can still tell" in early.stderr) == (1, True)
    gift = {"account_id": armed.settings.near_intents.account, "token_id": BTC, "amount": 1}
    armed.world.fault("verifier", "gift", **gift)
    armed.world.fault("verifier", "rotate_salt", invalidate=True)
    armed.world.fault("verifier", "gift", **gift)  # one of the two is in the block of the rotation
    unproven = armed.result(quote_id, "unproven", timeout_s=30)
    assert "more than one explanation" in unproven["reason"]
    assert unproven["next_check_at"] is not None
    (shown,) = armed.state("trade-executor")["in_doubt"]
    assert (shown["command_ids"], shown["unproven"]) == ([command_id], True)
    assert held(armed, quote_id) > 0
    armed.until(lambda: unrip(armed, *resolve).returncode == 0, what="a word that is taken after the deadline")
    lapsed = ended_once(armed, quote_id, "lapsed")
    assert (lapsed["reason"], lapsed["evidence"]["operator"]) == ("seen in the explorer", "operator")
    wait_for_the_new_salt(armed, quote_id)
