import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from support.solver import BTC, EURE, Signer
from support.world import StartWorld, WorldClient, running_world


@pytest.fixture
def desk() -> Signer:
    return Signer(account_id="desk.example.near", key=SigningKey(hashlib.sha256(b"desk").digest()))


@pytest.fixture
def start_world(tmp_path: Path, desk: Signer) -> Iterator[StartWorld]:
    """Start a world whose only trader is the test, with a funded desk; keyword arguments are sections of its file."""
    stack = ExitStack()

    def start(**sections: Any) -> WorldClient:
        account = {
            "account_id": desk.account_id,
            "public_keys": [desk.public_key],
            "balances": {BTC: str(10**8), EURE: str(50_000 * 10**18)},
        }
        config = {"takers": [], "accounts": [account], "chain": {"block_ms": 200}, **sections}
        return stack.enter_context(running_world(tmp_path, config))

    with stack:
        yield start
