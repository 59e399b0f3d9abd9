"""One target per parser: any bytes become something understood or a refusal of its own kind; anything else is a crash.

What was understood must also be recordable, since every event goes through our own encoding.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

from unrip.feeds.coingecko import CoinGecko, CoinGeckoUnavailable
from unrip.feeds.kraken import Ignored, KrakenRest, KrakenSession, KrakenUnavailable
from unrip.feeds.kraken import Malformed as KrakenMalformed
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.envelope import InvalidMessage, encode
from unrip.messages.topics import TOPICS
from unrip.net.http import HttpClient
from unrip.venues.near_intents.bridge import Bridge, BridgeError
from unrip.venues.near_intents.endpoints import Endpoints
from unrip.venues.near_intents.relay import Malformed, RelaySession, Stream, Unknown
from unrip.venues.near_intents.relay_rpc import RelayRpc, RelayRpcError
from unrip.venues.near_intents.rpc import NearRpc, RpcError
from unrip.venues.near_intents.verifier import Verifier

CORPUS = Path(__file__).parent / "corpus"
ACCOUNT = "solver.near"
CONTRACT = "intents.near"
#: After every time in the kept inputs: what is yet to come is refused.
NOW = datetime(2026, 12, 31, tzinfo=UTC)

URL = "http://127.0.0.1:9"
_HEIGHT = 140_000_123
_BLOCK = {
    "result": {
        "header": {"height": _HEIGHT, "timestamp_nanosec": "1795341600123456789", "hash": "b2", "prev_hash": "b1"}
    }
}

_NUMBERS = tuple(b"%d," % byte for byte in range(256))

#: Which of a target's parsers understood the bytes, by name.
Understood = dict[str, bool]
#: Raises whatever is not a parser's own refusal.
Target = Callable[[bytes], Understood]


class _Service(httpx.AsyncBaseTransport):
    """A service that answers every request as it is told."""

    def __init__(self) -> None:
        self.answer: Callable[[bytes], bytes] = lambda _: b""
        self.status = 200

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        kind = {"content-type": "application/json"}
        return httpx.Response(self.status, headers=kind, content=self.answer(request.content))


_service = _Service()
client = HttpClient(name="fuzz", count=lambda *_: None, transport=_service)


@contextlib.contextmanager
def answering(answer: bytes | Callable[[bytes], bytes], *, status: int = 200) -> Iterator[None]:
    """Within it, `client` gets this answer to every request, or what the function makes of the request's body."""
    _service.status, _service.answer = status, (lambda _: answer) if isinstance(answer, bytes) else answer
    yield
    _service.status, _service.answer = 200, lambda _: b""


async def _understood(question: Awaitable[object], refusal: type[Exception], *, recorded: bool = True) -> bool:
    try:
        answer = await question
    except refusal:
        return False
    if recorded:
        encode(answer)
    return True


async def _each(questions: dict[str, Awaitable[object]], refusal: type[Exception]) -> Understood:
    return {name: await _understood(question, refusal) for name, question in questions.items()}


def _either(one: Understood, other: Understood) -> Understood:
    return {name: one[name] or other[name] for name in one}


def relay(data: bytes) -> Understood:
    """A frame to a session that awaits two subscriptions and a reply."""
    session = RelaySession((Stream(name="quote"), Stream(name="quote_status")))
    session.opened()
    session.quote_response("[]", name="offer")
    event = session.receive(data.decode(errors="replace"))
    encode(event)
    return {"frame": not isinstance(event, Malformed | Unknown)}


def relay_rpc(data: bytes) -> Understood:
    """An answer of the relay's RPC to a revocation and to the question what became of it."""
    return asyncio.run(_relay_rpc(data))


async def _relay_rpc(data: bytes) -> Understood:
    relay = RelayRpc(client, URL, headers=dict)
    with answering(data):
        return await _each({"publish": relay.publish({}), "status": relay.status("hash")}, RelayRpcError)


def kraken(data: bytes) -> Understood:
    """A frame on the socket, and the same bytes as an answer to each REST question."""
    event = KrakenSession("BTC/EUR").receive(data.decode(errors="replace"), NOW)
    encode(event)
    return {"frame": not isinstance(event, KrakenMalformed | Ignored), **asyncio.run(_kraken_rest(data))}


async def _kraken_rest(data: bytes) -> Understood:
    rest = KrakenRest(client, URL, pair="XBTEUR", clock=lambda: NOW)
    with answering(data):
        return await _each({"ticker": rest.ticker(), "system": rest.system()}, KrakenUnavailable)


def coingecko(data: bytes) -> Understood:
    """An answer, also to a question that was refused for its rate."""
    return asyncio.run(_coingecko(data))


async def _coingecko(data: bytes) -> Understood:
    source = CoinGecko(client, URL, key_file=None, base_id="bitcoin", quote_id="monerium-eur-money", clock=lambda: NOW)
    with answering(data, status=429):
        await _understood(source.read(), CoinGeckoUnavailable)
    with answering(data):
        return await _each({"price": source.read()}, CoinGeckoUnavailable)


def bridge(data: bytes) -> Understood:
    """An answer to each of the bridge's questions."""
    return asyncio.run(_bridge(data))


async def _bridge(data: bytes) -> Understood:
    service = Bridge(client, URL, account=ACCOUNT)
    chain, token = "btc:mainnet", "btc.omft.near"
    questions: dict[str, Awaitable[object]] = {
        "supported_tokens": service.supported_tokens(chain),
        "deposit_address": service.deposit_address(chain),
        "recent_deposits": service.recent_deposits(chain),
        "recent_withdrawals": service.recent_withdrawals(chain),
        "withdrawal_estimate": service.withdrawal_estimate(chain, token=token, destination="bc1qowner"),
        "withdrawal_status": service.withdrawal_status("burn", asset_id=f"nep141:{token}"),
    }
    with answering(data):
        return await _each(questions, BridgeError)


def rpc(data: bytes) -> Understood:
    """A node's reply to each question, with good and bad HTTP status."""
    return asyncio.run(_rpc(data))


async def _rpc(data: bytes) -> Understood:
    with answering(data):
        answers = await _node(NearRpc(client, URL))
    with answering(data, status=500):
        return _either(answers, await _node(NearRpc(client, URL)))


async def _node(node: NearRpc) -> Understood:
    view = node.view(CONTRACT, "fee", {}, height=_HEIGHT)
    return {
        "block": await _understood(node.final_block(), RpcError),
        "view": await _understood(view, RpcError, recorded=False),
        "fills": await _understood(_verifier(node).transaction_fills("hash", ACCOUNT), RpcError),
    }


def contract(data: bytes) -> Understood:
    """What the contract's views return, and the lines of its log, inside a node's reply that is well.

    Bytes that are an object of returned values by the names of views answer each view with its own; all others answer
    every view alike.
    """
    return asyncio.run(_contract(data))


async def _contract(data: bytes) -> Understood:
    verifier, views = _verifier(NearRpc(client, URL)), _by_view(data)
    block = json.dumps(_BLOCK).encode()

    def answer(request: bytes) -> bytes:
        asked = json.loads(request)
        return block if asked["method"] == "block" else returned(views.get(asked["params"]["method_name"], data))

    with answering(answer):
        read = verifier.read(nonces=("n",), salts=("252812b3",))
        answers = await _each({"reading": read, "simulation": verifier.simulate([])}, RpcError)
    with answering(logged(data)):
        try:
            return {**answers, "fills": bool(await verifier.transaction_fills("hash", ACCOUNT))}
        except RpcError:
            return {**answers, "fills": False}


def _by_view(data: bytes) -> dict[str, bytes]:
    """Each member's own bytes, none where it is no object."""
    try:
        return {name: bytes(value) for name, value in msgspec.json.decode(data, type=dict[str, msgspec.Raw]).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _verifier(node: NearRpc) -> Verifier:
    assets = ("nep141:btc.omft.near", "nep141:eure.omft.near")
    return Verifier(
        Endpoints([node], clock=lambda: NOW, count=lambda _name, _labels: None),
        contract=CONTRACT,
        account=ACCOUNT,
        public_key="ed25519:k",
        asset_ids=assets,
        clock=lambda: NOW,
    )


def returned(data: bytes) -> bytes:
    """The node's reply around what a view returned: a list of its bytes as numbers."""
    numbers = bytearray()
    for start in range(0, len(data), 1_024):  # piece by piece: a list of all would be what tests of memory measure
        numbers += b"".join(map(_NUMBERS.__getitem__, data[start : start + 1_024]))
    return b'{"result":{"block_height":%d,"result":[%s]}}' % (_HEIGHT, numbers.removesuffix(b","))


def logged(data: bytes) -> bytes:
    """The node's reply around a successful receipt that printed these lines."""
    lines = json.dumps(data.decode(errors="replace").splitlines()).encode()
    receipt = b'{"outcome":{"executor_id":"%s","status":{"SuccessValue":""},"logs":%s}}' % (CONTRACT.encode(), lines)
    return b'{"result":{"final_execution_status":"FINAL","receipts_outcome":[%s]}}' % receipt


def records(data: bytes) -> Understood:
    """A record on each topic; what is read must be written and read back the same."""
    return {topic: _record(topic, data) for topic in TOPICS}


def _record(topic: str, data: bytes) -> bool:
    try:
        event = decode_event(topic, data)
    except InvalidMessage:
        return False
    if decode_event(topic, encode_event(event)) != event:
        raise AssertionError(f"{topic}: not the same after writing and reading")
    return True


TARGETS: dict[str, Target] = {
    "relay": relay,
    "relay_rpc": relay_rpc,
    "rpc": rpc,
    "contract": contract,
    "bridge": bridge,
    "kraken": kraken,
    "coingecko": coingecko,
    "records": records,
}


def structured(name: str) -> list[bytes]:
    """The kept inputs in which values have places: objects and lists."""
    return [data for path in corpus(name) if (data := path.read_bytes())[:1] in {b"{", b"["}]


def corpus(name: str) -> list[Path]:
    """The kept inputs of a target."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.is_file())
