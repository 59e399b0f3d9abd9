"""Faults that only sockets and HTTP can show: two nodes, statuses of gateways, close codes, a node that waits."""

import time
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from support.relay_socket import relay_socket
from support.solver import BTC, Signer
from support.world import WorldClient, running_world

ASKED = {"jsonrpc": "2.0", "id": 1, "method": "get_status", "params": [{"intent_hash": "x"}]}


@pytest.fixture(scope="module")
def one_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorldClient]:
    config = {"takers": [], "chain": {"block_ms": 100, "final_lag_blocks": 5}}
    with running_world(tmp_path_factory.mktemp("world"), config) as world:
        yield world


@pytest.fixture
def world(one_world: WorldClient) -> Iterator[WorldClient]:
    yield one_world
    one_world.delete("/faults")


def height(world: WorldClient, node: str) -> int:
    body = {"jsonrpc": "2.0", "id": "1", "method": "block", "params": {"finality": "final"}}
    return int(httpx.post(world.urls[node], json=body).json()["result"]["header"]["height"])


def test_two_addresses_disagree(world: WorldClient) -> None:
    world.fault("rpc2", "height_shift", by=10**12)
    assert height(world, "near_rpc") + 10**11 < height(world, "near_rpc_2")
    world.delete("/faults")
    world.fault("rpc", "down")
    assert httpx.post(world.urls["near_rpc"], json={}).status_code == 503
    assert height(world, "near_rpc_2") > 0


def test_every_http_service_tells_a_status_of_its_gateway(world: WorldClient) -> None:
    urls = {
        "relay": world.urls["relay_rpc"],
        "rpc": world.urls["near_rpc"],
        "bridge": world.urls["bridge"],
        "kraken": world.urls["kraken_rest"] + "/0/public/Ticker",
        "coingecko": world.urls["coingecko"] + "/ping",
    }
    for service, url in urls.items():
        world.fault(service, "http_status", text="error code: 1015", retry_after_s=7)
        answer = httpx.get(url) if service in ("kraken", "coingecko") else httpx.post(url, json=ASKED)
        assert (answer.status_code, answer.text, answer.headers["Retry-After"]) == (429, "error code: 1015", "7")
    world.fault("relay", "http_status", status=401)
    refused = httpx.post(world.urls["relay_rpc"], json=ASKED)
    assert (refused.status_code, "Retry-After" in refused.headers) == (401, False)
    # The socket is another door.
    with relay_socket(world.urls["relay_ws"]) as relay:
        assert isinstance(relay.ask("subscribe", "quote")["result"], str)


def test_krakens_own_words_for_too_many_questions(world: WorldClient) -> None:
    url = world.urls["kraken_rest"] + "/0/public/Ticker"
    for error in ("EGeneral:Too many requests", "EGeneral:Temporary lockout"):
        world.fault("kraken", "rest_error", error=error)
        assert (httpx.get(url).status_code, httpx.get(url).json()) == (200, {"error": [error]})
    world.fault("kraken", "refuse_handshake")
    with pytest.raises(InvalidStatus) as refused:
        connect(world.urls["kraken_ws"])
    assert refused.value.response.status_code == 429


def test_a_close_code_and_its_words(world: WorldClient) -> None:
    with connect(world.urls["relay_ws"]) as socket:
        world.fault("relay", "disconnect", close_code=4401, reason="token expired " + "x" * 200)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason[:13]) == (4401, "token expired")
    assert len(closed.value.rcvd.reason) == 123


def test_a_node_waits_until_a_transaction_is_final(world: WorldClient, desk: Signer) -> None:
    given = world.post(f"/accounts/{desk.account_id}/credit", token_id=BTC, amount="5")
    asked = {"tx_hash": given["tx_hash"], "sender_account_id": "any.near"}
    world.until(lambda: "result" in world.near("tx", {**asked, "wait_until": "INCLUDED"}))
    began = time.monotonic()
    told = world.near("tx", {**asked, "wait_until": "FINAL"})
    assert told["result"]["final_execution_status"] == "FINAL"
    assert time.monotonic() - began < 5
