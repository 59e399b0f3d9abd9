"""The embedded servers, started and stopped for real."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from support.ports import free_ports
from support.processes import eventually, processes_of
from support.servers import Servers, free_server_ports, temporary_home
from unrip.local.errors import AlreadyRunning, LocalError, PortBusy, PreparationFailed, ProgramNotReady, ToolMissing
from unrip.local.kafka import KafkaServer, fetch_jars, serves_metadata
from unrip.local.paths import Home, user_data_folder
from unrip.local.postgres import PostgresServer
from unrip.local.program import Program
from unrip.local.stack import Endpoints, ServerPorts, ServerStack
from unrip.local.supervisor import Supervisor

pytestmark = pytest.mark.servers

USER_DATA = user_data_folder(os.environ)


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home
        left = processes_of(home)
        if Supervisor(home).running():
            Supervisor(home).shutdown()
        assert left == {}


def stack_in(home: Home, *, ports: ServerPorts | None = None, **changes: object) -> ServerStack:
    given = {"user_data": USER_DATA, "progress": lambda _: None, "tied_to_caller": True, **changes}
    return ServerStack(home=home, ports=ports or free_server_ports(), **given)  # type: ignore[arg-type]


async def remember(endpoints: Endpoints, word: str) -> None:
    connection = await asyncpg.connect(endpoints.postgres_url, timeout=10)
    await connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
    await connection.execute("INSERT INTO words VALUES ($1)", word)
    await connection.close()
    admin = AdminClient({"bootstrap.servers": endpoints.kafka_bootstrap})
    for created in admin.create_topics([NewTopic(word, num_partitions=1)], operation_timeout=10).values():
        created.result(timeout=20)


async def remembered(endpoints: Endpoints) -> tuple[set[str], set[str]]:
    connection = await asyncpg.connect(endpoints.postgres_url, timeout=10)
    words = {row["word"] for row in await connection.fetch("SELECT word FROM words")}
    await connection.close()
    admin = AdminClient({"bootstrap.servers": endpoints.kafka_bootstrap})
    return words, set(admin.list_topics(timeout=10).topics)


async def test_the_servers_survive_kill_9_with_their_data_and_leave_nothing_behind(home: Home) -> None:
    said: list[str] = []
    stack = stack_in(home, progress=said.append)
    endpoints = await stack.start()
    assert [line for line in said if "ready" in line]
    await remember(endpoints, "kept")

    killed = {name: status.pid for name, status in stack.supervisor.status().items()}
    for pid in killed.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def all_again() -> bool:
        return all(status.pid not in {None, killed[name]} for name, status in stack.supervisor.status().items())

    assert await asyncio.to_thread(eventually, all_again, within_s=2)
    assert await asyncio.to_thread(eventually, lambda: serves_metadata(endpoints.kafka_bootstrap), within_s=30)
    words, topics = await remembered(endpoints)
    assert "kept" in words
    assert "kept" in topics

    await stack.stop()
    assert processes_of(home) == {}


async def test_a_second_start_finds_the_data_of_the_first_one_also_on_other_ports(home: Home) -> None:
    for word in ("first", "second"):
        stack = stack_in(home)
        endpoints = await stack.start()
        await remember(endpoints, word)
        await stack.stop()
    stack = stack_in(home)
    words, topics = await remembered(await stack.start())
    await stack.stop()
    assert words == {"first", "second"} <= topics


async def test_the_password_is_in_private_files_and_nowhere_else(home: Home, servers: Servers) -> None:
    stack = stack_in(home, kafka_bootstrap=servers.kafka_bootstrap)
    endpoints = await stack.start()
    password = (home.secrets / "postgres-password").read_text().strip()
    assert password in endpoints.postgres_url
    assert password not in repr(endpoints)
    assert (home.secrets / "postgres-url").read_text().strip() == endpoints.postgres_url
    assert all(file.stat().st_mode & 0o077 == 0 for file in home.secrets.iterdir())
    assert not any(password in command for command in processes_of(home).values())
    shown = [file for folder in (home.run, home.log) for file in folder.iterdir() if file.is_file()]
    assert not any(password in file.read_text() for file in shown)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(endpoints.postgres_url.replace(password, "wrong"), timeout=10)
    await stack.stop()


async def test_servers_given_by_address_are_not_started(home: Home, servers: Servers) -> None:
    stack = stack_in(home, kafka_bootstrap=servers.kafka_bootstrap, postgres_url=servers.postgres_url)
    endpoints = await stack.start()
    assert endpoints == Endpoints(kafka_bootstrap=servers.kafka_bootstrap, postgres_url=servers.postgres_url)
    assert stack.supervisor.status() == {}
    await stack.stop()
    assert not home.postgres.exists()


async def test_an_address_where_nobody_answers_is_named_without_its_password(
    home: Home, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unrip.local.stack._OUTSIDE_WITHIN_S", 0.1)
    (port,) = free_ports(1)
    nowhere = f"postgresql://me:s3cr3t@127.0.0.1:{port}/desk"
    with pytest.raises(LocalError, match=rf"PostgreSQL at 127.0.0.1:{port}/desk .*url_file") as caught:
        await stack_in(home, kafka_bootstrap=servers.kafka_bootstrap, postgres_url=nowhere).start()
    assert "s3cr3t" not in str(caught.value)
    with pytest.raises(LocalError, match=rf"Kafka at 127.0.0.1:{port} .*\[kafka\] bootstrap"):
        await stack_in(home, kafka_bootstrap=f"127.0.0.1:{port}", postgres_url=servers.postgres_url).start()


@pytest.mark.parametrize(
    ("who", "setting"),
    [
        ("postgres", "--postgres-port"),
        ("kafka", "--kafka-port"),
        ("kafka_controller", "--kafka-port, whose next one it is"),
    ],
)
async def test_a_busy_port_is_refused_by_name_before_anything_is_made(home: Home, who: str, setting: str) -> None:
    ports = free_server_ports()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", getattr(ports, who)))
        stranger.listen()
        with pytest.raises(PortBusy, match=f"port {getattr(ports, who)} is busy .* set {setting}$"):
            await stack_in(home, ports=ports).start()
    assert not home.postgres.exists()


async def test_a_home_in_use_is_refused(home: Home, servers: Servers) -> None:
    stack = stack_in(home, kafka_bootstrap=servers.kafka_bootstrap, postgres_url=servers.postgres_url)
    await stack.start()
    with pytest.raises(AlreadyRunning, match="unrip down"):
        await stack_in(home).start()
    await stack.stop()


async def test_levels_start_in_order_and_a_failed_gate_names_program_reason_and_log(
    home: Home, servers: Servers
) -> None:
    stack = stack_in(home, kafka_bootstrap=servers.kafka_bootstrap, postgres_url=servers.postgres_url)
    await stack.start()
    opened: list[str] = []

    def ready(name: str, answer: bool) -> bool:
        opened.append(name)
        return answer

    async def later() -> bool:
        return ready("second", answer=True)

    idle = ["sleep", "60"]
    loud = ["sh", "-c", "echo 'the cat sat on the cable'; sleep 60"]
    programs = [
        Program(name="third", argv=loud, ready=lambda: ready("third", answer=False), priority=3, ready_within_s=0.5),
        Program(name="second", argv=idle, ready=later, priority=2),
        Program(name="first", argv=idle, ready=lambda: ready("first", answer=True), priority=1),
        Program(name="never", argv=idle, ready=lambda: ready("never", answer=True), priority=4),
    ]
    log = home.log / "third.log"
    with pytest.raises(ProgramNotReady, match=rf"^third was not ready .*the cat sat on the cable \(log: {log}\)$"):
        await stack.bring_up(programs)
    assert opened[:3] == ["first", "second", "third"]
    assert "never" not in opened
    await stack.stop()


async def test_without_java_or_maven_the_command_that_installs_them_is_told(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    java = shutil.which("java")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(java or "/nowhere")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    home.create()
    kafka = KafkaServer(home=home, user_data=tmp_path / "empty", port=1, controller_port=2)
    with pytest.raises(ToolMissing, match=r"needs mvn, .*: apt-get install .* maven$"):
        kafka.prepare(lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("unrip.local.java.find_spec", lambda _: None)  # as where the wheel is not installed
    with pytest.raises(ToolMissing, match=r"needs Java 17 .*: apt-get install .* default-jre-headless$"):
        kafka.prepare(lambda _: None)
    assert not (tmp_path / "empty").exists() or list((tmp_path / "empty").iterdir()) == []


def test_an_old_java_is_not_taken(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_402\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("unrip.local.java.find_spec", lambda _: None)
    with pytest.raises(ToolMissing, match="the java on PATH is 8"):
        KafkaServer(home=home, user_data=tmp_path, port=1, controller_port=2).prepare(lambda _: None)


def test_a_failing_maven_is_told_in_one_line_and_leaves_no_half_install(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, user_data = tmp_path / "tries", tmp_path / "data"
    fake = tmp_path / "mvn"
    fake.write_text(f"#!/bin/sh\necho x >> {tries}\necho '\x1b[0m[ERROR] no route'\necho '[ERROR] [Help 1]'\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    home.create()
    kafka = KafkaServer(home=home, user_data=user_data, port=1, controller_port=2)
    with pytest.raises(PreparationFailed, match=r"^fetching Kafka with Maven failed: \[ERROR\] no route: check .*"):
        kafka.prepare(lambda _: None)
    assert tries.read_text().splitlines() == ["x", "x"]
    assert list(user_data.iterdir()) == []
    with pytest.raises(PreparationFailed, match="without --offline"):
        kafka.prepare(lambda _: None, offline=True)


def test_two_installs_at_a_time_end_in_one_whole_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "mvn"
    fake.write_text(
        """#!/bin/sh
for word; do case $word in -DoutputDirectory=*) folder=${word#*=};; esac; done
mkdir "$folder" && touch "$folder/first.jar" && sleep 0.3 && touch "$folder/last.jar"
"""
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    target = tmp_path / "data" / "kafka"
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(fetch_jars, target) for _ in range(2)]:
            done.result(timeout=30)
    assert sorted(file.name for file in target.iterdir()) == ["first.jar", "last.jar"]
    assert list(target.parent.iterdir()) == [target]


async def test_a_home_that_only_we_can_enter_serves_too(home: Home) -> None:
    """As root the server is somebody else, who cannot enter a folder below /root: then the data lies elsewhere."""
    home.root.chmod(0o700)
    shared = Path(tempfile.mkdtemp(prefix="unrip-shared-"))
    (port,) = free_ports(1)
    try:
        home.create()
        server = PostgresServer(home=home, port=port, shared_folder=shared)
        server.prepare(lambda _: None)
        supervisor = Supervisor(home)
        supervisor.launch(tied_to_caller=True)
        supervisor.add(server.program())
        supervisor.start("postgres")
        assert await asyncio.to_thread(eventually, lambda: asyncio.run(server.is_ready()), within_s=20)
        supervisor.shutdown()
        server.prepare(lambda _: None)  # finds it again
        assert home.postgres.is_symlink() == (os.geteuid() == 0)
    finally:
        shutil.rmtree(shared)


def test_data_without_its_password_is_never_replaced(home: Home) -> None:
    home.create()
    (port,) = free_ports(1)
    server = PostgresServer(home=home, port=port)
    server.prepare(lambda _: None)
    (home.secrets / "postgres-password").unlink()
    with pytest.raises(PreparationFailed, match="postgres-password is not: restore the file, or remove"):
        server.prepare(lambda _: None)


def test_an_interrupted_preparation_is_done_again(home: Home) -> None:
    home.create()
    (port,) = free_ports(1)
    server = PostgresServer(home=home, port=port)
    server.prepare(lambda _: None)
    (home.postgres / "data").rename(home.postgres / "data.draft")
    (home.postgres / "data.draft" / "PG_VERSION").unlink()
    server.prepare(lambda _: None)
    assert (home.postgres / "data" / "PG_VERSION").is_file()


def test_each_module_can_have_a_database_of_its_own(servers: Servers) -> None:
    async def tables(url: str) -> int:
        connection = await asyncpg.connect(url, timeout=10)
        await connection.execute("CREATE TABLE mine (x int)")
        count = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE tablename = 'mine'")
        await connection.close()
        return int(count)

    for _ in range(2):
        assert asyncio.run(tables(servers.create_database('odd "name"'))) == 1
