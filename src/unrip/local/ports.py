"""Loopback ports, and a clear error when one that we need is taken."""

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
    """A port, who listens there, and the setting that changes it."""

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
    """Whether something accepts connections on a loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def answers_yes(url: str) -> bool:
    """Whether a server on this machine answers a question about its health or readiness with yes."""
    answer = asked(url)
    return answer is not None and answer.is_success


def asked(url: str) -> httpx.Response | None:
    """The answer of a server on this machine; None where it does not answer."""
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
        return error.errno != errno.EADDRINUSE  # whoever wants to listen reports an address that does not exist
    return True
