"""Arming and the brakes. Each is one call to a control surface per service; nothing happens by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import typer

from unrip.cli.client import ControlClient, settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, ReasonOption
from unrip.cli.terminal import write
from unrip.domain.arming import LEASE_MINUTES_MAX
from unrip.domain.pairs import Direction
from unrip.services.registry import ARMED, SERVICES
from unrip.services.strategy_engine.limits import LIMITS

DirectionOption = Annotated[
    list[Direction] | None, typer.Option("--direction", help="Repeatable; default: both directions.")
]
LeaseOption = Annotated[
    int, typer.Option(min=1, max=LEASE_MINUTES_MAX, help="The lease ends by itself after this many minutes.")
]
SurviveOption = Annotated[
    bool, typer.Option("--survive-restart", help="Arm again after a restart of the same build and configuration.")
]
ServiceArgument = Annotated[str, typer.Argument(help="The service.")]


def arm(
    reason: ReasonOption,
    direction: DirectionOption = None,
    lease_minutes: LeaseOption = 480,
    survive_restart: SurviveOption = False,  # noqa: FBT002 - Typer's form
    config: ConfigOption = None,
) -> None:
    """Allow trades: executor, then strategy. It is recorded before it takes effect."""
    directions = [str(each) for each in direction or list(Direction)]
    client = ControlClient(settings_of(config))
    for service in ARMED:
        line = act_on(
            client,
            service,
            "arm",
            reason=reason,
            directions=directions,
            lease_minutes=lease_minutes,
            survive_restart=survive_restart,
        )
        write(line)


def disarm(reason: ReasonOption, config: ConfigOption = None) -> None:
    """Allow no new trade. It takes effect first and is recorded after."""
    brake(ControlClient(settings_of(config)), "disarm", reason=reason)


def pause(service: ServiceArgument, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Pause one service."""
    write(act_on(ControlClient(settings_of(config)), service, "pause", reason=reason))


def resume(service: ServiceArgument, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Resume a paused service."""
    write(act_on(ControlClient(settings_of(config)), service, "resume", reason=reason))


def accept_balance(
    asset: Annotated[str, typer.Argument(help="Its symbol, such as BTC; or the id of another token of its coin.")],
    unexplained: Annotated[str, typer.Option(help="What is accepted, in smallest units, as /state shows it.")],
    reason: ReasonOption,
    config: ConfigOption = None,
) -> None:
    """Accept an unexplained balance as explained: a gift becomes spendable, a fall blocks no more."""
    arguments = {"asset": asset, "unexplained": unexplained}
    client = ControlClient(settings_of(config))
    write(act_on(client, "inventory-sync", "accept-balance", reason=reason, **arguments))


def accept_disagreement(
    up_to: Annotated[str, typer.Argument(help="With its unit: '5.5 %' or '550 bps'.")],
    minutes: Annotated[int, typer.Option(min=0, max=60, help="It ends by itself after these; 0 takes it back.")],
    reason: ReasonOption,
    config: ConfigOption = None,
) -> None:
    """Let CoinGecko contradict Kraken by this much for a while: you have looked, and Kraken is right."""
    client = ControlClient(settings_of(config))
    arguments = {"up_to": up_to, "minutes": minutes}
    write(act_on(client, "market-reference-ingest", "accept-disagreement", reason=reason, **arguments))


def threshold(
    edge: Annotated[str, typer.Argument(help="With its unit: '2.5 %' or '250 bps'.")],
    reason: ReasonOption,
    config: ConfigOption = None,
) -> None:
    """Set the gross edge below which nothing is offered."""
    client = ControlClient(settings_of(config))
    write(act_on(client, "strategy-engine", "threshold", reason=reason, edge_threshold=edge))


def limits(
    changes: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Repeatable.")] = None,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why; required with a change, recorded.")] = "",
    config: ConfigOption = None,
) -> None:
    """Show the limits in force, or change some; NAME=none takes a bound of a band away.

    What only tightens acts first, anything else once it is recorded and kept for the next start.
    """
    client = ControlClient(settings_of(config))
    if not changes:
        state = client.state("strategy-engine")
        for name in LIMITS:
            write(f"{name:24} {state[name]}")
        return
    if not reason or not all("=" in change for change in changes):
        raise CommandFailed("write unrip limits NAME=VALUE -r REASON", code=Exit.USAGE)
    arguments = dict(change.split("=", 1) for change in changes)
    write(act_on(client, "strategy-engine", "limits", reason=reason, **arguments))


def brake(client: ControlClient, action: str, *, reason: str, aside: bool = False, **arguments: Any) -> None:
    """Brake whatever can be armed; print what was done and what failed, on stderr where `aside`.

    Raises:
        CommandFailed: one of them does not answer or refuses.

    """
    if failures := act_on_armed(client, action, reason=reason, aside=aside, **arguments):
        raise CommandFailed("; ".join(failures.values()))


def act_on_armed(
    client: ControlClient, action: str, *, reason: str, aside: bool = False, **arguments: Any
) -> dict[str, str]:
    """Act on all that can be armed at once, since none may wait for the other's record; return what failed, by service.

    Each gets only those of the arguments that its action takes.
    """
    taken = {service: _taken(service, action, arguments) for service in reversed(ARMED)}
    with ThreadPoolExecutor() as threads:
        acted = [
            threads.submit(act_on, client, service, action, reason=reason, **own) for service, own in taken.items()
        ]
    failures = {}
    for service, each in zip(taken, acted, strict=True):
        error = each.exception()
        if error is None:
            write(each.result(), err=aside)
        elif isinstance(error, CommandFailed):
            failures[service] = str(error)
        else:
            raise error
    return failures


def _taken(service: str, action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    (body,) = [each.body for each in SERVICES[service].actions if each.name == action]
    return {name: value for name, value in arguments.items() if name in body.model_fields}


def act_on(client: ControlClient, service: str, action: str, *, reason: str, **arguments: Any) -> str:
    """Have a service act; return the line that reports it.

    Raises:
        CommandFailed: it does not answer or refuses.

    """
    outcome = client.act(service, action, reason=reason, **arguments)
    if not outcome["applied"]:
        raise CommandFailed(f"{service} refused {action}: {outcome['refusal']}", code=Exit.NO)
    before, after = outcome["before"], outcome["after"]
    changes = ", ".join(
        f"{key} {before.get(key)} → {value}" for key, value in after.items() if value != before.get(key)
    )
    kept = {None: "", True: ", kept", False: ", NOT KEPT YET: a restart before PostgreSQL has it forgets it"}
    return f"{service}: {action} done ({outcome['recorded']}{kept[outcome['kept']]}); {changes or 'nothing changed'}"
