"""What balances say: which of the offers that share a nonce took it, and that none of several was executed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

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


def shows_no_fill(
    offers: Sequence[Offer], before: VerifierReading, after: VerifierReading, *, may_be_revoked: Collection[str] = ()
) -> bool:
    """Whether between a block and the next no offer was executed whose nonce is unused at both.

    That is so if the balances are the same, apart from what offers moved whose nonce was first used in the later block:
    a fill moves both balances, and fills undo one another only where one gives as much as another asks for. Anything
    else that moved in this very block, be it a gift, is one explanation too many. `offers` are all that were open; of
    the nonces that `may_be_revoked` it is not known whether an offer used them or we did, which moves nothing.
    """
    executed = [offer for offer in offers if after.nonces[offer.nonce] and not before.nonces[offer.nonce]]
    if len({offer.nonce for offer in executed}) < len(executed) or any(o.nonce in may_be_revoked for o in executed):
        return False  # which of them took it is not known
    left = {asset_id: _change(asset_id, before, after) for asset_id in before.credited}
    for offer in executed:
        left[offer.asset_in] -= offer.amount_in
        left[offer.asset_out] += offer.amount_out
    unused = [offer for offer in offers if not after.nonces[offer.nonce] and not before.nonces[offer.nonce]]
    return not any(left.values()) and not _may_cancel_out(unused)


def _may_cancel_out(offers: Sequence[Offer]) -> bool:
    """Whether some of them, executed together, may leave all balances as they were.

    Not if every one gives less than each of the other direction asks for: then there is a price between them at which
    each is a gain, and so are all together.
    """
    return any(
        one.amount_out * other.amount_out >= one.amount_in * other.amount_in
        for one, other in combinations(offers, 2)
        if one.asset_out == other.asset_in
    )


def _change(asset_id: str, before: VerifierReading, after: VerifierReading) -> int:
    return after.credited.get(asset_id, 0) - before.credited.get(asset_id, 0)
