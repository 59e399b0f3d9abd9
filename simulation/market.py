"""What Kraken's book was lately, as the world knows it, and whether an accepted decision rests on it."""

from __future__ import annotations

from collections import deque
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


class Market:
    """Every mid that Kraken could be asked for within the time in which a price may be used."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: tuple[Tick, bool] | None = None
        #: Mids with the time until which they were to be had; the last one still is.
        self._told: deque[tuple[int, Decimal]] = deque()
        self.prices: dict[str, MarketPrice] = {}

    def look(self, now_ns: int) -> None:
        """Note what Kraken tells now."""
        told = all(self._world.faults.get("kraken", kind) is None for kind in _NOT_TOLD)
        tick, last = self._world.walk.tick, self._last
        if last is not None and last[0] is tick and last[1] == told:
            return
        if last is not None and last[1]:
            self._told.append((now_ns, last[0].mid))
        self._last = tick, told
        while self._told and self._told[0][0] < now_ns - _USED_WITHIN_S * _NS_PER_S:
            self._told.popleft()

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
        if price.apart is not None and price.apart > policy.disagreement_max:
            return f"CoinGecko's last word is {price.apart:.3f} from it"
        if price.peg is not None and price.peg.broken:
            return "the euro token is worth something else than what is assumed of it"
        return None
