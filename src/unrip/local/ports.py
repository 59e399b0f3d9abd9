"""Loopback ports, and a clear word when one that we need is taken."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from unrip.local.errors import PortBusy
from unrip.net.address import listen

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class PortNeed:
    """A port, who listens there, and the setting that moves it."""

    port: int
    program: str
    setting: str
    host: str = LOOPBACK


def require_free(needs: Iterable[PortNeed]) -> None:
    """Refuse to start over somebody else's port.

    Raises:
        PortBusy: names the port, who needs it and the setting to change.

    """
    for need in needs:
        if not _is_free(need.host, need.port):
            raise PortBusy(
                f"port {need.port} is busy and {need.program} needs it: stop what listens there, or set {need.setting}"
            )


def answers(port: int, *, timeout_s: float = 0.5) -> bool:
    """Say whether something accepts connections on a loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def says_well(url: str) -> bool:
    """Say whether a server on this machine answers this question about its health or readiness with yes."""
    told = asked(url)
    return told is not None and told.is_success


def asked(url: str) -> httpx.Response | None:
    """What a server on this machine answers, None where it does not."""
    try:
        # No environment variable sends what stays on this machine to a proxy.
        return httpx.get(url, timeout=1.0, trust_env=False)
    except httpx.TransportError:
        return None


def _is_free(host: str, port: int) -> bool:
    # As our servers listen: a connection of a server that just stopped (TIME_WAIT) is no reason to refuse.
    try:
        listen(host, port).close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE  # an address that is not there is told by who wants to listen on it
    return True
