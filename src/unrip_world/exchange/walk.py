"""One seeded random walk of BTC/EUR, with the trades and day statistics that an exchange shows."""

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from random import Random

from unrip_world.codec import NS_PER_MS
from unrip_world.config import MarketSettings

TICK = Decimal("0.1")
_LOT = Decimal("0.00000001")
_NS_PER_YEAR = 365 * 86_400 * 10**9


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """The market at one moment; `traded` says whether a trade made it."""

    bid: Decimal
    ask: Decimal
    bid_qty: Decimal
    ask_qty: Decimal
    last: Decimal
    last_qty: Decimal
    open: Decimal
    low: Decimal
    high: Decimal
    volume: Decimal
    vwap: Decimal
    trades: int
    traded: bool
    at_ns: int

    @property
    def mid(self) -> Decimal:
        """Middle of bid and ask."""
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkMemory:
    """Where the market stands."""

    fair: Decimal
    turnover: Decimal
    tick: Tick


class Walk:
    """Geometric Brownian motion: same seed and settings, same prices."""

    def __init__(self, *, settings: MarketSettings, rng: Random, now_ns: int) -> None:
        self._rng = rng
        self._settings = settings
        self._interval_ns = settings.tick_ms * NS_PER_MS
        with localcontext(prec=40):
            years = Decimal(self._interval_ns) / _NS_PER_YEAR
            self._step_sigma = settings.annual_volatility * years.sqrt()
        self._fair = settings.start_eur_per_btc
        self._turnover = Decimal(0)
        self.next_at_ns = now_ns + self._interval_ns
        start = _floor_to_tick(self._fair)
        self.tick = self._make(
            last=start, low=start, high=start, open_=start, volume=Decimal(0), trades=0, traded=False, at_ns=now_ns
        )

    def memory(self) -> WalkMemory:
        """Give where the market stands."""
        return WalkMemory(fair=self._fair, turnover=self._turnover, tick=self.tick)

    def resume(self, memory: WalkMemory) -> None:
        """Go on from where the market stood."""
        self._fair, self._turnover, self.tick = memory.fair, memory.turnover, memory.tick

    def jump(self, mid: Decimal, now_ns: int) -> Tick:
        """Put the market at this mid at once."""
        self._fair = mid
        return self._trade(now_ns)

    def advance(self, now_ns: int) -> Tick:
        """Take one step of the walk."""
        # A pause of the process is one step, not a burst of missed ones.
        self.next_at_ns = max(self.next_at_ns, now_ns - self._interval_ns) + self._interval_ns
        with localcontext(prec=40):
            shock = Decimal(repr(self._rng.gauss(0, 1))) * self._step_sigma
            self._fair *= (shock - self._step_sigma * self._step_sigma / 2).exp()
        if Decimal(repr(self._rng.random())) < self._settings.trade_share:
            return self._trade(now_ns)
        seen = self.tick
        self.tick = self._make(
            last=seen.last,
            low=seen.low,
            high=seen.high,
            open_=seen.open,
            volume=seen.volume,
            trades=seen.trades,
            traded=False,
            at_ns=now_ns,
        )
        return self.tick

    def _trade(self, now_ns: int) -> Tick:
        seen, last, quantity = self.tick, _floor_to_tick(self._fair), self._quantity()
        self._turnover += last * quantity
        self.tick = self._make(
            last=last,
            low=min(seen.low, last),
            high=max(seen.high, last),
            open_=seen.open,
            volume=seen.volume + quantity,
            trades=seen.trades + 1,
            traded=True,
            at_ns=now_ns,
            last_qty=quantity,
        )
        return self.tick

    def _make(
        self,
        *,
        last: Decimal,
        low: Decimal,
        high: Decimal,
        open_: Decimal,
        volume: Decimal,
        trades: int,
        traded: bool,
        at_ns: int,
        last_qty: Decimal = _LOT,
    ) -> Tick:
        bid = _floor_to_tick(self._fair - self._settings.spread_eur / 2)
        return Tick(
            bid=bid,
            ask=bid + max(TICK, _floor_to_tick(self._settings.spread_eur)),
            bid_qty=self._quantity(),
            ask_qty=self._quantity(),
            last=last,
            last_qty=last_qty,
            open=open_,
            low=low,
            high=high,
            volume=volume,
            vwap=_floor_to_tick(self._turnover / volume) if volume else last,
            trades=trades,
            traded=traded,
            at_ns=at_ns,
        )

    def _quantity(self) -> Decimal:
        return Decimal(self._rng.randrange(10**5, 2 * 10**8)) * _LOT


def _floor_to_tick(price: Decimal) -> Decimal:
    return (price / TICK).to_integral_value(rounding=ROUND_FLOOR) * TICK
