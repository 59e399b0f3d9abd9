"""The two assets of this world's market, and the euro value of their amounts."""

from decimal import Decimal

BTC = "nep141:btc.omft.near"
#: Monerium's EURe v2 on Gnosis; the older contract is another token.
EURE = "nep141:gnosis-0x420ca0f9b9b604ce0fd9c18ef134c705e5fa3430.omft.near"
#: Decimals of the smallest unit: satoshi and wei.
DECIMALS = {BTC: 8, EURE: 18}
#: Direction names say what the taker gives.
DIRECTIONS = {"btc_to_eure": (BTC, EURE), "eure_to_btc": (EURE, BTC)}


def euro_value(token_id: str, amount: int, *, eur_per_btc: Decimal) -> Decimal:
    """Value of an amount in EUR, with EURe at par; raises KeyError for another asset."""
    whole = Decimal(amount).scaleb(-DECIMALS[token_id])
    return whole * eur_per_btc if token_id == BTC else whole


def amount_worth(token_id: str, eur: Decimal, *, eur_per_btc: Decimal) -> int:
    """Amount in smallest units, rounded down, that is worth `eur`."""
    whole = eur / eur_per_btc if token_id == BTC else eur
    return int(whole.scaleb(DECIMALS[token_id]))
