from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_service import client_of
from unrip.feeds.kraken import (
    Heartbeat,
    Ignored,
    KrakenEvent,
    KrakenRejected,
    KrakenRest,
    KrakenSession,
    KrakenStatus,
    KrakenSubscribed,
    KrakenTick,
    KrakenUnavailable,
    Malformed,
    TickRefused,
    parse_rest_ticker,
)
from unrip.net.http import HttpClient

NOW = datetime(2026, 11, 22, 10, 15, 42, 400_000, tzinfo=UTC)
TICKER = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/EUR","bid":71204.3,"bid_qty":0.41250000,'
    '"ask":71204.4,"ask_qty":4e-8,"last":71204.4,"new_field":{"a":[1]},"timestamp":"2026-11-22T10:15:42.318204Z"}]}'
)


def receive(frame: str) -> KrakenEvent:
    return KrakenSession("BTC/EUR").receive(frame, NOW)


def ticker(**changes: Any) -> str:
    entry = {"symbol": "BTC/EUR", "bid": 71204.3, "ask": 71204.4, **changes}
    present = {field: value for field, value in entry.items() if value != "absent"}
    return json.dumps({"channel": "ticker", "type": "snapshot", "data": [present]})


def test_it_subscribes_to_every_change_of_the_best_price() -> None:
    session = KrakenSession("BTC/EUR")
    first, again = (json.loads(session.opened()[0]) for _ in range(2))
    assert first["params"] == {"channel": "ticker", "symbol": ["BTC/EUR"], "event_trigger": "bbo", "snapshot": True}
    assert first["req_id"] != again["req_id"]


def test_a_tick_is_exact_and_keeps_both_times() -> None:
    event = receive(TICKER)
    assert isinstance(event, KrakenTick)
    reading = event.reading
    assert (str(reading.bid), str(reading.ask)) == ("71204.3", "71204.4")
    assert reading.mid == Decimal("71204.35")
    assert reading.source_time == datetime(2026, 11, 22, 10, 15, 42, 318_204, tzinfo=UTC)
    assert (reading.observed_at, reading.transport) == (NOW, "websocket")


def test_a_whole_number_and_a_missing_time_are_fine() -> None:
    event = receive(ticker(bid=71204, ask=71205))
    assert isinstance(event, KrakenTick)
    assert (event.reading.bid, event.reading.source_time) == (Decimal(71204), None)


def test_the_newest_entry_of_our_symbol_counts() -> None:
    entries = [
        {"symbol": "BTC/EUR", "bid": 1, "ask": 2},
        {"symbol": "ETH/EUR", "bid": 3, "ask": 4},
        {"symbol": "BTC/EUR", "bid": 5, "ask": 6},
    ]
    event = receive(json.dumps({"channel": "ticker", "data": entries}))
    assert isinstance(event, KrakenTick)
    assert event.reading.bid == 5
    assert receive(json.dumps({"channel": "ticker", "data": entries[1:2]})) == Ignored()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"bid": "absent"}, "one_sided"),
        ({"ask": None}, "one_sided"),
        ({"bid": 0}, "not_positive"),
        ({"ask": -1}, "not_positive"),
        ({"bid": 71204.5}, "crossed"),
    ],
)
def test_a_tick_that_is_no_price_is_refused_by_name(changes: dict[str, Any], name: str) -> None:
    assert receive(ticker(**changes)) == TickRefused(name=name)


@pytest.mark.parametrize(
    "changes",
    [{"bid": "71204.3"}, {"bid": True}, {"ask": []}, {"ask": 1e300}, {"timestamp": "now"}, {"timestamp": 7}],
)
def test_a_tick_of_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    assert isinstance(receive(ticker(**changes)), Malformed)


@pytest.mark.parametrize("system", ["online", "maintenance", "cancel_only", "post_only"])
def test_the_state_of_the_engine(system: str) -> None:
    frame = {"channel": "status", "type": "update", "data": [{"system": system, "connection_id": 2**63}]}
    assert receive(json.dumps(frame)) == KrakenStatus(system=system)


@pytest.mark.parametrize(
    ("frame", "event"),
    [
        ('{"channel":"heartbeat"}', Heartbeat()),
        ('{"method":"subscribe","success":true,"result":{"symbol":"BTC/EUR","warnings":["x"]}}', KrakenSubscribed()),
        ('{"method":"subscribe","success":false}', KrakenRejected(reason="refused without a text")),
        (
            '{"error":"Currency pair not supported XBT/EUR","method":"subscribe","success":false,"symbol":"XBT/EUR"}',
            KrakenRejected(reason="Currency pair not supported XBT/EUR"),
        ),
        ('{"Error":"Exceeded msg rate"}', KrakenRejected(reason="Exceeded msg rate")),
        ('{"method":"pong","req_id":1}', Ignored()),
        ('{"channel":"trade","data":[]}', Ignored()),
    ],
)
def test_other_frames(frame: str, event: KrakenEvent) -> None:
    assert receive(frame) == event


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "[]",
        "NaN",
        '{"channel":"ticker"}',
        '{"channel":"ticker","data":[7]}',
        '{"channel":"status","data":[]}',
        '{"error":{"a":1}}',
        "[" * 99_999,
        '{"x":"' + "y" * 300_000 + '"}',
    ],
)
def test_frames_that_are_not_what_they_claim(frame: str) -> None:
    assert isinstance(receive(frame), Malformed)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["BTC/EUR", "online"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["symbol", "bid", "ask", "timestamp", "system"]), inner)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["channel", "method", "success", "data", "error", "Error"]),
        json_values | st.sampled_from(["ticker", "status", "heartbeat", "subscribe"]),
    ).map(json.dumps)
    | st.integers(0, len(TICKER)).map(lambda cut: TICKER[:cut])
    | st.text(max_size=200)
)
def test_any_frame_becomes_exactly_one_event(frame: str) -> None:
    assert isinstance(receive(frame), KrakenEvent)


@given(st.sampled_from(["bid", "ask", "symbol", "timestamp"]), json_values)
def test_any_odd_value_in_a_tick_becomes_exactly_one_event(field: str, value: Any) -> None:
    assert isinstance(receive(ticker(**{field: value})), KrakenEvent)


REST = {"error": [], "result": {"XXBTZEUR": {"a": ["71204.40000", "1", "1.038"], "b": ["71204.30000", "0", "0.412"]}}}


def test_a_rest_answer_is_exact_and_has_no_time_of_its_own() -> None:
    reading = parse_rest_ticker(REST, NOW)
    assert (str(reading.bid), str(reading.ask)) == ("71204.30000", "71204.40000")
    assert (reading.observed_at, reading.source_time, reading.transport) == (NOW, None, "rest")


@pytest.mark.parametrize(
    "document",
    [
        {"error": ["EQuery:Unknown asset pair"]},
        {"error": "no"},
        {"error": [], "result": {}},
        {"error": [], "result": {"A": {}, "B": {}}},
        {"error": [], "result": {"A": {"a": [], "b": ["1"]}}},
        {"error": [], "result": {"A": {"a": ["1"], "b": ["2"]}}},
        {"error": [], "result": {"A": {"a": ["1"], "b": ["0"]}}},
        {"error": [], "result": {"A": {"a": ["x"], "b": ["0"]}}},
        {"error": [], "result": {"A": {"a": [1], "b": ["1"]}}},
        [],
        None,
    ],
)
def test_a_rest_answer_that_is_no_price_is_unavailable(document: object) -> None:
    with pytest.raises(KrakenUnavailable):
        parse_rest_ticker(document, NOW)


async def test_the_rest_client_asks_for_ticker_and_state() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> Any:
        asked.append(str(request.url))
        return REST if "Ticker" in str(request.url) else {"error": [], "result": {"status": "maintenance"}}

    rest = KrakenRest(client_of(answer), "http://127.0.0.1:9/", pair="XBTEUR", clock=lambda: NOW)
    assert (await rest.ticker()).transport == "rest"
    assert await rest.system() == "maintenance"
    assert asked == ["http://127.0.0.1:9/0/public/Ticker?pair=XBTEUR", "http://127.0.0.1:9/0/public/SystemStatus"]


async def test_a_rest_outage_is_unavailable() -> None:
    rest = KrakenRest(client_of(lambda _: "<html>", status=520), "http://127.0.0.1:9", pair="XBTEUR", clock=lambda: NOW)
    with pytest.raises(KrakenUnavailable):
        await rest.ticker()


@pytest.mark.parametrize(
    ("said", "status", "pause_s"),
    [
        ({"error": ["EAPI:Rate limit exceeded"]}, 200, 10),
        ({"error": ["EGeneral:Too many requests"]}, 200, 10),
        ({"error": ["EGeneral:Temporary lockout"]}, 200, 10),
        ({"error": ["EService:Busy", "EGeneral:Too many requests:retry"]}, 200, 10),
        ({"error": ["EService:Unavailable"]}, 200, None),
        ({"error": ["EQuery:Unknown asset pair"]}, 200, None),
        ("error code: 1015", 429, 10),
        ("<html>You are being rate limited. Error 1015, Ray ID: 8f10153a</html>", 403, 10),
        ("<title>Error 1015</title>", 200, 10),
        ("<html>Ray ID: 8f10153a</html>", 520, None),
        ("", 429, 10),
    ],
)
async def test_being_told_that_we_ask_too_much_is_no_outage(said: Any, status: int, pause_s: int | None) -> None:
    rest = KrakenRest(client_of(lambda _: said, status=status), "http://127.0.0.1:9", pair="XBTEUR", clock=lambda: NOW)
    for ask in (rest.ticker, rest.system):
        with pytest.raises(KrakenUnavailable) as caught:
            await ask()
        assert caught.value.pause_s == pause_s
        assert "Ray ID" not in str(caught.value)


async def test_the_time_that_a_gateway_names_is_kept() -> None:
    def handle(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"retry-after": "90"}, content=b"error code: 1015")

    client = HttpClient(name="test", count=lambda *_: None, transport=httpx.MockTransport(handle))
    with pytest.raises(KrakenUnavailable) as caught:
        await KrakenRest(client, "http://127.0.0.1:9", pair="XBTEUR", clock=lambda: NOW).ticker()
    assert caught.value.pause_s == 90
