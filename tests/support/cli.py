"""The command line as an operator runs it."""

import os
import subprocess
import sys
from pathlib import Path

from support.desk import Desk

SOURCE = Path(__file__).resolve().parents[2] / "src"


def run_unrip(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `unrip` to its end; bounded."""
    return subprocess.run(
        [sys.executable, "-m", "unrip", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "COLUMNS": "200", **environment},
    )


def unrip(desk: Desk, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `unrip` against a running desk."""
    return run_unrip(*arguments, UNRIP_CONFIG=str(desk.local.settings_file))
