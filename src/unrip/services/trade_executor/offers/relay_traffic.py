"""What goes out to the relay and what comes back: each answer once, its reply, and settlement notices.

The relay's replies and notices are recorded with an open offer; only evidence of a final block ends one
(`offers/book.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from unrip.domain.arming import Switches
from unrip.domain.attempt import AttemptState, Drop, Offer, VenueReply
from unrip.frame.contract import (
    STANDBY,
    Count,
    CrashPoint,
    Effect,
    Observe,
    Published,
    PublishFailed,
    SetTimer,
)
from unrip.net.events import FrameNotSent, FrameReceived, FrameSent, SendFrame, SocketClosed, SocketOpened
from unrip.services.relay_link import RELAY
from unrip.services.trade_executor.effects import ClaimOffer, CloseRelay, NoteAttempt, OfferFound, OpenRelay
from unrip.services.trade_executor.offers.book import Book
from unrip.services.trade_executor.offers.chain_watch import ChainWatch
from unrip.services.trade_executor.offers.nonce import Interest, LiveOffer
from unrip.services.trade_executor.relay.client import RelayClient
from unrip.services.trade_executor.report import ExecutionReport
from unrip.services.trade_executor.results import result_of_offer, stamped
from unrip.venues.near_intents.relay import Reply, StatusNotice

#: How long after the loss of the role the connection is given up.
_LEAVE_AFTER = timedelta(seconds=10)
LEAVE_TIMER = "leave_relay"


class RelayTraffic:
    """The answers and notices of open offers over our connection to the relay."""

    def __init__(
        self,
        client: RelayClient,
        book: Book,
        chain: ChainWatch,
        *,
        report: ExecutionReport,
        reply_bound: timedelta,
    ) -> None:
        self._client = client
        self._acknowledgements = book.acknowledgements
        self._book = book
        self._chain = chain
        self._report = report
        self._reply_bound = reply_bound
        #: Whether the role is not ours: whoever has it may send, drop and acknowledge what we know of.
        self._aside = True

    def without_role(self, why: str, now: datetime) -> list[Effect]:
        """Give the relay to another instance at once; where none is known, we may be back before anybody misses us.

        The key stays, so that a halt still works.
        """
        lost, self._aside, self._client.acknowledges = not self._aside, True, False
        if why == STANDBY:
            return [CloseRelay()]
        return [SetTimer(name=LEAVE_TIMER, at=now + _LEAVE_AFTER)] if lost else []

    def with_role(self) -> list[Effect]:
        """Keep the connection to the relay up, from now on or again."""
        back, self._aside, self._client.acknowledges = self._aside, False, True
        return [OpenRelay()] if back else []

    def on_leave_timer(self) -> list[Effect]:
        """Give the relay up: a role that stays lost for this long may be another's, and so may its notices."""
        return [CloseRelay()] if self._aside else []

    def not_ready(self) -> list[str]:
        """Why no offer may leave: the relay, or open offers that nobody has asked about since it was lost."""
        return [*(["recovering"] if self._chain.recovering else []), *self._client.not_ready()]

    # --- answers ---------------------------------------------------------------------------------------------------

    def send(self, claim: ClaimOffer, now: datetime, *, ends_at: datetime, switches: Switches) -> list[Effect]:
        """Send the bytes of an offer whose claim is committed, unless something forbids it by now.

        `ends_at` is when the claim ended by the clock that is never set. Where the wall clock was set back meanwhile,
        the window closes so much earlier by it.
        """
        lag = max(timedelta(0), ends_at - now)
        live = self._book.follow(claim.offer, claim.lineage)
        # A reading of the ledger in between knows less of it than we do.
        live.lineage, live.before = stamped(claim.lineage, "claimed", now), self._chain.reading
        if self._aside:  # whoever has the role may send it, so it is not ours to drop: it waits for evidence
            return [CrashPoint(name="executor.claimed")]
        if (reason := given_up(claim.offer, now + lag, switches, ready=not self.not_ready())) is not None:
            return [CrashPoint(name="executor.claimed"), *self._drop(live, reason, now)]
        live.awaits_reply, live.frame = True, self._client.answer(claim.offer)
        command_id = claim.offer.command_id
        return [
            CrashPoint(name="executor.claimed"),
            SendFrame(connection=RELAY, text=live.frame, token=command_id, not_after=claim.offer.answer_by - lag),
            SetTimer(name=f"reply:{command_id}", at=now + self._reply_bound),
        ]

    def on_frame_fate(self, event: FrameSent | FrameNotSent, now: datetime) -> list[Effect]:
        """Follow the bytes: they left, did not leave, or nobody knows."""
        live = self._book.offer(event.token)
        if live is None:
            return []
        if isinstance(event, FrameNotSent):
            return self._on_not_sent(live, event, now)
        left_ms = (live.offer.answer_by - event.sent_at) / timedelta(milliseconds=1)
        return [
            CrashPoint(name="executor.sent"),
            *self._note(live, AttemptState.SENT, event.sent_at, request=live.frame),
            *self._report.submitted(live.offer),
            Observe(name="window_left_when_sent", milliseconds=left_ms),
        ]

    def on_reply_timer(self, command_id: str, now: datetime) -> list[Effect]:
        """Note that no reply came in the time that the relay has for one."""
        live = self._book.offer(command_id)
        return [] if live is None or not live.awaits_reply else self._unanswered(live, "no_reply", now)

    def _on_not_sent(self, live: LiveOffer, event: FrameNotSent, now: datetime) -> list[Effect]:
        """Drop an offer of which no byte left; once another outcome is noted, only the chain ends it."""
        if not live.awaits_reply:
            return []
        if event.nothing_left and not self._aside:
            return self._drop(live, Drop.WINDOW_CLOSED if event.reason == "too_late" else Drop.SOCKET_GONE, now)
        return self._unanswered(live, "socket_gone", now)

    def _drop(self, live: LiveOffer, reason: Drop, now: datetime) -> list[Effect]:
        return self._book.drop(live, result_of_offer(live.offer, AttemptState.DROPPED, reason=reason), now)

    def _on_reply(self, reply: Reply, now: datetime) -> list[Effect]:
        live = self._book.offer(reply.request or "")
        if live is None or not live.awaits_reply:
            return [Count(name="relay_replies", labels={"outcome": "late"})]
        live.awaits_reply = False
        response = VenueReply(accepted=reply.ok, code=reply.code, text=reply.text, received_at=now)
        state = AttemptState.ACCEPTED if reply.ok else AttemptState.REFUSED
        self._report.answered(response)
        effects = self._note(live, state, now, response=response, reason=None if reply.ok else reply.text)
        if not reply.ok:
            effects += self._report.failed(live.offer, state, reply.text)
            effects += self._chain.on_refusal(reply.text, now)
        return [Count(name="relay_replies", labels={"outcome": state}), *effects]

    def _unanswered(self, live: LiveOffer, reason: str, now: datetime) -> list[Effect]:
        """Note that the reply never came: unknown, which is not no. The offer is followed like any other."""
        live.awaits_reply = False
        return [
            *self._note(live, AttemptState.UNANSWERED, now, reason=reason),
            *self._report.failed(live.offer, AttemptState.UNANSWERED, reason),
        ]

    def _note(
        self,
        live: LiveOffer,
        state: AttemptState,
        at: datetime,
        *,
        reason: str | None = None,
        request: str | None = None,
        response: VenueReply | None = None,
    ) -> list[Effect]:
        live.lineage = stamped(live.lineage, state, at)
        next_check_at = live.offer.offer_deadline
        result = result_of_offer(
            live.offer, state, reason=reason, request=request, response=response, next_check_at=next_check_at
        )
        return self._book.writes.push(NoteAttempt(result=result, lineage=live.lineage))

    # --- the connection --------------------------------------------------------------------------------------------

    def on_event(self, event: FrameReceived | SocketOpened | SocketClosed, now: datetime) -> list[Effect]:
        """Follow the connection, and what comes over it."""
        if isinstance(event, SocketOpened):
            self._acknowledgements.reconnected()
            asked = self._chain.ask_about_all(now)  # nothing is sent until every open offer was asked about
            return [*self._client.opened(event, now), *asked]
        if isinstance(event, SocketClosed):
            return self._on_closed(event, now)
        heard, effects = self._client.heard(event, now)
        match heard:
            case Reply():
                return [*effects, *self._on_reply(heard, now)]
            case StatusNotice():
                return [*effects, *self._on_notice(heard, event, now)]
        return effects

    def _on_closed(self, event: SocketClosed, now: datetime) -> list[Effect]:
        effects = self._client.closed(event, now)
        for live in self._book.offers():
            if live.awaits_reply and not live.closing:
                effects += self._unanswered(live, "socket_gone", now)
        return effects

    # --- notices ---------------------------------------------------------------------------------------------------

    def _on_notice(self, notice: StatusNotice, frame: FrameReceived, now: datetime) -> list[Effect]:
        """Take a settlement notice: a reason to ask the chain at once, never an end by itself."""
        book = self._book
        if self._aside or not book.loaded:  # it is not known whose it is, so a guaranteed one must come again
            return [Count(name="status_notices", labels={"whose": "unknown_yet"})]
        if (again := self._acknowledgements.again(notice)) is not None:
            return [Count(name="status_notices", labels={"whose": "ours_again"}), *again]
        live = book.by_quote_hash(notice.quote_hash)
        if live is None and not book.complete:  # the ledger may lack it, until all commands are read
            return [Count(name="status_notices", labels={"whose": "unknown_yet"})]
        if live is None:
            count = Count(name="status_notices", labels={"whose": "others_or_ended"})
            return [count, *self._acknowledgements.seek(notice, frame)]
        book.nonces[live.offer.nonce].ask(Interest.UNTIL_ENDED)
        record = self._client.record(notice, frame, live.offer)
        live.notices += self._acknowledgements.keep(notice, record)
        if notice.tx_hash is not None:
            live.name(notice.tx_hash)
        return [
            CrashPoint(name="executor.notice_received"),
            Count(name="status_notices", labels={"whose": "ours"}),
            record,
            *self._chain.read_fills(),
            *self._chain.ask(now),
        ]

    def on_record(self, event: Published | PublishFailed) -> list[Effect]:
        """Follow the record of a guaranteed notice, or the dead letter of a frame."""
        return [*self._acknowledgements.on_record(event), *self._client.on_record(event)]

    def on_found(self, event: OfferFound) -> list[Effect]:
        """Take the ledger's answer about a notice that is about no open offer."""
        return self._acknowledgements.found(event.quote_hash, event.offer)

    def idle(self) -> bool:
        """Whether every sent answer has its reply or its end, and every note is committed."""
        return self._book.writes.empty() and not any(live.awaits_reply for live in self._book.offers())


def given_up(offer: Offer, now: datetime, switches: Switches, *, ready: bool) -> Drop | None:
    """What forbids the first byte of an answer whose claim is committed; None where it may go.

    `ready`: the socket that it was claimed for is still the one there is, and may carry answers.
    """
    if switches.halted:
        return Drop.HALTED
    if offer.direction not in switches.armed_directions(now):
        return Drop.DISARMED
    if switches.paused:
        return Drop.PAUSED
    if now >= offer.answer_by:
        return Drop.WINDOW_CLOSED
    return None if ready else Drop.SOCKET_GONE
