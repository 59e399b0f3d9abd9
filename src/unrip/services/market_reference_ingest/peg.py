"""The peg guard: is EURe worth what we assume, by CoinGecko's readings of it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from unrip.domain.market import Peg, SecondReading, disagreement_of
from unrip.domain.values import age_ms
from unrip.frame.contract import Log
from unrip.frame.edge_log import EdgeLog

#: EURe trades rarely. A price that was older than this when we read it says nothing (sources/coingecko section 6).
GOOD_AGE_MAX_MS = 30 * 60_000


class PegGuard:
    """Hysteresis over good readings: one beyond the outer bound breaks the peg, one within the inner bound heals it.

    One reading is enough to break it. It may be a mere lack of trades, but then not quoting costs a trade; quoting at a
    broken peg costs money.
    """

    def __init__(self, *, assumed: Decimal, breaks_beyond: Decimal, heals_within: Decimal) -> None:
        self._assumed = assumed
        self.state = Peg(
            broken=None,
            quote_asset_eur=None,
            updated_at=None,
            observed_at=None,
            deviation=None,
            breaks_beyond=breaks_beyond,
            heals_within=heals_within,
        )
        self._edge_log = EdgeLog(begun="peg_broken", ended="peg_healed")

    def take(self, reading: SecondReading) -> None:
        """Judge a reading, unless it is too old to be good, or older than the last good one by its own time."""
        price, updated_at = reading.quote_asset_eur, reading.quote_updated_at
        if price is None or updated_at is None or age_ms(reading.observed_at, updated_at) > GOOD_AGE_MAX_MS:
            return
        if self.state.updated_at is not None and updated_at < self.state.updated_at:
            return
        deviation = disagreement_of(self._assumed, price)
        # Without an earlier judgement only the inner bound counts: unknown is not whole.
        bound = self.state.breaks_beyond if self.state.broken is False else self.state.heals_within
        self.state = msgspec.structs.replace(
            self.state,
            broken=deviation > bound,
            quote_asset_eur=price,
            updated_at=updated_at,
            observed_at=reading.observed_at,
            deviation=deviation,
        )

    def restore(self, told: Peg) -> None:
        """Go on from what an earlier start last said; bounds and assumption are those of the present configuration.

        They may break a peg that was whole by the earlier ones; only a new reading heals one.
        """
        deviation = None if told.quote_asset_eur is None else disagreement_of(self._assumed, told.quote_asset_eur)
        breaks = deviation is not None and deviation > self.state.breaks_beyond
        self.state = msgspec.structs.replace(
            told,
            broken=True if breaks else told.broken,
            deviation=deviation,
            breaks_beyond=self.state.breaks_beyond,
            heals_within=self.state.heals_within,
        )

    def changes(self) -> list[Log]:
        """The line for a change."""
        numbers = {"quote_asset_eur": self.state.quote_asset_eur, "deviation": self.state.deviation}
        return self._edge_log.changes(holds=self.state.broken is True, venue="coingecko", body=numbers)
