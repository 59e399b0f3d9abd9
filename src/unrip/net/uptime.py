"""A clock that is never set, with which adapters measure waiting; it goes on while the machine sleeps."""

from __future__ import annotations

import time

#: Where the system has no such clock, its monotonic one does the same (macOS).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime_s() -> float:
    """Seconds since the machine began."""
    return time.clock_gettime(_CLOCK)
