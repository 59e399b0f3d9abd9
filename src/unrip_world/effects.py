"""What the pure cores ask the servers to do."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Send one text frame on one socket."""

    service: str
    connection: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Disconnect:
    """Close all sockets of a service, with a WebSocket close code and its reason."""

    service: str
    code: int = 1001
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """Answer an HTTP request that waited under this ticket."""

    ticket: int
    result: object


Effect = Send | Disconnect | Reply
