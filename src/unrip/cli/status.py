"""`unrip status`: trade-ready on one line, every service, and the class of every frame."""

from __future__ import annotations

import asyncio
from typing import Any

import typer

from unrip.bus.desk_bus import DeskBus
from unrip.bus.ports import BusError
from unrip.cli.client import ControlClient, settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption, JsonOption
from unrip.cli.terminal import columns, write, write_json
from unrip.frame.desk_bus import desk_bus
from unrip.messages.topics import DAY_MS, FOREVER, TOPICS
from unrip.services.registry import SERVICES
from unrip.store.locks import STANDBY

#: The classes of frames: every frame that came in is in exactly one of these.
FRAME_CLASSES = (
    "quotes_published",
    "quotes_filtered",
    "status_notices",
    "replies",
    "dead_letters",
    "dropped_broker_away",
)


def status(config: ConfigOption = None, json_output: JsonOption = False) -> None:  # noqa: FBT002 - Typer's form
    """Exit 0 when at least one direction is trade-ready, 1 when none is, 3 when the strategy does not answer."""
    settings = settings_of(config)
    summary = _summary(_states(ControlClient(settings)))
    summary["retention_ms"] = asyncio.run(_retention_ms(desk_bus(settings)))
    if json_output:
        write_json(summary)
    else:
        _print(summary)
    if "trade_ready" not in summary:
        raise typer.Exit(Exit.UNREACHABLE)
    raise typer.Exit(Exit.OK if any(each["ready"] for each in summary["trade_ready"].values()) else Exit.NO)


def _states(client: ControlClient) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for service in SERVICES:
        try:
            states[service] = client.state(service)
        except CommandFailed as error:
            states[service] = {"unreachable": str(error)}
    return states


async def _retention_ms(bus: DeskBus) -> dict[str, int] | None:
    """How long the broker keeps each topic; None while it does not answer."""
    try:
        return await bus.retention_ms(TOPICS)
    except BusError:
        return None


def _summary(states: dict[str, dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"services": {name: _of_service(state) for name, state in states.items()}}
    if "trade_ready" in (strategy := states["strategy-engine"]):
        summary["trade_ready"] = strategy["trade_ready"]
    if (frames := states["near-intents-ingest"].get("frames")) is not None:
        classes = {name: frames[name] for name in FRAME_CLASSES}
        summary["frames"] = {"received": frames["frames_received"], **classes, "sum": sum(classes.values())}
    return summary


def _of_service(state: dict[str, Any]) -> dict[str, Any]:
    if "unreachable" in state:
        return {"reachable": False, "why": state["unreachable"]}
    return {
        "reachable": True,
        "active": state["active"],
        "ready": not state["not_ready"],
        "not_ready": state["not_ready"],
        "why": state.get("why", {}),
        "armed": state.get("armed"),
        "paused": state.get("paused"),
    }


def trade_ready_line(trade_ready: dict[str, dict[str, Any]] | None) -> str:
    """The one line: yes or every reason, per direction."""
    if trade_ready is None:
        return "trade-ready: unknown, strategy-engine does not answer"
    parts = []
    for direction, answer in trade_ready.items():
        if answer["ready"]:
            parts.append(f"{direction} yes (spends {_most(answer)} {answer['spends']})")
        else:
            parts.append(f"{direction} no ({', '.join(answer['reasons'])})")
    return "trade-ready: " + "; ".join(parts)


def _most(answer: dict[str, Any]) -> str:
    return f"up to {answer['largest_quotable']}" if answer["largest_quotable"] else "an unknown amount of"


def _reasons(service: dict[str, Any]) -> list[str]:
    """Why it is not ready; with the error text of whoever refused, where there is one."""
    why = service["why"]
    return [f"{reason} ({why[reason]})" if reason in why else reason for reason in service["not_ready"]]


def _print(summary: dict[str, Any]) -> None:
    write(trade_ready_line(summary.get("trade_ready")))
    rows = [("service", "state", "armed", "why not ready")]
    for name, service in summary["services"].items():
        if not service["reachable"]:
            rows.append((name, "unreachable", "", service["why"]))
            continue
        word = "ready" if service["ready"] else "standby" if STANDBY in service["not_ready"] else "not ready"
        rows.append((name, word, str(service["armed"] or ""), ", ".join(_reasons(service))))
    write(*columns(rows))
    if (frames := summary.get("frames")) is not None:
        counted = " + ".join(f"{name} {frames[name]}" for name in FRAME_CLASSES)
        sign = "=" if frames["sum"] == frames["received"] else "≠"
        write(f"frames received {frames['received']} {sign} {counted}")
    if (retention := summary["retention_ms"]) is None:
        write("retention: unknown, Kafka does not answer")
    for kept_ms in sorted(set((retention or {}).values())):
        span = "for ever" if kept_ms == FOREVER else f"{kept_ms / DAY_MS:g} days"
        names = ", ".join(sorted(name for name, kept in (retention or {}).items() if kept == kept_ms))
        write(f"kept {span}: {names}")
