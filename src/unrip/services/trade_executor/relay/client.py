"""The executor's side of the relay's dialect: answers out, replies and settlement notices in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from unrip.domain.attempt import Offer
from unrip.domain.values import derived_id
from unrip.frame.contract import Count, Effect, Log, Publish, Published, PublishFailed
from unrip.frame.dead_letters import dead_letter_of_frame
from unrip.messages.payloads import RawQuoteStatus
from unrip.messages.topics import RAW_QUOTE_STATUS
from unrip.net.events import FrameReceived, SendFrame, SocketClosed, SocketOpened
from unrip.services.relay_link import RELAY, RelayLink
from unrip.services.trade_executor.state import RelayState
from unrip.venues.near_intents.relay import (
    ACKNOWLEDGE,
    Malformed,
    QuoteRequested,
    RelaySession,
    Reply,
    StatusNotice,
    Subscribed,
    SubscriptionRefused,
    Unknown,
)


class RelayClient:
    """One relay session over one connection. Quote requests are counted and forgotten: another service decides them."""

    def __init__(self, session: RelaySession, *, mute_after_ms: int, subscribe_again_ms: int) -> None:
        self._session = session
        self._link = RelayLink(
            session, venue="near_intents", mute_after_ms=mute_after_ms, subscribe_again_ms=subscribe_again_ms
        )
        self.timers = self._link.timers
        #: Frames that cannot be read, by the tokens of their dead letters.
        self._unread: dict[str, str] = {}
        #: Whether repeated notices are ours to acknowledge; without the role they are another instance's.
        self.acknowledges = True

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._link.up

    def not_ready(self) -> list[str]:
        """Why no answer may go out: no connection, or a stream that is not confirmed on it."""
        return self._link.not_ready() or (["relay_not_subscribed"] if self._link.unconfirmed else [])

    def state(self) -> RelayState:
        """For `GET /state`."""
        link = msgspec.structs.asdict(self._link.state())
        return RelayState(**link, subscriptions=dict(self._session.subscriptions))

    def opened(self, event: SocketOpened, now: datetime) -> list[Effect]:
        """A new connection: subscribe again. Numbers of the earlier one's subscriptions are void."""
        self._unread.clear()
        return self._link.opened(event, now)

    def closed(self, event: SocketClosed, now: datetime) -> list[Effect]:
        """The connection is gone; the socket tries again by itself."""
        return self._link.closed(event, now)

    def on_timer(self, name: str, now: datetime) -> list[Effect]:
        """Judge the silence, or ask for what is not confirmed."""
        return self._link.on_timer(name, now)

    def answer(self, offer: Offer) -> str:
        """The frame that answers a quote; the reply will name the command."""
        return self._session.quote_response(offer.signed_payload, name=offer.command_id)

    def heard(self, frame: FrameReceived, now: datetime) -> tuple[Reply | StatusNotice | None, list[Effect]]:
        """Read a frame: its event for us, and the effects that report it."""
        if frame.text is None:
            return None, self._unreadable(frame, "a binary frame that is not UTF-8 text")
        said = self._session.receive(frame.text)
        if not isinstance(said, Malformed):
            # A reply counts, too: with a narrow filter and a queue of our own notices, silence is no fault.
            self._link.sign(now)
        match said:
            case Reply(request=None):
                return None, [Count(name="relay_frames", labels={"kind": "unmatched_reply"})]
            case Reply(request=request) if request == ACKNOWLEDGE:
                # A refused one is no loss: the notice comes again.
                return None, [Count(name="acknowledgements", labels={"outcome": "taken" if said.ok else "refused"})]
            case Reply() | StatusNotice():
                return said, []
            case Malformed() | Unknown():
                return None, self._unreadable(frame, said.reason)
            case SubscriptionRefused():
                return None, self._refused(said, now)
            case Subscribed() | QuoteRequested():
                return None, [Count(name="relay_frames", labels={"kind": type(said).__name__})]

    def acknowledge(self, notice: StatusNotice) -> list[Effect]:
        """Acknowledge a notice, everything it caused being committed; nothing to do for one that is not repeated."""
        return _sent(self._session.acknowledge(notice)) if self.acknowledges else []

    def on_record(self, event: Published | PublishFailed) -> list[Effect]:
        """The fate of a dead letter: once it is kept, its frame need not come again.

        What cannot be understood now will not be understood when it is repeated, and left unacknowledged, 256 of them
        would block the queue. Where the broker did not take the letter, the frame comes again and makes another.
        """
        frame = self._unread.pop(event.token, None)
        if frame is None or isinstance(event, PublishFailed) or not self.acknowledges:
            return []
        return _sent(self._session.acknowledge_unread(frame))

    def _unreadable(self, frame: FrameReceived, reason: str) -> list[Effect]:
        letter = dead_letter_of_frame(frame, reason, tracked=True)
        if letter.token is not None and frame.text is not None:
            self._unread[letter.token] = frame.text
        return [
            Count(name="relay_frames", labels={"kind": "unreadable"}),
            _line("invalid_message", "warning", {"reason": reason}),
            letter,
        ]

    def _refused(self, said: SubscriptionRefused, now: datetime) -> list[Effect]:
        """Subscribe without the guarantee, which is still worth having; the next connection asks for it again."""
        body = {"stream": said.stream, "code": said.code, "text": said.text}
        if not said.guaranteed:
            return [_line("subscription_refused", "error", body)]
        return [
            Count(name="guarantees_refused"),
            _line("guarantee_refused", "warning", body),
            *self._link.ask(self._session.without_guarantee(said.stream), now),
        ]

    @staticmethod
    def record(notice: StatusNotice, frame: FrameReceived, offer: Offer) -> Publish:
        """A settlement notice for one of our hashes, as received; its fate is awaited where the relay waits for it.

        Its token names the notice however often it is told, its id this receipt of it: told again to a later life,
        it is another record.
        """
        token = notice_id(notice)
        return Publish(
            topic=RAW_QUOTE_STATUS,
            event_id=derived_id("quote_status_record", token, frame.received_at.isoformat()),
            payload=RawQuoteStatus(
                quote_hash=notice.quote_hash,
                intent_hash=notice.intent_hash,
                tx_hash=notice.tx_hash,
                frame=frame.text or "",
                received_at=frame.received_at,
            ),
            observed_at=frame.received_at,
            correlation_id=offer.correlation_id,
            causation_id=offer.command_id,
            venue="near_intents",
            pair=offer.pair,
            token=None if notice.seq is None else token,
        )


def notice_id(notice: StatusNotice) -> str:
    """The name of a notice, the same for every delivery."""
    return derived_id("quote_status", notice.quote_hash, notice.tx_hash or "")


def _sent(frame: str | None) -> list[Effect]:
    return [] if frame is None else [SendFrame(connection=RELAY, text=frame)]


def _line(event: str, level: str, body: dict[str, Any]) -> Log:
    return Log(event=event, level=level, component="relay", venue="near_intents", body=body)
