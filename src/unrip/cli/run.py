"""`unrip run SERVICE`: one service in this process."""

from __future__ import annotations

from typing import Annotated

import typer
import uvloop

from unrip.cli.client import settings_of
from unrip.cli.options import ConfigOption
from unrip.services.registry import service_of, wire_of


def run(
    service: Annotated[str, typer.Argument(help="Such as strategy-engine; see `unrip status` for all.")],
    config: ConfigOption = None,
) -> None:
    """Run one service until SIGTERM or Ctrl-C, which drain it."""
    from unrip.frame.process import run_service  # noqa: PLC0415 - no other command waits for the web framework to load

    settings, described = settings_of(config), service_of(service)
    raise typer.Exit(uvloop.run(run_service(described, wire_of(described), settings)))
