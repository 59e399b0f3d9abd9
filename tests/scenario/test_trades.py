"""The loop runs: demand to settlement in both directions, explained from PostgreSQL."""

import json
from decimal import Decimal

import pytest

from support.cli import unrip
from support.desk import Desk

DEMANDS = {
    "base_in": {"direction": "btc_to_eure", "amount_in": "15000"},
    "base_out": {"direction": "eure_to_btc", "amount_in": "10000000000000000000"},
}
EXACT_OUT = {
    "base_in": {"direction": "btc_to_eure", "amount_out": "10000000000000000000"},
    "base_out": {"direction": "eure_to_btc", "amount_out": "15000"},
}


@pytest.mark.parametrize("kind", ["exact_in", "exact_out"])
@pytest.mark.parametrize("direction", ["base_in", "base_out"])
def test_a_demand_becomes_a_settled_trade(armed: Desk, direction: str, kind: str) -> None:
    demand = (DEMANDS if kind == "exact_in" else EXACT_OUT)[direction]
    alarms = armed.log_lines("inventory-sync", "balance_unexplained")
    quote_id = armed.world.demand(**demand)
    settled = armed.result(quote_id, "settled")
    assert settled["direction"] == direction
    assert settled["evidence"]["nonce_used"] is True
    # The world's own ledger is the judge of what moved.
    seen = armed.world.get(f"/demands/{quote_id}")
    assert seen["status"] == "settled"
    assert settled["evidence"]["tx_hash"] == seen["tx_hash"]
    command = armed.decision(quote_id)["command"]
    assert settled["evidence"]["diff"] == {
        command["asset_in"]: command["amount_in"],
        command["asset_out"]: f"-{command['amount_out']}",
    }
    assert [each["state"] for each in armed.results(quote_id)] == ["claimed", "sent", "accepted", "settled"]
    (submission,) = armed.submissions(quote_id)
    assert submission["raw"] == armed.result(quote_id, "sent")["request"], "what is recorded is what was sent"
    evidence = json.dumps([{"kind": "fill", "evidence": command["command_id"]}])
    named = "SELECT 1 AS one FROM history.intent_inventory WHERE event #> '{payload,changes}' @> %s::jsonb"
    armed.until(lambda: armed.sql(named, evidence), what="a snapshot that names the fill as evidence")
    assert armed.log_lines("inventory-sync", "balance_unexplained") == alarms, "no trade alarms anybody"


def test_the_chain_is_one_row_and_is_explained(armed: Desk) -> None:
    quote_id = armed.world.demand(**DEMANDS["base_in"])
    armed.result(quote_id, "settled")
    (row,) = armed.sql("SELECT * FROM history.trade_chain WHERE quote_id = %s", quote_id)
    missing = [
        column for column in ("demand_id", "price_id", "inventory_id", "decision_id", "command_id") if not row[column]
    ]
    assert missing == []
    told = unrip(armed, "explain", quote_id[:13])
    assert told.returncode == 0, told.stderr
    assert "settled" in told.stdout
    chain = json.loads(unrip(armed, "explain", quote_id, "--json").stdout)
    assert chain["missing"] == []


def test_edge_of_the_integers_is_above_two_percent(armed: Desk) -> None:
    quote_id = armed.world.demand(**DEMANDS["base_out"])
    command = armed.decision(quote_id)["command"]
    assert Decimal(command["gross_edge"]) > Decimal("0.02")


def test_an_offer_nobody_takes_lapses_by_evidence_and_frees_its_hold(armed: Desk) -> None:
    quote_id = armed.world.demand(**DEMANDS["base_in"], accept="never", min_deadline_ms=2_000)
    accepted = armed.result(quote_id, "accepted")
    asset = armed.decision(quote_id)["command"]["asset_out"]
    assert int(accepted["ledger"]["held"][asset]) > 0
    lapsed = armed.result(quote_id, "lapsed", timeout_s=30)
    command = armed.decision(quote_id)["command"]
    evidence = lapsed["evidence"]
    assert not evidence["nonce_used"]
    assert evidence["salt_valid"]
    assert command["offer_deadline"] < evidence["block_time"] <= command["nonce_deadline"]
    assert int(lapsed["ledger"]["held"].get(asset, "0")) == 0
    assert lapsed["ledger"]["height"] >= evidence["height"]
