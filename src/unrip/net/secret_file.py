"""Secrets live in files that only their owner can read (R16); nothing here ever repeats what a file holds.

A secret that is mounted read-only may be root's instead and readable by our group: nobody but root can change it, and
root decides who is in our group.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: The size of a secret file: keys and tokens are short, and a longer file is not one.
SECRET_BYTES_MAX = 16_384

#: The permissions of a mounted secret: its owner and its group may read it, and nobody may write it.
MOUNTED_MODE = 0o440


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
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileError(f"secret file {path} is not a regular file")
    mode = stat.S_IMODE(status.st_mode)
    read_only = bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)
    if not mode & (stat.S_IRWXG | stat.S_IRWXO) or (read_only and _is_mounted_for_us(status)):
        return
    remedy = "mount it with mode 0440, owner root and a group of ours" if read_only else f"run chmod 600 {path}"
    raise SecretFileError(f"secret file {path} is open to others (mode {mode:04o}): {remedy}")


def _is_mounted_for_us(status: os.stat_result) -> bool:
    """Whether root gives the file to our group, as Kubernetes mounts a secret for an account that does not own it."""
    return (
        stat.S_IMODE(status.st_mode) == MOUNTED_MODE
        and status.st_uid == 0
        and status.st_gid in {os.getegid(), *os.getgroups()}
    )
