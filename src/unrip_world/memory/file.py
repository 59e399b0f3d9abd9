"""The file in which a world remembers itself: one line for each commit, with a checksum.

A line is in the file before anybody is told what it says, so a killed process forgets nothing that it told. The kernel
keeps what was written when a process dies; after a power cut the last lines may be missing or torn, and what is torn
was told to nobody who is still there. Anything else that does not read is damage, and refused.
"""

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zlib import crc32

#: Part, key and body of one thing that is remembered; None instead of a body forgets it.
Row = tuple[str, str, Any]
Rows = dict[str, dict[str, Any]]

#: The file is written anew once it has grown by this much, or by its own size where that is more.
GROWTH_BYTES = 16 << 20
_REMEDY = "restore a copy of it, or begin with an empty home, because a desk that remembers this world trusts no other"


class MemoryFileError(Exception):
    """The file cannot be used; the text is one line that names the file, the reason and the remedy."""


class MemoryFile:
    """One world's file, held by one process."""

    def __init__(self, path: Path, *, growth_bytes: int = GROWTH_BYTES) -> None:
        self.path, self._growth = path, growth_bytes
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise self.refusal("another world runs on this file: stop it first") from error
        except OSError as error:
            raise self.refusal(f"cannot be used: {error.strerror}") from error
        self._file: int | None = None
        self._failure: MemoryFileError | None = None
        self._size = self._rewrite_at = 0

    def refusal(self, problem: str) -> MemoryFileError:
        """Make the error of this file; damage comes with its remedy."""
        remedy = f": {_REMEDY}" if problem.startswith("damaged") else ""
        return MemoryFileError(f"memory_file {self.path}: {problem}{remedy}")

    def read(self) -> Rows | None:
        """Give everything that is remembered, or None where there is no file yet; raises MemoryFileError."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.refusal(f"cannot be read: {error.strerror}") from error
        *lines, torn = content.split(b"\n")
        rows: Rows = {}
        for number, line in enumerate(lines, start=1):
            for part, key, body in self._checked(line, number):
                if body is None:
                    rows.get(part, {}).pop(key, None)
                else:
                    rows.setdefault(part, {})[key] = body
        if not lines:
            raise self.refusal("damaged: it holds no whole line")
        self._open(len(content) - len(torn))
        return rows

    def _checked(self, line: bytes, number: int) -> list[Row]:
        sum_text, _, text = line.partition(b" ")
        if sum_text != _checksum(text):
            raise self.refusal(f"damaged at line {number}")
        rows: list[Row] = json.loads(text)
        return rows

    def _open(self, size: int) -> None:
        """Go on writing at this size; what was torn behind it goes."""
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.ftruncate(self._file, size)
        except OSError as error:
            raise self.refusal(f"cannot be written: {error.strerror}") from error
        self._size, self._rewrite_at = size, size + max(size, self._growth)

    def append(self, rows: Iterable[Row]) -> None:
        """Remember a commit: all of it or nothing; raises MemoryFileError."""
        if self._failure is not None:
            raise self._failure
        line = _line(rows)
        try:
            _write(self._file, line)
        except OSError as error:
            # What came before is whole; nothing follows what is torn, and nobody is told anything any more.
            self._failure = self.refusal(f"cannot be written: {error.strerror}")
            raise self._failure from error
        self._size += len(line)

    def release(self) -> None:
        """Let another world have the file."""
        os.close(self._lock)
        if self._file is not None:
            os.close(self._file)

    @property
    def is_due(self) -> bool:
        """Whether the file is to be written anew, without what is forgotten."""
        return self._file is None or self._size > self._rewrite_at

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Put everything that is remembered now into a new file, whole or not at all; raises MemoryFileError."""
        draft = self.path.with_name(f"{self.path.name}.draft")
        try:
            file = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                size = sum(_write(file, _line([row])) for row in rows)
                os.fsync(file)
            finally:
                os.close(file)
            draft.replace(self.path)
        except OSError as error:
            raise self.refusal(f"cannot be written: {error.strerror}") from error
        if self._file is not None:
            os.close(self._file)
        self._open(size)


def _line(rows: Iterable[Row]) -> bytes:
    text = json.dumps(list(rows), separators=(",", ":")).encode()
    return _checksum(text) + b" " + text + b"\n"


def _checksum(text: bytes) -> bytes:
    return b"%08x" % crc32(text)


def _write(file: int | None, line: bytes) -> int:
    assert file is not None  # noqa: S101  (read or rewrite came first)
    written = 0
    while written < len(line):
        written += os.write(file, line[written:])
    return written
