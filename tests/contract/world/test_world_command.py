"""The command itself: its help, its refusals, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from support.world import StartWorld

_SRC = Path(__file__).resolve().parents[3] / "src"
_COMMAND = [sys.executable, "-m", "unrip_world"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(_SRC)}
    return subprocess.run(
        [*_COMMAND, *arguments], capture_output=True, text=True, timeout=20, env=environment, check=False
    )


def test_help_explains() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    assert "--config" in shown.stdout


def test_a_wrong_file_and_a_wrong_script_end_in_one_line(tmp_path: Path) -> None:
    config, script = tmp_path / "world.toml", tmp_path / "faults.toml"
    config.write_text("[relay]\nauht = 'none'\n")
    refused = run("--config", str(config))
    assert refused.returncode == 2
    assert "auht" in refused.stderr
    assert refused.stderr.count("\n") == 1
    config.write_text('faults_file = "faults.toml"\n')
    script.write_text('[[faults]]\nat_s = 1\nservice = "relay"\nkind = "nonsense"\n')
    refused = run("--config", str(config))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "fault 1" in refused.stderr


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = tmp_path / "world.toml"
        config.write_text(f"[ports]\nrelay = {taken.getsockname()[1]}\n")
        refused = run("--config", str(config))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


def test_unrip_world_starts_alone(tmp_path: Path) -> None:
    """With nothing but the program: no bus, no database, no service, no setting of the desk."""
    (tmp_path / "world.toml").write_text('ready_file = "ready.json"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "unrip", "world", "--config", "world.toml"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(_SRC)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        control = process.stdout.readline().removeprefix("unrip_world ready: ").strip()
        assert json.loads((tmp_path / "ready.json").read_text())["control"] == control
        assert httpx.get(f"{control}/state", timeout=10).json()["takers_paused"] is False
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_it_ends_quickly_with_zero_even_while_sockets_are_open(start_world: StartWorld) -> None:
    world = start_world()
    with socket.create_connection(("127.0.0.1", int(world.urls["control"].rsplit(":", 1)[1])), timeout=5):
        assert world.process is not None
        world.process.send_signal(signal.SIGINT)
        assert world.process.wait(timeout=4) == 0
