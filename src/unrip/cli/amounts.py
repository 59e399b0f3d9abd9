"""Amounts as people write them: whole tokens with their symbol, exact to the smallest unit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from unrip.domain.command import TradeCommand
from unrip.domain.demand import SwapDemand
from unrip.domain.pairs import Direction, Pair
from unrip.domain.values import Amount

#: How many digits an amount may have: the largest has 39.
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,39}")
#: Numbers behind a guard or a rejection that count smallest units, with the side of the offer that they are of.
_RECEIVED = frozenset({"amount_in"})
_SPENT = frozenset(
    {
        "amount_out",
        "credited",
        "explained_fall",
        "own_credited",
        "share_left",
        "snapshot_credited",
        "spendable",
        "unexplained",
    }
)


class Amounts:
    """Writes amounts of one pair's assets; an amount of any other asset stays a marked count of smallest units."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._assets = {asset.asset_id: asset for asset in pair.assets()}
        self._other_tokens = pair.other_tokens()

    def text(self, amount: int | None, asset_id: str) -> str:
        """An amount with its unit."""
        if amount is None:
            return f"an unknown amount of {self.symbol(asset_id)}"
        asset = self._assets.get(asset_id)
        if asset is None:
            other = self._other_tokens.get(asset_id)
            beside = "" if other is None else f" (another token of {other.symbol})"
            return f"{amount} smallest units of {asset_id}{beside}"
        return f"{'-' if amount < 0 else ''}{asset.whole_text(Amount(abs(amount)))} {asset.symbol}"

    def texts(self, amounts: Mapping[str, int]) -> str:
        """Amounts by their asset."""
        return ", ".join(self.text(amount, asset_id) for asset_id, amount in amounts.items()) or "nothing"

    def symbol(self, asset_id: str) -> str:
        """The asset's symbol; its id where it is not of the pair."""
        return self._assets[asset_id].symbol if asset_id in self._assets else asset_id

    def asked(self, demand: SwapDemand) -> str:
        """What a taker asks for, with the amount that is fixed."""
        if demand.amount_in is not None:
            return f"gives {self.text(demand.amount_in, demand.asset_in)} for {self.symbol(demand.asset_out)}"
        return f"wants {self.text(demand.amount_out, demand.asset_out)} for {self.symbol(demand.asset_in)}"

    def exchanged(self, offer: TradeCommand) -> str:
        """What an offer moves for us."""
        received = self.text(offer.amount_in, offer.asset_in)
        return f"receive {received}, spend {self.text(offer.amount_out, offer.asset_out)}"

    def spent(self, amount: int | None, *, pair: str, direction: Direction) -> str:
        """An amount of the asset that an offer in this direction spends."""
        if amount is None:
            return "unknown"
        known = pair == self._pair.name
        return self.text(amount, self._pair.spent(direction).asset_id if known else f"what {pair} {direction} spends")

    def numbers(self, numbers: Mapping[str, str], *, pair: str, direction: Direction, limit: bool = False) -> str:
        """The numbers behind a verdict; `limit` says whether its limit counts smallest units of what is spent, too."""
        return ", ".join(
            f"{name} {self._number(name, value, pair=pair, direction=direction, limit=limit)}"
            for name, value in numbers.items()
        )

    def _number(self, name: str, value: str, *, pair: str, direction: Direction, limit: bool) -> str:
        if pair != self._pair.name or not _WHOLE_NUMBER.fullmatch(value):
            return value
        if name in _RECEIVED:
            return self.text(int(value), self._pair.received(direction).asset_id)
        if name in _SPENT or (limit and name == "limit"):
            return self.text(int(value), self._pair.spent(direction).asset_id)
        return value
