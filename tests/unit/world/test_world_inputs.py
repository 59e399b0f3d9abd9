"""What the world refuses, and the small pure functions around it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.virtual_world import START_NS, Driver, world
from unrip_world.assets import BTC, EURE
from unrip_world.bridge.addresses import deposit_address
from unrip_world.codec import ns_to_rfc3339, rfc3339_to_ns
from unrip_world.config import (
    ConfigError,
    load_script,
    load_settings,
)
from unrip_world.demands import DemandError, read_demand
from unrip_world.faults import FaultError, read_fault
from unrip_world.relay.auction import Offer
from unrip_world.takers.core import Ask, wallet
from unrip_world.verifier.fees import net_of


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"service": "moon", "kind": "down"}, "unknown fault"),
        ({"service": "relay", "kind": "explode"}, "kinds down"),
        ({"service": "relay", "kind": "slow_ms"}, "ms is required"),
        ({"service": "relay", "kind": "slow_ms", "ms": "x"}, "type int"),
        ({"service": "relay", "kind": "down", "really": True}, "no parameter really"),
        ({"service": "kraken", "kind": "price", "mid": "abc"}, "decimal number"),
        ({"service": "rpc", "kind": "lag_blocks", "blocks": "x"}, "type int"),
        ({"service": "chain", "kind": "final_lag", "blocks": -1}, "must not be negative"),
        ({"service": "verifier", "kind": "add_key", "account_id": "a.near", "public_key": "x"}, "public_key"),
    ],
)
def test_wrong_faults_are_refused_with_a_reason(fault: dict[str, Any], reason: str) -> None:
    with pytest.raises(FaultError, match=reason):
        read_fault(fault, now_ns=START_NS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"direction": "btc_to_eure"}, "exactly one"),
        ({"amount_in": "5"}, "either direction"),
        ({"direction": "btc_to_eure", "amount_in": "x"}, "not an integer"),
        ({"direction": "sideways"}, "Invalid enum value"),
        ({"direction": "btc_to_eure", "amount": 1}, "unknown field"),
        ({"asset_in": "x", "asset_out": "y", "amount_in": 5}, "token id"),
    ],
)
def test_wrong_demands_are_refused_with_a_reason(body: dict[str, Any], reason: str) -> None:
    with pytest.raises(DemandError, match=reason):
        read_demand(body)
    with pytest.raises(ConfigError, match=f"demand 1 of the script: .*{reason}"):
        world(demands=[{"at_s": 1, **body}])


def test_a_raw_demand_is_published_as_given_and_its_answers_are_refused() -> None:
    driver = Driver(world(), respond=None)
    body = {"direction": "btc_to_eure", "amount_in": "5", "amount_out": "6", "raw": True}
    _, effects = driver.world.demand(read_demand(body), START_NS)
    driver.take(effects)
    assert {"exact_amount_in": "5", "exact_amount_out": "6"}.items() <= driver.events("quote_id")[0].items()
    _, effects = driver.world.demand(read_demand({**body, "amount_in": "junk"}), START_NS)
    driver.take(effects)
    fields = {"quote_id": driver.events("quote_id")[1]["quote_id"], "quote_output": {"amount_out": "6"}}
    driver.send({"id": 3, "method": "quote_response", "params": [fields]})
    assert driver.frames[-1]["error"]["message"] == "the request fixes no valid amount"


@given(
    amount=st.integers(1, 10**24),
    fee_pips=st.sampled_from([0, 1, 100, 10_000]),
    exact_in=st.booleans(),
    other=st.integers(1, 10**24),
)
def test_taker_and_solver_always_balance(amount: int, fee_pips: int, exact_in: bool, other: int) -> None:
    ask = Ask(
        wallet=wallet("t", seed=1),
        asset_in=BTC,
        asset_out=EURE,
        amount_in=amount if exact_in else None,
        amount_out=None if exact_in else amount,
        limit_pct=Decimal(5),
    )
    request = ask.request(quote_id="q", fee_pips=fee_pips)
    found = Offer(
        solver="s",
        account_id="s.near",
        quote_hash="h",
        amount_in=int(request.exact_amount_in or other),
        amount_out=int(request.exact_amount_out or other),
        deadline_ns=0,
        signed={},
    )
    gives, gets = ask.own_amounts(found, fee_pips=fee_pips)
    assert net_of(BTC, gives, fee_pips) == found.amount_in
    assert net_of(EURE, found.amount_out, fee_pips) == gets
    assert (gives if exact_in else gets) == amount


@given(ns=st.integers(0, 2**62))
def test_instants_survive_their_text(ns: int) -> None:
    assert rfc3339_to_ns(ns_to_rfc3339(ns, digits=9)) == ns


def test_deposit_addresses_are_stable_and_well_formed() -> None:
    address = deposit_address(account_id="a.near", chain="btc:mainnet")
    assert address == deposit_address(account_id="a.near", chain="btc:mainnet")
    assert address.startswith("bc1q")
    assert len(address) == 42
    assert deposit_address(account_id="a.near", chain="eth:100") != deposit_address(
        account_id="b.near", chain="eth:100"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sed = 1", "unknown field `sed`"),
        ("[relay]\nauth = 'maybe'", "relay.auth"),
        ("[relay]\nauth = 'token'", "relay.tokens"),
        ("[ports]\nrelay = 'x'", "ports.relay"),
        ("host = '0.0.0.0'", "host"),
        ("= 1", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_file_and_key(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "world.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_settings(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert reason in message
    assert "\n" not in message


def test_files_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text('desk = "secret"\n')
    (tmp_path / "world.toml").write_text('[relay]\nauth = "token"\ntokens_file = "tokens.toml"\n')
    assert load_settings(tmp_path / "world.toml").relay.tokens == {"desk": "secret"}
    (tmp_path / "faults.toml").write_text('[[faults]]\nat_s = 1.5\nservice = "relay"\nkind = "down"\n')
    script = load_script(tmp_path / "faults.toml")
    assert script.faults == [{"at_s": Decimal("1.5"), "service": "relay", "kind": "down"}]
    assert load_settings(None).takers
