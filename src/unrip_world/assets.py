"""The two assets of this world's market, and the euro value of their amounts."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

BTC = "nep141:btc.omft.near"
#: Monerium's EURe v2 on Gnosis; the older contract is another token.
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"


class Asset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token of the ledger, with the bridge's terms in smallest units and CoinGecko's id of the coin."""

    token_id: str
    symbol: str
    decimals: int
    chain: str
    coin: str
    name: str = ""
    #: The bridge's own id of the coin on its chain.
    asset_identifier: str
    min_deposit: int = 1
    min_withdrawal: int = 1
    withdrawal_fee: int = 0


class KrakenMarket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How Kraken spells the market of the base in EUR: WebSocket v2 and REST differ."""

    symbol: str = "BTC/EUR"
    altname: str = "XBTEUR"
    #: REST answers under this one.
    key: str = "XXBTZEUR"
    #: Further names that REST understands.
    also: tuple[str, ...] = ("BTCEUR", "XBT/EUR")


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is traded here; the quote is worth one EUR."""

    base: Asset = Asset(
        token_id=BTC,
        symbol="BTC",
        decimals=8,
        chain="btc:mainnet",
        coin="bitcoin",
        name="Bitcoin",
        asset_identifier="btc:mainnet:native",
        min_deposit=5_000,
        min_withdrawal=7_000,
        withdrawal_fee=1_500,
    )
    quote: Asset = Asset(
        token_id=EURE,
        symbol="EURe",
        decimals=18,
        chain="eth:100",
        coin="monerium-eur-money-2",
        name="Monerium EUR emoney",
        asset_identifier=f"eth:100:{EURE.removeprefix('nep141:gnosis-').removesuffix('.omft.near')}",
        min_deposit=10**17,
        min_withdrawal=10**18,
        withdrawal_fee=2 * 10**16,
    )
    kraken: KrakenMarket = KrakenMarket()

    def assets(self) -> Mapping[str, Asset]:
        """Give both assets by their token id."""
        return {asset.token_id: asset for asset in (self.base, self.quote)}

    def exchanged(self, direction: str) -> tuple[str, str]:
        """Give asset in and asset out of a direction, which is named by what the taker gives and gets."""
        there = (self.base.token_id, self.quote.token_id)
        return there if direction in ("btc_to_eure", "base_to_quote") else there[::-1]

    def euro_value(self, token_id: str, amount: int, *, eur_per_base: Decimal) -> Decimal:
        """Value of an amount in EUR, with the quote at par; raises KeyError for another asset."""
        whole = Decimal(amount).scaleb(-self.assets()[token_id].decimals)
        return whole * eur_per_base if token_id == self.base.token_id else whole

    def amount_worth(self, token_id: str, eur: Decimal, *, eur_per_base: Decimal) -> int:
        """Amount in smallest units, rounded down, that is worth `eur`."""
        whole = eur / eur_per_base if token_id == self.base.token_id else eur
        return int(whole.scaleb(self.assets()[token_id].decimals))
