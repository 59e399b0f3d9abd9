"""The world as a process with a memory: what it told is there after kill -9, and a damaged file is one line."""

import signal
from pathlib import Path
from typing import Any

import pytest

from support.solver import BTC, EURE, Signer
from support.world import WorldClient, running_world
from unrip.local.simulated import faults_in_force


def config(desk: Signer, **sections: Any) -> dict[str, Any]:
    account = {"account_id": desk.account_id, "public_keys": [desk.public_key], "balances": {BTC: "100", EURE: "100"}}
    memory = {"memory_file": "memory/world.memory", "takers": [], "chain": {"block_ms": 400}}
    return {**memory, "accounts": [account], **sections}


def kill(world: WorldClient) -> None:
    assert world.process is not None
    world.process.send_signal(signal.SIGKILL)
    world.process.wait()


def test_what_was_told_is_there_after_a_kill(tmp_path: Path, desk: Signer) -> None:
    with running_world(tmp_path, config(desk)) as world:
        world.fault("kraken", "price", mid="50000")
        deposit = world.post("/bridge/deposits", account_id=desk.account_id, chain="btc:mainnet", amount=9_000)["id"]
        world.until(lambda: world.near("status", [])["result"]["sync_info"]["latest_block_height"] > 180_000_002)
        block = world.near("block", {"finality": "optimistic"})["result"]["header"]
        # Acknowledged, and in no block yet.
        world.fault("coingecko", "freeze")
        mint = world.post(f"/accounts/{desk.account_id}/credit", token_id=BTC, amount=900)["tx_hash"]
        kill(world)
    with running_world(tmp_path, config(desk)) as world:
        assert world.near("block", {"block_id": block["height"]})["result"]["header"] == block
        world.until(lambda: world.balance(desk.account_id, BTC, at="final") == 1_000)
        assert world.near("tx", [mint, "x"])["result"]["status"] == {"SuccessValue": ""}
        assert float(world.get("/state")["kraken"]["bid"]) == pytest.approx(50_000, rel=0.01)
        assert [each["id"] for each in world.get("/bridge/deposits")["deposits"]] == [deposit]
        assert world.get("/state")["height"] > block["height"]
        assert faults_in_force(world.urls["control"]) == ["coingecko/freeze"]
        kill(world)
    (tmp_path / "memory" / "world.memory").write_bytes(b"\xff" * 200)
    with pytest.raises(AssertionError) as ended, running_world(tmp_path, config(desk)):
        pass
    told = str(ended.value).strip().splitlines()[-1]
    assert "unrip_world: memory_file " in told
    assert "damaged: it holds no whole line: restore a copy of it, or begin with an empty home" in told
