"""The event contract as others see it: published schemas, and the messages of the previous release."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from support.samples import one_of_each_topic
from unrip.messages.codec import decode_event, encode_event
from unrip.messages.dead_letters import EXCERPT_CHARACTERS_MAX, REASON_CHARACTERS_MAX, dead_letter
from unrip.messages.schemas import FOLDER, schema_file, schema_of, schema_text
from unrip.messages.topics import TOPICS

MESSAGES = Path(__file__).parents[2] / "fixtures" / "messages"
SAMPLES = one_of_each_topic()
#: What version 1 did not say at all.
NEW_IN_VERSION_2 = {"decision.trade_decision": ("traded",)}
topics = pytest.mark.parametrize("topic", sorted(TOPICS))


@topics
def test_the_schema_checked_in_is_what_the_types_say(topic: str) -> None:
    remedy = "run `python -m unrip.messages.schemas` and look at what changed"
    assert schema_file(TOPICS[topic]).read_text() == schema_text(TOPICS[topic]), remedy


def test_no_schema_is_left_of_a_topic_that_is_gone() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == {f"{topic}.json" for topic in TOPICS}


@topics
def test_what_we_publish_keeps_to_the_schema(topic: str) -> None:
    schema = schema_of(TOPICS[topic])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(encode_event(SAMPLES[topic])), schema)


def test_the_schema_refuses_an_amount_that_is_a_number() -> None:
    message = json.loads(encode_event(SAMPLES["cmd.execute_trade"]))
    message["payload"]["amount_in"] = 20000.0
    with pytest.raises(jsonschema.ValidationError, match="20000"):
        jsonschema.validate(message, schema_of(TOPICS["cmd.execute_trade"]))


@topics
def test_a_message_of_the_previous_release_is_still_understood(topic: str) -> None:
    """The files are never regenerated: a change that breaks them breaks every recording.

    What a later schema says in other words stands beside it, as it is understood.
    """
    newest = TOPICS[topic].schema_version
    for version in range(1, newest + 1):
        written = of_version(version, topic)
        understood = encode_event(decode_event(topic, written))
        words = json.loads(written if TOPICS[topic].translate is None else of_version(newest, topic))
        for name in NEW_IN_VERSION_2.get(topic, ()) if version == 1 else ():
            del words["payload"][name]
        _require_within(words, json.loads(understood))
        assert decode_event(topic, understood) == decode_event(topic, written)


def of_version(version: int, topic: str) -> bytes:
    return (MESSAGES / f"v{version}" / f"{topic}.json").read_bytes()


@topics
def test_fields_of_a_later_release_are_ignored(topic: str) -> None:
    for version in range(1, TOPICS[topic].schema_version + 1):
        written = json.loads(of_version(version, topic))
        later = json.dumps(_with_more(written)).encode()
        assert decode_event(topic, later) == decode_event(topic, json.dumps(written).encode())


def _require_within(then: Any, now: Any) -> None:
    """Everything that was said then is said now, in the same words; more may be said."""
    if isinstance(then, dict):
        for key, value in then.items():
            _require_within(value, now[key])
    elif isinstance(then, list):
        for one, other in zip(then, now, strict=True):
            _require_within(one, other)
    else:
        assert now == then


def _with_more(value: Any, *, name: str = "") -> Any:
    """A field more in every object whose fields are declared; the others are maps, where a key is data."""
    maps = {
        "stages", "details", "arguments", "before", "after", "numbers", "credited", "held", "deposits", "withdrawals",
        "reconciliation", "uncounted", "uncounted_in", "incoming", "diff",
    }  # fmt: skip
    if isinstance(value, list):
        return [_with_more(item) for item in value]
    if not isinstance(value, dict) or name in maps:
        return value
    return {key: _with_more(item, name=key) for key, item in value.items()} | {"of_a_later_release": [1]}


def test_a_dead_letter_is_bounded_and_storable() -> None:
    data = b"\x00\xff" + "\N{EURO SIGN}".encode() * 100_000
    letter = dead_letter(source="relay", data=data, reason="why\0 " * 1_000)
    assert letter.size_bytes == len(data)
    assert len(letter.excerpt) == EXCERPT_CHARACTERS_MAX
    assert len(letter.reason) == REASON_CHARACTERS_MAX
    assert "\0" not in letter.excerpt + letter.reason
    assert letter.excerpt.startswith("\ufffd\ufffd\N{EURO SIGN}")
