"""What `GET /state` of a service answers: what the host knows of it, beside the state that its definition names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from unrip.domain.values import Value
from unrip.frame.dependencies import DependencyState
from unrip.messages.schemas import custom_schema

#: Where an OpenAPI document keeps its types.
_REFERENCE = "#/components/schemas/{name}"


class SwitchState(Value):
    """The switches of a service that can be armed, as its control records show them, too."""

    #: The directions with commas between them, or `none`.
    armed: str
    #: Empty while it is not armed.
    arm_expires_at: str
    survives_restart: str
    paused: str
    halted: str


class HostState(Value):
    """What every service shows."""

    service: str
    instance: str
    version: str
    #: Whose desk it belongs to; null where none is configured.
    account: str | None
    started_at: datetime
    now: datetime
    active: bool
    health_failures: tuple[str, ...]
    not_ready: tuple[str, ...]
    #: Null before the first answer, and of PostgreSQL where it is not used.
    kafka_up: bool | None
    postgres_up: bool | None
    #: Reasons in the words of who refused.
    why: dict[str, str]
    #: When each was last of use.
    dependencies: dict[str, DependencyState]
    configuration_hash: str


def schema_of_state(own: type[Value]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON Schema of the answer, and of the types that it refers to by their names.

    Every field is always there, and no other is.
    """
    kinds = (HostState, own)
    references, schemas = msgspec.json.schema_components(kinds, schema_hook=custom_schema, ref_template=_REFERENCE)
    whole: dict[str, Any] = {"title": "State", "type": "object", "properties": {}}
    for reference in references:
        whole["properties"] |= schemas.pop(reference["$ref"].rpartition("/")[2])["properties"]
    return _closed(whole), {name: _closed(schema) for name, schema in schemas.items()}


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """We write every field of a value, also one that has its default."""
    if "properties" not in schema:
        return schema
    return schema | {"required": list(schema["properties"]), "additionalProperties": False}
