"""SQL lives in files, each statement under a name: `-- name --` and the statement below it."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, str]:
    """All statements of `sql/FILE.sql` by name."""
    text = files("unrip.store").joinpath("sql", f"{file}.sql").read_text()
    parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
