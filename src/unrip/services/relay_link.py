"""The connection to the relay, kept subscribed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from unrip.frame.contract import Effect, SetTimer
from unrip.frame.link import LINK_LOGS, Link, LinkState
from unrip.net.events import SocketClosed, SocketOpened
from unrip.venues.near_intents.relay import RelaySession, Stream

#: The name of a service's connection to the relay.
RELAY = "relay"
_CONFIRM_TIMER = "resubscribe"

#: What is logged of a connection to the relay, with its meaning.
RELAY_LOGS = {
    **LINK_LOGS,
    "subscription_refused": "the relay will not deliver a stream; see its text",
}


class RelayLink:
    """One relay session over one connection.

    What arrives shows that the connection carries something, not that every stream is confirmed on it: the relay may
    have heard the request and its reply be lost. After `subscribe_again_ms` an unconfirmed stream is therefore asked
    for again, whatever else is heard, and whether it was refused or nothing was said. One `quote` subscription per
    connection: subscribing again replaces it (protocol/message-bus section 4).
    """

    def __init__(self, session: RelaySession, *, venue: str, mute_after_ms: int, subscribe_again_ms: int) -> None:
        self._session = session
        self._subscribe_again_after = timedelta(milliseconds=subscribe_again_ms)
        self._link = Link(
            RELAY,
            venue=venue,
            mute_after_ms=mute_after_ms,
            resubscribe=lambda now: self.subscribe(session.streams, now),
        )
        #: The names of the timers that this link needs back through `on_timer`.
        self.timers = frozenset({self._link.timer, _CONFIRM_TIMER})

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._link.up

    @property
    def unconfirmed(self) -> tuple[Stream, ...]:
        """The streams that the relay has not confirmed on this connection."""
        return tuple(stream for stream in self._session.streams if stream.name not in self._session.subscriptions)

    def opened(self, event: SocketOpened, now: datetime) -> list[Effect]:
        """A new connection: subscribe again. Numbers of the earlier one's subscriptions are void."""
        opened = self._link.opened(event, now)
        return [*self.ask(self._session.opened(), now), *opened]

    def closed(self, event: SocketClosed, now: datetime) -> list[Effect]:
        """The connection is gone; the socket tries again by itself."""
        self._session.subscriptions.clear()
        return self._link.closed(event, now)

    def subscribe(self, streams: tuple[Stream, ...], now: datetime) -> list[Effect]:
        """Ask for these streams anew; without a connection they wait for the next one."""
        return self.ask(self._session.resubscribe(streams), now)

    def ask(self, frames: Sequence[str], now: datetime) -> list[Effect]:
        """Send subscriptions, and look later whether they are confirmed."""
        if not self.up:
            return []
        return [*self._link.send(frames), SetTimer(name=_CONFIRM_TIMER, at=now + self._subscribe_again_after)]

    def sign(self, now: datetime) -> None:
        """Something of value arrived."""
        self._link.sign(now)

    def on_timer(self, name: str, now: datetime) -> list[Effect]:
        """Judge the silence, or ask for what is not confirmed."""
        if name == self._link.timer:
            return self._link.on_timer(now)
        return self.subscribe(self.unconfirmed, now) if self.unconfirmed else []

    def not_ready(self) -> list[str]:
        """Why nothing can come over it, see `Link.not_ready`; which streams matter is for the service to say."""
        return self._link.not_ready()

    def state(self) -> LinkState:
        """For `GET /state`."""
        return self._link.state()
