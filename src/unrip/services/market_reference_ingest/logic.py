"""The reference price: on every change at a bounded rate, and at least once a second, so that silence is visible."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from unrip.domain.market import MarketPrice, PrimaryReading, SecondReading, SourceHealth, disagreement_of
from unrip.domain.pairs import Pair
from unrip.domain.policy import Policy
from unrip.domain.values import MONEY, age_ms
from unrip.feeds.kraken import (
    KrakenEvent,
    KrakenRejected,
    KrakenSession,
    KrakenStatus,
    KrakenTick,
    Malformed,
    TickRefused,
)
from unrip.frame.conflated import Conflated
from unrip.frame.contract import (
    BusChanged,
    CaughtUp,
    Control,
    Count,
    Effect,
    Event,
    Publish,
    Published,
    PublishFailed,
    RecordReceived,
    SetTimer,
    Started,
    Subscribe,
    TimerFired,
)
from unrip.frame.link import Link
from unrip.frame.logic import Logic
from unrip.messages.topics import MARKET_PRICE
from unrip.net.events import FrameReceived, SocketClosed, SocketOpened
from unrip.services.market_reference_ingest.contradiction import Contradiction, shown, takes_back
from unrip.services.market_reference_ingest.effects import (
    CoinGeckoRead,
    CoinGeckoUnread,
    KrakenRestRead,
    KrakenRestUnread,
    PollCoinGecko,
    PollKrakenRest,
)
from unrip.services.market_reference_ingest.jump import JumpGuard
from unrip.services.market_reference_ingest.peg import PegGuard
from unrip.services.market_reference_ingest.sources import Asking, CoinGecko, Kraken
from unrip.services.market_reference_ingest.state import ReferenceState

#: The name of the connection to Kraken.
KRAKEN = "kraken"
#: Ten records a second are more than any decision needs.
GAP_MIN = timedelta(milliseconds=100)
GAP_MAX = timedelta(seconds=1)
#: Two calls each time, price and state: together the one call a second that Kraken allows (sources/kraken section 9).
REST_INTERVAL = timedelta(seconds=2)
#: Kraken's socket says something at least every second, if only a heartbeat (sources/kraken section 4.4).
FED_WITHIN = timedelta(seconds=5)
#: CoinGecko is asked again this soon until it has answered once: without its word on the peg nothing is quoted. Its
#: own cache is as old (sources/coingecko section 6).
COINGECKO_AGAIN = timedelta(seconds=60)
#: A tick older than this is a reason to ask REST: half of what would make the price stale.
_REST_AFTER_PART = 2


class MarketReferenceIngest(Logic):
    """Pure logic of market-reference-ingest."""

    def __init__(
        self,
        *,
        pair: Pair,
        symbol: str,
        quote_asset_eur: Decimal,
        kraken_age_max_ms: int,
        coingecko_age_max_ms: int,
        coingecko_interval_s: int,
        peg: PegGuard,
        jump: JumpGuard,
        policy: Policy | None = None,
    ) -> None:
        self._pair = pair
        self._quote_asset_eur = quote_asset_eur
        self._session = KrakenSession(symbol)
        self._link = Link(
            KRAKEN, venue=KRAKEN, mute_after_ms=kraken_age_max_ms, resubscribe=lambda _now: self._subscribe_kraken()
        )
        self._kraken = Kraken(age_max_ms=kraken_age_max_ms)
        self._coingecko = CoinGecko(age_max_ms=coingecko_age_max_ms)
        self._peg = peg
        self._jump = jump
        policy = policy or Policy()
        self._contradiction = Contradiction(limit=policy.disagreement_max)
        self._ahead_max = timedelta(milliseconds=policy.clock_ahead_max_ms)
        #: Whether what an earlier start last published was read back; before that nothing is published.
        self._remembers = False
        self._rest_after_ms = kraken_age_max_ms // _REST_AFTER_PART
        self._coingecko_interval = timedelta(seconds=coingecko_interval_s)
        self._coingecko_not_before: datetime | None = None
        self._coingecko_answered = False
        self._outlet = Conflated(self.life)
        self._asking: set[type[Effect]] = set()
        self._last_tick_at: datetime | None = None
        self._last_tick: PrimaryReading | None = None
        self._last_frame_at: datetime | None = None
        self._rest = Asking()
        self._published_at: datetime | None = None
        self._latest: MarketPrice | None = None
        self._refused_ticks: dict[str, int] = {}

    # --- events ----------------------------------------------------------------------------------------------------

    def take(self, event: Event, now: datetime) -> Sequence[Effect]:
        """Take one event in; see `frame/contract.py`."""
        match event:
            case FrameReceived():
                return self._on_frame(event, now)
            case TimerFired():
                return self._on_timer(event, now)
            case KrakenRestRead() | KrakenRestUnread() | CoinGeckoRead() | CoinGeckoUnread():
                return self._on_answer(event, now)
            case SocketOpened() | SocketClosed():
                return self._on_socket(event, now)
            case BusChanged() | Published() | PublishFailed():
                return self._outlet.on_event(event)
            case RecordReceived() | CaughtUp():
                self._on_memory(event, now)
            case Started():
                return self._on_started(now)
        return []

    def _on_started(self, now: datetime) -> list[Effect]:
        self._kraken.health.started(now)
        self._coingecko.health.started(now)
        return [
            Subscribe(topic=MARKET_PRICE, tail=1, until_end=True),
            SetTimer(name="publish", at=now + GAP_MAX),
            SetTimer(name="rest", at=now + REST_INTERVAL),
            *self._ask(PollCoinGecko()),
            SetTimer(name="coingecko", at=now + self._coingecko_interval),
        ]

    def _on_socket(self, event: SocketOpened | SocketClosed, now: datetime) -> list[Effect]:
        if isinstance(event, SocketOpened):
            return [*self._link.opened(event, now), *self._subscribe_kraken()]
        self._kraken.socket_closed(now)
        return self._link.closed(event, now)

    def _subscribe_kraken(self) -> list[Effect]:
        return list(self._link.send(self._session.opened()))

    def _on_memory(self, event: RecordReceived | CaughtUp, now: datetime) -> None:
        """Remember what was last published. It is as old as it is: every age counts from its own times.

        What was read since this start comes after it, and is judged once more. A record of the future comes from
        another clock; what is kept by such times would outlive everything that is read now.
        """
        if isinstance(event, CaughtUp):
            self._remembers = True
            return
        told = event.message.payload
        if not isinstance(told, MarketPrice) or told.pair != self._pair.name or event.message.published_at > now:
            return
        kraken, coingecko = self._kraken.reading, self._coingecko.reading
        if kraken is None and told.primary is not None:
            self._kraken.read(told.primary)
        if told.second_opinion is not None and not self._is_ahead(told.second_opinion):
            self._coingecko.read(told.second_opinion)
        if told.peg is not None:
            self._peg.restore(told.peg)
        if coingecko is not None:
            self._peg.take(coingecko)
        if told.jump is not None:
            self._jump.restore(told.jump, told.primary)
        if kraken is not None:
            self._jump.take(kraken, self._coingecko.reading)

    def _on_frame(self, frame: FrameReceived, now: datetime) -> list[Effect]:
        said: KrakenEvent = (
            Malformed(reason="a binary frame that is not UTF-8 text")
            if frame.text is None
            else self._session.receive(frame.text, frame.received_at)
        )
        self._last_frame_at = frame.received_at
        count = Count(name="kraken_frames", labels={"kind": type(said).__name__})
        match said:
            case KrakenTick():
                return [count, *self._on_tick(said.reading, now)]
            case KrakenStatus():
                self._kraken.system_pushed(said.system, now)
                return [count, *self._on_change(now)]
            case TickRefused():
                self._refuse_tick(said.name)
            case KrakenRejected() | Malformed():
                self._kraken.failure = said.reason
        return [count]

    def _on_answer(
        self, answer: KrakenRestRead | KrakenRestUnread | CoinGeckoRead | CoinGeckoUnread, now: datetime
    ) -> list[Effect]:
        match answer:
            case KrakenRestRead():
                self._asking.discard(PollKrakenRest)
                self._rest.answered(answer.pause_s, now)
                if answer.system is not None:
                    self._kraken.system_asked(answer.system, now)
                self._confirm_quiet(answer.reading, now)
                self._read_kraken(answer.reading)
                return self._on_change(now)
            case KrakenRestUnread():
                self._asking.discard(PollKrakenRest)
                self._rest.answered(answer.pause_s, now)
                self._kraken.failure = answer.reason
            case CoinGeckoRead():
                self._asking.discard(PollCoinGecko)
                return self._read_coingecko(answer.reading, now)
            case CoinGeckoUnread():
                self._asking.discard(PollCoinGecko)
                if answer.retry_after_s is not None:
                    self._coingecko_not_before = now + timedelta(seconds=answer.retry_after_s)
                return self._coingecko_unread(answer.reason, now)
        return []

    def _confirm_quiet(self, reading: PrimaryReading, now: datetime) -> None:
        """Where REST says what the socket said last, and the socket lives, the pair is quiet and nothing is mute."""
        last, fed_at = self._last_tick, self._last_frame_at
        same = last is not None and (last.bid, last.ask) == (reading.bid, reading.ask)
        if same and fed_at is not None and fed_at > reading.observed_at - FED_WITHIN:
            self._link.sign(now)

    def _read_coingecko(self, reading: SecondReading, now: datetime) -> list[Effect]:
        """Take a reading; a price that is dated ahead of our clock is none, and leaves the last one standing."""
        if self._is_ahead(reading):
            return self._coingecko_unread("its price is dated ahead of our clock", now)
        if reading.quote_updated_at is not None and reading.quote_updated_at - reading.observed_at > self._ahead_max:
            reading = msgspec.structs.replace(reading, quote_asset_eur=None, quote_updated_at=None)
        self._coingecko_answered = True
        self._coingecko.read(reading)
        self._peg.take(reading)
        self._contradiction.compared(self._apart(), now)
        return self._on_change(now)

    def _is_ahead(self, reading: SecondReading) -> bool:
        return reading.base_updated_at - reading.observed_at > self._ahead_max

    def _coingecko_unread(self, reason: str, now: datetime) -> list[Effect]:
        """Ask again soon, until it has answered once."""
        self._coingecko.failure = reason
        if self._coingecko_answered:
            return []
        again_at = now + min(COINGECKO_AGAIN, self._coingecko_interval)
        return [SetTimer(name="coingecko", at=max(again_at, self._coingecko_not_before or again_at))]

    def _apart(self) -> Decimal | None:
        """How far the newest readings of both sources are apart."""
        kraken, coingecko = self._kraken.reading, self._coingecko.reading
        return None if kraken is None or coingecko is None else disagreement_of(kraken.mid, coingecko.base_asset_eur)

    def _on_tick(self, reading: PrimaryReading, now: datetime) -> list[Effect]:
        """Take a tick; one that comes late is no sign of life, so that REST is asked beside a socket that lags."""
        before = self._kraken.reading
        if not self._read_kraken(reading):
            self._refuse_tick("late")
            return []
        self._link.sign(now)
        self._last_tick_at, self._last_tick = now, reading
        said = (reading.bid, reading.ask, reading.transport)
        changed = before is None or (before.bid, before.ask, before.transport) != said
        return self._on_change(now) if changed else []

    def _refuse_tick(self, name: str) -> None:
        self._refused_ticks[name] = self._refused_ticks.get(name, 0) + 1

    def _read_kraken(self, reading: PrimaryReading) -> bool:
        """Take a reading; False when it is older than the one we have."""
        taken = self._kraken.read(reading)
        if taken:
            self._jump.take(reading, self._coingecko.reading)
        return taken

    def _on_timer(self, timer: TimerFired, now: datetime) -> list[Effect]:
        match timer.name:
            case "publish":
                return self._publish(now)
            case "rest":
                poll = self._poll_kraken(now) if self._needs_rest(now) and not self.life.silent else []
                return [*poll, SetTimer(name="rest", at=now + REST_INTERVAL)]
            case "coingecko":
                poll = [] if self.life.silent else self._poll_coingecko(now)
                return [*poll, SetTimer(name="coingecko", at=now + self._coingecko_interval)]
            case self._link.timer:
                return self._link.on_timer(now)
        return []

    def _needs_rest(self, now: datetime) -> bool:
        """Ticks are late, or the socket has not told the state: it does so once, and then only what changes.

        Of trouble it may also have told the beginning and not the end, and REST the beginning alone.
        """
        late = self._last_tick_at is None or age_ms(now, self._last_tick_at) > self._rest_after_ms
        return late or not self._kraken.system_followed(now)

    def act(self, control: Control, now: datetime) -> Sequence[Effect]:
        """Take an operator's action in."""
        match control.action:
            case "pause":
                return self._publish(now, last=True)
            case "resume":
                return [*self._poll_kraken(now), *self._poll_coingecko(now), *self._publish(now)]
            case "refresh":
                self.life.refuse_while_paused()
                return [*self._poll_kraken(now), *self._poll_coingecko(now)]
            case "accept-disagreement":
                self._contradiction.accepted = self._contradiction.after(control, self._apart(), now)
                return self._publish(now)
        return super().act(control, now)

    # --- asking and publishing -------------------------------------------------------------------------------------

    def _ask(self, poll: Effect) -> list[Effect]:
        """Ask a source, never twice at once."""
        if type(poll) in self._asking:
            return []
        self._asking.add(type(poll))
        return [poll]

    def _poll_kraken(self, now: datetime) -> list[Effect]:
        return self._ask(PollKrakenRest()) if self._rest.may(now) else []

    def _poll_coingecko(self, now: datetime) -> list[Effect]:
        if self._coingecko_not_before is not None and now < self._coingecko_not_before:
            return []
        return self._ask(PollCoinGecko())

    def _on_change(self, now: datetime) -> list[Effect]:
        """Publish a change, but not more often than the gap allows; what comes in between goes out at its end."""
        due = now if self._published_at is None else self._published_at + GAP_MIN
        return self._publish(now) if now >= due else [SetTimer(name="publish", at=due)]

    def _publish(self, now: datetime, *, last: bool = False) -> list[Effect]:
        """Publish the price of this moment; in a pause only the last one, which is marked so."""
        why = "paused" if self.life.paused else None
        effects: list[Effect] = [
            *self._kraken.health.changes(self._kraken.age_ms(now), why or self._kraken.failure, now),
            *self._coingecko.health.changes(self._coingecko.age_ms(now), why or self._coingecko.failure, now),
            *self._peg.changes(),
            *self._jump.changes(now),
            SetTimer(name="publish", at=now + GAP_MAX),
        ]
        if (self.life.silent and not last) or not self._remembers:
            return effects
        self._published_at = now
        self._contradiction.compared(self._apart(), now)
        self._latest = price = self._price(now)
        readings = [reading for reading in (price.primary, price.second_opinion) if reading is not None]
        event_id = self.life.numbered("price")
        record = Publish(
            topic=MARKET_PRICE,
            event_id=event_id,
            payload=price,
            observed_at=readings[0].observed_at if readings else now,
            occurred_at=price.primary.source_time if price.primary else None,
            correlation_id=event_id,
            pair=self._pair.name,
        )
        return [*effects, *self._outlet.publish(record)]

    def _price(self, now: datetime) -> MarketPrice:
        """Everything known at this moment; every age stays that of its reading."""
        mid, kraken, coingecko = self._kraken.mid(now), self._kraken.reading, self._coingecko.reading
        return MarketPrice(
            pair=self._pair.name,
            primary_source=self._kraken.health.name,
            primary=kraken,
            primary_health=self._kraken.health.of(self._kraken.age_ms(now)),
            primary_system=self._kraken.system(now),
            second_opinion_source=self._coingecko.health.name,
            second_opinion=coingecko,
            second_opinion_health=self._coingecko.health.of(self._coingecko.age_ms(now)),
            fair_rate=self._rate(mid),
            second_opinion_rate=self._rate(coingecko.base_asset_eur if coingecko else None),
            quote_asset_eur=self._quote_asset_eur,
            quote_asset_eur_observed=self._coingecko.quote_asset_eur(now),
            disagreement=self._apart(),
            peg=self._peg.state,
            jump=self._jump.state(now),
            accepted=self._contradiction.accepted,
            paused=self.life.paused,
        )

    def _rate(self, eur: Decimal | None) -> Decimal | None:
        """EUR per BTC over EUR per EURe is EURe per BTC (R5: the assumption is explicit); there is none in a pause."""
        return None if eur is None or self.life.paused else MONEY.divide(eur, self._quote_asset_eur)

    # --- answers ---------------------------------------------------------------------------------------------------

    def state(self, now: datetime) -> ReferenceState:
        """Both sources with their ages and health, the fair price, the connection."""
        price = self._price(now)
        return ReferenceState(
            paused=self.life.paused,
            connection=self._link.state(),
            price=price,
            kraken_age_ms=self._kraken.age_ms(now),
            kraken_last_failure=self._kraken.failure,
            kraken_rest_not_before=self._rest.not_before,
            kraken_ticks_refused=dict(self._refused_ticks),
            coingecko_age_ms=self._coingecko.age_ms(now),
            coingecko_last_failure=self._coingecko.failure,
            coingecko_not_before=self._coingecko_not_before,
            coingecko_attribution="Data provided by CoinGecko",
            last_published_at=self._published_at,
            prices_made=self.life.numbered_so_far,
            last_acknowledged=self._outlet.last_acknowledged_id,
        )

    def stands_in_the_way(self, now: datetime) -> list[str]:
        """Why no decision could be made on our price."""
        reasons = []
        health = self._kraken.health.of(self._kraken.age_ms(now))
        if health is not SourceHealth.FRESH:
            reasons.append("kraken_unknown" if health is SourceHealth.UNKNOWN else "kraken_stale")
        elif self._kraken.mid(now) is None:
            reasons.append("kraken_not_online")
        reasons += self._contradiction.not_ready(self._apart(), self._coingecko.age_ms(now), now)
        if not self._remembers:
            reasons.append("reading_back")
        return reasons

    def controlled(self, now: datetime) -> dict[str, str]:
        """What is accepted of a disagreement."""
        return {"accepted_disagreement": shown(self._contradiction.accepted, now)}

    def follow(self, control: Control, now: datetime) -> dict[str, str]:
        """What an action would change."""
        match control.action:
            case "refresh":
                self.life.refuse_while_paused()
                return {}
            case "accept-disagreement":
                return {"accepted_disagreement": shown(self._contradiction.after(control, self._apart(), now), now)}
        return super().follow(control, now)

    def tightens(self, control: Control) -> bool:
        """Taking back what was accepted is a brake."""
        return takes_back(control)

    def idle(self) -> bool:
        """Every price is acknowledged or given up."""
        return self._outlet.idle
