"""Supervision of real processes, small ones."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import eventually, processes_of
from unrip.local.errors import AlreadyRunning, SupervisorUnreachable
from unrip.local.paths import Home
from unrip.local.program import Program
from unrip.local.supervisor import Supervisor

#: Says in a file when it starts and when it is told to stop.
SCRIBE = 'echo "$1 up" >> "$2"; trap \'echo "$1 down" >> "$2"; exit 0\' TERM INT; while :; do sleep 0.05; done'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    # Deeper than the 107 bytes that the address of a unix socket has.
    home = Home(tmp_path / ("deep" * 30) / "a desk's home; 100 % #1")
    home.create()
    return home


@pytest.fixture
def supervisor(home: Home) -> Iterator[Supervisor]:
    supervisor = Supervisor(home)
    supervisor.launch(tied_to_caller=True)
    yield supervisor
    if supervisor.running():
        supervisor.shutdown()
    assert processes_of(home) == {}


def scribe(home: Home, name: str, **changes: object) -> Program:
    argv = ["sh", "-c", SCRIBE, "scribe", name, str(home.root / "diary")]
    given = {"name": name, "argv": argv, "ready": lambda: True, **changes}
    return Program(**given)  # type: ignore[arg-type]


def diary(home: Home) -> list[str]:
    path = home.root / "diary"
    return path.read_text().splitlines() if path.exists() else []


def begin(supervisor: Supervisor, home: Home, *programs: Program) -> None:
    for program in programs:
        supervisor.add(program)
        supervisor.start(program.name)
    assert eventually(lambda: {f"{p.name} up" for p in programs} <= set(diary(home)), within_s=5)
    running: Callable[[], bool] = lambda: {s.state for s in supervisor.status().values()} == {"RUNNING"}  # noqa: E731
    assert eventually(running, within_s=5)


def test_a_program_killed_with_9_runs_again_within_two_seconds(supervisor: Supervisor, home: Home) -> None:
    begin(supervisor, home, scribe(home, "one"), scribe(home, "other"))
    before = supervisor.status()
    killed, bystander = before["one"].pid, before["other"].pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: supervisor.status()["one"].pid not in {None, killed}, within_s=2)
    assert eventually(lambda: diary(home).count("one up") == 2, within_s=2)
    assert supervisor.status()["other"].pid == bystander


def test_it_stops_the_highest_priorities_first(supervisor: Supervisor, home: Home) -> None:
    begin(supervisor, home, scribe(home, "last", priority=1), scribe(home, "first", priority=300), scribe(home, "mid"))
    supervisor.shutdown()
    assert diary(home)[-3:] == ["first down", "mid down", "last down"]


def test_the_stop_signal_is_the_programs_own_and_patience_has_an_end(supervisor: Supervisor, home: Home) -> None:
    deaf = "trap 'echo asked >> \"$1\"' INT; echo 'deaf up' >> \"$1\"; while :; do sleep 0.05; done"
    argv = ["sh", "-c", deaf, "deaf", str(home.root / "diary")]
    begin(supervisor, home, scribe(home, "deaf", argv=argv, stop_signal="INT", stop_wait_s=1))
    supervisor.stop("deaf")
    assert "asked" in diary(home)
    assert supervisor.status()["deaf"].state == "STOPPED"
    assert supervisor.status()["deaf"].pid is None


def test_a_stopped_program_can_be_replaced_and_started_again(supervisor: Supervisor, home: Home) -> None:
    begin(supervisor, home, scribe(home, "one"))
    supervisor.stop("one")
    argv = ["sh", "-c", SCRIBE, "scribe", "successor", str(home.root / "diary")]
    supervisor.add(scribe(home, "one", argv=argv))
    supervisor.start("one")
    assert eventually(lambda: "successor up" in diary(home), within_s=5)


def test_a_home_has_one_supervisor(supervisor: Supervisor, home: Home) -> None:
    with pytest.raises(AlreadyRunning, match="unrip down"):
        Supervisor(home).launch()
    assert supervisor.running()


def test_secrets_stay_out_of_the_configuration_and_command_lines(supervisor: Supervisor, home: Home) -> None:
    begin(supervisor, home, scribe(home, "one", env={"UNRIP_PASSWORD": "s3cr3t"}))
    pid = supervisor.status()["one"].pid
    assert b"UNRIP_PASSWORD=s3cr3t" in Path(f"/proc/{pid}/environ").read_bytes()
    assert "s3cr3t" not in (home.run / "supervisord.conf").read_text()
    assert not any("s3cr3t" in command for command in processes_of(home).values())
    assert (home.run / "one.sh").stat().st_mode & 0o077 == 0


def test_nothing_outlives_a_supervisor_that_was_killed(supervisor: Supervisor, home: Home) -> None:
    begin(supervisor, home, scribe(home, "one"), scribe(home, "other"))
    os.kill(int((home.run / "supervisord.pid").read_text()), signal.SIGKILL)
    assert eventually(lambda: processes_of(home) == {}, within_s=5)
    assert sorted(diary(home)[-2:]) == ["one down", "other down"]
    with pytest.raises(SupervisorUnreachable):
        supervisor.status()
    supervisor.launch(tied_to_caller=True)  # what it left behind is in nobody's way


def test_what_a_killed_caller_left_is_stopped_by_anybody_who_knows_the_home(home: Home) -> None:
    caller = """
import sys, time
from pathlib import Path
from unrip.local.paths import Home
from unrip.local.program import Program
from unrip.local.supervisor import Supervisor
supervisor = Supervisor(Home(Path(sys.argv[1])))
supervisor.launch()
supervisor.add(Program(name="left", argv=["sh", "-c", sys.argv[2], "scribe", "left", sys.argv[3]], ready=lambda: True))
supervisor.start("left")
time.sleep(60)
"""
    argv = [sys.executable, "-c", caller, str(home.root), SCRIBE, str(home.root / "diary")]
    with subprocess.Popen(argv) as up:
        assert eventually(lambda: diary(home) == ["left up"], within_s=15)
        # Ctrl-C reaches the terminal's foreground group, which is the caller's and not the supervisor's.
        left = Supervisor(home).status()["left"].pid
        assert left is not None
        assert os.getsid(left) != os.getsid(up.pid)
        up.kill()
    time.sleep(0.2)
    assert Supervisor(home).status()["left"].pid == left
    Supervisor(home).shutdown()
    assert diary(home) == ["left up", "left down"]
    assert processes_of(home) == {}


def test_shutting_down_what_does_not_run_says_so(home: Home) -> None:
    with pytest.raises(SupervisorUnreachable, match="nothing runs"):
        Supervisor(home).shutdown()
