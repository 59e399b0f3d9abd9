"""A withdrawal by hand against the world's process: built at its bridge's terms, signed, burned, paid and read back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from support.cli import run_unrip
from support.solver import BTC, EURE, Signer
from support.world import StartWorld, WorldClient
from unrip.cli.app import app
from unrip.cli.exits import CommandFailed, Exit
from unrip.domain.treasury import BridgeWithdrawal
from unrip.net.http import HttpClient
from unrip.venues.near_intents.bridge import Bridge
from unrip.venues.near_intents.keys import ed25519_text

BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
GNOSIS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BUILD_BTC = ("build", "BTC", "--to", BITCOIN, "--receive", "0.0002", "--fee-max", "0.00002")


def near(*arguments: str, code: Exit = Exit.OK, stdin: str | None = None, **environment: str) -> str:
    """What `unrip near` prints."""
    ended = CliRunner().invoke(app, ["near", *arguments], input=stdin, env=environment, catch_exceptions=False)
    assert ended.exit_code == code
    return ended.output


def withdrawal(world: WorldClient, *arguments: str, code: Exit = Exit.OK) -> str:
    return near("withdrawal", *arguments, code=code, UNRIP_NEAR_INTENTS__BRIDGE_RPC_URL=world.urls["bridge"])


def sign(desk: Signer, intents: str, folder: Path) -> Any:
    key = folder / "desk.key"
    key.write_text(ed25519_text(bytes(desk.key) + bytes(desk.key.verify_key)))
    key.chmod(0o600)
    nonce = near("nonce", "encode", "--salt", "252812b3", "--deadline", "2040-01-02T00:00:00Z").strip()
    options = ["--signer", desk.account_id, "--deadline", "2040-01-01T00:00:00Z", "--nonce", nonce, "--json"]
    return json.loads(near("sign", "--key-file", str(key), *options, stdin=intents))


def relay(world: WorldClient, method: str, **parameters: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": "1", "method": method, "params": [parameters]}
    return httpx.post(world.urls["relay_rpc"], json=body, timeout=10).json()["result"]


def status_of(world: WorldClient, burn: str, asset_id: str) -> BridgeWithdrawal | None:
    """What our client reads of a burn."""

    async def ask() -> BridgeWithdrawal | None:
        http = HttpClient(name="bridge", count=lambda *_: None)
        try:
            return await Bridge(http, world.urls["bridge"], account="").withdrawal_status(burn, asset_id=asset_id)
        finally:
            await http.aclose()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("symbol", "asset_id", "destination", "receive", "fee_max", "burned"),
    [
        ("BTC", BTC, BITCOIN, "0.0002", "0.00002", 21_500),
        ("EURe", EURE, GNOSIS, "1234.000000000000000001", "0.02", 1_234_020_000_000_000_000_001),
    ],
    ids=["BTC", "EURe"],
)
def test_built_signed_burned_paid_and_read_back(
    start_world: StartWorld,
    desk: Signer,
    tmp_path: Path,
    symbol: str,
    asset_id: str,
    destination: str,
    receive: str,
    fee_max: str,
    burned: int,
) -> None:
    world = start_world(bridge={"withdraw_after_s": 2})
    before = world.balance(desk.account_id, asset_id)
    wanted = ["--to", destination, "--receive", receive, "--fee-max", fee_max, "--json"]
    signed = sign(desk, withdrawal(world, "build", symbol, *wanted), tmp_path)
    assert relay(world, "publish_intent", quote_hashes=[], signed_data=signed["signed"])["status"] == "OK"
    burn = relay(world, "get_status", intent_hash=signed["intent_hash"])["data"]["hash"]

    seen = world.until(lambda: status_of(world, burn, asset_id))
    assert (seen.status_text, seen.transfer_tx_hash) == ("PENDING", None)
    assert world.balance(desk.account_id, asset_id) == before - burned

    paid = world.until(lambda: (found := status_of(world, burn, asset_id)) and found.finished and found)
    assert (paid.status_text, paid.amount, paid.address) == ("COMPLETED", burned, destination)
    assert paid.transfer_tx_hash
    told = json.loads(withdrawal(world, "status", symbol, burn, "--json"))
    assert (told["status_text"], told["transfer_tx_hash"]) == ("COMPLETED", paid.transfer_tx_hash)
    assert paid.transfer_tx_hash in withdrawal(world, "status", symbol, burn)


def test_what_must_not_be_signed_is_not_built(start_world: StartWorld) -> None:
    world = start_world()

    def refusal(*changes: str) -> str:
        with pytest.raises(CommandFailed) as refused:
            withdrawal(world, *BUILD_BTC, *changes)
        assert refused.value.code is Exit.NO
        return str(refused.value)

    assert refusal("--receive", "0.00006999") == "6999 units are below the bridge's minimum of 7000"
    assert refusal("--fee-max", "0.00001499") == "the bridge's fee is 1500 units, above your limit of 1499"
    assert "not seen the burn yet" in withdrawal(world, "status", "BTC", "no-such-transaction", code=Exit.NO)


def test_for_people_it_says_what_it_costs(start_world: StartWorld) -> None:
    """The program as the owner starts it."""
    bridge_url = start_world().urls["bridge"]
    ended = run_unrip("near", "withdrawal", *BUILD_BTC, UNRIP_NEAR_INTENTS__BRIDGE_RPC_URL=bridge_url)
    lines = ended.stdout.splitlines()
    assert lines[:3] == [
        f"receives: 0.0002 BTC on btc:mainnet, at {BITCOIN}",
        "bridge's fee now: 0.000015 BTC",
        "leaves the ledger: 0.000215 BTC",
    ]
    assert json.loads("".join(lines[3:]))[0]["memo"] == f"WITHDRAW_TO:{BITCOIN}"
