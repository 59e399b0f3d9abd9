"""The relay at its strictest and at its worst, through the real processes."""

from pathlib import Path
from typing import Any

from support.desk import Desk
from unrip.domain.attempt import AttemptState
from unrip.net.secret_file import write_secret

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
#: The services with a connection to the relay.
CONNECTED = ("near-intents-ingest", "trade-executor")
NOTICED = "SELECT event FROM history.raw_quote_status WHERE event->'payload'->>'quote_hash' = %s"


def unacknowledged(desk: Desk) -> int:
    """Settlement notices that the relay still repeats to us."""
    waiting: dict[str, int] = desk.world.get("/state")["unacknowledged"]
    return waiting["desk-executor/unrip-up"]


def told(desk: Desk, reason: str) -> bool:
    """Whether the strategy says for both directions that this is in the way."""
    return all(reason in answer["reasons"] for answer in desk.trade_ready().values())


def unsubscribed(desk: Desk) -> bool:
    return all("relay_not_subscribed" in desk.state(service)["not_ready"] for service in CONNECTED)


def back_and_trading(desk: Desk) -> None:
    desk.until(desk.all_ready, what="every service ready, without a hand")
    desk.until_trade_ready()
    desk.result(desk.world.demand(**BTC_IN), "settled")


def test_the_second_connection_of_a_token_is_refused_and_says_so_and_the_desk_trades_on(armed: Desk) -> None:
    """Ingest and executor have a token of their own each, and both subscribe quotes: the shared world demands both."""
    with armed.second_instance("near-intents-ingest") as second:

        def refused() -> bool:
            state: dict[str, Any] = second.state("near-intents-ingest")
            return "relay_unauthorized" in state["not_ready"]

        armed.until(refused, what="the refusal of the second connection")
        accepted = armed.result(armed.world.demand(**BTC_IN), "accepted")
        assert accepted["response"]["accepted"]
    assert armed.client.is_ready("near-intents-ingest")


def test_a_token_that_is_gone_or_unknown_stops_quoting_until_a_person_mends_it(desk: Desk, tmp_path: Path) -> None:
    own, spare = desk.settings.near_intents.executor_token_file, tmp_path / "executor.token"
    assert own is not None

    def refused_by(cause: str) -> None:
        desk.world.fault("relay", "disconnect")
        desk.until_not_ready("trade-executor", "relay_unauthorized")
        assert desk.state("trade-executor")["connection"]["cause"] == cause
        desk.until(lambda: told(desk, "executor_not_ready"), what="the strategy to hear of it")
        assert desk.refused(desk.world.demand(**BTC_IN))["reason"] == "executor_not_ready"

    write_secret(spare, own.read_text())
    desk.restart("trade-executor", {"UNRIP_NEAR_INTENTS__EXECUTOR_TOKEN_FILE": str(spare)})
    try:
        desk.arm()
        spare.unlink()
        refused_by("credentials")
        write_secret(spare, own.read_text())
        back_and_trading(desk)
        write_secret(spare, "token-of-nobody")
        refused_by("unauthorized")
    finally:
        # Nothing but a start tries again sooner than after five minutes.
        desk.restart("trade-executor", {})
    desk.arm()
    back_and_trading(desk)


def test_after_a_reconnect_nothing_is_quoted_until_every_open_offer_was_asked_about(armed: Desk) -> None:
    with armed.fault("relay", "withhold_settlement"):
        open_offer = armed.world.demand(**BTC_IN, min_deadline_ms=30_000)
        armed.result(open_offer, "accepted")
        with armed.fault("rpc", "down"):
            armed.world.fault("relay", "disconnect")
            armed.until(lambda: told(armed, "recovering"), what="the strategy to hear of it")
            state = armed.state("trade-executor")
            assert state["connected"]
            assert "recovering" in state["not_ready"]
            armed.until(lambda: armed.client.is_ready("near-intents-ingest"), what="the ingest's own reconnect")
            unanswered = armed.world.demand(**BTC_IN)
            assert armed.refused(unanswered) == {
                "reason": "recovering",
                "passed": False,
                "numbers": {"recovering": "true"},
            }
        armed.until(lambda: armed.client.is_ready("trade-executor"), what="open offers asked about")
    armed.until_trade_ready()
    armed.result(armed.world.demand(**BTC_IN), "settled")
    armed.result(open_offer, "settled")


def test_a_guaranteed_notice_outlives_the_process_that_received_it(desk: Desk) -> None:
    """Killed between its receipt and its commit: told again, settled once, recorded, and only then acknowledged."""
    desk.restart("trade-executor", {"UNRIP_TEST_CRASH_AT": "executor.notice_received"})
    desk.arm()
    desk.until(lambda: unacknowledged(desk) == 0, what="no notice of earlier trades")
    conflicts = "SELECT count(*) AS n FROM history.conflicting_record"
    before = desk.sql(conflicts)
    pid = desk.pids()["trade-executor"]
    quote_id = desk.world.demand(**BTC_IN)
    desk.until(lambda: desk.pids()["trade-executor"] != pid, what="the kill")
    assert unacknowledged(desk) == 1
    desk.restart("trade-executor", {})
    settled = desk.result(quote_id, "settled")
    assert [each for each in desk.results(quote_id) if AttemptState(each["state"]).terminal] == [settled]
    desk.until(lambda: unacknowledged(desk) == 0, what="the acknowledgement")
    desk.until(lambda: desk.sql(NOTICED, settled["quote_hash"]), what="the notice as received, in PostgreSQL")
    assert desk.sql(conflicts) == before


def test_a_lost_confirmation_is_asked_for_again(armed: Desk) -> None:
    """The relay has heard the subscriptions, so quotes go on to arrive; nothing may be answered all the same."""
    with armed.fault("relay", "lose_confirmations"):
        armed.world.fault("relay", "disconnect")
        armed.until(lambda: unsubscribed(armed), what="connections without a confirmation")
        armed.until(
            lambda: all("executor_not_ready" in each["reasons"] for each in armed.trade_ready().values()),
            what="the strategy to hear of it",
        )
        assert armed.refused(armed.world.demand(**BTC_IN))["reason"] == "executor_not_ready"
    back_and_trading(armed)


def test_a_refused_subscription_is_told_and_asked_for_again(armed: Desk) -> None:
    before = {service: len(armed.log_lines(service, "subscription_refused")) for service in CONNECTED}
    with armed.fault("relay", "refuse_subscriptions", message="not today"):
        armed.world.fault("relay", "disconnect")
        armed.until(lambda: unsubscribed(armed), what="connections without a subscription")
        for service in CONNECTED:
            line, *_ = armed.log_lines(service, "subscription_refused")[before[service] :]
            assert (line["level"], line["text"]) == ("error", "not today")
        unheard = armed.world.demand(**BTC_IN, min_wait_ms=100, max_wait_ms=200)
        armed.until(lambda: armed.world.get(f"/demands/{unheard}")["status"] == "no_answer", what="window over")
    back_and_trading(armed)
    assert armed.submissions(unheard) == []


def test_without_its_guarantee_the_plain_stream_is_used_until_the_next_connection(armed: Desk) -> None:
    """What the relay would have repeated waits in its queue, and is told once the guarantee is granted again."""
    armed.until(lambda: unacknowledged(armed) == 0, what="no notice of earlier trades")
    before = len(armed.log_lines("trade-executor", "guarantee_refused"))
    with armed.fault("relay", "refuse_subscriptions", guaranteed_only=True, message="not for you"):
        armed.world.fault("relay", "disconnect")
        armed.until(lambda: armed.log_lines("trade-executor", "guarantee_refused")[before:], what="the refusal")
        armed.until(armed.all_ready, what="the plain stream")
        armed.until_trade_ready()
        settled = armed.result(armed.world.demand(**BTC_IN), "settled")
        armed.until(lambda: armed.sql(NOTICED, settled["quote_hash"]), what="the plain notice, in PostgreSQL")
        assert unacknowledged(armed) == 1
    armed.world.fault("relay", "disconnect")
    armed.until(lambda: unacknowledged(armed) == 0, what="the guaranteed notice acknowledged")
    (line,) = armed.log_lines("trade-executor", "guarantee_refused")[before:]
    assert (line["level"], line["text"]) == ("warning", "not for you")
