"""What the pure cores ask the servers to do."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Send one text frame on one socket."""

    service: str
    connection: int
    text: str
    #: Extra delay of this frame, beside the service's own `slow_ms`.
    delay_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Disconnect:
    """Close all sockets of a service, or one."""

    service: str
    connection: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """Answer an HTTP request that waited under this ticket."""

    ticket: int
    result: object


Effect = Send | Disconnect | Reply
