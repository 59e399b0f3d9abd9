"""What carries the name of a desk, and what the main desk's are called, which had no name for a long time."""

import hashlib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from unrip.bus.settings import consumer_settings
from unrip.frame.adapters import RealAdapters
from unrip.frame.desk_bus import desk_bus
from unrip.frame.settings import ControlSettings, DeskSettings, NearIntentsSettings, PostgresSettings, Settings
from unrip.store.locks import _key_of
from unrip.store.sql import statements
from unrip.venues.near_intents.access import relay_url


def settings_of(name: str) -> Settings:
    return Settings(
        desk=DeskSettings(name=name),
        control=ControlSettings(spool_dir=Path("kept")),
        near_intents=NearIntentsSettings(instance_id="notices"),
        postgres=PostgresSettings(url="postgresql://127.0.0.1/x"),
    )


@pytest.mark.parametrize(("name", "file"), [("main", "trade-executor"), ("second", "second.trade-executor")])
def test_files_beside_a_service(name: str, file: str) -> None:
    assert settings_of(name).kept_file("trade-executor", "lease") == Path("kept") / f"{file}.lease"
    assert settings_of(name).kept_file("trade-executor", "jsonl") == Path("kept") / f"{file}.jsonl"


@pytest.mark.parametrize(("name", "queue"), [("main", "notices"), ("second", "second-notices")])
def test_the_queue_of_notices_at_the_relay(name: str, queue: str) -> None:
    """Two connections with one name share a queue, and each sees only a part of it."""
    assert settings_of(name).relay_queue == queue
    url = relay_url("wss://relay/ws", instance_id=settings_of(name).relay_queue)
    assert parse_qs(urlsplit(url).query) == {"instance_id": [queue]}


def test_no_queue_is_asked_for_where_none_is_named() -> None:
    assert Settings(desk=DeskSettings(name="second")).relay_queue is None


@pytest.mark.parametrize(("name", "client"), [("main", "unrip"), ("second", "unrip-second")])
def test_kafkas_client_and_group(name: str, client: str) -> None:
    bus = desk_bus(settings_of(name))
    assert bus.client_id == client
    settings = consumer_settings(bus.bootstrap, client_id=bus.client_id)
    assert (settings["client.id"], settings["group.id"]) == (client, f"{client}-without-group")


def test_the_locks_of_roles() -> None:
    """One of the main desk must not become another one by an upgrade: two versions would each have a master."""
    key = int.from_bytes(hashlib.sha256(b"unrip role trade-executor").digest()[:8], "big", signed=True)
    keys = [_key_of("trade-executor", desk) for desk in ("main", "second", "third")]
    assert keys[0] == key
    assert len(set(keys)) == 3


@pytest.mark.parametrize(("name", "schema"), [("main", "desk"), ("second", "second_desk")])
def test_the_schemas_that_a_process_asks(name: str, schema: str) -> None:
    database = RealAdapters(settings_of(name)).database
    assert database.statements("desk")["taken_by"] == f"SELECT taken_by FROM {schema}.generation WHERE role = $1;"
    assert statements("desk")["taken_by"] == "SELECT taken_by FROM desk.generation WHERE role = $1;"
