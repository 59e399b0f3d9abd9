"""The jump guard: has Kraken's mid moved too far too fast, and is the new level confirmed.

One wrong tick is an offer at a wrong price. A move within minutes that is real is hardly better: the offer is an option
for its whole life, and its edge was made for calm. So after a jump nothing is quoted until the new level has held for a
whole window. A first tick, at a start or after a silence, can be as wrong: without enough readings of the window there
is no calm to speak of.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from unrip.domain.market import Jump, PrimaryReading, SecondReading, disagreement_of, is_rate
from unrip.domain.values import Value
from unrip.frame.contract import Log
from unrip.frame.edge_log import EdgeLog

#: Mids are kept as the extremes of each second: enough for the rule, and bounded however many ticks come.
_SECOND = timedelta(seconds=1)


class _Second(Value):
    begins_at: datetime
    lowest: Decimal
    highest: Decimal


class JumpGuard:
    """Judges each reading of Kraken by the mids of the window that ends with it."""

    def __init__(self, *, limit: Decimal, window_s: int, readings_min: int) -> None:
        self._limit = limit
        self._window_s = window_s
        self._readings_min = readings_min
        self._seconds: list[_Second] = []
        self._since: datetime | None = None
        self._contradicted = False
        self._edge_log = EdgeLog(begun="price_jumped", ended="price_settled")

    def take(self, reading: PrimaryReading, coingecko: SecondReading | None) -> None:
        """Judge a reading that is no older than the one before, beside what CoinGecko last said."""
        self._enter(_at_once(reading.mid, reading.observed_at))
        self._seconds = self._within(reading.observed_at)
        move = _move(self._seconds)
        if move is not None and move > self._limit:
            self._since = self._since or reading.observed_at
        elif self._since is not None:
            self._contradicted = (
                coingecko is not None
                and coingecko.base_updated_at > self._since
                and disagreement_of(reading.mid, coingecko.base_asset_eur) > self._limit
            )
            if not self._contradicted and len(self._seconds) >= self._readings_min:
                self._since = None

    def restore(self, told: Jump, kraken: PrimaryReading | None) -> None:
        """Go on from what an earlier start last said: its extremes and its last reading, as old as they are.

        The topic may say anything: what is no rate is left out.
        """
        self._since = self._since or told.since
        remembered = [(told.lowest, told.lowest_at), (told.highest, told.highest_at)]
        if kraken is not None:
            remembered.append((kraken.mid, kraken.observed_at))
        earlier = [_at_once(mid, at) for mid, at in remembered if mid is not None and at is not None and is_rate(mid)]
        known, self._seconds = [*earlier, *self._seconds], []
        for second in sorted(known, key=lambda each: each.begins_at):
            self._enter(second)

    def state(self, now: datetime) -> Jump:
        """The judgement with the numbers of the window that ends now."""
        seconds = self._within(now)
        lowest = min(seconds, key=lambda second: second.lowest, default=None)
        highest = max(seconds, key=lambda second: second.highest, default=None)
        return Jump(
            jumped=self._since is not None or len(seconds) < self._readings_min,
            since=self._since,
            lowest=lowest.lowest if lowest else None,
            lowest_at=lowest.begins_at if lowest else None,
            highest=highest.highest if highest else None,
            highest_at=highest.begins_at if highest else None,
            move=_move(seconds),
            limit=self._limit,
            window_s=self._window_s,
            readings=len(seconds),
            readings_min=self._readings_min,
            contradicted=self._since is not None and self._contradicted,
        )

    def changes(self, now: datetime) -> list[Log]:
        """The line for a change."""
        state = self.state(now)
        body = {"lowest": state.lowest, "highest": state.highest, "move": state.move, "limit": state.limit}
        return self._edge_log.changes(holds=state.since is not None, venue="kraken", body=body)

    def _enter(self, second: _Second) -> None:
        """Put a second behind the others, or into the last of them where it belongs there."""
        last = self._seconds[-1] if self._seconds else None
        if last is None or second.begins_at - last.begins_at >= _SECOND:
            self._seconds.append(second)
        else:
            self._seconds[-1] = msgspec.structs.replace(
                last, lowest=min(last.lowest, second.lowest), highest=max(last.highest, second.highest)
            )

    def _within(self, now: datetime) -> list[_Second]:
        begin = now - timedelta(seconds=self._window_s)
        return [second for second in self._seconds if second.begins_at > begin]


def _at_once(mid: Decimal, at: datetime) -> _Second:
    return _Second(begins_at=at, lowest=mid, highest=mid)


def _move(seconds: Sequence[_Second]) -> Decimal | None:
    if not seconds:
        return None
    return disagreement_of(min(second.lowest for second in seconds), max(second.highest for second in seconds))
