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


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Hold a home for as long as the context, or until this process dies.

    Raises:
        AlreadyRunning: another process holds it.

    """
    home.create()
    try:
        file = os.open(_file(home), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise home.unusable(error) from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"{home.root} is in use by a running desk (process {holder(home)}): stop it with `unrip down`"
            ) from None
        try:
            os.ftruncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        except OSError as error:
            raise home.unusable(error) from None
        yield
    finally:
        os.close(file)


def holder(home: Home) -> int | None:
    """The process that holds a home, None where nobody does."""
    try:
        file = os.open(_file(home), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.read(file, 20)
        return int(told) if told.isdigit() else None
    finally:
        os.close(file)
    return None


def stop_holder(home: Home, *, within_s: float) -> bool:
    """Tell the process that holds a home to stop, and wait; False where nobody holds it.

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
