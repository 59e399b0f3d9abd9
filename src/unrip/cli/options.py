"""Options that many commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file. Default: $UNRIP_CONFIG, else var/unrip.toml where it exists."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
HomeOption = Annotated[Path, typer.Option("--home", help="The desk's data folder.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; it is recorded.")]
