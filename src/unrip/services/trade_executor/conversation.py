"""The executor's side of the relay's dialect: answers out, replies and settlement notices in."""

from __future__ import annotations

from typing import Any

from unrip.domain.attempt import Offer
from unrip.domain.values import derived_id
from unrip.messages.payloads import RawQuoteStatus
from unrip.messages.topics import RAW_QUOTE_STATUS
from unrip.net.events import FrameReceived, SendFrame
from unrip.service.contract import Count, Effect, Log, Publish
from unrip.service.dead_letters import dead_letter_of_frame
from unrip.venues.near_intents.relay import (
    ACKNOWLEDGE,
    Malformed,
    RelayEvent,
    RelaySession,
    Reply,
    StatusNotice,
    SubscriptionRefused,
    Unknown,
)

#: The name of the executor's connection.
RELAY = "relay"


class Conversation:
    """One relay session; frames that say nothing to an executor are counted and forgotten."""

    def __init__(self, session: RelaySession) -> None:
        self._session = session

    def opened(self) -> list[Effect]:
        """A new connection: subscribe again."""
        return [SendFrame(connection=RELAY, text=frame) for frame in self._session.opened()]

    def answer(self, offer: Offer) -> str:
        """The frame that answers a quote; the reply will name the command."""
        return self._session.quote_response(offer.signed_payload, name=offer.command_id)

    def heard(self, frame: FrameReceived) -> tuple[Reply | StatusNotice | None, list[Effect]]:
        """What a frame says to us, and what is to be told about it."""
        if frame.text is None:
            return None, _unreadable(frame, "a binary frame that is not UTF-8 text")
        said = self._session.receive(frame.text)
        match said:
            case Reply(request=None):
                return None, [Count(name="relay_frames", labels={"kind": "unmatched_reply"})]
            case Reply(request=request) if request == ACKNOWLEDGE:
                # A refused one is no loss: the notice comes again.
                return None, [Count(name="acknowledgements", labels={"outcome": "taken" if said.ok else "refused"})]
            case Reply() | StatusNotice():
                return said, []
            case Malformed():
                return None, [*_unreadable(frame, said.reason), *self._not_again(frame.text)]
            case SubscriptionRefused():
                return None, self._refused(said)
            case Unknown():
                return None, [_counted(said), *self._not_again(frame.text)]
        return None, [_counted(said)]

    def acknowledge(self, notice: StatusNotice) -> list[Effect]:
        """Everything that a notice caused is committed; nothing to do for one that is not repeated."""
        return _sent(self._session.acknowledge(notice))

    def _not_again(self, frame: str) -> list[Effect]:
        """What cannot be understood now will not be understood when it is repeated."""
        return _sent(self._session.acknowledge_unread(frame))

    def _refused(self, said: SubscriptionRefused) -> list[Effect]:
        """Without its guarantee a stream is still worth having; the next connection asks for the guarantee again."""
        body = {"stream": said.stream, "code": said.code, "text": said.text}
        if not said.guaranteed:
            return [_line("subscription_refused", "error", body)]
        plain = self._session.without_guarantee(said.stream)
        return [
            Count(name="guarantees_refused"),
            _line("guarantee_refused", "warning", body),
            *(SendFrame(connection=RELAY, text=frame) for frame in plain),
        ]

    @staticmethod
    def record(notice: StatusNotice, frame: FrameReceived, offer: Offer) -> Publish:
        """A settlement notice for one of our hashes, as received; its fate is awaited where the relay waits for it.

        A notice that is told again, for example after a restart, is another observation, with another frame and time.
        """
        return Publish(
            topic=RAW_QUOTE_STATUS,
            event_id=derived_id("quote_status", notice_id(notice), frame.received_at.isoformat()),
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
            token=None if notice.seq is None else notice_id(notice),
        )


def notice_id(notice: StatusNotice) -> str:
    """What a notice says, the same however often it is told."""
    return derived_id("notice", notice.quote_hash, notice.tx_hash or "")


def _unreadable(frame: FrameReceived, reason: str) -> list[Effect]:
    return [
        Count(name="relay_frames", labels={"kind": "malformed"}),
        _line("invalid_message", "warning", {"reason": reason}),
        dead_letter_of_frame(frame, reason),
    ]


def _sent(frame: str | None) -> list[Effect]:
    return [] if frame is None else [SendFrame(connection=RELAY, text=frame)]


def _counted(said: RelayEvent) -> Count:
    return Count(name="relay_frames", labels={"kind": type(said).__name__})


def _line(event: str, level: str, body: dict[str, Any]) -> Log:
    return Log(event=event, level=level, component="relay", venue="near_intents", body=body)
