"""Who has a home: one living process, told to stop by `unrip down`."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from unrip.local.errors import AlreadyRunning
from unrip.local.hold import held, holder, stop_holder
from unrip.local.paths import Home

_HOLDS = """
import signal, sys
from pathlib import Path
from unrip.local.hold import held
from unrip.local.paths import Home
with held(Home(Path(sys.argv[1]))):
    print("held", flush=True)
    signal.pause()
"""


def test_a_home_has_one_living_holder(tmp_path: Path) -> None:
    home = Home(tmp_path / "var")
    assert holder(home) is None
    assert not stop_holder(home, within_s=1)
    with held(home):
        assert holder(home) == os.getpid()
        with (
            pytest.raises(
                AlreadyRunning, match=rf"in use by a running desk \(process {os.getpid()}\): stop it with `un"
            ),
            held(home),
        ):
            pass
    assert holder(home) is None


def test_the_next_one_waits_for_one_that_is_stopping(tmp_path: Path) -> None:
    """Ctrl-C, or the death of the `make` above it, takes some seconds to drain everything."""
    home = Home(tmp_path / "var")
    with ExitStack() as first:
        hold = first.enter_context(held(home))
        hold.stopping()
        with pytest.raises(AlreadyRunning), held(home, stopped_within_s=0.3):
            pass
        threading.Timer(0.3, first.pop_all().close).start()
        with held(home, stopped_within_s=20):
            assert holder(home) == os.getpid()


@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_who_is_stopped_or_killed_holds_nothing(tmp_path: Path, number: int | None) -> None:
    home = Home(tmp_path / "var")
    command = [sys.executable, "-c", _HOLDS, str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src"}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert holder(home) == process.pid
        if number is None:
            assert stop_holder(home, within_s=10)
        else:
            process.send_signal(number)
        process.wait(timeout=10)
    with held(home):
        assert holder(home) == os.getpid()
