"""A whole desk on one machine: servers, schema, topics, world, services; up in order, down in order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomli_w

from unrip.frame.desk_bus import desk_bus
from unrip.frame.desk_database import desk_database
from unrip.frame.settings import Settings, outside_urls
from unrip.local.paths import Home
from unrip.local.ports import PortNeed, answers_yes
from unrip.local.preparing import declare_first_account, prepare_database, prepare_topics
from unrip.local.program import Program
from unrip.local.simulated import SimulatedWorld, default_inventory
from unrip.local.stack import ServerPorts, ServerStack
from unrip.net.address import is_loopback
from unrip.net.secret_file import write_secret
from unrip.services.registry import SERVICES
from unrip.services.settings import load_settings

_SERVICE_PRIORITY = 300


class LocalDesk:
    """Brings everything up under one supervisor.

    Kafka and PostgreSQL are ours unless the settings name others; the venue is the simulated world unless the settings
    name a relay. `base` is the operator's own settings file, whose values win over ours.
    """

    def __init__(
        self,
        *,
        home: Home,
        user_data: Path,
        base: Path | None,
        progress: Callable[[str], None],
        ports: ServerPorts | None = None,
        inventory: dict[str, str] | None = None,
        world_overrides: dict[str, Any] | None = None,
        settings_overrides: dict[str, Any] | None = None,
        tied_to_caller: bool = False,
        ports_within_s: float = 0,
    ) -> None:
        self.home = home
        self._given = load_settings(base)
        self._progress = progress
        pair = self._given.pair.pair()
        self._inventory = inventory or default_inventory(pair.base.asset_id, pair.quote.asset_id)
        self._world_overrides = world_overrides
        self._settings_overrides = settings_overrides or {}
        self.world = None if _names_a_venue(self._given) else SimulatedWorld(home)
        self.stack = ServerStack(
            home=home,
            user_data=user_data,
            progress=progress,
            ports=ports,
            kafka_bootstrap=self._given.kafka.bootstrap if _is_given(self._given, "kafka", "bootstrap") else None,
            postgres_url=self._given.postgres_url() if _names_a_database(self._given) else None,
            tied_to_caller=tied_to_caller,
            ports_within_s=ports_within_s,
        )

    @property
    def settings_file(self) -> Path:
        """The settings file of the services, and of every later command in this folder."""
        return self.home.root / "unrip.toml"

    async def start(self) -> Settings:
        """Start everything and wait until all of it is ready.

        Raises:
            LocalError: what failed, where, and the remedy. Nothing is left running.

        """
        endpoints = await self.stack.start()
        try:
            url_file = self.home.secrets / "postgres.url"
            write_secret(url_file, endpoints.postgres_url + "\n")
            if self.world is not None:
                self.world.prepare(assets=self._inventory, overrides=self._world_overrides)
                await self.stack.bring_up([self.world.program()])
            settings = self._write_settings(endpoints.kafka_bootstrap, url_file)
            self._progress("database: applying migrations")
            await prepare_database(endpoints.postgres_url, settings.desk.name)
            self._progress("kafka: creating topics")
            await prepare_topics(desk_bus(settings), settings.kafka.replication_factor)
            if self.world is not None and every_venue_is_loopback(settings):
                await declare_first_account(desk_database(settings), settings.near_intents.account)
            await self.stack.require_free(_port_needs(settings))
            await self.stack.bring_up([self.service_program(name, settings) for name in SERVICES])
        except BaseException:
            await self.stack.stop()
            raise
        return settings

    async def stop(self) -> None:
        """Drain the services, then stop world and servers; return when no process is left."""
        await self.stack.stop()

    def service_program(self, name: str, settings: Settings, environment: dict[str, str] | None = None) -> Program:
        """One service as a program, ready when its own probe says so."""
        probe = f"{settings.url_of(name)}/readyz"
        return Program(
            name=name,
            argv=[sys.executable, "-m", "unrip", "run", name, "--config", str(self.settings_file)],
            ready=lambda: answers_yes(probe),
            priority=_SERVICE_PRIORITY,
            directory=self.home.root,
            stop_wait_s=settings.control.drain_bound_s + 3,
            env=environment or {},
        )

    def _write_settings(self, bootstrap: str, url_file: Path) -> Settings:
        """Write our settings with the operator's on top of them into a file of its own."""
        ours: dict[str, Any] = {
            "kafka": {"bootstrap": bootstrap},
            "postgres": {"url_file": str(url_file)},
            "control": {
                "read_token_file": str(self.home.secrets / "read.token"),
                "operator_token_file": str(self.home.secrets / "operator.token"),
                "spool_dir": str(self.home.run / "spool"),
            },
        }
        if self.world is not None:
            ours = _merged(ours, self.world.settings())
        given = self._given.model_dump(mode="json", exclude_unset=True, exclude={"postgres": {"url"}})
        merged = _merged(_merged(ours, self._settings_overrides), given)
        self.settings_file.write_text(tomli_w.dumps(_without_none(merged)))
        return load_settings(self.settings_file)


def every_venue_is_loopback(settings: Settings) -> bool:
    """Whether no URL of the settings leaves this machine: only then may `unrip up` arm by itself."""
    return all(is_loopback(urlsplit(url).hostname) for url in outside_urls(settings))


def _names_a_venue(settings: Settings) -> bool:
    return _is_given(settings, "near_intents", "relay_ws_url")


def _names_a_database(settings: Settings) -> bool:
    return settings.postgres.url is not None or settings.postgres.url_file is not None


def _is_given(settings: Settings, section: str, key: str) -> bool:
    return key in getattr(settings, section).model_fields_set


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for key, value in above.items():
        both[key] = _merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _port_needs(settings: Settings) -> list[PortNeed]:
    return [
        PortNeed(
            port=settings.port_of(name),
            program=name,
            setting=f"[ports] {name.replace('-', '_')}",
            host=settings.control.bind_host,
        )
        for name in SERVICES
    ]
