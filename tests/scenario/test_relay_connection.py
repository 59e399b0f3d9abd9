"""The relay at its strictest and at its worst, through the real processes."""

from typing import Any

from support.desk import Desk
from unrip.domain.attempt import AttemptState

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
NOTICED = "SELECT event FROM history.raw_quote_status WHERE event->'payload'->>'quote_hash' = %s"


def unacknowledged(desk: Desk) -> int:
    """Settlement notices that the relay still repeats to us."""
    waiting: dict[str, int] = desk.world.get("/state")["unacknowledged"]
    return waiting["desk-executor/unrip-up"]


def recovering(desk: Desk) -> bool:
    return all("recovering" in answer["reasons"] for answer in desk.trade_ready().values())


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


def test_after_a_reconnect_nothing_is_quoted_until_every_open_offer_was_asked_about(armed: Desk) -> None:
    with armed.fault("relay", "withhold_settlement"):
        open_offer = armed.world.demand(**BTC_IN, min_deadline_ms=30_000)
        armed.result(open_offer, "accepted")
        with armed.fault("rpc", "down"):
            armed.world.fault("relay", "disconnect")
            armed.until(lambda: recovering(armed), what="the strategy to hear of it")
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
    armed.until(lambda: all(each["ready"] for each in armed.trade_ready().values()), what="trade-ready, without a hand")
    armed.result(armed.world.demand(**BTC_IN), "settled")
    armed.result(open_offer, "settled")


def test_a_guaranteed_notice_outlives_the_process_that_received_it(desk: Desk) -> None:
    """Killed between its receipt and its commit: told again, settled once, recorded, and only then acknowledged."""
    desk.restart("trade-executor", {"UNRIP_TEST_CRASH_AT": "executor.notice_received"})
    desk.arm()
    desk.until(lambda: unacknowledged(desk) == 0, what="no notice of earlier trades")
    pid = desk.pids()["trade-executor"]
    quote_id = desk.world.demand(**BTC_IN)
    desk.until(lambda: desk.pids()["trade-executor"] != pid, what="the kill")
    assert unacknowledged(desk) == 1
    desk.restart("trade-executor", {})
    settled = desk.result(quote_id, "settled")
    assert [each for each in desk.results(quote_id) if AttemptState(each["state"]).terminal] == [settled]
    desk.until(lambda: unacknowledged(desk) == 0, what="the acknowledgement")
    desk.until(lambda: desk.sql(NOTICED, settled["quote_hash"]), what="the notice as received, in PostgreSQL")
    assert desk.sql("SELECT count(*) AS n FROM history.conflicting_record") == [{"n": 0}]
