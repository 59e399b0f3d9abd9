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
from unrip.venues.near_intents.rpc import NearRpc, RpcError
from unrip.venues.near_intents.verifier import Verifier

CORPUS = Path(__file__).parent / "corpus"
ACCOUNT = "solver.near"
CONTRACT = "intents.near"
#: After every time in the kept inputs: what is yet to come is refused.
NOW = datetime(2026, 12, 31, tzinfo=UTC)

URL = "http://127.0.0.1:9"
_HEIGHT = 140_000_123
_BLOCK = {"result": {"header": {"height": _HEIGHT, "timestamp_nanosec": "1795341600123456789"}}}

_NUMBERS = tuple(b"%d," % byte for byte in range(256))

#: Whether the bytes were understood at all; raises whatever is not the parser's own refusal.
Target = Callable[[bytes], bool]


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


def relay(data: bytes) -> bool:
    """A frame to a session that awaits two subscriptions and a reply."""
    session = RelaySession((Stream(name="quote"), Stream(name="quote_status")))
    session.opened()
    session.quote_response("[]", name="offer")
    event = session.receive(data.decode(errors="replace"))
    encode(event)
    return not isinstance(event, Malformed | Unknown)


def kraken(data: bytes) -> bool:
    """A frame on the socket, and the same bytes as an answer to each REST question."""
    event = KrakenSession("BTC/EUR").receive(data.decode(errors="replace"), NOW)
    encode(event)
    answered = asyncio.run(_kraken_rest(data))
    return answered or not isinstance(event, KrakenMalformed | Ignored)


async def _kraken_rest(data: bytes) -> bool:
    rest = KrakenRest(client, URL, pair="XBTEUR", clock=lambda: NOW)
    with answering(data):
        answers = [await _understood(question(), KrakenUnavailable) for question in (rest.ticker, rest.system)]
    return any(answers)


def coingecko(data: bytes) -> bool:
    """An answer, also to a question that was refused for its rate."""
    return asyncio.run(_coingecko(data))


async def _coingecko(data: bytes) -> bool:
    source = CoinGecko(client, URL, key_file=None, base_id="bitcoin", quote_id="monerium-eur-money", clock=lambda: NOW)
    answers = []
    for status in (200, 429):
        with answering(data, status=status):
            answers.append(await _understood(source.read(), CoinGeckoUnavailable))
    return any(answers)


def bridge(data: bytes) -> bool:
    """An answer to each of the bridge's questions."""
    return asyncio.run(_bridge(data))


async def _bridge(data: bytes) -> bool:
    service = Bridge(client, URL, account=ACCOUNT)
    chain, token = "btc:mainnet", "btc.omft.near"
    with answering(data):
        answers = [
            await _understood(question, BridgeError)
            for question in (
                service.supported_tokens(chain),
                service.deposit_address(chain),
                service.recent_deposits(chain),
                service.recent_withdrawals(chain),
                service.withdrawal_estimate(chain, token=token, destination="bc1qowner"),
                service.withdrawal_status("burn", asset_id=f"nep141:{token}"),
            )
        ]
    return any(answers)


def rpc(data: bytes) -> bool:
    """A node's reply to each question, with good and bad HTTP status."""
    return asyncio.run(_rpc(data))


async def _rpc(data: bytes) -> bool:
    node = NearRpc(client, URL)
    answers = []
    for status in (200, 500):
        with answering(data, status=status):
            answers += [
                await _understood(node.final_block(), RpcError),
                await _understood(node.view(CONTRACT, "fee", {}, height=_HEIGHT), RpcError, recorded=False),
                await _understood(_verifier(node).transaction_fills("hash", ACCOUNT), RpcError),
            ]
    return any(answers)


def contract(data: bytes) -> bool:
    """What the contract's views return, and the lines of its log, inside a node's reply that is well."""
    return asyncio.run(_contract(data))


async def _contract(data: bytes) -> bool:
    verifier = _verifier(NearRpc(client, URL))
    block, view = json.dumps(_BLOCK).encode(), returned(data)
    with answering(lambda request: block if json.loads(request)["method"] == "block" else view):
        answers = [
            await _understood(verifier.read(nonces=("n",), salts=("252812b3",)), RpcError),
            await _understood(verifier.simulate([]), RpcError),
        ]
    with answering(logged(data)):
        try:
            answers.append(bool(await verifier.transaction_fills("hash", ACCOUNT)))
        except RpcError:
            answers.append(False)
    return any(answers)


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
    return b'{"result":{"receipts_outcome":[%s]}}' % receipt


def records(data: bytes) -> bool:
    """A record on each topic; what is read must be written and read back the same."""
    understood = False
    for topic in TOPICS:
        with contextlib.suppress(InvalidMessage):
            event = decode_event(topic, data)
            understood = True
            if decode_event(topic, encode_event(event)) != event:
                raise AssertionError(f"{topic}: not the same after writing and reading")
    return understood


TARGETS: dict[str, Target] = {
    "relay": relay,
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
