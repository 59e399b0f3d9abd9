"""Beats as other builds write them, in the words of this one.

Schema version 1 had the fields of every service in everybody's beat, and no account. A later build, or a service that
this build does not ship, may say what this one does not know: that is kept as it stood.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from unrip.domain.status import Details

Document = dict[str, Any]

_KINDS = {each.__struct_config__.tag for each in get_args(Details)}
_COMMON = (
    "service",
    "instance",
    "active",
    "started_at",
    "healthy",
    "ready",
    "not_ready",
    "paused",
    "generation",
    "database_up",
)


def translated_beat(payload: Any) -> Document | None:
    """The payload as this build would have written it; None where it should be of that form already."""
    if not isinstance(payload, dict):
        return None
    if "details" not in payload and "account" not in payload:
        return _of_version_1(payload)
    details = payload.get("details")
    if isinstance(details, dict) and isinstance(kind := details.get("kind"), str) and kind not in _KINDS:
        text = json.dumps(details, separators=(",", ":"), ensure_ascii=False)
        return payload | {"details": {"kind": "other", "name": kind, "text": text}}
    return None


def _of_version_1(payload: Document) -> Document:
    switches = _taken(payload, ("halted", "armed", "arm_expires_at"))
    details: Mapping[str, Document] = {
        "strategy-engine": {"kind": "strategy", "switches": switches},
        "trade-executor": {
            "kind": "executor",
            "switches": switches,
            **_taken(payload, ("recovering", "lag", "ledger")),
        },
        "history-writer": {"kind": "history", **_taken(payload, ("lag",))},
    }
    service = payload.get("service")
    found = details.get(service) if isinstance(service, str) else None
    return _taken(payload, _COMMON) | {"account": None, "details": found}


def _taken(payload: Document, fields: tuple[str, ...]) -> Document:
    return {name: payload[name] for name in fields if name in payload}
