"""What `unrip up` made itself is read under the rule of every secret, and a file that breaks it is one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unrip.cli.exits import Exit, one_line_errors
from unrip.local.keys import ensure_signing_key, ensure_token
from unrip.local.paths import Home
from unrip.local.postgres import PostgresServer
from unrip.net.secret_file import write_secret


def database_url(password: Path) -> str:
    return PostgresServer(home=Home(password.parents[1]), port=1).url()


@pytest.mark.parametrize("read", [ensure_signing_key, ensure_token, database_url])
def test_a_secret_of_ours_that_is_open_to_others_is_refused(
    tmp_path: Path, read: Callable[[Path], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "secrets" / "postgres-password"
    path.parent.mkdir()
    write_secret(path, "hunter2\n")
    path.chmod(0o644)
    with pytest.raises(SystemExit) as left, one_line_errors():
        read(path)
    told = capsys.readouterr().err
    assert left.value.code == Exit.USAGE
    assert told == f"unrip: secret file {path} is open to others (mode 0644): run chmod 600 {path}\n"


def test_a_private_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "postgres-password"
    path.parent.mkdir()
    write_secret(path, "hunter2\n")
    assert (ensure_token(path), database_url(path)) == ("hunter2", "postgresql://postgres:hunter2@127.0.0.1:1/unrip")
