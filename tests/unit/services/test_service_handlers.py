"""The handlers: effects become calls, outcomes become events, faults are never silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.json_service import client_of
from support.logic import EURE, T0
from unrip.domain.values import Value
from unrip.feeds.coingecko import CoinGecko
from unrip.feeds.kraken import KrakenRest
from unrip.frame.asking import Ask
from unrip.services.inventory_sync.effects import (
    BridgeRead,
    BridgeUnread,
    ReadBridge,
    ReadVerifier,
    VerifierRead,
    VerifierUnread,
)
from unrip.services.inventory_sync.handlers import Readings
from unrip.services.liquidity_manager.effects import ChainRead, ChainUnread, ReadChain
from unrip.services.liquidity_manager.handlers import ChainReader
from unrip.services.market_reference_ingest.effects import (
    CoinGeckoRead,
    CoinGeckoUnread,
    KrakenRestRead,
    KrakenRestUnread,
    PollCoinGecko,
    PollKrakenRest,
)
from unrip.services.market_reference_ingest.handlers import Polls
from unrip.venues.near_intents.bridge import Bridge
from unrip.venues.near_intents.endpoints import Endpoints
from unrip.venues.near_intents.rpc import NearRpc
from unrip.venues.near_intents.verifier import Verifier

URL = "http://127.0.0.1:9"


class Outcomes:
    """The events that a handler emits."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Value] = asyncio.Queue()
        self.ask = Ask(start=asyncio.ensure_future, emit=self.emit)

    def emit(self, event: Value) -> None:
        self._queue.put_nowait(event)

    async def next(self) -> Value:
        return await asyncio.wait_for(self._queue.get(), 5)


def clock() -> Any:
    return T0


def polls(answer: Callable[[Any], Any], outcomes: Outcomes, status: int = 200) -> Polls:
    client = client_of(answer, status=status)
    coingecko = CoinGecko(client, URL, key_file=None, base_id="bitcoin", quote_id="eure", clock=clock)
    return Polls(KrakenRest(client, URL, pair="XBTEUR", clock=clock), coingecko, ask=outcomes.ask)


TICKER = {"error": [], "result": {"XXBTZEUR": {"a": ["2", "1", "1"], "b": ["1", "1", "1"]}}}


@pytest.mark.parametrize(
    ("status_answer", "system"), [({"error": [], "result": {"status": "online"}}, "online"), ({"error": ["no"]}, None)]
)
async def test_kraken_is_asked_for_price_and_state(status_answer: Any, system: str | None) -> None:
    outcomes = Outcomes()
    handler = polls(lambda request: TICKER if "Ticker" in str(request.url) else status_answer, outcomes)
    handler.poll_kraken(PollKrakenRest())
    event = await outcomes.next()
    assert isinstance(event, KrakenRestRead)
    assert event.reading.bid == 1
    assert event.system == system


async def test_what_a_source_does_not_say_is_an_outcome_too() -> None:
    outcomes = Outcomes()
    handler = polls(lambda _: {"error": ["EService:Busy"]}, outcomes, status=429)
    handler.poll_kraken(PollKrakenRest())
    assert isinstance(await outcomes.next(), KrakenRestUnread)
    handler.poll_coingecko(PollCoinGecko())
    event = await outcomes.next()
    assert isinstance(event, CoinGeckoUnread)
    assert event.retry_after_s == 60


async def test_coingecko_is_read() -> None:
    outcomes = Outcomes()
    handler = polls(lambda _: {"bitcoin": {"eur": 7, "last_updated_at": int(T0.timestamp())}}, outcomes)
    handler.poll_coingecko(PollCoinGecko())
    event = await outcomes.next()
    assert isinstance(event, CoinGeckoRead)
    assert event.reading.base_asset_eur == 7


def node(request: Any) -> Any:
    if request["method"] == "block":
        return {
            "result": {
                "header": {"height": 1, "timestamp_nanosec": "1795341600000000000", "hash": "1", "prev_hash": "0"}
            }
        }
    answers = {
        "mt_batch_balance_of": b'["5"]',
        "current_salt": b'"252812b3"',
        "fee": b"1",
        "has_public_key": b"true",
        "is_account_locked": b"false",
        "simulate_intents": b"{}",
    }
    return {"result": {"result": list(answers[request["params"]["method_name"]]), "block_height": 1}}


EMPTY = {"deposits": [], "total": 0, "withdrawals": [], "tokens": [], "address": "a"}


def readings(outcomes: Outcomes, *, rpc: Callable[[Any], Any] = node, bridge: Any = None) -> Readings:
    verifier = Verifier(
        Endpoints([NearRpc(client_of(rpc), URL)], clock=clock, count=lambda *_: None),
        contract="intents.near",
        account="desk.near",
        public_key="ed25519:k",
        asset_ids=[EURE],
        clock=clock,
    )
    return Readings(
        verifier,
        Bridge(client_of(lambda _: bridge or {"result": EMPTY}), URL, account="desk.near"),
        chains=["btc:mainnet", "eth:100"],
        ask=outcomes.ask,
        clock=clock,
    )


async def test_verifier_and_bridge_are_read() -> None:
    outcomes = Outcomes()
    handler = readings(outcomes)
    handler.read_verifier(ReadVerifier())
    event = await outcomes.next()
    assert isinstance(event, VerifierRead)
    assert event.reading.credited == {EURE: 5}
    handler.read_bridge(ReadBridge())
    assert await outcomes.next() == BridgeRead(deposits=(), withdrawals=(), observed_at=T0)


async def test_an_unreadable_verifier_or_bridge_is_an_outcome() -> None:
    outcomes = Outcomes()
    handler = readings(outcomes, rpc=lambda _: {}, bridge={"error": "down"})
    handler.read_verifier(ReadVerifier())
    assert isinstance(await outcomes.next(), VerifierUnread)
    handler.read_bridge(ReadBridge())
    event = await outcomes.next()
    assert isinstance(event, BridgeUnread)
    assert "down" in event.reason


async def test_a_chain_is_read_whole_or_not_at_all() -> None:
    outcomes = Outcomes()
    for answer in ({"result": EMPTY}, {"error": {"code": -1, "message": "down"}}):
        handler = ChainReader(
            Bridge(client_of(lambda _, said=answer: said), URL, account="desk.near"),  # type: ignore[misc]
            ask=outcomes.ask,
            clock=clock,
        )
        handler.read(ReadChain(chain="eth:100"))
        event = await outcomes.next()
        assert isinstance(event, ChainUnread if "error" in answer else ChainRead)
