"""Named places at which a test may kill the process, or stop it.

Each is an instant where a crash is dangerous. `UNRIP_TEST_CRASH_AT=executor.claimed` makes the process send itself
SIGKILL there: no handler runs and no buffer is flushed, as in a real crash. `UNRIP_TEST_STOP_AT` stops it there instead
(SIGSTOP), like a machine that is paused, until somebody lets it go on.
"""

from __future__ import annotations

import os
import signal

#: Every crash point of the product; a test fails when one of them is never hit.
CRASH_POINTS = frozenset(
    {
        "strategy.decision_acknowledged",
        "executor.signed",
        "executor.claimed",
        "executor.sent",
        "executor.revoked",
        "executor.notice_received",
    }
)


def crash_point(name: str) -> None:
    """Die or stand still here if this run's environment names the point."""
    if name not in CRASH_POINTS:
        raise AssertionError(f"crash point {name!r} is not registered")
    if os.environ.get("UNRIP_TEST_CRASH_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("UNRIP_TEST_STOP_AT") == name:
        os.kill(os.getpid(), signal.SIGSTOP)
