"""`unrip evidence`: files that show others what happened."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from unrip.cli.client import ControlClient, settings_of
from unrip.cli.exits import CommandFailed, Exit
from unrip.cli.options import ConfigOption
from unrip.cli.terminal import write
from unrip.frame.desk_database import desk_database
from unrip.frame.settings import Settings
from unrip.store.queries import Queries

_PRICES = 20


def evidence(
    quote_id: Annotated[
        list[str] | None, typer.Argument(help="Quotes; default: the newest settled trade in each direction.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")] = Path("var/evidence"),
    config: ConfigOption = None,
) -> None:
    """Write prices, states, the joined rows of trades, commands with their edge, request and response, a refusal."""
    settings = settings_of(config)
    for file in asyncio.run(_collect(settings, out, quote_id or [])):
        write(str(file))


async def _collect(settings: Settings, out: Path, quote_ids: list[str]) -> list[Path]:
    if not quote_ids:
        async with Queries.connect(desk_database(settings)) as queries:
            quote_ids = list(await queries.newest_settled())
    if not quote_ids:
        raise CommandFailed("no trade has settled yet: name the quotes to collect evidence about", code=Exit.NO)
    return await collect(settings, out, quote_ids)


async def collect(settings: Settings, folder: Path, quote_ids: list[str]) -> list[Path]:
    """Write the evidence about these quotes as JSON; return the files.

    Raises:
        CommandFailed: PostgreSQL knows nothing of a quote, or a service does not show its state.
        StoreError: PostgreSQL cannot be used.

    """
    async with Queries.connect(desk_database(settings)) as queries:
        rows = await queries.trade_rows(quote_ids)
        refusal = await queries.newest_refusal()
        prices = await queries.newest_prices(settings.pair.pair().name, _PRICES)
    if unknown := set(quote_ids) - {row["quote_id"] for row in rows}:
        raise CommandFailed(f"PostgreSQL knows no quote {', '.join(sorted(unknown))}", code=Exit.NO)
    client = ControlClient(settings)
    documents: dict[str, Any] = {
        "price-events.json": prices,
        "market-reference-state.json": await asyncio.to_thread(client.state, "market-reference-ingest"),
        "inventory-state.json": await asyncio.to_thread(client.state, "inventory-sync"),
        "trades.json": rows,
        "commands.json": [_command_of(row) for row in rows],
        "venue.json": [_venue_of(row) for row in rows],
        "refused-decision.json": refusal,
    }
    return await asyncio.to_thread(_write, folder, documents)


def _write(folder: Path, documents: dict[str, Any]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            (folder / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"evidence cannot be written to {folder}: {error.strerror}", code=Exit.USAGE) from None
    return [folder / name for name in documents]


def _command_of(row: dict[str, Any]) -> dict[str, Any]:
    """The command with its recorded edge; both None for a quote that was refused."""
    command = row["command"]["payload"] if row["command"] is not None else None
    return {
        "quote_id": row["quote_id"],
        "gross_edge": command["gross_edge"] if command is not None else None,
        "command": command,
    }


def _venue_of(row: dict[str, Any]) -> dict[str, Any]:
    """The request as it was sent and the relay's response to it."""
    payloads = [result["payload"] for result in row["results"] or []]
    return {
        "quote_id": row["quote_id"],
        "request": next((each["request"] for each in payloads if each["request"] is not None), None),
        "response": next((each["response"] for each in payloads if each["response"] is not None), None),
    }
