"""Events on the wire: what is written is what is read, and what is no event says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.cases import ACCOUNT, NOW, a_decision, a_demand
from support.values import values_of
from unrip.domain.decision import Decision
from unrip.messages.codec import MESSAGE_BYTES_MAX, decode_event, encode_event, record_key
from unrip.messages.envelope import Envelope, InvalidMessage, Producer, decode, encode, encode_hook
from unrip.messages.topics import (
    CONTROL_ACTION,
    DAY_MS,
    EXECUTE_TRADE,
    FOREVER,
    SERVICE_STATUS,
    SWAP_DEMAND,
    TOPICS,
    TRADE_DECISION,
    Topic,
)


def an_event(topic: Topic, payload: Any, **changes: Any) -> Envelope[Any]:
    fields: dict[str, Any] = {
        "event_id": "event-1",
        "event_type": topic.name,
        "schema_version": topic.schema_version,
        "producer": Producer(service="test", instance="test-1", version="0"),
        "occurred_at": None,
        "observed_at": NOW,
        "published_at": NOW,
        "venue": "near_intents",
        "pair": "BTC/EURe",
        "correlation_id": "quote-1",
        "causation_id": None,
        "stages": {"received": NOW},
        "payload": payload,
    }
    return Envelope(**(fields | changes))


def document(topic: Topic = SWAP_DEMAND, payload: Any = None) -> dict[str, Any]:
    """The wire form of an event, to be spoilt."""
    found: dict[str, Any] = json.loads(encode_event(an_event(topic, payload or a_demand())))
    return found


@pytest.mark.parametrize("topic", sorted(TOPICS))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.data())
def test_any_event_of_any_topic_is_read_back_as_it_was_written(topic: str, data: st.DataObject) -> None:
    kind = TOPICS[topic].payload
    event = an_event(TOPICS[topic], data.draw(values_of(kind)))
    written = encode_event(event)
    assert decode_event(topic, written) == event
    assert encode_event(decode_event(topic, written)) == written


@pytest.mark.parametrize("topic", sorted(TOPICS))
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.data())
def test_fields_that_we_do_not_know_are_ignored(topic: str, data: st.DataObject) -> None:
    event = an_event(TOPICS[topic], data.draw(values_of(TOPICS[topic].payload)))
    later = json.loads(encode_event(event))
    later["tomorrow"] = {"deep": [1, {"deeper": None}]}
    later["payload"]["tomorrow"] = [[1.5, "x"]]
    later["producer"]["tomorrow"] = True
    assert decode_event(topic, json.dumps(later).encode()) == event


def spoilt(path: str, value: Any) -> bytes:
    """A demand with one field replaced."""
    found = document()
    *parents, last = path.split(".")
    place = found
    for name in parents:
        place = place[name]
    place[last] = value
    return json.dumps(found).encode()


DEEP = b'{"payload":' * 100_000

INVALID = {
    "nothing": (b"", "truncated"),
    "no JSON": (b"hello", "malformed"),
    "another kind of JSON": (b"[]", "object"),
    "cut off": (json.dumps(document()).encode()[:-20], "truncated"),
    "no UTF-8": (b'{"event_id":"\xff"}', "utf|character"),
    "a field is missing": (b'{"event_id":"1"}', "missing required field"),
    "a text where a number belongs": (spoilt("payload.min_deadline_ms", "60000"), r"payload\.min_deadline_ms"),
    "a number where an amount belongs": (spoilt("payload.amount_in", 20_000), "not an integer amount"),
    "a float where an amount belongs": (spoilt("payload.amount_in", 20000.5), "not an integer amount"),
    "an amount with an exponent": (spoilt("payload.amount_in", "2e4"), "not an integer amount"),
    "a negative amount": (spoilt("payload.amount_in", "-1"), "not an integer amount"),
    "an unknown direction": (spoilt("payload.direction", "sideways"), "sideways"),
    "a day that does not exist": (spoilt("observed_at", "2026-02-30T00:00:00Z"), "observed_at"),
    "an instant without a zone": (spoilt("observed_at", "2026-02-28T00:00:00"), "no time zone"),
    "another event type": (spoilt("event_type", "cmd.execute_trade"), "event_type is 'cmd.execute_trade'"),
    "a newer schema": (spoilt("schema_version", 2), "newer than 1; upgrade this service first"),
    "a nesting without end": (DEEP, "recursion|truncated|depth"),
    "an unknown field nested without end": (b'{"tomorrow":' + b"[" * 300_000, "recursion|truncated|depth"),
    "more than any record has": (b'{"event_id":"' + b"x" * MESSAGE_BYTES_MAX + b'"}', "900015 bytes are more than"),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_is_no_event_is_an_invalid_message_with_a_reason(name: str) -> None:
    data, reason = INVALID[name]
    if len(data) > MESSAGE_BYTES_MAX and "bytes" not in reason:
        data = data[:MESSAGE_BYTES_MAX]
    with pytest.raises(InvalidMessage, match=f"(?i){reason}"):
        decode_event(SWAP_DEMAND.name, data)


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "1E+999999999", "one", ""])
def test_a_rate_that_nobody_can_use_is_invalid(rate: str) -> None:
    """Such a number would otherwise stop every service that compares with it, at each of its starts."""
    command = a_decision().command
    found = document(EXECUTE_TRADE, command)
    found["payload"]["fair_rate"] = rate
    with pytest.raises(InvalidMessage, match=r"usable|Invalid decimal"):
        decode_event(EXECUTE_TRADE.name, json.dumps(found).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generation", 2**63),
        ("generation", -(2**63) - 1),
        ("inventory_height", 2**63),
        ("inventory_height", 10**30),
        ("command_id", "x" * 257),
    ],
)
def test_a_command_that_the_ledger_cannot_keep_is_invalid(field: str, value: object) -> None:
    """PostgreSQL would refuse it, and the executor would meet it again at each of its starts."""
    found = document(EXECUTE_TRADE, a_decision().command)
    found["payload"][field] = value
    with pytest.raises(InvalidMessage, match=rf"payload\.{field}"):
        decode_event(EXECUTE_TRADE.name, json.dumps(found).encode())


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for topic in TOPICS:
        with pytest.raises(InvalidMessage):
            decode_event(topic, data)


def test_numbers_keep_every_digit() -> None:
    event = an_event(TRADE_DECISION, a_decision())
    text = encode_event(event).decode()
    assert '"required":"11739842198324324688"' in text
    assert json.loads(text)["payload"]["fair_rate"] == "60000"


def test_a_value_by_itself_is_read_back_or_refused() -> None:
    decision = a_decision()
    assert decode(encode(decision), Decision) == decision
    with pytest.raises(InvalidMessage, match="not a valid Decision"):
        decode(b"{}", Decision)


def test_a_type_without_a_wire_form_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="complex"):
        encode_hook(1j)
    with pytest.raises(NotImplementedError):
        encode({"x": object()})


def test_the_table_of_topics_is_the_contract() -> None:
    assert set(TOPICS) == {
        "raw.near_intents.quote",
        "raw.near_intents.quote_status",
        "norm.swap_demand",
        "ref.market_price",
        "state.intent_inventory",
        "state.treasury",
        "ops.liquidity_action",
        "decision.trade_decision",
        "cmd.execute_trade",
        "exec.trade_result",
        "ops.control_action",
        "ops.service_status",
        "dlq.invalid_message",
    }
    week = {"raw.near_intents.quote", "raw.near_intents.quote_status", "ref.market_price", "ops.service_status"}
    for name, topic in TOPICS.items():
        assert topic.name == name
        forever = topic is CONTROL_ACTION
        assert topic.retention_ms == (FOREVER if forever else 7 * DAY_MS if name in week else 30 * DAY_MS)
        assert topic.compacted == (topic is SERVICE_STATUS)


@pytest.mark.parametrize("topic", sorted(TOPICS))
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.data())
def test_every_payload_has_a_key(topic: str, data: st.DataObject) -> None:
    assert isinstance(record_key(TOPICS[topic], data.draw(values_of(TOPICS[topic].payload))), str)


def test_keys_follow_the_contract() -> None:
    command = a_decision().command
    assert command is not None
    assert record_key(SWAP_DEMAND, a_demand()) == record_key(TRADE_DECISION, a_decision()) == "BTC/EURe"
    assert record_key(EXECUTE_TRADE, command) == ACCOUNT
