"""The executor's own judgement: what it rejects, drops, sends once and follows, through the real processes."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from support.commands import a_command, put_on_topic
from support.desk import Desk
from unrip.domain.attempt import AttemptState, Drop, Rejection
from unrip.domain.decide import command_id_of
from unrip.domain.evidence import TAKER_ALLOWANCE

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
#: A block is final, and read, so long after it was made.
FINAL_WITHIN = timedelta(seconds=4)

reached: set[str] = set()


def rejected(desk: Desk, reason: Rejection, **changes: Any) -> dict[str, str]:
    """Put a command on the topic directly; it must be rejected for this reason: no claim, hold, signature or bytes."""
    command = a_command(desk, **changes)
    held_before = desk.state("trade-executor")["ledger"]["held"]
    put_on_topic(desk, command)
    result = desk.result(command.quote_id, "rejected")
    assert result["reason"] == reason, result
    assert [each["state"] for each in desk.results(command.quote_id)] == ["rejected"]
    assert result["quote_hash"] is None
    assert result["request"] is None
    assert result["ledger"]["held"] == held_before
    assert (
        desk.sql("SELECT nonce FROM ledger.attempt WHERE command_id = %s AND nonce IS NOT NULL", command.command_id)
        == []
    )
    assert desk.submissions(command.quote_id) == []
    reached.add(reason)
    numbers: dict[str, str] = result["numbers"]
    return numbers


# --- rejections -----------------------------------------------------------------------------------------------------


def test_disarmed_executor_rejects_what_is_put_on_the_topic(desk: Desk) -> None:
    assert rejected(desk, Rejection.DISARMED)["armed"] == "none"


def test_halted(armed: Desk) -> None:
    armed.act("trade-executor", "halt")
    rejected(armed, Rejection.HALTED)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"account": "somebody.near"}, "not our account or pair"),
        ({"edge": "-0.01"}, "edge too small"),
        ({"amount_in_btc": "0.01"}, "notional too large"),
        ({"nonce_of": "another"}, "nonce is not the one of this command"),
        ({"life_s": 600}, "offer lives too long"),
    ],
)
def test_a_command_is_checked_from_its_own_numbers(armed: Desk, changes: dict[str, object], fault: str) -> None:
    assert rejected(armed, Rejection.COMMAND_INVALID, **changes)["fault"] == fault


def test_neither_a_rate_nor_a_generation_of_the_senders_choice_changes_anything(armed: Desk) -> None:
    """Without any price what is spent is capped, and a number that PostgreSQL never gave supersedes nobody."""
    numbers = rejected(armed, Rejection.COMMAND_INVALID, fair_rate="600000")
    assert numbers["fault"] == "spends too much in one command"
    numbers = rejected(armed, Rejection.COMMAND_INVALID, fair_rate="90000", edge="0.02")
    assert (numbers["fault"], numbers["by"]) == ("edge too small", "our own price")
    numbers = rejected(armed, Rejection.COMMAND_INVALID, generation=2**63 - 1)
    assert numbers["fault"] == "no strategy of this generation ever took over"
    armed.result(armed.world.demand(**BTC_IN), "settled")


def test_window_closed(armed: Desk) -> None:
    assert int(rejected(armed, Rejection.WINDOW_CLOSED, window_s=-1)["window_left_ms"]) < 0


def test_not_connected(armed: Desk) -> None:
    with armed.fault("relay", "down"):
        armed.until(lambda: not armed.state("trade-executor")["connected"], what="disconnect")
        rejected(armed, Rejection.NOT_CONNECTED)
    armed.until(lambda: armed.state("trade-executor")["connected"], what="reconnect", timeout_s=30)


def test_clock_skewed(armed: Desk) -> None:
    """Strategy and executor refuse, each by its own reading of the same block."""
    with armed.fault("rpc", "timestamp_skew_ms", ms=5_000):
        armed.until_not_ready("trade-executor", "clock_skewed")
        numbers = rejected(armed, Rejection.CLOCK_SKEWED)
        assert int(numbers["ahead_ms"]) > int(numbers["limit"]) == 250
        armed.until(lambda: "clock_skewed" in armed.trade_ready()["base_in"]["reasons"], what="skew of the snapshot")
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_a_clock_that_differs_from_those_of_the_servers_we_ask_signs_nothing(armed: Desk) -> None:
    """By the `Date` of their answers ours is five seconds behind, whatever the blocks say."""
    with armed.fault("rpc", "date_skew_ms", ms=5_000):
        armed.until_not_ready("trade-executor", "clock_skewed")
        assert int(rejected(armed, Rejection.CLOCK_SKEWED)["offset_ms"]) < -250
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_inventory_stale(armed: Desk) -> None:
    with armed.fault("rpc", "down"):
        armed.until(lambda: "verifier_not_read" in armed.state("trade-executor")["not_ready"], what="old own read")
        numbers = rejected(armed, Rejection.INVENTORY_STALE)
        assert int(numbers["own_read_age_ms"]) > int(numbers["limit"])
    armed.until(lambda: armed.client.is_ready("trade-executor"), what="own read again")


def test_inventory_drift(armed: Desk) -> None:
    """The owner withdraws past the desk: the executor has read it and inventory-sync has not, so the two differ."""
    account, taken = armed.settings.near_intents.account, 5

    def credited() -> int:
        return int(armed.state("trade-executor")["ledger"]["credited"][EURE])

    armed.act("inventory-sync", "sync")
    before = credited()
    armed.act("inventory-sync", "pause")
    try:
        armed.world.fault("verifier", "withdraw", account_id=account, token_id=EURE, amount=taken)
        armed.until(lambda: credited() == before - taken, what="the executor's own reading")
        quote_id = armed.world.demand(**BTC_IN)
        assert armed.decision(quote_id)["reason"] is None, "the strategy knows inventory-sync's reading alone"
        result = armed.result(quote_id, "rejected")
    finally:
        armed.world.fault("verifier", "gift", account_id=account, token_id=EURE, amount=taken)
        armed.until(lambda: credited() == before, what="what was taken is back")
        armed.act("inventory-sync", "resume")
    assert result["reason"] == Rejection.INVENTORY_DRIFT
    assert (armed.results(quote_id), armed.submissions(quote_id)) == ([result], [])
    numbers = result["numbers"]
    assert int(numbers["snapshot_credited"]) - int(numbers["own_credited"]) == taken
    assert int(numbers["own_height"]) > int(numbers["snapshot_height"])
    reached.add(Rejection.INVENTORY_DRIFT)


def test_insufficient_inventory(armed: Desk) -> None:
    """The ledger's counters have the last word, whatever the strategy believed."""
    with armed.spent_down(EURE, leave=1_000):
        rejected(armed, Rejection.INSUFFICIENT_INVENTORY)


def test_superseded_by_a_newer_strategy(armed: Desk) -> None:
    armed.result(armed.world.demand(**BTC_IN), "settled")
    rejected(armed, Rejection.SUPERSEDED, generation=0)


def test_nonce_ended_or_never_open(armed: Desk) -> None:
    """Only the nonce of open offers of ours can be shared: nobody chooses one for us."""
    assert rejected(armed, Rejection.NONCE_ENDED, joins="a quote nobody has heard of").keys() == {"nonce_opener"}


def test_same_offer(armed: Desk) -> None:
    first = a_command(armed)
    again = a_command(armed).quote_id
    twin = msgspec.structs.replace(
        first, quote_id=again, command_id=command_id_of(again), nonce_opener=first.command_id
    )
    put_on_topic(armed, first)
    put_on_topic(armed, twin)
    assert armed.result(again, "rejected")["reason"] == Rejection.SAME_OFFER
    reached.add(Rejection.SAME_OFFER)
    assert armed.submissions(again) == []
    assert len(armed.submissions(first.quote_id)) == 1


# --- one nonce, many offers -----------------------------------------------------------------------------------------


def asked_six_times(desk: Desk) -> list[str]:
    """The same amount six times under one nonce and one hold; only the last one is accepted, and no notice comes."""
    desk.until(lambda: desk.state("trade-executor")["ledger"]["held"][EURE] == "0", what="the end of earlier offers")
    repeat = {**BTC_IN, "partner_id": "1click", "min_deadline_ms": 3_000, "min_wait_ms": 300, "max_wait_ms": 1_000}
    with desk.fault("kraken", "freeze"):
        quotes = [desk.world.demand(**repeat, accept="never") for _ in range(5)]
        quotes.append(desk.world.demand(**repeat))
        commands = [desk.decision(quote_id)["command"] for quote_id in quotes]
    assert len({command["nonce"] for command in commands}) == 1
    assert [command["nonce_opener"] for command in commands] == [None, *[commands[0]["command_id"]] * 5]
    held = [int(desk.result(quote_id, "accepted")["ledger"]["held"][EURE]) for quote_id in quotes]
    assert max(held) == max(int(command["amount_out"]) for command in commands)
    return quotes


def test_repeats_share_one_hold_and_the_nonce_ends_them_all(armed: Desk) -> None:
    """Equal offers: no balance tells them apart; the transaction does, found by the block that used the nonce."""
    with armed.fault("relay", "drop_status"):
        *others, taken = asked_six_times(armed)
        settled = armed.result(taken, "settled", timeout_s=30)
        lapsed = [armed.result(quote_id, "lapsed", timeout_s=30) for quote_id in others]
    assert settled["evidence"]["executed"] == settled["quote_hash"]
    assert settled["evidence"]["tx_hash"] is not None
    assert all(end["evidence"]["nonce_used"] and end["evidence"]["tx_hash"] is None for end in lapsed)
    assert settled["ledger"]["held"][EURE] == "0"
    assert armed.world.get(f"/demands/{taken}")["status"] == "settled"


def test_repeats_of_which_nobody_can_say_who_took_one_are_spent(armed: Desk) -> None:
    """No node was to be had until none kept the block that leads to the transaction: one was taken, and that is all."""
    with armed.fault("relay", "drop_status"), armed.fault("rpc", "keep_blocks", blocks=8):
        quotes = asked_six_times(armed)
        with armed.fault("rpc", "down"):
            last = armed.decision(quotes[-1])["command"]["offer_deadline"]
            over = datetime.fromisoformat(last) + TAKER_ALLOWANCE + FINAL_WITHIN
            armed.until(lambda: datetime.now(tz=UTC) > over, what="the end of the offers", timeout_s=30)
        ends = [armed.result(quote_id, "spent", timeout_s=30) for quote_id in quotes]
    assert all(end["evidence"]["nonce_used"] and end["evidence"]["tx_hash"] is None for end in ends)
    assert ends[-1]["ledger"]["held"][EURE] == "0"
    assert armed.world.get(f"/demands/{quotes[-1]}")["status"] == "settled"


def test_asking_and_never_accepting_locks_at_most_the_share(armed: Desk) -> None:
    """Thirty strangers ask for ten times what there is, each for another amount; all are answered."""
    armed.until(lambda: armed.state("trade-executor")["ledger"]["held"][EURE] == "0", what="the end of earlier offers")
    # Half of it is room for the pool and, where the time bucket turns meanwhile, for the next one.
    with armed.spent_down(EURE, leave=45 * 10**18):
        demand = {"direction": "btc_to_eure", "accept": "never", "min_deadline_ms": 10_000, "min_wait_ms": 4_000}
        quotes = []
        for number in range(30):
            quotes.append(armed.world.demand(**demand, amount_in=str(12_000 + 100 * number)))
            if number % 8 == 7:  # below the limit of offers that the relay has not answered yet
                armed.result(quotes[-1], "accepted")
        decisions = [armed.decision(quote_id) for quote_id in quotes]
        refused = [armed.refused(quote_id) for quote_id, each in zip(quotes, decisions, strict=True) if each["reason"]]
        assert refused == [], "all are answered"
        results = [armed.result(quote_id, "claimed") for quote_id in quotes]
        assert max(int(result["ledger"]["held"][EURE]) for result in results) <= 45 * 10**18 // 2
        for quote_id in quotes:
            armed.result(quote_id, "lapsed", timeout_s=30)


# --- once, and only once --------------------------------------------------------------------------------------------


def test_the_same_command_twice_is_one_submission(armed: Desk) -> None:
    quote_id = armed.world.demand(**BTC_IN)
    armed.result(quote_id, "settled")
    (row,) = armed.sql("SELECT event FROM history.execute_trade WHERE quote_id = %s", quote_id)
    position = armed.state("trade-executor")["ledger"]["position"]["next_offset"]
    put_on_topic(armed, row["event"])
    armed.until(
        lambda: armed.state("trade-executor")["ledger"]["position"]["next_offset"] > position, what="duplicate handled"
    )
    assert len(armed.submissions(quote_id)) == 1
    assert len(armed.sql("SELECT 1 AS one FROM ledger.attempt WHERE quote_id = %s", quote_id)) == 1
    assert len([each for each in armed.results(quote_id) if each["state"] == "claimed"]) == 1


@pytest.mark.parametrize(
    ("point", "submissions", "end"),
    [("executor.signed", 0, "rejected"), ("executor.claimed", 0, "lapsed"), ("executor.sent", 1, "settled")],
)
def test_killed_at_a_dangerous_instant(desk: Desk, point: str, submissions: int, end: str) -> None:
    """One submission at most, one hold, one terminal result, and nothing that evidence does not support."""
    desk.restart("trade-executor", {"UNRIP_TEST_CRASH_AT": point})
    desk.arm()
    pid = desk.pids()["trade-executor"]
    quote_id = desk.world.demand(**BTC_IN, min_deadline_ms=3_000)
    desk.until(lambda: desk.pids()["trade-executor"] != pid, what="the kill")
    desk.restart("trade-executor", {})
    result = desk.result(quote_id, end, timeout_s=40)
    assert len(desk.submissions(quote_id)) == submissions
    terminal = [each for each in desk.results(quote_id) if AttemptState(each["state"]).terminal]
    assert terminal == [result]
    asset = desk.decision(quote_id)["command"]["asset_out"]
    assert int(desk.state("trade-executor")["ledger"]["held"].get(asset, "0")) == 0


@pytest.mark.parametrize("point", ["executor.signed", "executor.claimed"])
def test_a_process_that_stood_still_answers_no_auction_that_is_over(desk: Desk, point: str) -> None:
    """Stopped where an answer is under way, and going on a second later, it does not send it any more."""
    desk.restart("trade-executor", {"UNRIP_TEST_STOP_AT": point})
    desk.arm()
    quote_id = desk.world.demand(**BTC_IN, min_deadline_ms=3_000)
    pid = desk.pids()["trade-executor"]
    assert pid is not None
    desk.until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", what="the stop")
    time.sleep(1)
    os.kill(pid, signal.SIGCONT)
    assert desk.result(quote_id, "dropped")["reason"] == "window_closed"
    assert desk.submissions(quote_id) == []
    desk.restart("trade-executor", {})


# --- dropped before the first byte ----------------------------------------------------------------------------------


def drops(desk: Desk, quote_id: str, reason: Drop) -> None:
    dropped = desk.result(quote_id, "dropped")
    assert dropped["reason"] == reason
    assert desk.submissions(quote_id) == []
    reached.add(f"drop {reason}")


def test_window_closes_while_the_claim_commits(armed: Desk) -> None:
    with psycopg.connect(armed.settings.postgres_url()) as blocker:
        blocker.execute("LOCK TABLE ledger.attempt IN ACCESS EXCLUSIVE MODE")
        quote_id = armed.world.demand(**BTC_IN, min_wait_ms=300, max_wait_ms=500)
        time.sleep(1)
        blocker.rollback()
    drops(armed, quote_id, Drop.WINDOW_CLOSED)


def test_socket_goes_while_the_claim_commits(armed: Desk) -> None:
    with psycopg.connect(armed.settings.postgres_url()) as blocker:
        blocker.execute("LOCK TABLE ledger.attempt IN ACCESS EXCLUSIVE MODE")
        quote_id = armed.world.demand(**BTC_IN, min_wait_ms=10_000, max_wait_ms=12_000)
        time.sleep(0.5)
        with armed.fault("relay", "down"):
            armed.until(lambda: not armed.state("trade-executor")["connected"], what="disconnect")
            blocker.rollback()
            drops(armed, quote_id, Drop.SOCKET_GONE)
    armed.until(lambda: armed.state("trade-executor")["connected"], what="reconnect", timeout_s=30)


@pytest.mark.parametrize(
    ("brake", "reason"), [("halt", Drop.HALTED), ("disarm", Drop.DISARMED), ("pause", Drop.PAUSED)]
)
def test_a_brake_acts_while_the_claim_commits(armed: Desk, brake: str, reason: Drop) -> None:
    with psycopg.connect(armed.settings.postgres_url()) as blocker:
        blocker.execute("LOCK TABLE ledger.attempt IN ACCESS EXCLUSIVE MODE")
        quote_id = armed.world.demand(**BTC_IN, min_wait_ms=10_000, max_wait_ms=12_000)
        armed.until(lambda: armed.state("trade-executor")["in_flight"], what="a claim under way")
        armed.act("trade-executor", brake)
        blocker.rollback()
    drops(armed, quote_id, reason)


# --- the relay's word is a note -------------------------------------------------------------------------------------


def test_refused_by_the_relay_keeps_its_hold_until_evidence(armed: Desk) -> None:
    with armed.fault("relay", "refuse_answers", code=-32000, message="bad mood"):
        quote_id = armed.world.demand(**BTC_IN, min_deadline_ms=3_000)
        refused = armed.result(quote_id, "refused")
    assert refused["response"]["text"] == "bad mood"
    asset = armed.decision(quote_id)["command"]["asset_out"]
    assert int(refused["ledger"]["held"][asset]) > 0
    armed.result(quote_id, "lapsed", timeout_s=30)


def test_a_lost_reply_is_unknown_and_the_trade_settles_all_the_same(armed: Desk) -> None:
    with armed.fault("relay", "lose_replies"):
        quote_id = armed.world.demand(**BTC_IN)
        assert armed.result(quote_id, "unanswered")["reason"] == "no_reply"
        armed.result(quote_id, "settled", timeout_s=30)


def test_a_connection_that_ends_before_the_reply_leaves_it_unknown(armed: Desk) -> None:
    with armed.fault("relay", "lose_replies"):
        quote_id = armed.world.demand(**BTC_IN)
        armed.until(lambda: armed.submissions(quote_id), what="the answer")
        armed.world.fault("relay", "disconnect")
        assert armed.result(quote_id, "unanswered")["reason"] == "socket_gone"
    armed.result(quote_id, "settled", timeout_s=30)


def test_a_lost_notice_is_made_up_for_by_the_nonce(armed: Desk) -> None:
    with armed.fault("relay", "drop_status"):
        quote_id = armed.world.demand(**BTC_IN, min_deadline_ms=3_000)
        settled = armed.result(quote_id, "settled", timeout_s=30)
    assert settled["evidence"]["nonce_used"]
    assert settled["evidence"]["tx_hash"] is None


@pytest.mark.parametrize("what", [*Rejection, *(f"drop {reason}" for reason in Drop)])
def test_every_rejection_and_drop_was_reached(what: str) -> None:
    assert what in reached, "no scenario of this module reached it (or it did not run)"
