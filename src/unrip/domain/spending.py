"""How much may be spent at most, in an asset's smallest units: limits that need no price and trust no sender."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from unrip.domain.attempt import Offer
from unrip.domain.values import Amount, Value

_SPAN = timedelta(seconds=60)


class SpendingCaps(Value):
    """How much of one asset may be spent, in smallest units."""

    per_command: Amount
    per_minute: Amount
    open: Amount


class Claimed(Value):
    """What a signed offer spends, for as long as it counts: a minute."""

    nonce: str
    asset_out: str
    amount_out: Amount
    claimed_at: datetime


def claimed_of(offer: Offer, at: datetime) -> Claimed:
    """What an offer that is claimed now spends."""
    return Claimed(nonce=offer.nonce, asset_out=offer.asset_out, amount_out=offer.amount_out, claimed_at=at)


class Spending:
    """What was signed within the last minute, and what one more command would make of it.

    Offers of one nonce count once, as the largest of them: only one can settle.
    """

    def __init__(self, caps: Mapping[str, SpendingCaps]) -> None:
        self._caps = caps
        self._claimed: dict[tuple[str, str], Claimed] = {}

    def claimed(self, offer: Claimed) -> None:
        """Count an offer that was signed and claimed; the same offer counts once.

        Only here is forgotten what lies more than a minute before: nothing is claimed while a clock is set wrong.
        """
        before = self._claimed.get((offer.asset_out, offer.nonce))
        if before is not None:
            largest = max(before.amount_out, offer.amount_out)
            at = max(before.claimed_at, offer.claimed_at)
            offer = Claimed(nonce=offer.nonce, asset_out=offer.asset_out, amount_out=largest, claimed_at=at)
        self._claimed = {key: each for key, each in self._claimed.items() if offer.claimed_at - each.claimed_at < _SPAN}
        self._claimed[offer.asset_out, offer.nonce] = offer

    def fault(
        self, asset: str, nonce: str, amount: int, *, held: int | None, held_by_nonce: int, now: datetime
    ) -> dict[str, str] | None:
        """Which cap an offer would break, with its numbers; `held` is what all open offers hold of its asset.

        A claim that seems to lie ahead, since a clock was set back, counts as well.
        """
        caps = self._caps.get(asset)
        lately = {key: each for key, each in self._claimed.items() if now - each.claimed_at < _SPAN}
        if caps is None or held is None:
            return {"fault": "nothing says how much of this asset may be spent", "asset": asset}
        others = sum(each.amount_out for (of, by), each in lately.items() if of == asset and by != nonce)
        before = lately.get((asset, nonce))
        totals = {
            "in one command": (amount, caps.per_command),
            "within 60 s": (others + max(amount, before.amount_out if before else 0), caps.per_minute),
            "with all open offers": (held + max(0, amount - held_by_nonce), caps.open),
        }
        for what, (total, limit) in totals.items():
            if total > limit:
                return {
                    "fault": f"spends too much {what}",
                    "asset": asset,
                    "spent": str(int(total)),
                    "limit": str(int(limit)),
                }
        return None
