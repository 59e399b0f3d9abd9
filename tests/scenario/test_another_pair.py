"""Another pair by settings alone: 18 and 6 decimals, both assets from one chain; one trade each way, explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.cli import unrip
from support.desk import Desk, running_desk

CHAIN = "eth:8453"
ETH = "nep141:base.omft.near"
EURC = "nep141:base-0x60a3e35cc302bfa44cb288bc5a4f316fdb1adb42.omft.near"
PAIR: dict[str, Any] = {
    "base": {"symbol": "ETH", "asset_id": ETH, "decimals": 18, "chain": CHAIN},
    "quote": {"symbol": "EURC", "asset_id": EURC, "decimals": 6, "chain": CHAIN},
}
SETTINGS: dict[str, Any] = {
    "pair": PAIR,
    "kraken": {"ws_symbol": "ETH/EUR", "rest_pair": "ETHEUR"},
    # Whole tokens of another base are worth something else.
    "spending": {"base_per_command": "0.02", "base_per_minute": "0.2", "base_open": "0.2"},
    "coingecko": {"base_id": "ethereum", "quote_id": "euro-coin", "poll_interval_s": 1},
}
#: The venue's own words for the same.
WORLD: dict[str, Any] = {
    "pair": {
        "base": {
            "token_id": ETH,
            "symbol": "ETH",
            "decimals": 18,
            "chain": CHAIN,
            "coin": "ethereum",
            "asset_identifier": f"{CHAIN}:native",
        },
        "quote": {
            "token_id": EURC,
            "symbol": "EURC",
            "decimals": 6,
            "chain": CHAIN,
            "coin": "euro-coin",
            "asset_identifier": f"{CHAIN}:0x60a3e35cc302bfa44cb288bc5a4f316fdb1adb42",
        },
        "kraken": {"symbol": "ETH/EUR", "altname": "ETHEUR", "key": "XETHZEUR", "also": []},
    },
    "market": {"start_eur_per_btc": "2500", "coingecko_every_s": 2},
}
HELD = {ETH: str(10**18), EURC: str(1_500 * 10**6)}
DEMANDS = {
    "base_in": {"asset_in": ETH, "asset_out": EURC, "amount_in": str(4 * 10**15)},
    "base_out": {"asset_in": EURC, "asset_out": ETH, "amount_in": str(10 * 10**6)},
}


@pytest.fixture(scope="module")
def armed() -> Iterator[Desk]:
    with running_desk(WORLD, SETTINGS, inventory=HELD) as desk:
        desk.until(desk.all_ready, what="every service ready", timeout_s=30)
        desk.arm()
        yield desk


def test_one_trade_each_way_settles_and_is_explained_in_the_pair_s_own_units(armed: Desk) -> None:
    account = armed.settings.near_intents.account
    for direction, demand in DEMANDS.items():
        quote_id = armed.world.demand(**demand)
        settled = armed.result(quote_id, "settled")
        decision = armed.decision(quote_id)
        command = decision["command"]
        moved = {command["asset_in"]: command["amount_in"], command["asset_out"]: f"-{command['amount_out']}"}
        assert (settled["direction"], settled["evidence"]["diff"]) == (direction, moved)
        assert {name: asset["decimals"] for name, asset in decision["traded"].items()} == {"base": 18, "quote": 6}
        explained = unrip(armed, "explain", quote_id)
        assert explained.returncode == 0, explained.stderr
        assert "ETH/EURC" in explained.stdout
        asked = "gives 0.003999996 ETH for EURC" if direction == "base_in" else "gives 9.99999 EURC for ETH"
        assert asked in explained.stdout
        assert json.loads(unrip(armed, "explain", quote_id, "--json").stdout)["missing"] == []
    for token in (ETH, EURC):  # the world's own ledger is the judge
        balance = armed.world.balance(account, token, at="final")
        armed.until(
            lambda token=token, balance=balance: armed.state("inventory-sync")["credited"][token] == str(balance),  # type: ignore[misc]
            what="the balance that the venue has",
        )
    assert set(armed.state("inventory-sync")["reconciliation"].values()) <= {"unchanged", "changed"}


def test_neither_asset_of_the_chain_is_lost_and_a_deposit_counts_once(armed: Desk) -> None:
    treasury = armed.state("liquidity-manager")["treasury"]
    addresses = {each["asset_id"]: each["address"] for each in treasury["addresses"]}
    assert set(addresses) == {ETH, EURC}
    assert len(set(addresses.values())) == 1
    assert {each["asset_id"] for each in treasury["tokens"]} == {ETH, EURC}
    account = armed.settings.near_intents.account
    deposit = armed.world.post(
        "/bridge/deposits", account_id=account, chain=CHAIN, token_id=EURC, amount=str(3_000_000)
    )

    def pending() -> Any:
        return (armed.state("inventory-sync")["pending"] or {}).get("deposits")

    armed.until(lambda: pending() == {EURC: "3000000"}, what="the deposit, once")
    before = int(armed.state("inventory-sync")["credited"][EURC])
    armed.world.post(f"/bridge/deposits/{deposit['id']}/credit")
    armed.until(
        lambda: int(armed.state("inventory-sync")["credited"][EURC]) == before + 3_000_000, what="the deposit credited"
    )
    armed.until(
        lambda: armed.state("inventory-sync")["unexplained"] == {"ETH": "0", "EURC": "0"}, what="the credit explained"
    )
