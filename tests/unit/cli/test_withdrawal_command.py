"""`unrip near withdrawal`: what is asked wrongly is told before the bridge hears of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.ports import free_ports
from unrip.cli.app import app
from unrip.cli.exits import CommandFailed, Exit

BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
GNOSIS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BUILD = ["build", "BTC", "--to", BITCOIN, "--receive", "0.0002", "--fee-max", "0.00002"]
WRONG = {
    "a mistyped address": ([*BUILD, "--to", BITCOIN[:-1] + "5"], "its checksum is wrong"),
    "an address of the other chain": ([*BUILD, "--to", GNOSIS], "not a Bitcoin address"),
    "finer than a satoshi": ([*BUILD, "--receive", "0.000000001"], "BTC has 8 decimals"),
    "an exponent": ([*BUILD, "--receive", "1e-3"], "not a plain amount of BTC"),
    "no digits": ([*BUILD, "--receive", "."], "not a plain amount of BTC"),
    "other digits": ([*BUILD, "--receive", "٣"], "not a plain amount of BTC"),
    "a sign": ([*BUILD, "--fee-max", "-1"], "not a plain amount of BTC"),
    "no money of this world": ([*BUILD, "--receive", "9" * 40], "absurdly large"),
    "more than the ledger": ([*BUILD, "--receive", "9" * 39], "not an integer that the verifier counts"),
    "an unknown asset": (["status", "USDC", "burn"], "there are: BTC, EURe"),
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a desk in this checkout are not meant here."""
    monkeypatch.chdir(tmp_path)


def refusal(code: Exit, *arguments: str) -> str:
    """The line of a command while no bridge is there: whoever asked it ends as unreachable."""
    (dead_port,) = free_ports(1)
    bridge = {"UNRIP_NEAR_INTENTS__BRIDGE_RPC_URL": f"http://127.0.0.1:{dead_port}/rpc"}
    with pytest.raises(CommandFailed) as failed:
        CliRunner().invoke(app, ["near", "withdrawal", *arguments], env=bridge, catch_exceptions=False)
    assert failed.value.code is code
    assert "\n" not in str(failed.value)
    return str(failed.value)


@pytest.mark.parametrize("name", WRONG)
def test_what_was_asked_wrongly(name: str) -> None:
    arguments, said = WRONG[name]
    assert said in refusal(Exit.USAGE, *arguments)


def test_a_bridge_that_is_away_is_named_with_its_setting() -> None:
    assert "[near_intents] bridge_rpc_url" in refusal(Exit.UNREACHABLE, *BUILD)
    assert "[near_intents] bridge_rpc_url" in refusal(Exit.UNREACHABLE, "status", "BTC", "burn")
