"""`unrip config`: the settings that the services would get."""

from __future__ import annotations

from typing import Any

import tomli_w
import typer

from unrip.cli.client import settings_of
from unrip.cli.options import ConfigOption, JsonOption
from unrip.cli.terminal import write, write_json
from unrip.frame.settings import Settings

app = typer.Typer(help="The settings in force.", no_args_is_help=True)


@app.command("show")
def show(config: ConfigOption = None, json_output: JsonOption = False) -> None:  # noqa: FBT002 - Typer's form
    """Print the effective settings, secrets masked."""
    printable = masked(settings_of(config))
    if json_output:
        write_json(printable)
    else:
        write(*to_toml(printable).splitlines())


@app.command("check")
def check(config: ConfigOption = None) -> None:
    """Exit 0 when the settings can be used, 2 with one line when not."""
    settings = settings_of(config)
    if settings.postgres.url is not None or settings.postgres.url_file is not None:
        settings.postgres_url()
    write("the settings can be used")


def masked(settings: Settings) -> dict[str, Any]:
    """Everything but secrets: only the database URL may hold one, files are merely named."""
    values: dict[str, Any] = settings.model_dump(mode="json")
    if values["postgres"]["url"] is not None:
        values["postgres"]["url"] = "***"
    return values


def to_toml(values: dict[str, Any]) -> str:
    """TOML has no null: what is unset is left out."""
    return tomli_w.dumps(_without_none(values))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
