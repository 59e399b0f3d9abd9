"""`unrip world`: the simulated venue, a program of its own that only shares the name."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import typer

from unrip.cli.exits import CommandFailed, Exit


def world(context: typer.Context) -> None:
    """Run the simulated venue alone; `unrip world --help` shows its own options."""
    if find_spec("unrip_world") is None or find_spec("aiohttp") is None:
        raise CommandFailed("the simulated world is not installed: pip install 'unrip[world]'", code=Exit.USAGE)
    os.execv(sys.executable, [sys.executable, "-m", "unrip_world", *context.args])  # noqa: S606 - our own module
