"""Secrets live in files that only their owner can read (R16); nothing here ever repeats what a file holds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: Keys and tokens are short; a longer file is not what it was taken for.
SECRET_BYTES_MAX = 16_384


class SecretFileError(Exception):
    """A secret cannot be read; the message names the file and the remedy on one line, never the content."""


def read_secret(path: Path) -> str:
    """The one line a secret file holds, without surrounding blanks.

    Read again before each use, so that a rotated secret needs no restart.

    Raises:
        SecretFileError: the file is missing, unreadable, open to others, empty, too long or not one line of ASCII.

    """
    try:
        with path.open("rb") as file:
            _refuse_open_permissions(path, file.fileno())
            content = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise SecretFileError(f"secret file {path}: {error.strerror}") from None
    secret = content.strip()
    if not secret:
        raise SecretFileError(f"secret file {path} is empty: write it, or delete it where it is made at start")
    if len(content) > SECRET_BYTES_MAX or not secret.isascii() or len(secret.split()) != 1:
        raise SecretFileError(f"secret file {path} must hold exactly one line without blanks")
    return secret.decode("ascii")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all, and on the disk when this returns."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _refuse_open_permissions(path: Path, descriptor: int) -> None:
    """Judge the opened file itself, so that nothing can be exchanged between the check and the read."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise SecretFileError(f"secret file {path} is not a regular file")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SecretFileError(
            f"secret file {path} is open to others (mode {stat.S_IMODE(mode):04o}): run chmod 600 {path}"
        )
