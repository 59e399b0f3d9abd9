"""JSON Schemas of the events, one per topic, generated from the types.

The files beside this module are checked in so that a change of the contract shows in a review; a test compares them
with what the types say. `python -m unrip.messages.schemas` writes them anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from unrip.domain.values import Amount, Delta
from unrip.messages.envelope import Envelope
from unrip.messages.topics import Topic

FOLDER = Path(__file__).parent


def schema_of(topic: Topic) -> dict[str, Any]:
    """The JSON Schema of the records of a topic."""
    schema = msgspec.json.schema(Envelope[topic.payload], schema_hook=custom_schema)  # type: ignore[name-defined]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": topic.name,
        "description": f"Records of {topic.name}, schema version {topic.schema_version}.",
    } | schema


def schema_file(topic: Topic) -> Path:
    """Where the checked-in schema of a topic lies."""
    return FOLDER / f"{topic.name}.json"


def schema_text(topic: Topic) -> str:
    """The content of that file."""
    return msgspec.json.format(msgspec.json.encode(schema_of(topic)), indent=2).decode() + "\n"


def custom_schema(kind: type) -> dict[str, Any]:
    """The schema of what JSON has no type for."""
    patterns = {Amount: "^[0-9]+$", Delta: "^-?[0-9]+$"}
    if kind in patterns:
        return {"type": "string", "pattern": patterns[kind]}
    raise NotImplementedError(f"no schema for {kind.__name__}")
