"""The events of a socket for a service's logic, and the effects with which the logic uses it."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.values import Value
from unrip.net.reconnect import Cause


class SocketOpened(Value):
    """The handshake succeeded. Nothing of an earlier connection survives: subscribe again."""

    connection: str


class SocketClosed(Value):
    """The connection ended, or an attempt to open one failed; the socket tries again by itself."""

    connection: str
    cause: Cause
    reason: str
    #: The HTTP status of a refused handshake; None otherwise.
    http_status: int | None = None


class FrameReceived(Value):
    """One text frame. A binary frame that is UTF-8 counts as text; one that is not has `text` None."""

    connection: str
    text: str | None
    size_bytes: int
    received_at: datetime


class SendFrame(Value):
    """Effect: write one text frame. Exactly one of `FrameSent` and `FrameNotSent` follows if a token is given."""

    connection: str
    text: str
    #: Names the frame in the event that follows; None for frames whose fate is not awaited.
    token: str | None = None
    #: The instant after which the frame is not sent; it is checked again just before the bytes are written.
    not_after: datetime | None = None


class FrameSent(Value):
    """All bytes were handed to the operating system."""

    connection: str
    token: str
    sent_at: datetime


class FrameNotSent(Value):
    """The frame was not sent, or its fate is unknown."""

    connection: str
    token: str
    #: True only when no byte can have left; False means unknown, which is not no.
    nothing_left: bool
    #: `too_late` or `socket_gone`.
    reason: str


class CloseSocket(Value):
    """Effect: give up this connection (mute, poisoned) and open a new one."""

    connection: str
    reason: str
