"""Loopback ports for servers under test, which nobody else takes between the choice and the start."""

import random
import socket
from contextlib import suppress

from unrip.local.ports import LOOPBACK

#: Below the ports that Linux gives to outgoing connections and to servers that leave the choice to it
#: (`ip_local_port_range` begins at 32768): any of those may go to anybody at any time.
_RANGE = range(20_000, 32_000)
#: One socket per reserved port, held for as long as this process lives.
_reserved: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Reserve loopback ports that are free now, for this process; also against test runs beside it."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
        if len(ports) == count:
            return ports
        if _reserve(port):
            ports.append(port)
    raise AssertionError(f"no {count} free ports between {_RANGE.start} and {_RANGE.stop}")


def _reserve(port: int) -> bool:
    # A name in Linux' abstract namespace belongs to one process at a time, and ends with it.
    reservation = socket.socket(socket.AF_UNIX)
    with suppress(OSError), socket.socket() as probe:
        reservation.bind(f"\0unrip-test-port-{port}")
        probe.bind((LOOPBACK, port))
        _reserved.append(reservation)
        return True
    reservation.close()
    return False
