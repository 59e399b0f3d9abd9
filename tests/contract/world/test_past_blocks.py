"""The verifier's client asks the world's node about older blocks: an ended salt, forgotten nonces, blocks long gone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from support.solver import BTC, EURE, Signer
from support.world import StartWorld, WorldClient
from unrip.domain.values import Amount
from unrip.domain.verifier import PastSpan, VerifierReading
from unrip.net.http import HttpClient
from unrip.venues.near_intents.endpoints import Endpoints
from unrip.venues.near_intents.past import BlocksNotKept
from unrip.venues.near_intents.rpc import NearRpc, RpcUnavailable
from unrip.venues.near_intents.verifier import Verifier

SALT = "252812b3"
#: Two offers' nonces: the first one is used by every test that spends one.
USED, UNUSED = (os.urandom(15) for _ in range(2))
Past = Callable[[], tuple[VerifierReading, ...]]


class Chain:
    """A world with the two nonces, and our client."""

    def __init__(self, world: WorldClient, desk: Signer, *, cross_check: bool = False) -> None:
        self.world, self.desk, self.cross_check = world, desk, cross_check
        deadline = datetime.now(UTC) + timedelta(hours=1)
        self.deadline = deadline.replace(microsecond=0)
        self.signed = [self._signed(unique) for unique in (USED, UNUSED)]
        self.nonces = [each["payload"]["nonce"] for each in self.signed]
        self.start = self.newest()

    def _signed(self, unique: bytes) -> dict[str, Any]:
        milliseconds = int(self.deadline.timestamp() * 1_000)
        return self.desk.sign([], salt=bytes.fromhex(SALT), deadline_ms=milliseconds, unique=unique)

    def _ask(self, question: Callable[[Verifier], Any]) -> Any:
        async def asked() -> Any:
            http = HttpClient(name="near_rpc", count=lambda *_: None)
            nodes = [NearRpc(http, self.world.urls["near_rpc"]) for _ in range(2)]
            verifier = Verifier(
                Endpoints(nodes, clock=lambda: datetime.now(UTC), count=lambda *_: None),
                contract="intents.near",
                account=self.desk.account_id,
                public_key=self.desk.public_key,
                asset_ids=[BTC, EURE],
                clock=lambda: datetime(2026, 1, 1, tzinfo=UTC),
                cross_check=self.cross_check,
            )
            try:
                return await question(verifier)
            finally:
                await http.aclose()

        return asyncio.run(asked())

    def newest(self) -> VerifierReading:
        reading: VerifierReading = self._ask(lambda verifier: verifier.read(nonces=self.nonces, salts=[SALT]))
        return reading

    def past(self, *, nonce_deadline: datetime | None = None, later: int = 0) -> tuple[VerifierReading, ...]:
        newest = self.newest()
        span = PastSpan(
            salt=SALT,
            valid_at=self.start.height,
            height=newest.height + later,
            block_time=newest.block_time,
            nonce_deadline=nonce_deadline or self.deadline,
        )
        readings: tuple[VerifierReading, ...] = self._ask(
            lambda verifier: verifier.read_past(span, nonces=self.nonces[:1], beside=self.nonces)
        )
        return readings

    def spend(self) -> VerifierReading:
        """Use the first nonce; the first final block that shows it."""
        body = {"signed_datas": [self.signed[0]], "quote_hashes": []}
        request = {"jsonrpc": "2.0", "id": 1, "method": "publish_intents", "params": [body]}
        answer = httpx.post(self.world.urls["relay_rpc"], json=request, timeout=10).json()
        assert answer["result"]["status"] == "OK", answer
        return self.until(lambda reading: reading.nonces[self.nonces[0]])

    def end_the_salt(self) -> VerifierReading:
        self.world.fault("verifier", "rotate_salt", invalidate=True)
        return self.until(lambda reading: not reading.salts[SALT])

    def forget(self) -> VerifierReading:
        self.world.fault("verifier", "cleanup_nonces", account_id=self.desk.account_id)
        return self.until(lambda reading: not reading.nonces[self.nonces[0]])

    def until(self, condition: Callable[[VerifierReading], bool]) -> VerifierReading:
        deadline = time.monotonic() + 15
        while not condition(reading := self.newest()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return reading


@pytest.fixture(params=[False, True], ids=["one node", "two nodes"])
def chain(start_world: StartWorld, desk: Signer, request: pytest.FixtureRequest) -> Chain:
    return Chain(start_world(), desk, cross_check=request.param)


def test_what_was_used_and_forgotten_is_seen_at_the_last_block_of_its_salt(chain: Chain) -> None:
    chain.spend()
    chain.end_the_salt()
    newest = chain.forget()
    before, after = chain.past()
    assert before.height + 1 == after.height < newest.height
    assert (before.salts, after.salts) == ({SALT: True}, {SALT: False})
    assert before.nonces == after.nonces == dict(zip(chain.nonces, (True, False), strict=True))
    assert before.credited == after.credited == {BTC: Amount(10**8), EURE: Amount(50_000 * 10**18)}


def test_while_the_salt_is_valid_one_block_before_the_nonces_end_tells(chain: Chain) -> None:
    used = chain.spend()
    deadline = chain.until(lambda reading: reading.height > used.height + 3).block_time
    chain.until(lambda reading: reading.block_time > deadline)
    (reading,) = chain.past(nonce_deadline=deadline)
    assert reading.block_time == deadline
    assert reading.nonces == {chain.nonces[0]: True}, "the others are not asked about"


def test_a_node_that_is_behind_says_nothing_definite(chain: Chain) -> None:
    chain.end_the_salt()
    with pytest.raises(RpcUnavailable, match="behind") as told:
        chain.past(later=1_000)
    assert not isinstance(told.value, BlocksNotKept)


def test_blocks_that_no_node_keeps_are_named_as_such(start_world: StartWorld, desk: Signer) -> None:
    chain = Chain(start_world(chain={"block_ms": 50, "keep_blocks": 20}), desk)
    ended = chain.end_the_salt()
    chain.until(lambda reading: reading.height > ended.height + 40)
    with pytest.raises(BlocksNotKept):
        chain.past()
