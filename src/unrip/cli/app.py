"""All commands on one screen. A command loads its own module only, so that a brake waits for no other's drivers."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from unrip import __version__
from unrip.cli.exits import one_line_errors
from unrip.cli.terminal import take_any_encoding, write

#: In the order of the screen: a command or group of commands, and its module and name in this package.
COMMANDS = {
    "up": "up.up",
    "demo": "up.demo",
    "down": "up.down",
    "run": "run.run",
    "prepare": "prepare.prepare",
    "status": "status.status",
    "arm": "controls.arm",
    "disarm": "controls.disarm",
    "halt": "halt.halt",
    "pause": "controls.pause",
    "resume": "controls.resume",
    "limits": "controls.limits",
    "threshold": "controls.threshold",
    "accept-balance": "controls.accept_balance",
    "accept-disagreement": "controls.accept_disagreement",
    "resolve": "resolve.resolve",
    "undo-reading": "undo_reading.undo_reading",
    "explain": "explain.explain",
    "tail": "tail.tail",
    "evidence": "evidence.evidence",
    "world": "world.world",
    "config": "config.app",
    "near": "near.app",
}
#: The world reads its arguments itself.
_CONTEXT_SETTINGS: dict[str, dict[str, Any]] = {
    "world": {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
}
#: Help and errors repeat what was typed, and texts of ours hold brackets: none of it is markup.
_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


class Commands(UserDict[str, Any]):
    """The commands by name; each is loaded when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if isinstance(self.data[name], str):
            self.data[name] = _loaded(name, self.data[name])
        return self.data[name]


class Screen(TyperGroup):
    """The group of all commands, which loads the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands(COMMANDS)


def _loaded(name: str, place: str) -> Any:
    module, _, attribute = place.partition(".")
    found = getattr(import_module(f"unrip.cli.{module}"), attribute)
    holder = typer.Typer(**_PLAIN)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name, context_settings=_CONTEXT_SETTINGS.get(name))(found)
    return get_group(holder).commands[name]


app = typer.Typer(
    name="unrip",
    cls=Screen,
    help=(
        "A market maker for NEAR Intents. Disarmed until you arm it; every quote can be explained.\n\n"
        "Exit codes: 0 yes or done, 1 no (refused, not ready, not found), 2 wrong arguments or settings, "
        "3 something could not be reached."
    ),
    no_args_is_help=True,
    add_completion=True,
    **_PLAIN,
)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Show the version."),  # noqa: FBT001, FBT003 - Typer's form
) -> None:
    if version:
        write(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    take_any_encoding()
    with one_line_errors():
        app()
