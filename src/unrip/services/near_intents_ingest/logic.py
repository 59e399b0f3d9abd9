"""The ingest: every frame of the relay ends in exactly one class, and every quote of an active pair in two records."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta

from unrip.domain.pairs import Pair
from unrip.frame.contract import (
    Control,
    Count,
    Effect,
    Event,
    Log,
    Published,
    PublishFailed,
    TimerFired,
)
from unrip.frame.dead_letters import dead_letter_of_frame
from unrip.frame.logic import Logic
from unrip.net.events import FrameReceived, SocketClosed, SocketOpened
from unrip.services.near_intents_ingest.frame_counts import FrameClass, FrameCounts
from unrip.services.near_intents_ingest.pair_filter import PairFilter
from unrip.services.near_intents_ingest.records import VENUE, demand_record, raw_record
from unrip.services.near_intents_ingest.state import IngestState
from unrip.services.relay_link import RELAY, RelayLink
from unrip.venues.near_intents.relay import (
    QUOTE,
    QUOTE_STATUS,
    Malformed,
    QuoteRequested,
    RelaySession,
    Reply,
    StatusNotice,
    Stream,
    Subscribed,
    SubscriptionRefused,
    Unknown,
)

#: How many quotes are remembered, so that a repeated frame makes no second record.
SEEN_MAX = 10_000
#: How many records may lack an acknowledgement; beyond it the broker counts as away.
UNACKNOWLEDGED_MAX = 2_000
_LINES_APART = timedelta(seconds=1)


class NearIntentsIngest(Logic):
    """Pure logic of near-intents-ingest."""

    def __init__(
        self,
        *,
        pairs: tuple[Pair, ...],
        raw_cap_per_s: int,
        mute_after_ms: int,
        subscribe_again_ms: int,
        clock_ahead_max_ms: int = 250,
    ) -> None:
        self._clock_tolerance = timedelta(milliseconds=clock_ahead_max_ms)
        self._filter = PairFilter.of(pairs)
        self._session = RelaySession((self._filter.stream(), Stream(name=QUOTE_STATUS)))
        self._link = RelayLink(
            self._session, venue=VENUE, mute_after_ms=mute_after_ms, subscribe_again_ms=subscribe_again_ms
        )
        self._counts = FrameCounts(unacknowledged_max=UNACKNOWLEDGED_MAX)
        self._raw_cap_per_s = raw_cap_per_s
        self._raw_second: datetime | None = None
        self._raw_in_second = 0
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._unsaid_letters = 0
        self._letter_said_at: datetime | None = None
        kinds = ("router_legs", "repeated", "raw_outside_filter", "raw_studied", "raw_over_cap", "foreign_subscription")
        self._kinds = dict.fromkeys((*kinds, "other_token"), 0)

    # --- events ----------------------------------------------------------------------------------------------------

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in; see `frame/contract.py`."""
        match event:
            case FrameReceived():
                return self._on_frame(event, now)
            case Published():
                self._counts.acknowledged(event.token)
            case PublishFailed():
                return self._on_publish_failed(event)
            case SocketOpened():
                return self._link.opened(event, now)
            case SocketClosed():
                return self._link.closed(event, now)
            case TimerFired():
                return self._link.on_timer(event.name, now)
        return []

    def _on_frame(self, frame: FrameReceived, now: datetime) -> list[Effect]:
        self._counts.receive()
        if frame.text is None:
            return self._dead_letter(frame, "a binary frame that is not UTF-8 text", now)
        event = self._session.receive(frame.text)
        match event:
            case QuoteRequested():
                self._link.sign(now)
                return self._on_quote(event, frame, now)
            case StatusNotice():
                self._link.sign(now)
                return self._counted(FrameClass.STATUS)
            case Subscribed():
                # A new subscription is confirmed: silence is no fault, since perhaps nobody wanted our assets.
                self._link.sign(now)
                return self._counted(FrameClass.REPLY)
            case Reply():
                return self._counted(FrameClass.REPLY)
            case SubscriptionRefused():
                return [*self._counted(FrameClass.REPLY), self._refused_line(event)]
            case Unknown() | Malformed():
                return self._dead_letter(frame, event.reason, now)

    def _on_quote(self, quote: QuoteRequested, frame: FrameReceived, now: datetime) -> list[Effect]:
        matched = self._filter.match(quote.asset_in, quote.asset_out)
        if self._session.is_foreign(quote):
            self._kinds["foreign_subscription"] += 1
            return self._counted(FrameClass.FILTERED)
        if self.life.silent:
            return self._counted(FrameClass.FILTERED)
        if matched is None:
            self._kinds["other_token"] += self._filter.in_other_tokens(quote.asset_in, quote.asset_out)
            return [*self._counted(FrameClass.FILTERED), *self._raw_outside(quote, frame, now)]
        if quote.quote_id in self._seen:
            self._kinds["repeated"] += 1
            return self._counted(FrameClass.FILTERED)
        if self._broker_away:
            return self._counted(FrameClass.DROPPED)
        self._remember(quote.quote_id)
        self._kinds["router_legs"] += quote.router_leg
        pair, direction = matched
        decides = self._counts.await_record(f"demand/{quote.quote_id}", FrameClass.PUBLISHED)
        beside = self._counts.await_record(f"raw/{quote.quote_id}")
        return [
            # First: the strategy waits for it.
            demand_record(quote, pair, direction, frame, decides, self._clock_tolerance),
            raw_record(quote, pair.name, frame, beside),
            *self._counted(FrameClass.PUBLISHED),
        ]

    def _raw_outside(self, quote: QuoteRequested, frame: FrameReceived, now: datetime) -> list[Effect]:
        """Record quotes of other pairs, studied or not, as they came, up to a visible number per second."""
        if self._broker_away:
            return []
        if self._raw_second is None or now - self._raw_second >= timedelta(seconds=1):
            self._raw_second, self._raw_in_second = now, 0
        if self._raw_in_second >= self._raw_cap_per_s:
            self._kinds["raw_over_cap"] += 1
            return []
        self._raw_in_second += 1
        studied = self._filter.studied_pair(quote.asset_in, quote.asset_out)
        self._kinds["raw_studied" if studied else "raw_outside_filter"] += 1
        return [raw_record(quote, studied, frame, self._counts.await_record(f"raw/{quote.quote_id}"))]

    def _dead_letter(self, frame: FrameReceived, reason: str, now: datetime) -> list[Effect]:
        if self._broker_away:
            return [*self._counted(FrameClass.DROPPED), *self._invalid_line(reason, now)]
        letter = dead_letter_of_frame(frame, reason, tracked=True)
        self._counts.await_record(letter.event_id, FrameClass.DEAD_LETTER)
        return [
            letter,
            *self._counted(FrameClass.DEAD_LETTER),
            *self._invalid_line(reason, now),
        ]

    def _invalid_line(self, reason: str, now: datetime) -> list[Effect]:
        """Log at most one line per second; the next one has the number of those that got none."""
        if self._letter_said_at is not None and now - self._letter_said_at < _LINES_APART:
            self._unsaid_letters += 1
            return []
        body = {"reason": reason, "more_before": self._unsaid_letters}
        self._letter_said_at, self._unsaid_letters = now, 0
        return [Log(event="invalid_message", level="warning", component=RELAY, venue=VENUE, body=body)]

    def _on_publish_failed(self, event: PublishFailed) -> list[Effect]:
        """Give the record up: it is unknown whether the broker has it, and the quote may be published again."""
        if not self._counts.failed(event.token):
            return []
        self._seen.pop(event.token.removeprefix("demand/"), None)
        return [Count(name="relay_frames_unacknowledged")]

    @staticmethod
    def _refused_line(event: SubscriptionRefused) -> Log:
        body = {"stream": event.stream, "code": event.code, "text": event.text}
        return Log(event="subscription_refused", level="error", component=RELAY, venue=VENUE, body=body)

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Take an operator's action in."""
        if control.action == "pair-filter":
            self._filter = self._filter.changed(control.arguments)
            return self._link.subscribe((self._filter.stream(),), now)
        return super().act(control, now)

    # --- helpers ---------------------------------------------------------------------------------------------------

    @property
    def _broker_away(self) -> bool:
        return not self.life.bus_up or self._counts.full

    def _remember(self, quote_id: str) -> None:
        self._seen[quote_id] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)

    def _counted(self, kind: FrameClass) -> list[Effect]:
        self._counts.count(kind)
        return [Count(name="relay_frames", labels={"class": kind.value})]

    # --- answers ---------------------------------------------------------------------------------------------------

    def state(self, now: datetime) -> IngestState:
        """Pair filter, connection, frames by class and their sum."""
        del now
        return IngestState(
            paused=self.life.paused,
            connection=self._link.state(),
            subscriptions=dict(self._session.subscriptions),
            pair_filter=self._filter.state(),
            frames=self._counts.state(),
            quotes={**self._kinds, "raw_cap_per_s": self._raw_cap_per_s},
        )

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """Why no demand can come through."""
        del now
        reasons = self._link.not_ready()
        if self._link.up and QUOTE not in self._session.subscriptions:
            reasons.append("relay_not_subscribed")
        return reasons

    def controlled(self, now: datetime) -> dict[str, str]:
        """The filter."""
        del now
        return {"pair_filter": self._filter.control_state()}

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        """What an action would change."""
        if control.action == "pair-filter":
            return {"pair_filter": self._filter.changed(control.arguments).control_state()}
        return super().follow(control, now)

    def idle(self) -> bool:
        """Whether every record is acknowledged or given up."""
        return self._counts.idle
