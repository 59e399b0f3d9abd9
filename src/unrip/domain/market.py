"""Reference prices: what each source said, when, and the fair value that follows."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from unrip.domain.values import MONEY, Value

_RATE_EXPONENT_MAX = 10


class SourceHealth(StrEnum):
    """The health of a source. `unknown` means never read, nor known from the topic; it counts as not good."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


class PrimaryReading(Value):
    """The best bid and ask of the primary source, in EUR per whole of the base."""

    bid: Decimal
    ask: Decimal
    #: When we read it.
    observed_at: datetime
    #: The source's own time of it; Kraken's REST answers and old builds carry none (sources/kraken section 4.3 and 9).
    source_time: datetime | None
    #: `websocket` or `rest`.
    transport: str

    @property
    def mid(self) -> Decimal:
        """The middle of bid and ask."""
        return MONEY.divide(MONEY.add(self.bid, self.ask), Decimal(2))


class SecondReading(Value):
    """The averages of the second opinion, in EUR per whole of each asset."""

    base_asset_eur: Decimal
    base_updated_at: datetime
    #: The wrapper's own price; missing when the source left it out.
    quote_asset_eur: Decimal | None
    quote_updated_at: datetime | None
    observed_at: datetime


class Peg(Value):
    """Whether the quote asset is worth what we assume, by the last good reading of it, with the numbers that say so.

    It breaks beyond the outer bound and heals only within the inner one, so that a reading between them changes
    nothing. Whether the reading is too old to count is for the decision to judge.
    """

    #: None while no good reading was ever seen.
    broken: bool | None
    #: EUR per whole of the quote asset.
    quote_asset_eur: Decimal | None
    #: The source's own time of the reading, and when we read it.
    updated_at: datetime | None
    observed_at: datetime | None
    #: |reading / assumption - 1|.
    deviation: Decimal | None
    breaks_beyond: Decimal
    heals_within: Decimal


class Jump(Value):
    """Whether the primary source's mid has moved too far too fast, with the numbers that show it.

    It jumps when the mids of the window lie further apart than the limit. The new level is confirmed once those of a
    whole window lie within it, enough seconds of the window have a reading, and the second opinion, where it was
    updated after the jump, is no further away than the limit either. Without enough seconds with a reading it is also
    unknown whether nothing moved.
    """

    #: It moved and the new level is not confirmed; or the window has too few readings to know.
    jumped: bool
    #: When the move was first seen, None while there is none to confirm.
    since: datetime | None
    #: The extremes of the window, each with the second in which it was read; None without a reading.
    lowest: Decimal | None
    lowest_at: datetime | None
    highest: Decimal | None
    highest_at: datetime | None
    #: highest / lowest - 1.
    move: Decimal | None
    limit: Decimal
    window_s: int
    #: Seconds of the window in which the source was read, and how many of them confirm a level.
    readings: int
    readings_min: int
    #: Whether the second opinion was updated after the jump and contradicts it.
    contradicted: bool

    @property
    def sparse(self) -> bool:
        """Whether too few seconds of the window have a reading to judge it."""
        return self.readings < self.readings_min

    @property
    def moved(self) -> bool:
        """Whether there is a move that is not confirmed."""
        return self.since is not None or self.contradicted or (self.move is not None and self.move > self.limit)


#: When an operator's acceptance of a contradiction between the sources ends at the latest.
ACCEPTED_AT_MOST = timedelta(hours=1)


class AcceptedDisagreement(Value):
    """An operator's acceptance that the second opinion may be this far from the primary for a while."""

    #: As a fraction of the primary source's mid.
    up_to: Decimal
    until: datetime
    actor: str

    def in_force(self, now: datetime) -> bool:
        """Whether it has not ended, and does not claim to last for longer than any may."""
        return now < self.until <= now + ACCEPTED_AT_MOST


class MarketPrice(Value):
    """Everything known about the price of the pair at one moment. A missing reading is None, never zero."""

    pair: str
    #: The name of the source whose prices are traded by, such as `kraken`, and what it said last.
    primary_source: str
    primary: PrimaryReading | None
    primary_health: SourceHealth
    #: The state of its matching engine (`online` is the only one in which prices are discovered), None when unknown.
    primary_system: str | None
    #: The name of the source that has to agree, such as `coingecko`, and what it said last.
    second_opinion_source: str
    second_opinion: SecondReading | None
    second_opinion_health: SourceHealth
    #: Fair value in quote per base (EURe per BTC) from the primary source's mid, None without a usable reading.
    fair_rate: Decimal | None
    #: The explicit assumption of R5: EUR per whole of the quote asset. It is recorded in every decision.
    quote_asset_eur: Decimal
    #: What the second opinion says of the same thing, None when unknown or too old to mean anything.
    quote_asset_eur_observed: Decimal | None
    #: |second opinion / primary - 1| by the last reading of either, None unless both were ever read.
    disagreement: Decimal | None
    #: `fair_rate` by the second opinion; a decision uses it only where the primary source fails and its policy allows.
    second_opinion_rate: Decimal | None = None
    #: Whether the assumption holds, and whether the mid is steady. Records of the first schema have neither.
    peg: Peg | None = None
    jump: Jump | None = None
    #: The disagreement that an operator accepts.
    accepted: AcceptedDisagreement | None = None
    #: Whether this is the last record before an operator's pause: it has no rate, and no price follows until a resume.
    paused: bool = False

    @property
    def reckonable(self) -> bool:
        """Whether value can be computed with it; anybody may have written anything on the topic."""
        return is_rate(self.quote_asset_eur) and (self.fair_rate is None or is_rate(self.fair_rate))

    @property
    def apart(self) -> Decimal | None:
        """How far the newest readings of the sources are apart, None where one is missing or absurd."""
        if self.primary is None or self.second_opinion is None or self.primary.bid <= 0 or self.primary.ask <= 0:
            return None
        return disagreement_of(self.primary.mid, self.second_opinion.base_asset_eur)

    @property
    def has_jumped(self) -> bool:
        """Whether nobody has confirmed this level: nothing that outlives the jump may be valued by it."""
        return self.jump is not None and self.jump.jumped


def is_rate(number: Decimal) -> bool:
    """Whether it is a possible rate: no asset is worth so much more than another."""
    return number > 0 and abs(number.adjusted()) <= _RATE_EXPONENT_MAX


def disagreement_of(primary_mid: Decimal, second_opinion: Decimal) -> Decimal:
    """How far the second opinion is from the first, as a fraction of the first."""
    return MONEY.abs(MONEY.subtract(MONEY.divide(second_opinion, primary_mid), Decimal(1)))
