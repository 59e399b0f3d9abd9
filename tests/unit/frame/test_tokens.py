"""Control tokens: made once, readable by their owner only, compared and never shown."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from unrip.frame.settings import SettingsError
from unrip.frame.tokens import Access, Tokens, load_tokens


def files(folder: Path) -> dict[str, Path]:
    return {"read_file": folder / "secrets" / "read.token", "operator_file": folder / "secrets" / "operator.token"}


def test_both_are_made_at_first_start_for_their_owner_only(tmp_path: Path) -> None:
    load_tokens(**files(tmp_path))
    texts = [file.read_text().strip() for file in files(tmp_path).values()]
    assert all(len(text) >= 40 for text in texts)
    assert texts[0] != texts[1]
    for file in files(tmp_path).values():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == ["operator.token", "read.token"]


def test_a_second_start_reads_the_same(tmp_path: Path) -> None:
    load_tokens(**files(tmp_path))
    operator = files(tmp_path)["operator_file"].read_text().strip()
    again = load_tokens(**files(tmp_path))
    assert again.access_of(operator) is Access.OPERATOR


def test_what_a_token_allows() -> None:
    tokens = Tokens(read="r" * 43, operator="o" * 43)
    assert tokens.access_of("r" * 43) is Access.READ
    assert tokens.access_of("o" * 43) is Access.OPERATOR
    for wrong in (None, "", "r", "r" * 44, "R" * 43, "ö" * 43):
        assert tokens.access_of(wrong) is None
    assert "r" * 43 not in repr(tokens)
    assert "o" * 43 not in str(tokens)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o777])
def test_a_file_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    load_tokens(**files(tmp_path))
    file = files(tmp_path)["read_file"]
    file.chmod(mode)
    with pytest.raises(SettingsError, match=f"open to others .mode {mode:04o}.: run chmod 600 {file}"):
        load_tokens(**files(tmp_path))


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"", "is empty"), (b" \n\n", "is empty"), (b"\xff\xfe", "exactly one line")]
)
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    load_tokens(**files(tmp_path))
    files(tmp_path)["operator_file"].write_bytes(content)
    with pytest.raises(SettingsError, match=complaint) as refused:
        load_tokens(**files(tmp_path))
    assert "\n" not in str(refused.value)


def test_where_no_file_can_be_made_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be made: "):
        load_tokens(**files(tmp_path))


def test_a_draft_that_a_crash_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for number in range(3):
        (folder / f".read.token.{number}").write_text("half")
    assert load_tokens(**files(tmp_path))


def test_processes_that_start_together_agree_on_one_token(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from unrip.frame.tokens import load_tokens;"
        "folder = Path(sys.argv[1]); sys.stdin.readline();"
        "load_tokens(read_file=folder / 'r', operator_file=folder / 'o');"
        "print((folder / 'r').read_text(), (folder / 'o').read_text())"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "s")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    seen = [racer.communicate(timeout=60)[0] for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert len(set(seen)) == 1
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["o", "r"]
