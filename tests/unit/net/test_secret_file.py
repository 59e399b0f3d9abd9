from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

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


@dataclass(frozen=True)
class Mounted:
    """How a secret lies there; as it stands here, it may be read."""

    mode: int = 0o440
    owner: int = 0
    group: int = 4_001
    our_group: int = 4_000
    our_other_groups: tuple[int, ...] = (4_001,)
    read_only: bool = True

    def apply(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The mode is real, and so are owner and group where we may give a file away. The mount is only told."""
        path.chmod(self.mode)
        if os.geteuid() == 0:
            os.chown(path, self.owner, self.group)
        else:
            real = os.fstat

            def fstat(descriptor: int) -> os.stat_result:
                mode, *others = real(descriptor)[:10]
                return os.stat_result((mode, *others[:3], self.owner, self.group, *others[5:]))

            monkeypatch.setattr(os, "fstat", fstat)
        flags = SimpleNamespace(f_flag=os.ST_RDONLY | os.ST_NODEV if self.read_only else os.ST_NODEV)
        monkeypatch.setattr(os, "fstatvfs", lambda _: flags)
        monkeypatch.setattr(os, "getegid", lambda: self.our_group)
        monkeypatch.setattr(os, "getgroups", lambda: list(self.our_other_groups))


@pytest.mark.parametrize(
    "mounted",
    [
        Mounted(),
        Mounted(our_group=4_001, our_other_groups=()),
        Mounted(mode=0o400, group=9),  # as on any file system
        Mounted(mode=0o600, owner=9, group=9, read_only=False),
    ],
)
def test_a_mounted_secret_may_be_readable_by_our_group(
    secret_file: Path, mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted.apply(secret_file, monkeypatch)
    assert read_secret(secret_file) == SECRET


MOUNT = "mount it with mode 0440, owner root and a group of ours"


@pytest.mark.parametrize(
    ("mounted", "remedy"),
    [
        (Mounted(read_only=False), "chmod 600"),
        (Mounted(owner=1), MOUNT),
        (Mounted(our_other_groups=()), MOUNT),
        *((Mounted(mode=mode), MOUNT) for mode in (0o444, 0o441, 0o450, 0o460, 0o640, 0o040, 0o404, 0o2440)),
    ],
)
def test_any_other_way_of_mounting_is_as_open_as_it_looks(
    secret_file: Path, mounted: Mounted, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted.apply(secret_file, monkeypatch)
    with pytest.raises(SecretFileError, match=f"is open to others .mode {mounted.mode:04o}.: .*{remedy}"):
        read_secret(secret_file)
