"""The kill switch through the real processes: live offers are taken back, and the chain says which were taken first."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from support.cli import unrip
from support.desk import Desk
from unrip.cli.controls import brake
from unrip.cli.exits import CommandFailed

ASKED_ONLY = {"direction": "btc_to_eure", "amount_in": "15000", "accept": "never"}
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
#: New offers stop within this; a scenario fails only at three times the value.
HALTED_WITHIN_S = 1.0


def live_offer(desk: Desk, **asked: Any) -> str:
    """An offer that the relay took and that nobody will accept; gives its quote id."""
    quote_id = desk.world.demand(**ASKED_ONLY, **asked)
    desk.result(quote_id, "accepted")
    return quote_id


def halt(desk: Desk, *options: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """`unrip halt --revoke`; gives its exit code, what it told by quote, and what it says is left to do."""
    done = unrip(desk, "halt", "--revoke", "-r", "scenario", "--json", *options)
    assert done.stdout, done.stderr
    return done.returncode, {offer["quote_id"]: offer for offer in json.loads(done.stdout)["offers"]}, done.stderr


def not_ready(desk: Desk) -> set[str]:
    """Why the executor is not ready, details apart; nothing while it does not answer."""
    try:
        return {reason.partition(":")[0] for reason in desk.state("trade-executor")["not_ready"]}
    except CommandFailed:
        return set()


def halted(desk: Desk) -> bool:
    return all(desk.state(service)["halted"] == "true" for service in ("strategy-engine", "trade-executor"))


def revocations(desk: Desk) -> dict[str, tuple[str, str]]:
    """What the relay made of each revocation, and what the chain made of its offer, by quote."""
    offers = desk.state("trade-executor")["revocation"]["offers"]
    return {each["quote_id"]: (each["publication"], each["outcome"]) for each in offers}


def executed_in(desk: Desk, tx_hash: str) -> str:
    """The logs of a transaction, as the world's own node gives them."""
    reply = desk.world.near("EXPERIMENTAL_tx_status", {"tx_hash": tx_hash, "sender_account_id": "any.near"})
    return json.dumps(reply["result"]["receipts_outcome"])


def test_live_offers_are_revoked_and_what_was_taken_first_is_told(armed: Desk) -> None:
    ours, taken = live_offer(armed), live_offer(armed)
    account = armed.settings.near_intents.account
    before = armed.world.balance(account, EURE)
    with armed.fault("rpc", "down"):  # nobody can say yet that it is taken
        armed.world.fault("relay", "leak", quote_hash=armed.result(taken, "accepted")["quote_hash"])
        armed.until(lambda: armed.world.balance(account, EURE) < before, what="the stranger's fill")
        with armed.fault("relay", "down"):
            code, told, left = halt(armed, "--wait", "3")
            assert code == 1
            assert {told[quote]["publication"] for quote in (ours, taken)} == {"unreachable"}
            assert {told[quote]["outcome"] for quote in (ours, taken)} == {"unknown"}
            assert "2 not revoked: the relay did not take it. Run `unrip halt --revoke` again" in left
        assert halt(armed, "--wait", "0")[0] == 1
        armed.until(
            lambda: (
                {quote: publication for quote, (publication, _outcome) in revocations(armed).items()}
                == {ours: "taken", taken: "refused"}
            ),
            what="the relay's word about each",
        )
    code, told, left = halt(armed)
    assert (code, "not known yet" in left, "not revoked" in left) == (0, False, False), left
    assert (told[ours]["outcome"], told[taken]["outcome"]) == ("revoked", "settled")
    evidence = told[ours]["evidence"]
    assert evidence["executed"] == told[ours]["revocation_hash"]
    assert evidence["executed"] in executed_in(armed, evidence["tx_hash"])
    assert armed.result(ours, "revoked")["evidence"]["executed"] == evidence["executed"]
    assert armed.result(taken, "settled")["evidence"]["nonce_used"]
    assert armed.state("trade-executor")["ledger"]["held"][EURE] == "0"
    classes = armed.sql("SELECT quote_id, class FROM history.loss_ledger WHERE quote_id = ANY (%s)", [ours, taken])
    assert {row["quote_id"]: row["class"] for row in classes} == {ours: "revoked", taken: "settled"}
    armed.until(lambda: armed.log_lines("trade-executor", "revocation_failed"), what="the failure in the log")
    armed.until(
        lambda: [ours] in [line["quote_ids"] for line in armed.log_lines("trade-executor", "revocation_published")],
        what="the publication in the log",
    )
    told_again = unrip(armed, "halt", "--revoke", "-r", "scenario")
    assert (told_again.returncode, "2 live offers: 1 revoked, 1 taken first" in told_again.stdout) == (0, True)
    armed.until(lambda: armed.state("trade-executor")["connected"], what="reconnect", timeout_s=30)


def test_the_kill_switch_works_without_kafka_and_postgres(armed: Desk) -> None:
    quote_id = live_offer(armed)
    armed.stop("postgres")
    armed.stop("kafka")
    try:
        with ThreadPoolExecutor() as threads:
            began = time.monotonic()
            order = threads.submit(brake, armed.client, "halt", reason="without anything")
            armed.until(lambda: halted(armed), what="strategy and executor halted")
            took_s = time.monotonic() - began
            order.result(timeout=30)
        print(f"no new offer {took_s:.2f} s after the order")
        assert took_s < 3 * HALTED_WITHIN_S
        began = time.monotonic()
        code, offers, left = halt(armed)
        print(f"revoked and proven {time.monotonic() - began:.2f} s after the command was typed")
        assert code == 0, left
        told = offers[quote_id]
        assert (told["outcome"], told["recorded"]) == ("revoked", False)
        assert told["evidence"]["executed"] == told["revocation_hash"]
    finally:
        armed.start("postgres")
        armed.start("kafka")
    armed.until(armed.all_ready, what="recovery", timeout_s=40)
    assert armed.result(quote_id, "revoked")["evidence"]["executed"] == told["revocation_hash"]
    query = "SELECT 1 AS one FROM history.control_action WHERE event->'payload'->>'reason' = 'without anything'"
    armed.until(lambda: len(armed.sql(query)) == 2, what="both halts recorded afterwards")


def test_asked_before_the_ledger_is_read_it_takes_back_what_it_finds_there(armed: Desk) -> None:
    """A start without PostgreSQL knows no live offer; it says so, and acts as soon as it does."""
    live, late = live_offer(armed), live_offer(armed, partner_id="another", min_deadline_ms=4_000)
    ends_at = datetime.fromisoformat(armed.decision(late)["command"]["offer_deadline"])
    armed.stop("trade-executor")
    armed.stop("postgres")
    try:
        armed.start("trade-executor")
        armed.until(lambda: "database_away" in not_ready(armed), what="a start without PostgreSQL")
        assert {"role_not_held", "ledger_not_loaded", "results_not_read", "authority_not_proven"} <= not_ready(armed)
        code, told, left = halt(armed, "--wait", "0")
        assert (code, told) == (1, {})
        assert "it knows no offer of an earlier life; it revokes them as soon as PostgreSQL answers" in left
        armed.until(lambda: datetime.now(UTC) > ends_at, what="the deadline of one of them")
    finally:
        armed.start("postgres")
    ends = {live: ("taken", "revoked"), late: ("expired", "lapsed")}
    armed.until(lambda: revocations(armed) == ends, what="both ends, by evidence", timeout_s=40)
    armed.until(armed.all_ready, what="recovery", timeout_s=40)
    assert [armed.result(quote_id, end)["state"] for quote_id, (_told, end) in ends.items()] == ["revoked", "lapsed"]


def test_with_the_strategy_stopped_what_was_taken_back_is_told_before_the_command_fails(armed: Desk) -> None:
    quote_id = live_offer(armed)
    armed.stop("strategy-engine")
    try:
        code, told, left = halt(armed)
    finally:
        armed.start("strategy-engine")
    assert (code, told[quote_id]["outcome"]) == (3, "revoked"), left
    assert "unrip: strategy-engine does not answer" in left
    armed.until(armed.all_ready, what="recovery", timeout_s=40)
    assert armed.result(quote_id, "revoked")["evidence"]["executed"] == told[quote_id]["revocation_hash"]


def test_killed_between_a_revocation_and_its_evidence(desk: Desk) -> None:
    """What was published is found again, whatever could be recorded of it."""
    desk.act("trade-executor", "halt", revoke=True)  # offers of earlier tests: the first one revoked is to be ours
    desk.until(lambda: desk.state("trade-executor")["open_offers"] == [], what="nothing open")
    desk.restart("trade-executor", {"UNRIP_TEST_CRASH_AT": "executor.revoked"})
    desk.arm()
    quote_id = live_offer(desk)
    pid = desk.pids()["trade-executor"]
    with suppress(CommandFailed):  # it may die before it has answered
        desk.client.act("trade-executor", "halt", reason="scenario", revoke=True)
    desk.until(lambda: desk.pids()["trade-executor"] != pid, what="the kill")
    desk.restart("trade-executor", {})
    evidence = desk.result(quote_id, "revoked", timeout_s=30)["evidence"]
    assert evidence["executed"] in executed_in(desk, evidence["tx_hash"])
    assert [each["state"] for each in desk.results(quote_id)] == ["claimed", "sent", "accepted", "revoked"]
    assert desk.state("trade-executor")["ledger"]["held"][EURE] == "0"


def test_only_the_executor_has_offers_to_revoke(desk: Desk) -> None:
    with pytest.raises(CommandFailed, match="revoke: Extra inputs"):
        desk.client.act("strategy-engine", "halt", reason="scenario", revoke=True)
