"""Which offers share a nonce, and with it a hold (blueprint, sections 5 and 7).

At most one offer of a nonce can settle, so offers that share one hold no more than the largest of them. Repeats and dry
requests of one partner and direction share one; and once own holds have used their share of an asset, everything that
spends it shares one. Without this anybody could lock the desk for free, by asking and never accepting.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from unrip.domain.demand import SwapDemand
from unrip.domain.policy import Policy
from unrip.domain.values import Amount, Value, epoch_ms, from_epoch_ms

#: How many shared nonces of an asset may be alive at a time: the one in use, and one before it that is not yet dead.
POOLS_MAX = 2


class SharedNonce(Value):
    """A nonce that live offers carry and that one more may join; it is made once, for all of them."""

    group: str
    #: The command whose id its free bytes are made from.
    opener: str
    nonce: str
    salt: str
    nonce_deadline: datetime
    #: What it holds: the largest of its offers.
    amount: Amount
    #: The last deadline of its offers; after it the nonce may be found dead.
    last_deadline: datetime


class Sharing(Value):
    """The nonces that an offer for one demand could join."""

    #: The nonce of requests like it.
    alike: SharedNonce | None = None
    #: The nonce of everything that spends its asset.
    pool: SharedNonce | None = None


class NonceChoice(Value):
    """The nonce of an offer: a new one, of its own or for a group, or one that it joins."""

    #: The group that may join it later; None for nobody.
    group: str | None
    joined: SharedNonce | None
    #: By how much the hold of the nonce grows.
    growth: Amount


def group_alike(demand: SwapDemand) -> str | None:
    """The group of this request's repeats; None where the relay named no partner, so that nobody can be told apart."""
    if demand.partner_id is None:
        return None
    asked = "dry" if demand.dry else f"in {demand.amount_in} out {demand.amount_out}"
    return f"{demand.direction} {asked} by {demand.partner_id}"


def group_of_all(asset_id: str) -> str:
    """The group of everything that spends an asset."""
    return f"all of {asset_id}"


def group_deadline(now: datetime, policy: Policy) -> datetime:
    """When a nonce that is made for a group now ends: a day and the longest offer life after the end of its bucket.

    So every offer that joins it within the bucket leaves as long to read "unused" from the chain as an offer with a
    nonce of its own.
    """
    bucket_end_ms = (epoch_ms(now) // policy.sharing_bucket_ms + 1) * policy.sharing_bucket_ms
    return from_epoch_ms(bucket_end_ms + policy.longest_life_ms + policy.nonce_life_ms)


def choose_nonce(
    demand: SwapDemand,
    sharing: Sharing,
    *,
    amount_out: Amount,
    own_room: int,
    salt: str,
    policy: Policy,
    now: datetime,
) -> NonceChoice:
    """Choose: join requests like it, or stay alone while there is room for own holds, or share with all.

    `own_room` is by how much holds outside the pool may still grow.
    """
    alike = _joinable(sharing.alike, demand, salt, policy, now)
    growth = _growth(alike, amount_out)
    if growth <= max(0, own_room):
        return NonceChoice(group=group_alike(demand), joined=alike, growth=growth)
    pool = _joinable(sharing.pool, demand, salt, policy, now)
    return NonceChoice(group=group_of_all(demand.asset_out), joined=pool, growth=_growth(pool, amount_out))


def _joinable(
    shared: SharedNonce | None, demand: SwapDemand, salt: str, policy: Policy, now: datetime
) -> SharedNonce | None:
    """The nonce, if it belongs to this bucket and salt and cannot be found dead before the answer is on the wire."""
    if shared is None or shared.salt != salt or shared.nonce_deadline != group_deadline(now, policy):
        return None
    return shared if shared.last_deadline > demand.answer_by else None


def _growth(shared: SharedNonce | None, amount_out: Amount) -> Amount:
    return Amount(max(0, amount_out - (shared.amount if shared else 0)))


def most_by_asset(parts: Iterable[tuple[str, str, Amount]]) -> dict[str, Amount]:
    """The most that offers can move of each asset: the largest amount of each nonce, added up by asset."""
    largest: dict[tuple[str, str], Amount] = {}
    for nonce, asset, amount in parts:
        largest[nonce, asset] = max(largest.get((nonce, asset), Amount(0)), amount)
    totals: dict[str, Amount] = {}
    for (_nonce, asset), amount in largest.items():
        totals[asset] = Amount(totals.get(asset, 0) + amount)
    return totals
