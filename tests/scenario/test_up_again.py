"""`unrip up` on one home, again and again, with no network: Ctrl-C, kill -9, and what belongs to a dead one."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from support.cli import SOURCE
from support.offline import offline
from support.ports import free_ports
from support.processes import eventually, processes_of
from support.servers import temporary_home
from unrip.domain.pairs import Direction
from unrip.local.paths import Home
from unrip.services.registry import SERVICES

#: All of a start, and a trade in each direction.
WITHIN_S = 150
STOPPED_WITHIN_S = 40


class Start:
    """One `unrip up` or `demo` of a home, without network where the machine allows it."""

    def __init__(self, command: str, home: Home, config: Path, ports: list[int]) -> None:
        words, reason = offline()
        print(reason or "without network")
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115  (closed by `close`)
        options = ["--home", str(home.root), "--config", str(config)]
        options += ["--postgres-port", str(ports[0]), "--kafka-port", str(ports[1])]
        self.process = subprocess.Popen(
            [*words, sys.executable, "-m", "unrip", command, *options],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )

    def said(self) -> str:
        return Path(self.log.name).read_text()

    def until_both_traded(self) -> None:
        """Both trades have settled, and both are explained from PostgreSQL without a hole."""

        def told() -> bool:
            assert self.process.poll() in {None, 0}, self.said()
            return self.said().count("missing  nothing") == len(Direction)

        assert eventually(told, within_s=WITHIN_S), self.said()
        explained = re.findall(r"^--- (base_in|base_out): quote", self.said(), re.MULTILINE)
        assert sorted(explained) == sorted(Direction)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=STOPPED_WITHIN_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=STOPPED_WITHIN_S)
        self.log.close()


def test_each_start_of_a_home_trades_both_ways(tmp_path: Path) -> None:
    """The world goes on where it was, so the desk that remembers it trusts it; nothing needs a network."""
    ports = free_ports(2 + len(SERVICES))
    config = tmp_path / "desk.toml"
    lines = [f"{name.replace('-', '_')} = {port}" for name, port in zip(SERVICES, ports[2:], strict=True)]
    config.write_text("\n".join(["[ports]", *lines, ""]))
    with temporary_home() as home:
        with closing(Start("demo", home, config, ports)) as first:
            first.until_both_traded()
            assert first.process.wait(timeout=STOPPED_WITHIN_S) == 0
        assert {file.name for file in home.evidence.iterdir()} >= {"trades.json", "price-events.json"}
        assert processes_of(home) == {}
        with closing(Start("up", home, config, ports)) as second:
            second.until_both_traded()
            second.end(signal.SIGKILL)
        assert processes_of(home) != {}
        with closing(Start("up", home, config, ports)) as third:
            third.until_both_traded()
            assert "stopping what a killed `unrip up` left running" in third.said()
            assert third.end(signal.SIGINT) == 0
        assert processes_of(home) == {}
