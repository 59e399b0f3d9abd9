"""Who has a home: one living `unrip up`. What a killed one left running belongs to nobody, and the next one ends it."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unrip.local.errors import AlreadyRunning, LocalError
from unrip.local.paths import Home

_POLL_S = 0.1
_STOPPING = "stopping"


class Hold:
    """The file that names who has a home, while its process lives."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._write(str(os.getpid()))

    def stopping(self) -> None:
        """Announce that it will be free soon, so that the next one waits instead of being refused."""
        self._write(f"{os.getpid()} {_STOPPING}")

    def _write(self, text: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)


@contextmanager
def held(home: Home, *, stopped_within_s: float = 0) -> Iterator[Hold]:
    """Hold a home for as long as the context, or until this process dies; wait for one that is stopping.

    Raises:
        AlreadyRunning: another process holds it and does not stop.
        HomeUnusable: its file cannot be made.

    """
    home.create()
    try:
        file = os.open(_file(home), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise home.unusable(error) from None
    try:
        deadline = time.monotonic() + stopped_within_s
        while not _locked(file):
            process, *word = os.pread(file, 60, 0).decode().split() or ["unknown"]
            if word != [_STOPPING] or time.monotonic() > deadline:
                raise AlreadyRunning(
                    f"{home.root} is in use by a running desk (process {process}): stop it with `unrip down`"
                )
            time.sleep(_POLL_S)
        try:
            hold = Hold(file)
        except OSError as error:
            raise home.unusable(error) from None
        yield hold
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(home: Home) -> int | None:
    """The process that holds a home; None where nobody does."""
    try:
        file = os.open(_file(home), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        holder_id = [] if _locked(file) else os.pread(file, 60, 0).split()
        return int(holder_id[0]) if holder_id and holder_id[0].isdigit() else None
    finally:
        os.close(file)


def stop_holder(home: Home, *, within_s: float) -> bool:
    """Have the process that holds a home stop, and wait; False where nobody holds it.

    Raises:
        LocalError: it does not end in time.

    """
    process = holder(home)
    if process is None:
        return False
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while holder(home) == process:
        if time.monotonic() > deadline:
            raise LocalError(f"process {process}, which runs {home.root}, does not end within {within_s:g} s")
        time.sleep(_POLL_S)
    return True


def _file(home: Home) -> Path:
    return home.run / "up.lock"
