"""All commands on one screen."""

from __future__ import annotations

import typer

from unrip import __version__
from unrip.cli import (
    config,
    controls,
    evidence,
    explain,
    halt,
    near,
    prepare,
    resolve,
    run,
    status,
    tail,
    undo_reading,
    up,
    world,
)
from unrip.cli.exits import one_line_errors
from unrip.cli.terminal import say, take_any_encoding

app = typer.Typer(
    name="unrip",
    help=(
        "A market maker for NEAR Intents. Disarmed until you arm it; every quote can be explained.\n\n"
        "Exit codes: 0 yes or done, 1 no (refused, not ready, not found), 2 wrong arguments or settings, "
        "3 something could not be reached."
    ),
    no_args_is_help=True,
    # Help and errors repeat what was typed, and texts of ours hold brackets: none of it is markup.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)

app.command("up")(up.up)
app.command("demo")(up.demo)
app.command("down")(up.down)
app.command("run")(run.run)
app.command("prepare")(prepare.prepare)
app.command("status")(status.status)
app.command("arm")(controls.arm)
app.command("disarm")(controls.disarm)
app.command("halt")(halt.halt)
app.command("pause")(controls.pause)
app.command("resume")(controls.resume)
app.command("limits")(controls.limits)
app.command("threshold")(controls.threshold)
app.command("accept-balance")(controls.accept_balance)
app.command("accept-disagreement")(controls.accept_disagreement)
app.command("resolve")(resolve.resolve)
app.command("undo-reading")(undo_reading.undo_reading)
app.command("explain")(explain.explain)
app.command("tail")(tail.tail)
app.command("evidence")(evidence.evidence)
app.command(
    "world", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)(world.world)
app.add_typer(config.app, name="config")
app.add_typer(near.app, name="near")


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Show the version."),  # noqa: FBT001, FBT003 - Typer's form
) -> None:
    if version:
        say(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    take_any_encoding()
    with one_line_errors():
        app()
