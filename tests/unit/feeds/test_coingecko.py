from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrip.domain.market import SecondReading
from unrip.feeds.coingecko import CoinGecko, CoinGeckoUnavailable, parse_simple_price
from unrip.net.exact import decode
from unrip.net.http import HttpClient

NOW = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
EURE = "monerium-eur-money-2"
ANSWER = (
    '{"bitcoin":{"eur":71188.40273000001,"last_updated_at":1795342498},'
    '"monerium-eur-money-2":{"eur":0.998714,"last_updated_at":1795342377.5}}'
)
KEY = "CG-throw-away-key"


def parse(document: object) -> SecondReading:
    return parse_simple_price(document, base_id="bitcoin", quote_id=EURE, observed_at=NOW)


def test_both_coins_with_their_own_times() -> None:
    reading = parse(decode(ANSWER))
    assert str(reading.base_asset_eur) == "71188.40273000001"
    assert reading.base_updated_at == datetime.fromtimestamp(1_795_342_498, UTC)
    assert reading.quote_asset_eur == Decimal("0.998714")
    assert reading.quote_updated_at == datetime.fromtimestamp(1_795_342_377, UTC)
    assert reading.observed_at == NOW


@pytest.mark.parametrize("eure", ["{}", '{"eur":0.99}', '{"eur":null,"last_updated_at":1795342377}'])
def test_the_wrapper_may_be_missing(eure: str) -> None:
    reading = parse(decode('{"bitcoin":{"eur":7,"last_updated_at":1795342498},"monerium-eur-money-2":' + eure + "}"))
    assert (reading.quote_asset_eur, reading.quote_updated_at) == (None, None)
    assert reading.base_asset_eur == 7


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        "[]",
        '{"bitcoin":{}}',
        '{"bitcoin":{"usd":7,"last_updated_at":1795342498}}',
        '{"bitcoin":{"eur":7}}',
        '{"bitcoin":{"eur":0,"last_updated_at":1795342498}}',
        '{"bitcoin":{"eur":"7","last_updated_at":1795342498}}',
        '{"bitcoin":{"eur":7,"last_updated_at":"now"}}',
        '{"bitcoin":{"eur":7,"last_updated_at":1e30}}',
        '{"bitcoin":7}',
    ],
)
def test_without_a_price_and_its_time_there_is_no_reading(document: str) -> None:
    with pytest.raises(CoinGeckoUnavailable):
        parse(decode(document))


@pytest.mark.parametrize("coin", ["bitcoin", EURE])
def test_a_time_that_is_yet_to_come_is_none_but_for_a_difference_of_clocks(coin: str) -> None:
    ahead = int(NOW.timestamp()) + 60
    prices = {"bitcoin": {"eur": 7, "last_updated_at": 1}, EURE: {"eur": 1, "last_updated_at": 1}}
    assert parse(prices | {coin: {"eur": 7, "last_updated_at": ahead}}).base_asset_eur == 7
    with pytest.raises(CoinGeckoUnavailable, match=f"{coin} was updated at .* yet to come"):
        parse(prices | {coin: {"eur": 7, "last_updated_at": ahead + 1}})


@pytest.mark.parametrize(
    "body",
    [
        '{"status":{"error_code":429,"error_message":"over the limit"}}',
        '{"error":{"status":{"error_code":10002,"error_message":"over the limit"}}}',
        '{"error":"over the limit"}',
    ],
)
def test_each_form_of_error_is_told_also_with_status_200(body: str) -> None:
    with pytest.raises(CoinGeckoUnavailable, match="over the limit"):
        parse(decode(body))


def service(handle: httpx.Response, seen: list[httpx.Request], key_file: Path | None, url: str) -> CoinGecko:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return handle

    client = HttpClient(name="coingecko", count=lambda *_: None, transport=httpx.MockTransport(answer))
    return CoinGecko(client, url, key_file=key_file, base_id="bitcoin", quote_id=EURE, clock=lambda: NOW)


def response(text: str, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={"content-type": "application/json", **headers}, content=text.encode())


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "coingecko.key"
    path.write_text(KEY)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://127.0.0.1:9/api/v3", "x-cg-demo-api-key"),
        ("http://pro-api.localhost:9/api/v3/", "x-cg-pro-api-key"),
    ],
)
async def test_the_key_is_in_the_header_of_its_kind_and_never_in_the_url(key_file: Path, url: str, header: str) -> None:
    seen: list[httpx.Request] = []
    await service(response(ANSWER), seen, key_file, url).read()
    assert seen[0].headers[header] == KEY
    assert KEY not in str(seen[0].url)
    assert dict(seen[0].url.params) == {
        "ids": f"bitcoin,{EURE}",
        "vs_currencies": "eur",
        "include_last_updated_at": "true",
        "precision": "full",
    }


async def test_without_a_key_no_header_is_sent() -> None:
    seen: list[httpx.Request] = []
    await service(response(ANSWER), seen, None, "http://127.0.0.1:9/api/v3").read()
    assert not [name for name in seen[0].headers if name.startswith("x-cg")]


async def test_a_key_file_that_is_open_to_others_is_told(key_file: Path) -> None:
    key_file.chmod(0o644)  # noqa: ASYNC240 - a test may block
    with pytest.raises(CoinGeckoUnavailable, match="chmod 600"):
        await service(response(ANSWER), [], key_file, "http://127.0.0.1:9").read()


@pytest.mark.parametrize(("headers", "pause_s"), [({"retry-after": "7"}, 7), ({}, 60)])
async def test_a_rate_limit_says_how_long_to_wait(key_file: Path, headers: dict[str, str], pause_s: int) -> None:
    body = '{"status":{"error_code":429,"error_message":"exceeded"}}'
    with pytest.raises(CoinGeckoUnavailable, match="exceeded") as unavailable:
        await service(response(body, 429, **headers), [], key_file, "http://127.0.0.1:9").read()
    assert unavailable.value.retry_after_s == pause_s
    assert KEY not in str(unavailable.value)


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_an_html_page_is_no_reading(status: int) -> None:
    page = httpx.Response(status, headers={"content-type": "text/html"}, content=b"<html>")
    with pytest.raises(CoinGeckoUnavailable, match=str(status)) as unavailable:
        await service(page, [], None, "http://127.0.0.1:9").read()
    assert unavailable.value.retry_after_s is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["eur", "last_updated_at", "status", "error_code"]), inner)
    ),
    max_leaves=10,
)


@given(json_values | st.dictionaries(st.sampled_from(["bitcoin", EURE, "status", "error"]), json_values))
def test_any_document_is_a_reading_or_the_one_error(document: Any) -> None:
    try:
        reading = parse(document)
    except CoinGeckoUnavailable:
        return
    assert reading.base_asset_eur > 0
