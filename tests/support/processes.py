"""Looking at real processes."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from unrip.local.paths import Home


def processes_of(home: Home) -> dict[int, str]:
    """Every live process that works in a home or was told of it, with its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # A process may end while we look at it; a zombie has neither a command line nor a folder.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if command and (str(home.root) in command or str((entry / "cwd").readlink()).startswith(str(home.root))):
                found[int(entry.name)] = command
    return found


def eventually(condition: Callable[[], bool], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
