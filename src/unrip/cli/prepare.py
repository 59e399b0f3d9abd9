"""`unrip prepare`: the schema and the topics, where `unrip up` does not make them."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from unrip.cli.client import settings_of
from unrip.cli.exits import Exit
from unrip.cli.options import ConfigOption
from unrip.cli.terminal import write
from unrip.frame.desk_bus import desk_bus
from unrip.frame.desk_database import desk_database
from unrip.frame.settings import Settings, SettingsError
from unrip.local.preparing import declare_first_account, prepare_database, prepare_topics

#: How long to wait: somebody sits at a terminal, and can ask again.
_WITHIN_S = 10.0

FirstStartOption = Annotated[
    bool,
    typer.Option("--first-start", help="Say that the account's ledger is new: no earlier one was lost or restored."),
]


def prepare(first_start: FirstStartOption = False, config: ConfigOption = None) -> None:  # noqa: FBT002 - Typer's form
    """Apply migrations and create topics on an outside PostgreSQL and Kafka. Exit 1 when a topic has other settings."""
    raise typer.Exit(asyncio.run(_prepare(settings_of(config), first_start=first_start)))


async def _prepare(settings: Settings, *, first_start: bool) -> Exit:
    applied = await prepare_database(settings.postgres_url(), settings.desk.name, within_s=_WITHIN_S)
    write(f"migrations applied: {', '.join(applied) or 'none were missing'}")
    if first_start:
        account = settings.near_intents.account
        if not account:
            raise SettingsError("no account: set [near_intents] account")
        declared = await declare_first_account(desk_database(settings), account, within_s=_WITHIN_S)
        write(f"first start of {account}: {'declared' if declared else 'not declared, it has a ledger already'}")
    report = await prepare_topics(desk_bus(settings), settings.kafka.replication_factor, within_s=_WITHIN_S)
    write(f"topics created: {', '.join(report.created) or 'none were missing'}")
    for found in report.differences:
        write(f"{found.topic}: {found.setting} is {found.found}, we want {found.wanted}")
    return Exit.NO if report.differences else Exit.OK
