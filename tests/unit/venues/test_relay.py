from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.vectors import cases, label
from unrip.domain.values import Amount
from unrip.venues.near_intents.access import relay_url
from unrip.venues.near_intents.relay import (
    QUOTE,
    QUOTE_STATUS,
    Malformed,
    QuoteRequested,
    RelayEvent,
    RelaySession,
    Reply,
    StatusNotice,
    Stream,
    Subscribed,
    SubscriptionRefused,
    Unknown,
)

BTC, EURE = "nep141:btc.omft.near", "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
FRAMES = {case["id"]: case for case in cases("relay_messages", "frames")}


def quote_frame(**changes: Any) -> str:
    data = {
        "quote_id": "q1",
        "defuse_asset_identifier_in": EURE,
        "defuse_asset_identifier_out": BTC,
        "exact_amount_in": "5",
        **changes,
    }
    present = {field: value for field, value in data.items() if value != "absent"}
    return json.dumps({"jsonrpc": "2.0", "method": "event", "params": {"subscription": "s", "data": present}})


@pytest.mark.parametrize("case", FRAMES.values(), ids=label)
def test_frames_of_the_vectors(case: dict[str, Any]) -> None:
    event, expected = RelaySession(()).receive(case["frame"]), case["expected"]
    match expected.pop("type"):
        case "quote":
            assert isinstance(event, QuoteRequested)
            amounts = {
                "exact_amount_in": None if event.amount_in is None else str(event.amount_in),
                "exact_amount_out": None if event.amount_out is None else str(event.amount_out),
            }
            said = {
                "quote_id": event.quote_id,
                "token_in": event.asset_in,
                "token_out": event.asset_out,
                **amounts,
                "min_deadline_ms": event.min_deadline_ms,
                "min_wait_ms": event.min_wait_ms,
                "max_wait_ms": event.max_wait_ms,
                "protocol_fee_included": event.router_leg,
                "partner_id": event.partner_id,
            }
            assert {name: said[name] for name in expected} == expected
        case "quote_status":
            assert isinstance(event, StatusNotice)
            assert {name: getattr(event, name) for name in expected} == expected
        case "result":
            assert event == Reply(id=expected["id"], request=None, ok=True, code=None, text=expected["result"])
        case "error":
            assert isinstance(event, Reply)
            assert (event.id, event.ok, event.text) == (expected["id"], False, expected["message"])
        case "ignore":
            # Not to be quoted: the decision refuses a demand with both amounts or none by name.
            assert isinstance(event, QuoteRequested)
            assert (event.amount_in is None) == (event.amount_out is None)


@pytest.mark.parametrize(
    ("trusted", "dry"),
    [
        ({"source": "1click", "quote_request_data": {"dry": True, "slippageTolerance": 100}}, True),
        ({"source": "1click", "quote_request_data": {"dry": False}}, False),
        ({"quote_request_data": {"dry": "true"}}, False),
        ({"quote_request_data": [True]}, False),
        ([], False),
        (None, False),
    ],
)
def test_a_dry_request_is_one_that_the_relay_calls_so(trusted: object, dry: bool) -> None:
    beside = json.loads(quote_frame())
    beside["params"]["trusted_metadata"] = trusted
    for frame in (quote_frame(trusted_metadata=trusted), json.dumps(beside)):
        event = RelaySession(()).receive(frame)
        assert isinstance(event, QuoteRequested)
        assert event.dry is dry


def test_it_subscribes_to_its_streams_and_learns_their_ids() -> None:
    session = RelaySession((Stream(name=QUOTE, tokens=(BTC, EURE)), Stream(name=QUOTE_STATUS)))
    quote, status = (json.loads(frame) for frame in session.opened())
    assert quote["params"] == ["quote", {"tokens_in": [BTC, EURE], "tokens_out": [BTC, EURE]}]
    assert (status["method"], status["params"]) == ("subscribe", ["quote_status"])
    assert session.receive(json.dumps({"id": quote["id"], "result": "sub-1"})) == Subscribed(
        stream="quote", subscription_id="sub-1"
    )
    assert session.subscriptions == {"quote": "sub-1"}


@pytest.mark.parametrize("outcome", [{"error": "no"}, {"error": {"code": -1, "message": "no"}}, {"result": True}])
def test_a_refused_subscription_is_named(outcome: dict[str, Any]) -> None:
    session = RelaySession((Stream(name=QUOTE),))
    (frame,) = session.opened()
    event = session.receive(json.dumps({"id": json.loads(frame)["id"], **outcome}))
    assert isinstance(event, SubscriptionRefused)
    assert event.stream == "quote"
    assert not session.subscriptions


@pytest.mark.parametrize("spelt", ["{id}", "{id}.0"])
def test_a_reply_with_neither_result_nor_error_confirms_nothing(spelt: str) -> None:
    """Found by fuzzing: it was read as a result that is missing, which ended the process."""
    session = RelaySession((Stream(name=QUOTE),))
    (frame,) = session.opened()
    request_id = spelt.format(id=json.loads(frame)["id"])
    assert isinstance(session.receive(f'{{"id":{request_id},"error":null}}'), Unknown)
    assert not session.subscriptions
    assert isinstance(session.receive(f'{{"id":{request_id},"result":"sub-1"}}'), Subscribed)


def test_a_new_connection_forgets_the_earlier_one() -> None:
    session = RelaySession((Stream(name=QUOTE),))
    (first,) = session.opened()
    session.receive(json.dumps({"id": json.loads(first)["id"], "result": "sub-1"}))
    answer = json.loads(session.quote_response("[{}]", name="c1"))
    (second,) = session.opened()
    assert not session.subscriptions
    assert json.loads(second)["id"] not in {json.loads(first)["id"], answer["id"]}
    assert session.receive(json.dumps({"id": answer["id"], "result": "OK"})) == Reply(
        id=answer["id"], request=None, ok=True, code=None, text="OK"
    )


def test_subscribing_again_gives_the_old_subscription_up() -> None:
    session = RelaySession((Stream(name=QUOTE, tokens=(BTC,)), Stream(name=QUOTE_STATUS)))
    for number, frame in enumerate(session.opened()):
        session.receive(json.dumps({"id": json.loads(frame)["id"], "result": f"sub-{number}"}))
    gone, again = (json.loads(frame) for frame in session.resubscribe((Stream(name=QUOTE),)))
    assert (gone["method"], gone["params"]) == ("unsubscribe", ["sub-0"])
    assert again["params"] == ["quote"]
    assert session.receive(json.dumps({"id": gone["id"], "result": True})) == Reply(
        id=gone["id"], request="unsubscribe", ok=True, code=None, text="True"
    )
    assert session.subscriptions == {"quote_status": "sub-1"}
    assert [json.loads(frame)["params"][0] for frame in session.opened()] == ["quote_status", "quote"]


def test_a_reply_to_a_question_that_is_still_to_come_answers_nothing() -> None:
    session = RelaySession(())
    early = session.receive(json.dumps({"id": 1, "result": "OK"}))
    assert isinstance(early, Reply)
    assert early.request is None
    asked = json.loads(session.quote_response("[{}]", name="c1"))["id"]
    assert asked == early.id
    no = session.receive(json.dumps({"id": asked, "error": {"code": -32000, "message": "quote not found"}}))
    assert isinstance(no, Reply)
    assert (no.request, no.ok) == ("c1", False)


def test_replies_are_matched_by_id_whatever_their_order() -> None:
    session = RelaySession(())
    first, second = (json.loads(session.quote_response("[{}]", name=name))["id"] for name in ("c1", "c2"))
    late = "quote not found or already finished"
    assert session.receive(json.dumps({"id": second, "error": {"code": -32000, "message": late}})) == Reply(
        id=second, request="c2", ok=False, code=-32000, text=late
    )
    assert session.receive(json.dumps({"id": first, "result": "OK"})) == Reply(
        id=first, request="c1", ok=True, code=None, text="OK"
    )
    again = session.receive(json.dumps({"id": first, "result": "OK"}))
    assert isinstance(again, Reply)
    assert again.request is None


def test_what_is_recorded_is_what_is_sent() -> None:
    params = '[{"quote_id":"q1",  "quote_output":{"amount_out":"5"}}]'
    assert RelaySession(()).quote_response(params, name="c1").endswith(f'"method":"quote_response","params":{params}}}')


@pytest.mark.parametrize(
    "changes",
    [
        {"quote_id": 7},
        {"quote_id": "x" * 300},
        {"defuse_asset_identifier_in": "absent"},
        {"defuse_asset_identifier_out": ""},
        {"exact_amount_in": 5},
        {"exact_amount_in": "5.0"},
        {"exact_amount_in": "-5"},
        {"exact_amount_in": "5e3"},
        {"exact_amount_in": str(2**127)},
        {"min_deadline_ms": "60000"},
        {"min_deadline_ms": 10**12},
        {"min_deadline_ms": 60_000.5},
        {"min_wait_ms": True},
        {"max_wait_ms": []},
        {"protocol_fee_included": 1},
        {"quote_id": "a\0b"},
        {"defuse_asset_identifier_in": "\0"},
    ],
)
def test_a_quote_of_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    assert isinstance(RelaySession(()).receive(quote_frame(**changes)), Malformed)


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**30, 10**400])
@pytest.mark.parametrize(
    "frame",
    [
        lambda number: {"id": number, "result": "OK"},
        lambda number: {"id": 1, "error": {"code": number, "message": "no"}},
        lambda number: {"method": "event", "params": {"seq": number, "data": {"quote_hash": "h", "tx_hash": "t"}}},
    ],
    ids=["id", "code", "seq"],
)
def test_a_number_of_more_than_64_bits_is_malformed_and_nothing_is_raised(frame: Any, number: int) -> None:
    assert isinstance(RelaySession(()).receive(json.dumps({"jsonrpc": "2.0", **frame(number)})), Malformed)


def test_null_counts_as_absent() -> None:
    event = RelaySession(()).receive(
        quote_frame(exact_amount_out=None, min_deadline_ms=None, min_wait_ms=None, protocol_fee_included=None)
    )
    assert isinstance(event, QuoteRequested)
    assert (event.amount_in, event.amount_out, event.min_deadline_ms) == (Amount(5), None, 60_000)


@pytest.mark.parametrize(
    "frame",
    [
        '{"method":"ping"}',
        '{"method":"event","params":{"data":{"x":1}}}',
        '{"id":1}',
        '{"method":"event","params":{}}',
        "{}",
    ],
)
def test_well_formed_frames_that_say_nothing_known_are_unknown(frame: str) -> None:
    assert isinstance(RelaySession(()).receive(frame), Unknown)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "[]",
        '"x"',
        "{",
        '{"method":[]}',
        '{"method":"event"}',
        '{"method":"event","params":[]}',
        '{"method":"event","params":{"data":7}}',
        '{"id":"1","result":"OK"}',
        '{"id":1,"error":{}}',
        '{"id":1,"error":7}',
        '{"id":1,"error":{"code":"x","message":"no"}}',
        '{"method":"event","params":' + '{"data":' * 5_000 + "1" + "}" * 5_001,
        '{"x":"' + "y" * 300_000 + '"}',
    ],
)
def test_other_frames_are_malformed_with_a_reason(frame: str) -> None:
    event = RelaySession(()).receive(frame)
    assert isinstance(event, Malformed)
    assert 0 < len(event.reason) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([BTC, "q1", "5"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "quote_id", "quote_hash", "metadata", "partner_id", "message"]), inner
        )
    ),
    max_leaves=12,
)
odd_frames = st.dictionaries(
    st.sampled_from(["id", "method", "params", "result", "error"]),
    json_values | st.sampled_from(["event", "subscribe"]),
).map(json.dumps)


def _seen(frame: str) -> RelayEvent:
    session = RelaySession((Stream(name=QUOTE),))
    session.opened()
    return session.receive(frame)


@given(odd_frames | st.text(max_size=300))
def test_any_frame_becomes_exactly_one_event(frame: str) -> None:
    assert isinstance(_seen(frame), RelayEvent)


@given(st.sampled_from(sorted(FRAMES)), st.data())
def test_any_truncated_or_altered_frame_becomes_exactly_one_event(case_id: str, data: st.DataObject) -> None:
    frame = FRAMES[case_id]["frame"]
    cut = data.draw(st.integers(0, len(frame)))
    assert isinstance(_seen(frame[:cut]), RelayEvent)
    assert isinstance(_seen(frame[:cut] + data.draw(st.characters()) + frame[cut + 1 :]), RelayEvent)


@given(st.sampled_from(["quote_id", "exact_amount_in", "min_deadline_ms", "protocol_fee_included"]), json_values)
def test_any_odd_value_in_a_quote_becomes_exactly_one_event(field: str, value: Any) -> None:
    assert isinstance(_seen(quote_frame(**{field: value})), RelayEvent)


def test_a_guaranteed_stream_names_its_acknowledgements() -> None:
    session = RelaySession((Stream(name=QUOTE_STATUS, guaranteed=True),))
    (frame,) = session.opened()
    assert json.loads(frame)["params"] == ["quote_status", None, True]
    session.receive(json.dumps({"id": json.loads(frame)["id"], "result": "sub-1"}))
    params: dict[str, Any] = {"data": {"quote_hash": "h"}, "seq": 3}
    for named, expected in ({"subscription": "sub-2"}, "sub-2"), ({}, "sub-1"), ({"subscription": 7}, "sub-1"):
        notice = session.receive(json.dumps({"method": "event", "params": params | named}))
        assert isinstance(notice, StatusNotice)
        request = json.loads(session.acknowledge(notice) or "")
        assert (request["method"], request["params"]) == ("acknowledge", [expected, 3])
        reply = session.receive(json.dumps({"id": request["id"], "result": "OK"}))
        assert isinstance(reply, Reply)
        assert reply.request == "acknowledge"


def test_what_is_not_repeated_needs_no_acknowledgement() -> None:
    notice = RelaySession(()).receive('{"method":"event","params":{"subscription":"s","data":{"quote_hash":"h"}}}')
    assert isinstance(notice, StatusNotice)
    assert RelaySession(()).acknowledge(notice) is None


@pytest.mark.parametrize(
    ("url", "instance_id", "whole"),
    [
        ("ws://127.0.0.1:1/ws", None, "ws://127.0.0.1:1/ws"),
        ("ws://127.0.0.1:1/ws", "desk-1", "ws://127.0.0.1:1/ws?instance_id=desk-1"),
        ("ws://127.0.0.1:1/ws?a=b", "desk-1", "ws://127.0.0.1:1/ws?a=b&instance_id=desk-1"),
    ],
)
def test_the_url_names_the_queue(url: str, instance_id: str | None, whole: str) -> None:
    assert relay_url(url, instance_id=instance_id) == whole
