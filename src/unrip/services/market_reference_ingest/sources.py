"""The last reading of each source, how old it is, and when its health changes."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from unrip.domain.market import PrimaryReading, SecondReading, SourceHealth
from unrip.domain.values import age_ms
from unrip.frame.contract import Log
from unrip.frame.edge_log import EdgeLog
from unrip.services.market_reference_ingest.peg import GOOD_AGE_MAX_MS

#: Prices are discovered in this state of Kraken's matching engine only (sources/kraken section 4.1).
ONLINE = "online"
#: A source that was asked too much is left alone for at most this long at a time, where it names no longer time itself.
PAUSE_MAX_S = 300
#: How long REST cannot contradict a trouble that the socket reported: its answer may be on its way or cached.
TROUBLE_HOLDS = timedelta(seconds=10)


class Health:
    """The health of one source by the age of its newest reading; each change is logged once."""

    def __init__(self, name: str, *, age_max_ms: int) -> None:
        self.name = name
        self._age_max_ms = age_max_ms
        self._since: datetime | None = None
        self._edge_log = EdgeLog(begun="source_stale", ended="source_fresh")

    def started(self, now: datetime) -> None:
        """Expect a reading from now on."""
        self._since = now

    def of(self, age: int | None) -> SourceHealth:
        """The health that an age means."""
        if age is None:
            return SourceHealth.UNKNOWN
        return SourceHealth.FRESH if age <= self._age_max_ms else SourceHealth.STALE

    def changes(self, age: int | None, reason: str | None, now: datetime) -> list[Log]:
        """The line for a change; a source that has never answered counts as stale once its time is over."""
        silent_ms = age if age is not None else age_ms(now, self._since or now)
        stale = silent_ms > self._age_max_ms
        body: dict[str, Any] = {"age_ms": age, "limit_ms": self._age_max_ms}
        if stale:
            body["last_failure"] = reason
        return self._edge_log.changes(holds=stale, venue=self.name, body=body)


class Kraken:
    """The primary source: readings of both transports, and the state of the matching engine."""

    def __init__(self, *, age_max_ms: int) -> None:
        self.health = Health("kraken", age_max_ms=age_max_ms)
        self.reading: PrimaryReading | None = None
        self.failure: str | None = None
        self._age_max = timedelta(milliseconds=age_max_ms)
        #: The newest reading that carries Kraken's own time: one of REST, which has none, may have come since.
        self._stamped: PrimaryReading | None = None
        self._system: str | None = None
        #: None while the socket is up: it pushes every change of the state, so the last one holds.
        self._system_seen_at: datetime | None = None
        self._system_pushed_at: datetime | None = None
        #: The trouble that REST last told of and when, until REST takes it back or the socket tells the state.
        self._trouble_asked: tuple[str, datetime] | None = None
        #: Trouble was told of, and when it was over: what was read until then is no price, however young it is.
        self._in_trouble = False
        self._online_since: datetime | None = None

    def read(self, reading: PrimaryReading) -> bool:
        """Take a reading; False when it is older than the one we have, by our time or by Kraken's own."""
        if self.reading is not None and reading.observed_at < self.reading.observed_at:
            return False
        if self._is_late(reading):
            return False
        self.reading = reading
        if reading.source_time is not None:
            self._stamped = reading
        return True

    def _is_late(self, reading: PrimaryReading) -> bool:
        """Kraken told of a later time before, unless that is too long ago: it may have put its clock back."""
        last = self._stamped
        if last is None or last.source_time is None or reading.source_time is None:
            return False
        usable = self.health.of(age_ms(reading.observed_at, last.observed_at, last.source_time)) is SourceHealth.FRESH
        return usable and reading.source_time < last.source_time

    def system_followed(self, now: datetime) -> bool:
        """The socket has told the state, will tell every change, and REST has not told of trouble since."""
        return self._trouble_asked is None and self._push_holds(now)

    def _push_holds(self, now: datetime) -> bool:
        """What the socket told is not ended by REST.

        That trouble is over REST may tell as well, after a while: the one frame that says so can be lost.
        """
        if self._system_pushed_at is None or self._system_seen_at is not None:
            return False
        return self._system == ONLINE or now - self._system_pushed_at <= TROUBLE_HOLDS

    def system_pushed(self, system: str, now: datetime) -> None:
        """The socket told the state; it tells every change."""
        self._system, self._system_seen_at, self._system_pushed_at = system, None, now
        self._trouble_asked = None
        self._heard(system, now)

    def system_asked(self, system: str, now: datetime) -> None:
        """REST told the state, as of now.

        While the socket is up it knows better that all is well, but not that it is not: its frame can be lost, and
        REST's prices come without a time that would show a dead book.
        """
        self._trouble_asked = None if system == ONLINE else (system, now)
        if not self._push_holds(now):
            self._system, self._system_seen_at = system, now
        self._heard(system, now)

    def _heard(self, system: str, now: datetime) -> None:
        if system != ONLINE:
            self._in_trouble = True
        elif self._in_trouble and self.system(now) == ONLINE:
            self._in_trouble, self._online_since = False, now

    def socket_closed(self, now: datetime) -> None:
        """Note that the state is only as good as its age from now on."""
        if self._system is not None and self._system_seen_at is None:
            self._system_seen_at = now

    def system(self, now: datetime) -> str | None:
        """The state of the matching engine, None when nobody has told it for too long; trouble counts from either side.

        Trouble of REST that grows old makes it unknown, and not what the socket told before.
        """
        if self._trouble_asked is not None:
            system, seen_at = self._trouble_asked
            return system if now - seen_at <= self._age_max else None
        if self._system_seen_at is not None and now - self._system_seen_at > self._age_max:
            return None
        return self._system

    def age_ms(self, now: datetime) -> int | None:
        """The age of the reading by its own time or ours, whichever is older."""
        if self.reading is None:
            return None
        return age_ms(now, self.reading.observed_at, self.reading.source_time)

    def mid(self, now: datetime) -> Decimal | None:
        """The middle of the newest reading, None while it is fresh but prices are not known to be discovered.

        An old reading keeps its middle: that it is too old is for the decision to say, by its age.
        """
        if self.reading is None:
            return None
        stale = self.health.of(self.age_ms(now)) is SourceHealth.STALE
        return self.reading.mid if stale or self._discovered(self.reading, now) else None

    def _discovered(self, reading: PrimaryReading, now: datetime) -> bool:
        since = self._online_since
        return self.system(now) == ONLINE and (since is None or reading.observed_at >= since)


class Asking:
    """When a source may be asked again that was asked too much: each time in a row after twice as long."""

    def __init__(self) -> None:
        self.not_before: datetime | None = None
        self._refusals = 0

    def answered(self, pause_s: int | None, now: datetime) -> None:
        """Note that it answered, and how long it asks us to keep away, if at all."""
        if pause_s is None:
            self._refusals = 0
            return
        longer_s = min(pause_s * 2 ** min(self._refusals, 10), max(PAUSE_MAX_S, pause_s))
        self._refusals += 1
        self.not_before = now + timedelta(seconds=longer_s)

    def may(self, now: datetime) -> bool:
        """Whether it may be asked now."""
        return self.not_before is None or now >= self.not_before


class CoinGecko:
    """The second opinion."""

    def __init__(self, *, age_max_ms: int) -> None:
        self.health = Health("coingecko", age_max_ms=age_max_ms)
        self.reading: SecondReading | None = None
        self.failure: str | None = None

    def read(self, reading: SecondReading) -> None:
        """Take a reading, unless a cache answered with one that is older than the one we have."""
        if self.reading is None or reading.base_updated_at >= self.reading.base_updated_at:
            self.reading = reading

    def quote_asset_eur(self, now: datetime) -> Decimal | None:
        """EUR per EURe, None when unknown or too old to mean anything."""
        reading = self.reading
        if (
            reading is None
            or reading.quote_updated_at is None
            or age_ms(now, reading.quote_updated_at) > GOOD_AGE_MAX_MS
        ):
            return None
        return reading.quote_asset_eur

    def age_ms(self, now: datetime) -> int | None:
        """The age by CoinGecko's own time or ours, whichever is older."""
        if self.reading is None:
            return None
        return age_ms(now, self.reading.observed_at, self.reading.base_updated_at)
