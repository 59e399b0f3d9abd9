"""The state of one socket: its changes are logged once, and a silent connection is given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from unrip.domain.values import Value
from unrip.frame.contract import Count, Effect, Log, SetTimer
from unrip.net.events import CloseSocket, SendFrame, SocketClosed, SocketOpened
from unrip.net.reconnect import BACKOFFS, Cause

_REMEDY = "put a valid token into the token file; where the relay allows one connection per token, use two tokens"

#: What is logged of every connection, with its meaning.
LINK_LOGS = {
    "connection_lost": "a connection to a venue or source ended, or could not be opened",
    "connection_unauthorized": "a connection is refused for its token, or the token cannot be read: a person must act",
    "connection_recovered": "a connection is open again",
}


class LinkState(Value):
    """A connection, for `GET /state`."""

    up: bool
    #: When it was opened, or found lost.
    changed_at: datetime | None
    connections: int
    last_sign_at: datetime | None
    last_close_reason: str | None
    #: Why the last connection ended or the last attempt failed; null while it is up.
    cause: Cause | None


class Link:
    """One named connection, as a logic sees it.

    Own pings show that a connection lives; whether it still carries anything shows only in what arrives. After
    `mute_after_ms` without a sign the subscriptions are made again, after as long again the connection is given up.
    """

    def __init__(
        self, name: str, *, venue: str, mute_after_ms: int, resubscribe: Callable[[datetime], Sequence[Effect]]
    ) -> None:
        self.name = name
        self.up = False
        #: Why the last connection ended or the last attempt failed, None while it is up.
        self.cause: Cause | None = None
        self._venue = venue
        self._mute_after = timedelta(milliseconds=mute_after_ms)
        self._resubscribe = resubscribe
        self._lost = False
        self._person_asked = False
        self._changed_at: datetime | None = None
        self._last_reason: str | None = None
        self._connections = 0
        self._last_sign_at: datetime | None = None
        self._asked_again = False

    @property
    def timer(self) -> str:
        """The name of the timer that this link needs back through `on_timer`."""
        return f"{self.name}-mute"

    def opened(self, event: SocketOpened, now: datetime) -> list[Effect]:
        """Note that the connection is open, and begin to listen for signs of life."""
        del event
        self.up, self.cause, self._changed_at = True, None, now
        self._person_asked = False
        self._connections += 1
        self._last_sign_at, self._asked_again = now, False
        told = [self._line("connection_recovered", "info", {})] if self._lost else []
        self._lost = False
        return [*told, SetTimer(name=self.timer, at=now + self._mute_after)]

    def closed(self, event: SocketClosed, now: datetime) -> list[Effect]:
        """Log once that the connection is lost, and once that only a person helps; the socket tries again by itself."""
        self.up, self.cause, self._last_reason = False, event.cause, event.reason
        body = {"cause": event.cause, "reason": event.reason, "http_status": event.http_status}
        effects: list[Effect] = []
        if not self._lost:
            self._lost, self._changed_at = True, now
            effects.append(self._line("connection_lost", "warning", body))
        if BACKOFFS[event.cause].needs_a_person and not self._person_asked:
            self._person_asked = True
            effects.append(self._line("connection_unauthorized", "error", {**body, "remedy": _REMEDY}))
        return effects

    def not_ready(self) -> list[str]:
        """Why nothing can come over it: `NAME_disconnected`, or `NAME_unauthorized` where a person must act."""
        if self.up:
            return []
        unauthorized = self.cause is not None and BACKOFFS[self.cause].needs_a_person
        return [f"{self.name}_unauthorized" if unauthorized else f"{self.name}_disconnected"]

    def send(self, frames: Sequence[str]) -> list[SendFrame]:
        """The effects that send these frames; none without a connection, since opening it subscribes anew."""
        return [SendFrame(connection=self.name, text=frame) for frame in frames] if self.up else []

    def sign(self, now: datetime) -> None:
        """Something of value arrived."""
        self._last_sign_at, self._asked_again = now, False

    def on_timer(self, now: datetime) -> list[Effect]:
        """Judge the silence."""
        if not self.up or self._last_sign_at is None:
            return []
        due = self._last_sign_at + self._mute_after * (2 if self._asked_again else 1)
        if now < due:
            return [SetTimer(name=self.timer, at=due)]
        if self._asked_again:
            return [
                Count(name="mute_connections", labels={"connection": self.name, "remedy": "reconnect"}),
                CloseSocket(connection=self.name, reason="mute"),
            ]
        self._asked_again = True
        return [
            Count(name="mute_connections", labels={"connection": self.name, "remedy": "resubscribe"}),
            *self._resubscribe(now),
            SetTimer(name=self.timer, at=self._last_sign_at + self._mute_after * 2),
        ]

    def state(self) -> LinkState:
        """For `GET /state`."""
        return LinkState(
            up=self.up,
            changed_at=self._changed_at,
            connections=self._connections,
            last_sign_at=self._last_sign_at,
            last_close_reason=self._last_reason,
            cause=self.cause,
        )

    def _line(self, event: str, level: str, body: dict[str, Any]) -> Log:
        return Log(event=event, level=level, component=self.name, venue=self._venue, body=body)
