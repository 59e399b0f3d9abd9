"""Assets, pairs and the two directions in which a pair can trade."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from unrip.domain.values import Amount, Value, shown

#: How many digits the verifier's largest amount has.
_WHOLE_DIGITS_MAX = 39


class Direction(StrEnum):
    """Named from where money moves: `asset_in` is what the taker gives and we receive, `asset_out` what we spend."""

    BASE_IN = "base_in"
    """The taker gives base (BTC): we receive BTC and spend EURe."""
    BASE_OUT = "base_out"
    """The taker gets base (BTC): we receive EURe and spend BTC."""


class Asset(Value):
    """A token in the verifier."""

    #: What people call it.
    symbol: str
    #: Its id in the verifier, such as `nep141:btc.omft.near`.
    asset_id: str
    #: Smallest units per whole: 10 ** decimals.
    decimals: int
    #: The bridge's name of the chain it is deposited from, such as `btc:mainnet`.
    chain: str
    #: Ids of other tokens that stand for the same coin outside, such as another bridge's. None of them is this asset:
    #: their balances and demands are followed by their own ids, and never counted or traded as this one's.
    aliases: tuple[str, ...] = ()

    def units(self, whole: Decimal) -> Amount:
        """Smallest units of a whole-token quantity, cut down."""
        return Amount(int(Fraction(whole) * 10**self.decimals))

    def whole(self, units: int) -> Fraction:
        """Whole tokens of a count of smallest units, exact."""
        return Fraction(units, 10**self.decimals)

    def parse_whole(self, text: str) -> Amount:
        """Smallest units of a whole-token quantity as people write it, such as `0.02`.

        Raises:
            ValueError: it is no plain decimal number, or finer than the smallest unit.

        """
        whole, point, fraction = text.partition(".")
        if not all(part.isascii() and part.isdigit() for part in ((whole, fraction) if point else (whole,))):
            raise ValueError(f"not a plain amount of {self.symbol}: {shown(text)}")
        if len(whole) > _WHOLE_DIGITS_MAX or len(fraction) > self.decimals:
            raise ValueError(f"{self.symbol} has {self.decimals} decimals: {shown(text)} is finer, or absurdly large")
        return Amount(whole + fraction.ljust(self.decimals, "0"))

    def whole_text(self, amount: Amount) -> str:
        """An amount as people write it, exact."""
        whole, fraction = divmod(amount, 10**self.decimals)
        return f"{whole}.{fraction:0{self.decimals}}".rstrip("0").rstrip(".") if self.decimals else str(whole)


class Pair(Value):
    """A base asset priced in a quote asset."""

    base: Asset
    quote: Asset

    @property
    def name(self) -> str:
        """The key of the pair's records, such as `BTC/EURe`."""
        return f"{self.base.symbol}/{self.quote.symbol}"

    def assets(self) -> tuple[Asset, Asset]:
        """Base and quote."""
        return (self.base, self.quote)

    def other_tokens(self) -> dict[str, Asset]:
        """Each alias, and the asset for whose coin it stands, too."""
        return {alias: asset for asset in self.assets() for alias in asset.aliases}

    def balances(self) -> dict[str, str]:
        """The name of each balance that is followed, to its ledger id: of an asset its symbol, of an alias its id."""
        return {asset.symbol: asset.asset_id for asset in self.assets()} | {each: each for each in self.other_tokens()}

    def direction_of(self, asset_in: str, asset_out: str) -> Direction | None:
        """The direction of a demand between two asset ids, or None when they are not this pair."""
        if (asset_in, asset_out) == (self.base.asset_id, self.quote.asset_id):
            return Direction.BASE_IN
        if (asset_in, asset_out) == (self.quote.asset_id, self.base.asset_id):
            return Direction.BASE_OUT
        return None

    def received(self, direction: Direction) -> Asset:
        """The asset we receive in this direction."""
        return self.base if direction is Direction.BASE_IN else self.quote

    def spent(self, direction: Direction) -> Asset:
        """The asset we spend in this direction."""
        return self.quote if direction is Direction.BASE_IN else self.base
