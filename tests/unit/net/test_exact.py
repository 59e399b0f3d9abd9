from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrip.net import exact


def test_numbers_keep_every_digit() -> None:
    document = exact.decode('{"a":57432.1,"b":0.00000004,"c":1.10000000,"d":84000000000000000000000}')
    assert document == {
        "a": Decimal("57432.1"),
        "b": Decimal("4E-8"),
        "c": Decimal("1.10000000"),
        "d": 84_000_000_000_000_000_000_000,
    }
    assert str(document["c"]) == "1.10000000"


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "[" * 100_000, "1e99999999999999999999", "9" * 5_000])
def test_what_is_not_exact_json_is_one_error(text: str) -> None:
    with pytest.raises(exact.NotExact):
        exact.decode(text)


def test_an_integer_written_with_an_exponent_is_exact() -> None:
    assert exact.integer(exact.decode("1e+21")) == 10**21
    assert exact.integer(exact.decode("2.5e3")) == 2_500


@pytest.mark.parametrize("text", ["1.5", "1e400", "true", '"7"', "null", "[]", "1e-400"])
def test_what_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(exact.NotExact):
        exact.integer(exact.decode(text))


@pytest.mark.parametrize("text", ["0", "-1", "true", '"7"', "null", "1e100", "1e-100", "1." + "1" * 80])
def test_what_is_no_positive_number_is_refused(text: str) -> None:
    with pytest.raises(exact.NotExact):
        exact.positive(exact.decode(text))


def test_instants_become_utc_and_nanoseconds_are_cut() -> None:
    assert exact.instant("2026-11-22T10:15:42.318204999Z") == datetime(2026, 11, 22, 10, 15, 42, 318_204, tzinfo=UTC)
    assert exact.instant("2026-11-22T12:15:42+02:00") == datetime(2026, 11, 22, 10, 15, 42, tzinfo=UTC)


@pytest.mark.parametrize("value", ["2026-11-22T10:15:42", "yesterday", 7, None, "0001-01-01T00:00:00+23:00", "2" * 99])
def test_what_is_no_instant_is_refused(value: object) -> None:
    with pytest.raises(exact.NotExact):
        exact.instant(value)


def test_seconds_since_1970_may_have_a_fraction() -> None:
    whole = exact.epoch_seconds(1_795_342_498)
    assert exact.epoch_seconds(exact.decode("1795342498.25")) == whole
    with pytest.raises(exact.NotExact):
        exact.epoch_seconds(10**20)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_input_is_a_document_or_the_one_error(data: bytes | str) -> None:
    with contextlib.suppress(exact.NotExact):
        exact.decode(data)


MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("unit", ["[],", "{},", "[1],", "12,", "1.5,", '"ab",', '[{"":1}],'])
@pytest.mark.parametrize("size", [exact.DENSE_BYTES_MAX + 100, MEBIBYTE - 100, 4 * MEBIBYTE])
def test_values_that_would_fill_the_memory_are_refused_before_they_are_made(unit: str, size: int) -> None:
    with pytest.raises(exact.NotExact, match="too many values"):
        exact.decode("[" + unit * (size // len(unit)) + "1]")


@pytest.mark.parametrize("memo", ["[" * 9_000, '{,\\":' * 3_000, '\\"[],[],' * 2_000, "\\\\", "7" * 9_000])
def test_what_a_stranger_writes_into_a_text_hides_nothing(memo: str) -> None:
    entry = '{"memo":"' + memo + '","amounts":["150000"]}'
    document = exact.decode("[" + ",".join([entry] * 10) + ',"' + "x" * exact.DENSE_BYTES_MAX + '"]')
    assert [entry["amounts"] for entry in document[:10]] == [["150000"]] * 10


def test_large_answers_of_the_venue_are_read() -> None:
    names = ("BASE", "CONTRACT_LOADING_BYTES", "READ_CACHED_TRIE_NODE", "STORAGE_READ_KEY_BYTE", "WASM_INSTRUCTION")
    costs = [f'{{"cost":"{name}","cost_category":"WASM_HOST_COST","gas_used":"35468931522"}}' for name in names]
    receipt = f'{{"id":"{"h" * 44}","outcome":{{"logs":[],"metadata":{{"gas_profile":[{",".join(costs * 3)}]}}}}}}'
    deposit = (
        '{"tx_hash":"","chain":"btc:mainnet","defuse_asset_identifier":"btc:mainnet:native","decimals":8,"amount":150000,'
        '"near_token_id":"btc.omft.near","account_id":"desk.near","address":"bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",'
        '"status":"PENDING","created_at":"2026-11-22T10:00:00.000Z"}'
    )
    for entry in (receipt, deposit):
        count = 2 * exact.DENSE_BYTES_MAX // len(entry)
        assert len(exact.decode("[" + ",".join([entry] * count) + "]")) == count


def test_a_text_that_cannot_be_stored_is_refused() -> None:
    for text in ('"\\ud800"', b'"\xed\xa0\x80"', '"\ud800"'):
        with pytest.raises(exact.NotExact):
            exact.decode(text)
    assert exact.decode('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


def test_more_decimals_than_any_message_has_are_refused() -> None:
    with pytest.raises(exact.NotExact, match="decimal numbers"):
        exact.decode("[" + "1.5," * exact.DECIMALS_MAX + "1.5]")


def test_an_absurd_integer_is_refused() -> None:
    with pytest.raises(exact.NotExact):
        exact.integer(10**100)
