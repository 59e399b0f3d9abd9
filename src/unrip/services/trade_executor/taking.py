"""Which of the offers that share a nonce took it, once a final block shows it used."""

from __future__ import annotations

from collections.abc import Sequence

from unrip.domain.attempt import Offer
from unrip.domain.verifier import VerifierReading


def taker(offers: Sequence[Offer], filled: Sequence[Offer]) -> Offer | None:
    """The offer that a transaction of the chain names, or the only one there is (blueprint, section 7).

    `filled` are those whose hash stands in the contract's own events of a successful transaction.
    """
    if filled:
        return filled[0]
    return offers[0] if len(offers) == 1 else None


def taker_by_balances(offers: Sequence[Offer], before: VerifierReading, after: VerifierReading) -> Offer | None:
    """The only offer that explains what moved between two blocks, if nothing else of ours moved in between.

    Anybody can send us something, nobody can take: of what an offer spends the balance fell by its amount at most, and
    of what it receives it rose by its amount at least. Two such offers are one explanation too many.
    """
    possible = [
        offer
        for offer in offers
        if _change(offer.asset_out, before, after) >= -offer.amount_out
        and _change(offer.asset_in, before, after) >= offer.amount_in
    ]
    return possible[0] if len(possible) == 1 else None


def _change(asset_id: str, before: VerifierReading, after: VerifierReading) -> int:
    return after.credited.get(asset_id, 0) - before.credited.get(asset_id, 0)
