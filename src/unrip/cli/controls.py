"""Arming and the brakes. Each is one call to a control surface per service; nothing happens by itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from unrip.cli.desk import ControlClient, settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, ReasonOption
from unrip.domain.pairs import Direction

_console = Console(highlight=False)
#: The executor first: what is armed there does nothing until the strategy commands, and the brake on the strategy
#: must not wait for the executor.
ARMING_ORDER = ("trade-executor", "strategy-engine")
BRAKING_ORDER = ("strategy-engine", "trade-executor")

DirectionOption = Annotated[
    list[Direction] | None, typer.Option("--direction", help="Repeatable; default: both directions.")
]
SurviveOption = Annotated[
    bool, typer.Option("--survive-restart", help="Arm again after a restart of the same build and configuration.")
]
ServiceArgument = Annotated[str, typer.Argument(help="The service.")]


def arm(
    reason: ReasonOption,
    direction: DirectionOption = None,
    lease_minutes: Annotated[int, typer.Option(min=1, max=1440, help="The lease ends by itself after this.")] = 480,
    survive_restart: SurviveOption = False,  # noqa: FBT002 - Typer's form
    config: ConfigOption = None,
) -> None:
    """Allow trades: executor, then strategy. Recorded before it takes effect."""
    directions = [str(each) for each in direction or list(Direction)]
    client = ControlClient(settings_of(config))
    for service in ARMING_ORDER:
        _tell(
            client,
            service,
            "arm",
            reason=reason,
            directions=directions,
            lease_minutes=lease_minutes,
            survive_restart=survive_restart,
        )


def disarm(reason: ReasonOption, config: ConfigOption = None) -> None:
    """Allow no new trade. Takes effect first, is recorded after."""
    _brake("disarm", reason, ControlClient(settings_of(config)))


def halt(reason: ReasonOption, config: ConfigOption = None) -> None:
    """Stop all new offers at once; only an explicit arm ends it. Works without Kafka and PostgreSQL."""
    _brake("halt", reason, ControlClient(settings_of(config)))


def pause(service: ServiceArgument, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Pause one service."""
    _tell(ControlClient(settings_of(config)), service, "pause", reason=reason)


def resume(service: ServiceArgument, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Resume a paused service."""
    _tell(ControlClient(settings_of(config)), service, "resume", reason=reason)


def _brake(action: str, reason: str, client: ControlClient) -> None:
    """Brake both, also when the first does not answer; then say what failed."""
    failures = []
    for service in BRAKING_ORDER:
        try:
            _tell(client, service, action, reason=reason)
        except CommandFailed as error:
            failures.append(str(error))
    if failures:
        raise CommandFailed("; ".join(failures))


def _tell(client: ControlClient, service: str, action: str, *, reason: str, **arguments: Any) -> None:
    outcome = client.act(service, action, reason=reason, **arguments)
    if not outcome["applied"]:
        raise CommandFailed(f"{service} refused {action}: {outcome['refusal']}", code=Exit.NO)
    before, after = outcome["before"], outcome["after"]
    changes = ", ".join(
        f"{key} {before.get(key)} → {value}" for key, value in after.items() if value != before.get(key)
    )
    _console.print(f"{service}: {action} done ({outcome['recorded']}); {changes or 'nothing changed'}")
