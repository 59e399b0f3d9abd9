"""A service before its port is open, and on an address of either family."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from support.cli import SOURCE, run_unrip
from support.ports import free_ports
from support.processes import eventually
from unrip.local.errors import HomeUnusable
from unrip.local.paths import user_data_folder

ACCOUNT = "ab" * 32


def config(folder: Path, port: int, *, bind_host: str = "127.0.0.1") -> Path:
    path = folder / "desk.toml"
    path.write_text(
        f'[kafka]\nbootstrap = "127.0.0.1:1"\n[near_intents]\naccount = "{ACCOUNT}"\n'
        f'[control]\nbind_host = "{bind_host}"\nread_token_file = "{folder}/read"\n'
        f'operator_token_file = "{folder}/op"\nspool_dir = "{folder}/spool"\n'
        f"[ports]\nmarket_reference_ingest = {port}\n"
        '[kraken]\nws_url = "ws://[::1]:1/v2"\nrest_url = "http://[::1]:1"\n[coingecko]\napi_url = "http://[::1]:1/api"\n'
    )
    return path


def start(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "unrip", "run", "market-reference-ingest", "--config", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("after_ms", [150, 900])
def test_a_stop_at_any_moment_of_a_start_ends_with_zero(tmp_path: Path, after_ms: int) -> None:
    (port,) = free_ports(1)
    with start(config(tmp_path, port)) as process:
        time.sleep(after_ms / 1_000)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "Traceback" not in said


@pytest.mark.parametrize("bind_host", ["::1", "::"])
def test_a_control_surface_on_an_address_of_either_family(tmp_path: Path, bind_host: str) -> None:
    (port,) = free_ports(1)
    path = config(tmp_path, port, bind_host=bind_host)

    def alive() -> bool:
        try:
            return httpx.get(f"http://[::1]:{port}/livez", timeout=1).is_success
        except httpx.TransportError:
            return False

    with start(path) as process:
        try:
            assert eventually(alive, within_s=20)
            told = run_unrip("status", "--json", "--config", str(path))
            assert '"market-reference-ingest": {\n      "reachable": true' in told.stdout, told.stdout + told.stderr
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_an_address_of_nobody_here_is_named_with_its_remedy(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    told = run_unrip("run", "market-reference-ingest", "--config", str(config(tmp_path, port, bind_host="2001:db8::1")))
    assert told.returncode == 2
    assert f"nobody can listen on [2001:db8::1]:{port}" in told.stderr
    assert "set [control] bind_host to an address of this machine" in told.stderr


def test_a_busy_address_of_the_other_family_is_named(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as stranger:
        port = stranger.getsockname()[1]
        told = run_unrip("run", "market-reference-ingest", "--config", str(config(tmp_path, port, bind_host="::1")))
    assert (told.returncode, f"port {port} on ::1 is busy" in told.stderr) == (2, True), told.stderr


def test_a_home_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    """Missing is made; a file in its place, a read-only and a full file system are told."""
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere"), Path("/sys/unrip")):
        told = run_unrip("up", "--home", str(home), cwd=tmp_path)
        assert (told.returncode, told.stderr.count("\n")) == (3, 1), told.stderr
        assert told.stderr.startswith(f"unrip: the home {home} cannot be used, ")
        assert told.stderr.endswith("or choose another folder with --home\n")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    full = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=4k tmpfs "{tmp_path}" && exec "$@"', "sh",
         sys.executable, "-m", "unrip", "up", "--home", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )  # fmt: skip
    if "unshare failed" in full.stderr or "mount:" in full.stderr:
        pytest.skip(full.stderr.strip())
    assert (full.returncode, full.stderr.count("\n")) == (3, 1), full.stderr
    assert f"the home {tmp_path} cannot be used" in full.stderr
    assert "No space left on device" in full.stderr


def test_no_home_folder_of_the_user_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", _no_home)
    with pytest.raises(HomeUnusable, match="set HOME or XDG_DATA_HOME"):
        user_data_folder({})
    assert user_data_folder({"HOME": str(tmp_path)}) == tmp_path / ".local" / "share" / "unrip"


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")
