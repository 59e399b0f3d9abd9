"""CoinGecko's simple price and coin pages: a slower average of the same market, and the euro token's peg."""

from decimal import Decimal
from random import Random
from typing import Any

from unrip_world.assets import Pair
from unrip_world.codec import NS_PER_MS, NS_PER_S, ns_to_rfc3339
from unrip_world.config import MarketSettings
from unrip_world.exchange.walk import Walk
from unrip_world.faults import Faults


class CoinGecko:
    """Prices as of the last refresh; a frozen source keeps serving them with their old time."""

    def __init__(
        self, *, walk: Walk, pair: Pair, settings: MarketSettings, faults: Faults, rng: Random, now_ns: int
    ) -> None:
        self._walk, self._settings, self._faults, self._rng = walk, settings, faults, rng
        self._coins = {asset.coin: asset for asset in pair.assets().values()}
        self._base, self._quote = pair.base.coin, pair.quote.coin
        self._interval_ns = int(settings.coingecko_every_s * NS_PER_S)
        self._prices: dict[str, Decimal] = {}
        self._updated_at_ns = now_ns
        self.next_at_ns = now_ns
        self.advance(now_ns)

    def advance(self, now_ns: int) -> None:
        """Take a new average of the market, unless frozen."""
        self.next_at_ns = now_ns + self._interval_ns
        if self._faults.get("coingecko", "freeze") is not None and self._prices:
            return
        noise = Decimal(repr(self._rng.gauss(0, 1))) * self._settings.eure_noise
        drift = Decimal(repr(self._rng.gauss(0, 1))) * Decimal("0.0002")
        self._prices = {
            self._base: round(self._walk.tick.mid * (1 + drift), 6),
            self._quote: round(1 + noise, 6),
        }
        self._updated_at_ns = now_ns

    @property
    def prices(self) -> dict[str, Decimal]:
        """Coin id -> EUR as served now, faults included."""
        shown = dict(self._prices)
        if (fault := self._faults.get("coingecko", "price_factor")) is not None:
            shown[self._base] *= fault["factor"]
        if (fault := self._faults.get("coingecko", "eure_price")) is not None:
            shown[self._quote] = fault["price"]
        return shown

    @property
    def _stamp_ns(self) -> int:
        skew = self._faults.get("coingecko", "timestamp_skew_ms")
        return self._updated_at_ns + (0 if skew is None else skew["ms"] * NS_PER_MS)

    def simple_price(self, *, ids: list[str], currencies: list[str], with_time: bool) -> dict[str, dict[str, object]]:
        """Answer `/simple/price`; unknown coins and currencies are left out, as the real one does."""
        prices, answer = self.prices, {}
        for coin in ids:
            if coin in prices:
                entry: dict[str, object] = {"eur": prices[coin]} if "eur" in currencies else {}
                answer[coin] = entry | ({"last_updated_at": self._stamp_ns // NS_PER_S} if with_time else {})
        return answer

    def coin(self, coin: str) -> dict[str, Any] | None:
        """Answer `/coins/{id}`, or None for an unknown coin."""
        if (asset := self._coins.get(coin)) is None:
            return None
        symbol, name = asset.symbol.lower(), asset.name
        contract = asset.asset_identifier.removeprefix("eth:100:")
        platforms = {"xdai": contract} if asset.chain == "eth:100" else {"": ""}
        moment = ns_to_rfc3339(self._stamp_ns, digits=3)
        market = {"current_price": {"eur": self.prices[coin]}, "last_updated": moment}
        return {
            "id": coin,
            "symbol": symbol,
            "name": name,
            "platforms": platforms,
            "market_data": market,
            "last_updated": moment,
        }
