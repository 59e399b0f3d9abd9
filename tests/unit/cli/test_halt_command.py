"""`unrip halt --revoke`: whoever fails, what the executor took back is told, and a restart is named as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from unrip.cli import halt
from unrip.cli.app import app
from unrip.cli.exits import CommandFailed, Exit

REPORT: dict[str, Any] = {"requested_at": "now", "waits_for_ledger": False, "unknown": 0, "offers": []}
OUTCOME: dict[str, Any] = {
    "applied": True,
    "refusal": None,
    "before": {},
    "after": {},
    "recorded": "published",
    "kept": None,
}


class Services:
    """Strategy and executor as the control client sees them: who does not answer, and what the executor shows."""

    def __init__(self, *, away: tuple[str, ...] = (), shown: tuple[dict[str, Any] | None, ...] = (REPORT,)) -> None:
        self._away = away
        self._shown = list(shown)
        self.told: dict[str, dict[str, Any]] = {}

    def act(self, service: str, action: str, *, reason: str, **arguments: Any) -> dict[str, Any]:
        assert (action, reason) == ("halt", "scenario")
        if service in self._away:
            raise CommandFailed(f"{service} does not answer")
        self.told[service] = arguments
        return OUTCOME

    def state(self, service: str) -> dict[str, Any]:
        assert service == "trade-executor"
        if not self._shown:
            raise CommandFailed(f"{service} does not answer any more")
        return {"revocation": self._shown.pop(0)}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command against these services; gives what it printed, and how it failed."""
    monkeypatch.chdir(tmp_path)  # the settings of a desk in this checkout are not meant here

    def run(services: Services, *options: str) -> tuple[str, int, str]:
        monkeypatch.setattr(halt, "ControlClient", lambda _settings: services)
        monkeypatch.setattr(halt, "_LOOK_AGAIN_S", 0)
        done = CliRunner().invoke(app, ["halt", "--revoke", "-r", "scenario", *options])
        if isinstance(done.exception, CommandFailed):
            return done.stdout, done.exception.code, str(done.exception)
        assert isinstance(done.exception, SystemExit | None), done.exception
        return done.stdout, done.exit_code, ""

    return run


def test_without_the_strategy_what_was_taken_back_is_told_before_it_fails(run: Any) -> None:
    services = Services(away=("strategy-engine",))
    printed, code, line = run(services)
    assert "0 live offers: none to revoke" in printed
    assert (code, line) == (Exit.UNREACHABLE, "strategy-engine does not answer")
    assert services.told == {"trade-executor": {"revoke": True}}
    printed, code, _line = run(Services(away=("strategy-engine",)), "--json")
    assert (json.loads(printed), code) == (REPORT, Exit.UNREACHABLE)


def test_without_the_executor_there_is_nothing_to_tell(run: Any) -> None:
    assert run(Services(away=("trade-executor",)), "--json") == ("", Exit.UNREACHABLE, "trade-executor does not answer")
    _printed, code, line = run(Services(away=("strategy-engine", "trade-executor")))
    assert (code, line) == (Exit.UNREACHABLE, "strategy-engine does not answer; trade-executor does not answer")


@pytest.mark.parametrize("shown", [(None,), ({**REPORT, "unknown": 1}, None)], ids=["at once", "while it waits"])
def test_an_executor_that_restarted_is_to_be_asked_again(run: Any, shown: tuple[dict[str, Any] | None, ...]) -> None:
    printed, code, line = run(Services(shown=shown), "--json")
    assert (printed, code) == ("", Exit.UNREACHABLE)
    assert line.startswith("trade-executor has restarted since it was told")
    assert line.endswith("run `unrip halt --revoke` again")
    assert "\n" not in line


def test_every_failure_is_in_the_line(run: Any) -> None:
    _printed, code, line = run(Services(away=("strategy-engine",), shown=()))
    assert (code, line) == (
        Exit.UNREACHABLE,
        "strategy-engine does not answer; trade-executor does not answer any more",
    )


@pytest.mark.parametrize(
    ("left", "code"), [({}, Exit.OK), ({"unknown": 1}, Exit.NO), ({"waits_for_ledger": 1}, Exit.NO)]
)
def test_both_told_the_exit_code_says_whether_every_end_is_known(run: Any, left: dict[str, int], code: Exit) -> None:
    printed, ended, line = run(Services(shown=({**REPORT, **left},)), "--json", "--wait", "0")
    assert (json.loads(printed), ended, line) == ({**REPORT, **left}, code, "")
