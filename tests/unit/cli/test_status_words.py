"""What `unrip status` says about a service that is not ready: the reason, and the words of whoever refused."""

from __future__ import annotations

import pytest

from unrip.cli import status


def shown(capsys: pytest.CaptureFixture[str], *, not_ready: list[str], why: dict[str, str]) -> str:
    state = {"active": False, "not_ready": not_ready, "why": why}
    status._print({"services": {"trade-executor": status._of_service(state)}, "retention_ms": {}})
    return capsys.readouterr().out


def test_the_words_of_who_refused_stand_beside_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    why = {"role_not_held": "PostgreSQL refuses writes"}
    out = shown(capsys, not_ready=["role_not_held", "recovering"], why=why)
    assert "not ready" in out
    assert "role_not_held (PostgreSQL refuses writes), recovering" in out
    assert "standby" not in out


def test_standby_is_who_waits_for_another_instance(capsys: pytest.CaptureFixture[str]) -> None:
    assert " standby " in shown(capsys, not_ready=["standby"], why={"standby": "another instance holds the lock"})
