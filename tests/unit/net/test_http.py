"""The contract of HttpClient: against a transport in memory, and against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
import pytest

from unrip.net.http import ANSWER_BYTES_MAX, HttpClient, HttpRefused, HttpUnavailable

URL = "http://127.0.0.1:9/rpc"
JSON = {"content-type": "application/json; charset=utf-8"}


class Service:
    """Answers with one response after the other and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.outcomes: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> HttpClient:
        return HttpClient(
            name="bridge",
            transport=httpx.MockTransport(self),
            count=lambda _, labels: self.outcomes.append(labels["outcome"]),
        )


def answer(text: str, status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, headers=JSON if headers is None else headers, content=text.encode())


async def test_numbers_arrive_exact() -> None:
    service = Service(answer('{"amount":84000000000000000000001,"price":71204.30}'))
    assert await service.client().get(URL) == {"amount": 84_000_000_000_000_000_000_001, "price": Decimal("71204.30")}
    assert service.outcomes == ["answered"]


async def test_a_post_carries_its_body_and_a_get_its_headers() -> None:
    service = Service(answer("{}"), answer("{}"))
    client = service.client()
    await client.post(URL, {"amount": "5"})
    await client.get(URL, params={"pair": "XBTEUR"}, headers={"x-key": "k"})
    assert service.requests[0].content == b'{"amount":"5"}'
    assert service.requests[1].url.query == b"pair=XBTEUR"
    assert service.requests[1].headers["x-key"] == "k"


@pytest.mark.parametrize(
    "fault", [answer("busy", 503, {}), answer("{}", 502), httpx.ConnectError("no"), httpx.ReadError("no")]
)
async def test_a_passing_fault_is_asked_once_more(fault: httpx.Response | Exception) -> None:
    service = Service(fault, answer('{"ok":true}'))
    assert await service.client().get(URL) == {"ok": True}
    assert service.outcomes == ["unavailable", "answered"]


async def test_the_second_fault_is_the_answer() -> None:
    service = Service(httpx.ConnectTimeout("no"), httpx.ConnectTimeout("no"))
    with pytest.raises(HttpUnavailable, match="bridge: no answer \\(ConnectTimeout\\)"):
        await service.client().get(URL)


@pytest.mark.parametrize("status", [429, 500, 408])
async def test_these_are_unknown_but_not_repeated(status: int) -> None:
    service = Service(answer("{}", status, {**JSON, "retry-after": "7"}))
    with pytest.raises(HttpUnavailable) as unknown:
        await service.client().get(URL)
    assert (unknown.value.status, unknown.value.retry_after_s) == (status, 7)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 301])
async def test_a_definite_no_keeps_what_was_said(status: int) -> None:
    service = Service(answer('{"error":"coin not found"}', status))
    with pytest.raises(HttpRefused) as refusal:
        await service.client().get(URL)
    assert (refusal.value.status, refusal.value.body) == (status, {"error": "coin not found"})
    assert service.outcomes == ["refused"]


@pytest.mark.parametrize(
    ("text", "headers"),
    [("<html>", {"content-type": "text/html"}), ("{}", {}), ("{", JSON), ("NaN", JSON), ("[" * 99_999, JSON)],
)
async def test_what_is_not_json_is_no_answer(text: str, headers: dict[str, str]) -> None:
    service = Service(answer(text, 200, headers))
    with pytest.raises(HttpUnavailable):
        await service.client().get(URL)
    assert service.outcomes == ["not_json"]


async def test_an_endless_answer_is_cut_off() -> None:
    service = Service(answer("9" * (ANSWER_BYTES_MAX + 1)))
    with pytest.raises(HttpUnavailable, match="larger than"):
        await service.client().get(URL)


@pytest.mark.parametrize(
    "fault", [answer("{}", 403), answer("{}", 500), httpx.ConnectError("key=SECRET"), httpx.InvalidURL("SECRET")]
)
async def test_no_error_repeats_address_or_secret(fault: httpx.Response | Exception) -> None:
    service = Service(fault, fault)
    with pytest.raises((HttpUnavailable, HttpRefused)) as error:
        await service.client().get(f"{URL}?key=SECRET", headers={"x-key": "SECRET"})
    assert "SECRET" not in str(error.value)
    assert "127.0.0.1" not in str(error.value)


@asynccontextmanager
async def serving(reply: bytes) -> AsyncIterator[str]:
    """A server that answers its one caller with these bytes and then waits for the caller to leave."""
    left = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await asyncio.wait_for(left.wait(), 5)


async def test_a_server_that_stays_silent_is_left_at_the_total_bound() -> None:
    outcomes: list[str] = []
    client = HttpClient(name="rpc", count=lambda _, labels: outcomes.append(labels["outcome"]), total_timeout_s=0.3)
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n") as url:
        with pytest.raises(HttpUnavailable):
            await client.get(url)
        await client.aclose()
    assert outcomes[-1] in {"timeout", "unavailable"}


async def test_a_real_server_is_read() -> None:
    client = HttpClient(name="rpc", count=lambda *_: None)
    reply = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"n":1.5}'
    async with serving(reply) as url:
        assert await client.get(url) == {"n": Decimal("1.5")}
        await client.aclose()


async def test_a_compressed_answer_is_read() -> None:
    client = HttpClient(name="rpc", count=lambda *_: None)
    body = gzip.compress(b'{"n":1.5}')
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}"
    async with serving(head.encode() + b"\r\n\r\n" + body) as url:
        assert await client.get(url) == {"n": Decimal("1.5")}
        await client.aclose()
