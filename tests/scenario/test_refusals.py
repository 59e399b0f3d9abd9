"""Every refusal, reached through the real processes: a decision with the reason and its numbers, no submission."""

import ast
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.desk import Desk
from unrip.domain.decision import Refusal
from unrip.domain.pairs import Direction

BTC_IN = {"direction": "btc_to_eure", "amount_in": "15000"}
EURE_IN = {"direction": "eure_to_btc", "amount_in": "10000000000000000000"}
BTC = "nep141:btc.omft.near"
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"

#: Reasons that the scenarios below have reached; one of the last tests compares it with the enum.
reached: set[str] = set()
#: Reasons that need a desk of their own, and the scenario that reaches them there.
ELSEWHERE = {Refusal.INVENTORY_MISSING: "test_lost_topic.py::test_inventory_missing_after_the_loss_of_its_topic"}


def refused(desk: Desk, reason: Refusal, **demand: object) -> dict[str, str]:
    """Ask; the answer must be a refusal of this reason; gives its numbers."""
    quote_id = desk.world.demand(**(demand or BTC_IN))
    guard = desk.refused(quote_id)
    assert guard["reason"] == reason, guard
    reached.add(reason)
    numbers: dict[str, str] = guard["numbers"]
    return numbers


# --- the operator's switches ----------------------------------------------------------------------------------------


def test_disarmed_still_decides_and_records(desk: Desk) -> None:
    assert refused(desk, Refusal.DISARMED) == {"armed": "none"}


def test_direction_disarmed_while_the_other_trades(desk: Desk) -> None:
    desk.arm(Direction.BASE_OUT)
    assert refused(desk, Refusal.DIRECTION_DISARMED)["armed"] == "base_out"
    desk.result(desk.world.demand(**EURE_IN), "settled")


def test_paused(armed: Desk) -> None:
    armed.act("strategy-engine", "pause")
    refused(armed, Refusal.PAUSED)


def test_halted_until_armed_again(armed: Desk) -> None:
    armed.act("strategy-engine", "halt")
    refused(armed, Refusal.HALTED)
    armed.arm()
    armed.result(armed.world.demand(**BTC_IN), "settled")


# --- the demand's own shape -----------------------------------------------------------------------------------------


def test_router_leg(armed: Desk) -> None:
    refused(armed, Refusal.ROUTER_LEG, **BTC_IN, protocol_fee_included=True, min_wait_ms=1)


def test_demand_with_both_amounts_is_invalid(armed: Desk) -> None:
    numbers = refused(
        armed, Refusal.DEMAND_INVALID, direction="btc_to_eure", amount_in="15000", amount_out="10", raw=True
    )
    assert numbers["amount_in"] != "None"
    assert numbers["amount_out"] != "None"


def test_below_minimum(armed: Desk) -> None:
    refused(armed, Refusal.BELOW_MINIMUM, direction="btc_to_eure", amount_in="100")


def test_window_too_short(armed: Desk) -> None:
    refused(armed, Refusal.WINDOW_TOO_SHORT, **BTC_IN, min_wait_ms=1, max_wait_ms=30, raw=True)


def test_deadline_too_long(armed: Desk) -> None:
    numbers = refused(armed, Refusal.DEADLINE_TOO_LONG, **BTC_IN, min_deadline_ms=600_000)
    assert numbers == {"min_deadline_ms": "600000", "limit": "60000"}


def test_window_closed_for_what_came_while_the_engine_was_down(armed: Desk) -> None:
    armed.stop("strategy-engine")
    quote_id = armed.world.demand(**BTC_IN)
    armed.until(lambda: armed.world.get(f"/demands/{quote_id}")["status"] == "no_answer", what="window over")
    armed.start("strategy-engine")
    guards = {guard["reason"]: guard for guard in armed.decision(quote_id)["guards"]}
    # It starts disarmed, so that is named first; the window is among the guards that refused.
    assert not guards["window_closed"]["passed"]
    assert int(guards["window_closed"]["numbers"]["window_left_ms"]) < 0
    assert armed.submissions(quote_id) == []


def test_window_closed_is_named_when_the_engine_was_only_slow(armed: Desk) -> None:
    """Stopped in its tracks (SIGSTOP) until the window is over, it keeps its lease and names the window."""
    with armed.frozen("strategy-engine"):
        quote_id = armed.world.demand(**BTC_IN, min_wait_ms=300, max_wait_ms=600)
        armed.until(lambda: armed.world.get(f"/demands/{quote_id}")["status"] == "no_answer", what="window over")
    guard = armed.refused(quote_id)
    assert guard["reason"] == Refusal.WINDOW_CLOSED
    reached.add(Refusal.WINDOW_CLOSED)


# --- prices ---------------------------------------------------------------------------------------------------------


def price(desk: Desk) -> dict[str, Any]:
    now: dict[str, Any] = desk.state("market-reference-ingest")["price"]
    return now


def test_one_source_stale_goes_on_degraded_until_the_peg_is_unknown(armed: Desk) -> None:
    """Killed meanwhile, market-reference-ingest knows CoinGecko's last words from its topic, as old as they are."""
    with armed.fault("coingecko", "down"):
        armed.kill("market-reference-ingest")
        armed.until(lambda: armed.client.is_ready("market-reference-ingest"), what="back again")
        armed.until(lambda: price(armed)["second_opinion_health"] == "stale", what="stale")
        armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="its price arrived")
        quote_id = armed.world.demand(**BTC_IN)
        armed.result(quote_id, "settled")
        assert armed.decision(quote_id)["price_degraded"] is True
        armed.until(lambda: "peg_unknown" in armed.trade_ready()["base_in"]["reasons"], what="old peg")
        numbers = refused(armed, Refusal.PEG_UNKNOWN)
        assert int(numbers["peg_age_ms"]) > int(numbers["limit"])
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_peg_broken_until_it_is_within_the_inner_bound(armed: Desk) -> None:
    with armed.fault("coingecko", "eure_price", price="0.97"):
        armed.until(lambda: "peg_broken" in armed.trade_ready()["base_in"]["reasons"], what="broken peg")
        assert Decimal(refused(armed, Refusal.PEG_BROKEN)["deviation"]) == Decimal("0.03")
        armed.world.fault("coingecko", "eure_price", price="0.985")
        armed.until(lambda: Decimal(price(armed)["peg"]["quote_asset_eur"]) == Decimal("0.985"), what="half-way back")
        assert price(armed)["peg"]["broken"] is True
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_price_jump_until_the_new_level_is_confirmed(armed: Desk) -> None:
    armed.world.fault("kraken", "price", mid=str(Decimal(price(armed)["fair_rate"]) * Decimal("1.02")))
    armed.until(lambda: "price_jump" in armed.trade_ready()["base_in"]["reasons"], what="jump")
    numbers = refused(armed, Refusal.PRICE_JUMP)
    assert Decimal(numbers["move"]) > Decimal(numbers["limit"])
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_coingecko_stands_in_for_kraken_where_the_policy_says_so(desk: Desk) -> None:
    services = ("strategy-engine", "trade-executor")  # both judge by the policy
    for service in services:
        desk.restart(service, {"UNRIP_LIMITS__COINGECKO_FALLBACK": "true"})
    try:
        desk.arm()
        with desk.fault("kraken", "down"):
            desk.until(lambda: price(desk)["primary_health"] == "stale", what="stale")
            quote_id = desk.world.demand(**BTC_IN)
            desk.result(quote_id, "settled")
        decision = desk.decision(quote_id)
        assert (decision["price_source"], decision["price_degraded"]) == ("coingecko", True)
        assert Decimal(decision["gross_edge"]) >= Decimal(decision["edge_threshold"]) == Decimal("0.03")
    finally:
        for service in services:
            desk.restart(service)


def test_both_sources_stale(armed: Desk) -> None:
    with armed.fault("kraken", "down"), armed.fault("coingecko", "down"):
        armed.until(lambda: "price_stale" in armed.trade_ready()["base_in"]["reasons"], what="stale")
        numbers = refused(armed, Refusal.PRICE_STALE)
        assert int(numbers["price_age_ms"]) > int(numbers["limit"])
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_price_missing_while_the_exchange_does_not_match(armed: Desk) -> None:
    with armed.fault("kraken", "system_status", status="maintenance"):
        armed.until(lambda: "price_missing" in armed.trade_ready()["base_in"]["reasons"], what="no price")
        assert refused(armed, Refusal.PRICE_MISSING)["primary_system"] == "maintenance"


def test_sources_disagree_until_an_operator_accepts_it_or_they_agree(armed: Desk) -> None:
    reference = "market-reference-ingest"
    with armed.fault("coingecko", "price_factor", factor="1.1"):
        armed.until(lambda: "price_sources_disagree" in armed.trade_ready()["base_in"]["reasons"], what="disagreement")
        with armed.fault("coingecko", "down"):
            armed.until(lambda: price(armed)["second_opinion_health"] == "stale", what="a contradiction that grows old")
            assert Decimal(refused(armed, Refusal.PRICE_SOURCES_DISAGREE)["disagreement"]) > Decimal("0.03")
            (why,) = armed.state(reference)["not_ready"]
            assert why.startswith("sources_disagree: coingecko is ")
            armed.act(reference, "accept-disagreement", up_to="15 %", minutes=1)
            armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="accepted")
            quote_id = armed.world.demand(**BTC_IN)
            armed.result(quote_id, "settled")
            assert armed.decision(quote_id)["price_degraded"] is True
            armed.act(reference, "accept-disagreement", up_to="15 %", minutes=0)
            refused(armed, Refusal.PRICE_SOURCES_DISAGREE)
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="they agree again")


def test_clock_skewed(armed: Desk) -> None:
    with armed.fault("kraken", "timestamp_skew_ms", ms=5_000):
        armed.until(lambda: "clock_skewed" in armed.trade_ready()["base_in"]["reasons"], what="skew")
        assert refused(armed, Refusal.CLOCK_SKEWED)["of"] == "price"
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="ticks that are no longer older than the last")


# --- inventory ------------------------------------------------------------------------------------------------------


def test_inventory_stale(armed: Desk) -> None:
    with armed.fault("rpc", "down"):
        armed.until(lambda: "inventory_stale" in armed.trade_ready()["base_in"]["reasons"], what="stale inventory")
        refused(armed, Refusal.INVENTORY_STALE)
    armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_insufficient_inventory_blocks_one_direction_only(armed: Desk) -> None:
    armed.act("strategy-engine", "limits", notional_cap_eur="100")
    spare = 100_000
    with armed.spent_down(BTC, leave=spare):
        numbers = refused(
            armed, Refusal.INSUFFICIENT_INVENTORY, direction="eure_to_btc", amount_in="80000000000000000000"
        )
        assert int(numbers["credited"]) == spare < int(numbers["limit"])
        armed.result(armed.world.demand(**BTC_IN), "settled")
    armed.act("strategy-engine", "limits", notional_cap_eur="25")


def test_inventory_held(armed: Desk) -> None:
    """What is promised to offers nobody has taken is not promised twice to one that cannot share their nonce."""
    with armed.spent_down(BTC, leave=30_000):
        first = armed.world.demand(**EURE_IN, accept="never", min_deadline_ms=3_000)
        armed.result(first, "accepted")
        armed.world.fault("verifier", "rotate_salt")
        salt = armed.decision(first)["command"]["salt"]
        armed.until(lambda: armed.state("strategy-engine")["inventory"]["value"]["salt"] != salt, what="the new salt")
        numbers = refused(armed, Refusal.INVENTORY_HELD, **EURE_IN)
        assert int(numbers["share_left"]) < int(numbers["limit"]) <= 15_000 < int(numbers["spendable"])
        armed.result(first, "lapsed", timeout_s=30)


def test_pending_deposit_is_shown_and_not_spendable(armed: Desk) -> None:
    account = armed.settings.near_intents.account
    before = armed.state("inventory-sync")
    deposit = armed.world.post("/bridge/deposits", account_id=account, chain="btc:mainnet", amount="5000017")
    armed.until(
        lambda: armed.state("inventory-sync")["pending"]["deposits"].get(BTC) == "5000017", what="pending deposit shown"
    )
    after = armed.state("inventory-sync")
    assert after["credited"][BTC] == before["credited"][BTC]
    armed.until(
        lambda: armed.trade_ready()["base_out"]["spendable"] == before["credited"][BTC], what="earlier fills explained"
    )
    credited = int(before["credited"][BTC]) + 5_000_017
    with armed.fault("bridge", "credit_in_steps"):
        armed.world.post(f"/bridge/deposits/{deposit['id']}/credit")
        armed.until(lambda: int(armed.state("inventory-sync")["credited"][BTC]) == credited, what="credit")
        armed.until(lambda: armed.trade_ready()["base_out"]["spendable"] == str(credited), what="the mint explains it")
    told = "SELECT step FROM history.liquidity_action WHERE amount = 5000017 AND step = 'deposit_completed'"
    armed.until(lambda: armed.sql(told), what="the same mint told once more")
    counted = armed.sql("SELECT counted FROM books.evidence WHERE kind = 'credit' AND change = 5000017")
    assert [row["counted"] for row in counted] == [True]
    assert armed.state("inventory-sync")["unexplained"]["BTC"] == "0"


def test_an_unexplained_fall_blocks_its_direction_until_an_operator_accepts_it(armed: Desk) -> None:
    account = armed.settings.near_intents.account
    armed.world.post(f"/accounts/{account}/debit", token_id=BTC, amount="3")
    armed.until(lambda: "inventory_unreconciled" in armed.trade_ready()["base_out"]["reasons"], what="fall seen")
    numbers = refused(armed, Refusal.INVENTORY_UNRECONCILED, **EURE_IN)
    assert numbers == {"unexplained": "-3", "reconciliation": "unexplained_fall"}
    armed.until(
        lambda: armed.log_lines("inventory-sync", "balance_unexplained")[-1]["how"] == "unexplained_fall",
        what="the alarm in the log, which supervisord writes when it comes to it",
    )
    armed.result(armed.world.demand(**BTC_IN), "settled")
    armed.kill("inventory-sync")
    armed.until(lambda: armed.client.is_ready("inventory-sync"), what="inventory-sync ready")
    armed.until(lambda: armed.state("inventory-sync")["unexplained"]["BTC"] == "-3", what="a restart forgives nothing")
    armed.accept_balance(BTC)
    armed.until(lambda: armed.trade_ready()["base_out"]["ready"], what="accepted")


def test_nothing_is_accepted_while_evidence_waits_for_a_block(armed: Desk) -> None:
    account = armed.settings.near_intents.account
    armed.world.post(f"/accounts/{account}/debit", token_id=BTC, amount="3")
    armed.until(lambda: armed.state("inventory-sync")["unexplained"]["BTC"] == "-3", what="fall seen")
    deposit = armed.world.post("/bridge/deposits", account_id=account, chain="btc:mainnet", amount="5000000")

    def refusal() -> str:
        wrong = {"asset": "BTC", "unexplained": "1"}  # so that it is refused in any case
        answer = armed.client.act("inventory-sync", "accept-balance", reason="scenario", **wrong)
        return str(answer["refusal"])

    assert "-3 of BTC is unexplained by now, not 1" in refusal()
    with armed.fault("rpc", "lag_blocks", blocks=10):
        armed.world.post(f"/bridge/deposits/{deposit['id']}/credit")
        armed.until(lambda: "evidence about BTC waits for the next final block" in refusal(), what="evidence first")
    armed.accept_balance(BTC)
    armed.until(lambda: armed.trade_ready()["base_out"]["ready"], what="accepted")


def test_a_gift_is_recorded_and_not_spendable(armed: Desk) -> None:
    spendable = armed.trade_ready()["base_out"]["spendable"]
    armed.world.fault("verifier", "gift", account_id=armed.settings.near_intents.account, token_id=BTC, amount=5)
    armed.until(lambda: armed.state("inventory-sync")["unexplained"]["BTC"] == "5", what="gift seen")
    assert armed.trade_ready()["base_out"]["spendable"] == spendable
    armed.accept_balance(BTC)
    richer = str(int(spendable) + 5)
    armed.until(lambda: armed.trade_ready()["base_out"]["spendable"] == richer, what="the accepted gift spendable")


# --- limits and the other services ----------------------------------------------------------------------------------


def test_edge_below_threshold(armed: Desk) -> None:
    armed.act("strategy-engine", "threshold", edge_threshold="10 %")
    try:
        assert refused(armed, Refusal.EDGE_BELOW_THRESHOLD)["limit"] == "0.10"
    finally:
        armed.act("strategy-engine", "threshold", edge_threshold="2 %")


def test_notional_above_cap(armed: Desk) -> None:
    numbers = refused(armed, Refusal.NOTIONAL_ABOVE_CAP, direction="btc_to_eure", amount_in="60000")
    assert Decimal(numbers["notional_eur"]) > Decimal(numbers["limit"])


@contextmanager
def limits(desk: Desk, **changed: object) -> Iterator[None]:
    """Limits in force for as long as the context lasts."""
    before = desk.state("strategy-engine")
    desk.act("strategy-engine", "limits", **changed)
    try:
        yield
    finally:
        desk.act("strategy-engine", "limits", **{name: before[name] for name in changed})


def test_exposure_above_cap(armed: Desk) -> None:
    with limits(armed, exposure_cap_eur="5"):
        numbers = refused(armed, Refusal.EXPOSURE_ABOVE_CAP)
        assert Decimal(numbers["exposure_eur"]) > Decimal(numbers["limit"]) == 5


def test_inventory_out_of_band_by_what_is_spent_and_by_what_is_received(armed: Desk) -> None:
    """One open offer fits below the upper bound; what it could bring stands in the way of the next one."""

    def ledger() -> dict[str, Any]:
        view: dict[str, Any] = armed.state("strategy-engine")["desk"]["ledger"]
        return view

    armed.until(
        lambda: ledger()["incoming"] == {} and ledger()["credited"] == armed.state("inventory-sync")["credited"],
        what="nothing open",
    )
    credited = ledger()["credited"]
    btc, eure = Decimal(credited[BTC]).scaleb(-8), Decimal(credited[EURE]).scaleb(-18)
    with limits(armed, quote_min=str(eure - 1)):
        numbers = refused(armed, Refusal.INVENTORY_OUT_OF_BAND)
        assert (numbers["spent"], numbers["upper_bound"]) == ("EURe", "none")
        assert Decimal(numbers["lowest"]) < Decimal(numbers["lower_bound"]) == eure - 1
        assert armed.trade_ready()["base_out"]["ready"], "the other direction brings EURe"
    with limits(armed, base_max=str(btc + Decimal("0.0002"))):
        first = armed.world.demand(**BTC_IN, accept="never", min_deadline_ms=3_000)
        armed.result(first, "accepted")
        brings = Decimal(armed.decision(first)["command"]["amount_in"]).scaleb(-8)
        numbers = refused(armed, Refusal.INVENTORY_OUT_OF_BAND)
        assert (numbers["received"], numbers["lower_bound"]) == ("BTC", "none")
        assert Decimal(numbers["highest"]) == btc + 2 * brings > Decimal(numbers["upper_bound"])
    armed.result(armed.world.demand(**BTC_IN), "settled")


def test_rate_limited(armed: Desk) -> None:
    armed.result(armed.world.demand(**BTC_IN), "settled")
    with limits(armed, offers_per_minute_max=1):
        numbers = refused(armed, Refusal.RATE_LIMITED)
        assert int(numbers["offers_in_60_s"]) > int(numbers["limit"])


def test_daily_loss_halt_and_the_days_result_and_limits_after_a_restart(armed: Desk) -> None:
    """Killed below the highest equity, the strategy knows in its next life what it has fallen from."""
    before = Decimal(armed.state("strategy-engine")["desk"]["day_result_eur"])
    armed.result(armed.world.demand(**BTC_IN), "settled")
    armed.until(lambda: armed.state("strategy-engine")["fills_unmarked"] == 0, what="every markout passed")
    result = Decimal(armed.state("strategy-engine")["desk"]["day_result_eur"])
    assert result > before, "an edge of 2 % is a gain"
    told = len(armed.log_lines("strategy-engine", "drawdown"))
    armed.world.fault("kraken", "price", mid=str(Decimal(price(armed)["fair_rate"]) * Decimal("0.994")))
    with limits(armed, drawdown_max_eur="3", day_result_min_eur=str(result + 1)):
        armed.until(lambda: armed.log_lines("strategy-engine", "drawdown")[told:], what="a drawdown told")
        numbers = refused(armed, Refusal.DAILY_LOSS_HALT)
        assert Decimal(numbers["day_result_eur"]) < Decimal(numbers["limit"]) == result + 1
        armed.kill("strategy-engine")
        armed.until(lambda: armed.client.is_ready("strategy-engine"), what="strategy ready")
        armed.until(
            lambda: "daily_loss_halt" in armed.trade_ready()["base_in"]["reasons"], what="limit and result back"
        )
        again = Decimal(armed.state("strategy-engine")["desk"]["day_result_eur"])
        assert abs(again - result) < Decimal("0.05"), "the same fills, each by a price at its markout"
        armed.until(
            lambda: armed.log_lines("strategy-engine", "drawdown")[told + 1 :], what="the high of the life before"
        )


def test_one_unknown_too_many_stops_the_desk_until_the_chain_has_told(armed: Desk) -> None:
    with limits(armed, unknown_max=0), armed.fault("relay", "lose_replies"):
        first = armed.world.demand(**BTC_IN)
        armed.until(lambda: "too_many_unknown" in armed.trade_ready()["base_out"]["reasons"], what="unknown counted")
        assert refused(armed, Refusal.TOO_MANY_UNKNOWN) == {"without_answer": "1", "limit": "0"}
        armed.result(first, "settled")
        armed.until(lambda: armed.trade_ready()["base_in"]["ready"], what="recovery without a hand")


def test_executor_paused_is_not_ready_for_the_strategy(armed: Desk) -> None:
    armed.act("trade-executor", "pause")
    armed.until(lambda: "executor_not_ready" in armed.trade_ready()["base_in"]["reasons"], what="beat of the pause")
    assert refused(armed, Refusal.EXECUTOR_NOT_READY)["paused"] == "true"


def test_recovering_while_open_offers_cannot_be_asked_about(armed: Desk) -> None:
    first = armed.world.demand(**BTC_IN, accept="never", min_deadline_ms=20_000)
    armed.result(first, "accepted")
    with armed.fault("rpc", "down"):
        armed.kill("trade-executor")
        armed.until(lambda: "recovering" in armed.trade_ready()["base_in"]["reasons"], what="recovering beat")
        refused(armed, Refusal.RECOVERING)
    armed.until(lambda: armed.client.is_ready("trade-executor"), what="recovered", timeout_s=30)
    assert armed.state("trade-executor")["armed"] == "none"


def test_audit_store_unavailable(armed: Desk) -> None:
    armed.stop("history-writer")
    try:
        armed.until(lambda: "audit_store_unavailable" in armed.trade_ready()["base_in"]["reasons"], what="old beat")
        quote_id = armed.world.demand(**BTC_IN)
        time.sleep(1)
    finally:
        armed.start("history-writer")
    guard = armed.refused(quote_id)
    assert guard["reason"] == Refusal.AUDIT_STORE_UNAVAILABLE
    reached.add(Refusal.AUDIT_STORE_UNAVAILABLE)


def test_venue_paused(armed: Desk) -> None:
    with armed.fault("verifier", "pause"):
        armed.until(lambda: "venue_paused" in armed.trade_ready()["base_in"]["reasons"], what="pause seen")
        refused(armed, Refusal.VENUE_PAUSED)


def test_account_locked(armed: Desk) -> None:
    with armed.fault("verifier", "lock", account_id=armed.settings.near_intents.account):
        armed.until(lambda: "key_not_registered" in armed.trade_ready()["base_in"]["reasons"], what="lock seen")
        assert refused(armed, Refusal.KEY_NOT_REGISTERED)["account_locked"] == "true"


@pytest.mark.parametrize("reason", sorted(set(Refusal) - ELSEWHERE.keys()))
def test_every_reason_was_reached(reason: Refusal) -> None:
    assert reason in reached, "no scenario of this module reached it (or it did not run)"


@pytest.mark.parametrize(("reason", "place"), ELSEWHERE.items())
def test_a_reason_that_is_left_to_another_module_is_asserted_there(reason: Refusal, place: str) -> None:
    module, _, name = place.partition("::")
    tree = ast.parse(Path(__file__).with_name(module).read_text())
    (test,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    assert f"== Refusal.{reason.name}" in ast.unparse(test)
