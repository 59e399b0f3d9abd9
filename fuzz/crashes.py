"""What a crash leaves behind: its input in the corpus, where every later run meets it, and how to see it again."""

from __future__ import annotations

import hashlib
from pathlib import Path

PREFIX = "crash-"


def keep(data: bytes, folder: Path) -> Path:
    """Write the input into the corpus under the name that libFuzzer would give it."""
    path = folder / f"{PREFIX}{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"
    path.write_bytes(data)
    return path


def reproduce(name: str, path: Path) -> str:
    """The command that shows the crash again, from the repository's root."""
    return f"PYTHONPATH=src python -m fuzz {name} --input {path}"
