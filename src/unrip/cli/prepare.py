"""`unrip prepare`: the schema and the topics, where `unrip up` does not make them."""

from __future__ import annotations

import asyncio

import typer
from rich.console import Console

from unrip.bus.kafka_admin import KafkaAdmin
from unrip.cli.desk import settings_of
from unrip.cli.exits import Exit
from unrip.cli.options import ConfigOption
from unrip.messages.topics import TOPICS
from unrip.service.settings import Settings
from unrip.store.migrate import apply

_console = Console(highlight=False)


def prepare(config: ConfigOption = None) -> None:
    """Apply migrations and create topics on an outside PostgreSQL and Kafka. Exit 1 when a topic has other settings."""
    raise typer.Exit(asyncio.run(_prepare(settings_of(config))))


async def _prepare(settings: Settings) -> Exit:
    applied = await apply(settings.postgres_url())
    _console.print(f"migrations applied: {', '.join(applied) or 'none were missing'}")
    report = await KafkaAdmin(settings.kafka.bootstrap).ensure_topics(
        TOPICS.values(), replication_factor=settings.kafka.replication_factor
    )
    _console.print(f"topics created: {', '.join(report.created) or 'none were missing'}")
    for found in report.differences:
        _console.print(f"{found.topic}: {found.setting} is {found.found}, we want {found.wanted}", soft_wrap=True)
    return Exit.NO if report.differences else Exit.OK
