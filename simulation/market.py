"""What Kraken's book was lately, as the world knows it, and whether an accepted decision rests on it."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from decimal import Decimal

from unrip.domain.decision import Decision
from unrip.domain.market import MarketPrice
from unrip.domain.policy import Policy
from unrip_world.exchange.walk import Tick
from unrip_world.world import World

_NS_PER_S = 1_000_000_000
#: A price may be ten seconds old where it is used, and has been on its way before and after.
_USED_WITHIN_S = 15
#: The world's faults under which Kraken tells no price that anybody may trade on.
_NOT_TOLD = ("down", "mute", "crossed", "system_status")
#: What has moved by more than this within so long is not yet confirmed; the desk waits for twice as long.
_JUMP, _UNCONFIRMED_S = Decimal("0.02"), 30
#: What two clocks may differ by (`clock_ahead_max_ms`).
_CLOCKS_APART = timedelta(milliseconds=250)


class Market:
    """Every mid that Kraken could be asked for within the time in which a price may be used."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: tuple[Tick, bool] | None = None
        #: Mids with the time until which they were to be had; the last one still is.
        self._told: deque[tuple[int, Decimal]] = deque()
        #: Jumps of the mid: when, from where, and where to.
        self._jumps: deque[tuple[int, Decimal, Decimal]] = deque()
        self.prices: dict[str, MarketPrice] = {}

    def look(self, now_ns: int) -> None:
        """Note what Kraken tells now."""
        told = all(self._world.faults.get("kraken", kind) is None for kind in _NOT_TOLD)
        tick, last = self._world.walk.tick, self._last
        if last is not None and last[0] is tick and last[1] == told:
            return
        if last is not None and last[1]:
            self._told.append((now_ns, last[0].mid))
        if last is not None and abs(tick.mid / last[0].mid - 1) > _JUMP:
            self._jumps.append((now_ns, last[0].mid, tick.mid))
        self._last = tick, told
        while self._told and self._told[0][0] < now_ns - _USED_WITHIN_S * _NS_PER_S:
            self._told.popleft()
        while self._jumps and self._jumps[0][0] < now_ns - _UNCONFIRMED_S * _NS_PER_S:
            self._jumps.popleft()

    def objection(self, decision: Decision, policy: Policy) -> str | None:
        """What speaks against the price of an accepted decision, by the market and by the price's own record."""
        price = self.prices.get(decision.price_id or "")
        if price is None or price.primary is None:
            return "there is no such price"
        mids = {mid for _until_ns, mid in self._told}
        if self._last is not None and self._last[1]:
            mids.add(self._last[0].mid)
        if price.primary.mid not in mids:
            return f"Kraken did not tell {price.primary.mid} within the last {_USED_WITHIN_S} s"
        dated = price.primary.source_time
        if dated is not None and dated - decision.decided_at > _CLOCKS_APART:
            return f"Kraken dates it {dated - decision.decided_at} ahead of the world's clock"
        if any(abs(price.primary.mid - new) < abs(price.primary.mid - old) for _at_ns, old, new in self._jumps):
            return f"Kraken's price has jumped within the last {_UNCONFIRMED_S} s"
        if price.apart is not None and price.apart > policy.disagreement_max:
            return f"CoinGecko's last word is {price.apart:.3f} from it"
        if price.peg is not None and price.peg.broken:
            return "the euro token is worth something else than what is assumed of it"
        return None
