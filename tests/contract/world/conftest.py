import hashlib

import pytest
from nacl.signing import SigningKey
from tests.support.solver import Signer
from tests.support.world import running_world

BTC = "nep141:btc.omft.near"
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"


@pytest.fixture
def desk():
    return Signer(account_id="desk.example.near", key=SigningKey(hashlib.sha256(b"desk").digest()))


@pytest.fixture
def start_world(tmp_path, desk):
    """Start a world whose only trader is the test, with a funded desk; keyword arguments are sections of its file."""
    running = []

    def start(**sections):
        account = {
            "account_id": desk.account_id,
            "public_keys": [desk.public_key],
            "balances": {BTC: str(10**8), EURE: str(50_000 * 10**18)},
        }
        config = {"takers": [], "accounts": [account], "chain": {"block_ms": 200}, **sections}
        context = running_world(tmp_path, config)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)
