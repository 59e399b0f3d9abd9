"""Every limit that a decision obeys, as one value with a hash."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Annotated

import msgspec

from unrip.domain.limits import Cap, Floor, Limit
from unrip.domain.values import Value, format_rate


class Policy(Value):
    """The limits in force: rates are fractions (0.02 is 2 %), durations carry their unit in the name.

    A cap or a floor may be changed at run time, any other limit only by a restart. The defaults are those of a first
    live attempt: tiny.
    """

    #: A proposal whose gross edge is below this is refused (R6).
    edge_threshold: Annotated[Decimal, Floor(rate=True)] = Decimal("0.02")
    #: The edge that is offered for an offer of no duration.
    edge_base: Annotated[Decimal, Floor(rate=True)] = Decimal("0.02")
    #: Added per square root of a minute of offer life: an offer is an option for its whole life.
    edge_per_sqrt_minute: Annotated[Decimal, Floor(rate=True, note="With its unit: '0.2 %' or '20 bps'.")] = Decimal(
        "0.002"
    )
    #: Largest fair value of one trade.
    notional_cap_eur: Annotated[Decimal, Cap(above=0)] = Decimal(25)
    #: Smallest fair value worth an offer.
    notional_floor_eur: Annotated[Decimal, Floor(least=0)] = Decimal(1)
    #: Largest fair value of one asset that all open offers together may spend.
    exposure_cap_eur: Annotated[Decimal, Cap(above=0)] = Decimal(250)
    #: Inventory bands, in whole tokens: no offer may let the base or the quote fall below its least or rise above its
    #: most, whatever of the open offers settles. Unset: no such bound.
    base_min: Annotated[Decimal | None, Floor(least=0)] = None
    base_max: Annotated[Decimal | None, Cap(least=0)] = None
    quote_min: Annotated[Decimal | None, Floor(least=0)] = None
    quote_max: Annotated[Decimal | None, Cap(least=0)] = None
    #: What today's fills (UTC) must have brought at least: -10 stops the desk at a loss of more than 10 EUR.
    day_result_min_eur: Annotated[Decimal, Floor(note="-10 stops at a loss of more than 10 EUR.")] = Decimal(-10)
    #: A fall of the equity from its highest beyond this is logged; it refuses nothing.
    drawdown_max_eur: Annotated[Decimal, Cap(above=0)] = Decimal(50)
    #: A fill is valued by the price this long after it, and until then by the newest one.
    markout_ms: Annotated[int, Limit(least=0)] = 600_000
    #: How many offers there may be within any 60 s.
    offers_per_minute_max: Annotated[int, Cap(above=0)] = 60
    #: How many open offers there may be that the relay has neither accepted nor refused, or that no block can judge;
    #: one more stops the desk until some are known.
    unknown_max: Annotated[int, Cap(least=0)] = 10
    #: Kraken's reading may be this old, by its own time or ours, whichever is older.
    kraken_age_max_ms: Annotated[int, Limit(above=0)] = 10_000
    #: CoinGecko's reading counts as a second opinion up to this age of its own time stamp.
    coingecko_age_max_ms: Annotated[int, Limit(above=0)] = 600_000
    #: How far the two sources may be apart; beyond this they contradict each other and nothing is quoted.
    disagreement_max: Annotated[Decimal, Limit(rate=True)] = Decimal("0.03")
    #: Whether CoinGecko may stand in for Kraken while Kraken gives no usable price.
    coingecko_fallback: bool = False
    #: How old CoinGecko's reading may be then, by its own time or ours: one poll of the free service and its cache.
    fallback_age_max_ms: Annotated[int, Limit(above=0)] = 320_000
    #: The extra edge while the fallback price is used: added to the edge that is offered and to the threshold.
    fallback_edge: Annotated[Decimal, Limit(rate=True)] = Decimal("0.01")
    #: How long the last good reading of EURe's price counts: 6 h.
    peg_age_max_ms: Annotated[int, Limit(above=0)] = 21_600_000
    #: How old a snapshot of the verifier may be.
    inventory_age_max_ms: Annotated[int, Limit(above=0)] = 10_000
    #: The tolerance between two clocks, the strategy's and the executor's alike: an instant further ahead of our clock
    #: than this, or a clock that differs from the outside's by more, means that a clock is wrong.
    clock_ahead_max_ms: Annotated[int, Limit(least=0)] = 250
    #: How old beats of the executor and the history writer may be.
    beat_age_max_ms: Annotated[int, Limit(above=0)] = 5_000
    #: The part of an answer window that deciding, committing and sending needs.
    window_needed_ms: Annotated[int, Limit(least=0)] = 40
    #: Added to the taker's `min_deadline_ms` for clock difference and transit.
    deadline_margin_ms: Annotated[int, Limit(least=0)] = 10_000
    #: Offers that would bind us longer than this are refused.
    deadline_max_ms: Annotated[int, Limit(above=0)] = 60_000
    #: How much longer a nonce lives than its offer, so that "unused" can still be read from the chain.
    nonce_life_ms: Annotated[int, Limit(above=0)] = 86_400_000
    #: Live offers hold at most this share of an asset; before it is used up, further ones share one nonce and hold.
    held_share: Annotated[Decimal, Limit(rate=True)] = Decimal("0.5")
    #: How long at most offers may join a shared nonce.
    sharing_bucket_ms: Annotated[int, Limit(above=0)] = 600_000
    #: Router legs need the machine beside the relay; they are refused by name unless this is set.
    answer_router_legs: bool = False
    #: Lag of the history writer above which new demands are refused.
    history_lag_max: Annotated[int, Limit(above=0)] = 5_000
    #: The largest cap that a run-time change may set; the executor checks every command against it.
    notional_ceiling_eur: Annotated[Decimal, Limit(above=0)] = Decimal(100)
    #: The smallest edge that a run-time change may set; the executor checks every command against it.
    edge_floor: Annotated[Decimal, Limit(rate=True)] = Decimal("0.005")

    @property
    def longest_life_ms(self) -> int:
        """The longest life of an offer, by the clock of whoever decides it; another's may differ by the tolerance."""
        return self.deadline_max_ms + self.deadline_margin_ms

    def beyond(self, bound: str) -> str | None:
        """How it breaks its own bounds, as a sentence; None where it does not. The executor rejects a policy that does.

        `bound` names a bound by its name and its value, such as `"{} {}"`.
        """
        if self.notional_cap_eur > self.notional_ceiling_eur:
            ceiling = bound.format("notional_ceiling_eur", self.notional_ceiling_eur)
            return f"notional_cap_eur {self.notional_cap_eur} is above {ceiling}"
        for name in ("edge_threshold", "edge_base"):
            if (edge := getattr(self, name)) < self.edge_floor:
                floor = bound.format("edge_floor", format_rate(self.edge_floor))
                return f"{name} {format_rate(edge)} is below {floor}"
        return self.crossed_band()

    def crossed_band(self) -> str | None:
        """Which band has its least above its most, as a sentence; None where there is none."""
        bands = {"base": (self.base_min, self.base_max), "quote": (self.quote_min, self.quote_max)}
        for asset, (least, most) in bands.items():
            if least is not None and most is not None and least > most:
                return f"{asset}_min {least} is above {asset}_max {most}"
        return None

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON form: it names this policy in records and in PostgreSQL."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
