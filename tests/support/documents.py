"""What a service shows, held against its own OpenAPI document."""

from __future__ import annotations

from typing import Any

import jsonschema


def state_schema(document: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of `GET /state`, with the types that it refers to."""
    answer = document["paths"]["/state"]["get"]["responses"]["200"]
    return {**answer["content"]["application/json"]["schema"], "components": document["components"]}


def require_described(document: dict[str, Any], state: Any) -> None:
    """The state has every field that the document names, of its type, and no other, however deep."""
    validator = jsonschema.Draft202012Validator(state_schema(document))
    faults = [f"{fault.json_path}: {fault.message[:200]}" for fault in validator.iter_errors(state)]
    assert not faults, "; ".join(faults)
