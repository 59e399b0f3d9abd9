"""The conformance vectors of the venue that concern the client's side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "vectors"


def cases(name: str, part: str = "cases") -> list[dict[str, Any]]:
    """The cases of a vector file."""
    document: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text())
    found: list[dict[str, Any]] = document[part]
    return found


def label(case: dict[str, Any]) -> str:
    """A case's name in test reports."""
    return str(case.get("id", case.get("public_key")))
