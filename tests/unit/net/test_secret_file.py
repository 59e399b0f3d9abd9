from __future__ import annotations

from pathlib import Path

import pytest

from unrip.net.secret_file import SecretFileError, read_secret

SECRET = "eyJhbGciOi.throw-away.token"


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def test_a_private_file_is_read_without_its_line_end(secret_file: Path) -> None:
    assert read_secret(secret_file) == SECRET


def test_it_is_read_again_after_a_rotation(secret_file: Path) -> None:
    read_secret(secret_file)
    secret_file.write_text("another")
    assert read_secret(secret_file) == "another"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_open_to_others_is_refused_with_the_remedy(secret_file: Path, mode: int) -> None:
    secret_file.chmod(mode)
    with pytest.raises(SecretFileError, match="chmod 600"):
        read_secret(secret_file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError, match="gone: No such file"):
        read_secret(tmp_path / "gone")


@pytest.mark.parametrize("content", ["", "  \n", "two words", "two\nlines", "schlüssel", "x" * 20_000])
def test_a_strange_content_is_refused_and_never_repeated(secret_file: Path, content: str) -> None:
    secret_file.write_text(content)
    with pytest.raises(SecretFileError) as refusal:
        read_secret(secret_file)
    assert not content.strip() or content not in str(refusal.value)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretFileError):
        read_secret(tmp_path)
