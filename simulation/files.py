"""The files that processes keep beside them: spools of control records, and the tokens of surviving leases."""

from __future__ import annotations

from pathlib import Path

#: What is cut off from the end of each.
_CUT_BYTES = 12
_ASIDE = ".aside"


class Files:
    """One folder of them, which can be lost, cut off, and closed to everybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lose(self) -> None:
        """All of them are gone."""
        for path in self._there():
            path.unlink()

    def cut_off(self) -> None:
        """The last bytes of each never reached the disk."""
        for path in self._there():
            path.write_bytes(path.read_bytes()[:-_CUT_BYTES])

    def block(self) -> None:
        """None can be read or written: a file stands where the folder was."""
        if self.folder.is_dir():
            self.folder.rename(self.folder.with_suffix(_ASIDE))
            self.folder.touch()

    def repair(self) -> None:
        """They can be again, and hold what they held."""
        aside = self.folder.with_suffix(_ASIDE)
        if aside.is_dir():
            self.folder.unlink()
            aside.rename(self.folder)

    def _there(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*") if path.is_file())
