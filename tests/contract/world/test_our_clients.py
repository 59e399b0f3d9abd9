"""The product's own clients against the world's process: several endpoints, the cross-check, the guaranteed queue."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.cli import run_unrip
from support.ports import free_ports
from support.solver import BTC, EURE, Signer
from support.world import StartWorld
from unrip.domain.values import Value
from unrip.net.events import FrameReceived, SendFrame, SocketOpened
from unrip.net.http import HttpClient
from unrip.net.reconnect import ReconnectPolicy
from unrip.net.websocket import Socket
from unrip.venues.near_intents.access import relay_url
from unrip.venues.near_intents.endpoints import Endpoints
from unrip.venues.near_intents.keys import ed25519_text
from unrip.venues.near_intents.relay import QUOTE_STATUS, RelayEvent, RelaySession, Stream, Subscribed
from unrip.venues.near_intents.rpc import NearRpc, RpcUnavailable
from unrip.venues.near_intents.verifier import Verifier


def clock() -> datetime:
    return datetime.now(UTC)


def verifier_of(desk: Signer, http: HttpClient, *urls: str, cross_check: bool) -> Verifier:
    return Verifier(
        Endpoints([NearRpc(http, url) for url in urls], clock=clock, count=lambda *_: None),
        contract="intents.near",
        account=desk.account_id,
        public_key=desk.public_key,
        asset_ids=[BTC, EURE],
        clock=clock,
        cross_check=cross_check,
    )


async def test_a_node_that_is_away_is_passed_over_but_confirms_nothing(start_world: StartWorld, desk: Signer) -> None:
    url, (dead_port,) = start_world().urls["near_rpc"], free_ports(1)
    dead = f"http://127.0.0.1:{dead_port}/"
    http = HttpClient(name="near_rpc", count=lambda *_: None)
    reading = await verifier_of(desk, http, dead, url, cross_check=False).read()
    assert reading.credited == {BTC: 10**8, EURE: 50_000 * 10**18}
    checked = await verifier_of(desk, http, url, url, cross_check=True).read(salts=[reading.salt])
    assert (checked.credited, checked.salts) == (reading.credited, {reading.salt: True})
    with pytest.raises(RpcUnavailable):
        await verifier_of(desk, http, url, dead, cross_check=True).read()
    await http.aclose()


async def test_an_object_signed_by_hand_passes_the_verifier(
    start_world: StartWorld, desk: Signer, tmp_path: Path
) -> None:
    key = tmp_path / "desk.key"
    key.write_text(ed25519_text(bytes(desk.key) + bytes(desk.key.verify_key)))
    key.chmod(0o600)
    nonce = run_unrip("near", "nonce", "encode", "--salt", "252812b3", "--deadline", "2040-01-02T00:00:00Z")
    intents = tmp_path / "intents.json"
    intents.write_text(json.dumps([{"intent": "token_diff", "diff": {BTC: "5", EURE: "-3"}}]))
    options = ["--key-file", str(key), "--signer", desk.account_id, "--deadline", "2040-01-01T00:00:00Z", "--json"]
    signed = json.loads(
        run_unrip("near", "sign", str(intents), "--nonce", nonce.stdout.strip(), *options).stdout,
    )
    http = HttpClient(name="near_rpc", count=lambda *_: None)
    verifier = verifier_of(desk, http, start_world().urls["near_rpc"], cross_check=False)
    simulation = await verifier.simulate([signed["signed"]])
    assert simulation.refusal is None
    assert simulation.unmatched[BTC] == 5
    await http.aclose()


@pytest.mark.parametrize("allowed", [True, False])
async def test_our_socket_names_the_queue_that_the_guarantee_needs(start_world: StartWorld, *, allowed: bool) -> None:
    world = start_world(relay={"guaranteed_delivery": allowed})
    session = RelaySession((Stream(name=QUOTE_STATUS, guaranteed=True),))
    said: asyncio.Queue[RelayEvent] = asyncio.Queue()

    def take(event: Value) -> None:
        if isinstance(event, SocketOpened):
            for frame in session.opened():
                socket.send(SendFrame(connection="relay", text=frame))
        elif isinstance(event, FrameReceived):
            said.put_nowait(session.receive(event.text or ""))

    socket = Socket(
        name="relay",
        url=relay_url(world.urls["relay_ws"], instance_id="desk-1"),
        headers=dict,
        emit=take,
        clock=clock,
        random=random.Random(1),  # noqa: S311 - seeded, for tests
        reconnect=ReconnectPolicy(stable_after_s=10),
        count=lambda *_: None,
    )
    running = asyncio.create_task(socket.run())
    try:
        answer = await asyncio.wait_for(said.get(), 10)
        assert isinstance(answer, Subscribed) is allowed
    finally:
        running.cancel()
        await asyncio.wait([running])
