"""`unrip world`: the simulated venue, a separate program that only shares the name."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import typer

from unrip.cli.exits import CommandFailed, Exit


def world(context: typer.Context) -> None:
    """Run the simulated venue alone, or ask its contract by `verify`; `unrip world --help` shows its own options."""
    if any(find_spec(module) is None for module in ("unrip_world", "aiohttp", "coincurve")):
        raise CommandFailed("the simulated world is not installed: pip install 'unrip[world]'", code=Exit.USAGE)
    os.execv(sys.executable, [sys.executable, "-m", "unrip_world", *context.args])  # noqa: S606 - our own module
