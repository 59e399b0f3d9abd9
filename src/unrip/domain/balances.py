"""What balances show: whose offer explains what moved between two blocks, and that none of several was executed.

Anybody can send us something, nobody can take anything: a rise may always be a gift, while a fall is an offer's or the
owner's own withdrawal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import combinations, product
from math import prod

from unrip.domain.attempt import Offer
from unrip.domain.values import Amount, Delta, Value
from unrip.domain.verifier import VerifierReading

#: How many explanations are tried; where there are more, the balances show nothing.
_TRIED_MAX = 4_096
#: How long before the bridge first reported it a withdrawal may have left the verifier.
_TOLD_LATE_MAX = timedelta(minutes=10)


class Withdrawal(Value):
    """What the owner took out of the verifier, as the bridge reports it."""

    asset_id: str
    amount: Amount
    #: When the bridge first reported it.
    told_at: datetime

    def may_lie_between(self, before: VerifierReading, after: VerifierReading) -> bool:
        """Whether it may be part of what moved between two blocks."""
        return before.block_time < self.told_at and self.told_at - _TOLD_LATE_MAX < after.block_time


#: What a party may have moved: an offer that was executed, or nothing.
Taker = Offer | None


def moved_between(before: VerifierReading, after: VerifierReading) -> dict[str, Delta]:
    """By how much every balance changed."""
    assets = before.credited.keys() | after.credited.keys()
    return {asset: Delta(after.credited.get(asset, 0) - before.credited.get(asset, 0)) for asset in sorted(assets)}


def possible_takers(
    offers: Sequence[Offer],
    before: VerifierReading,
    after: VerifierReading,
    *,
    others: Sequence[Sequence[Offer]] = (),
    withdrawals: Sequence[Withdrawal] = (),
) -> list[Taker]:
    """Whose execution of the offers of one nonce can explain what moved; None stands for nobody's.

    The nonce is unused at the one block and used at the other. `others` are the offers of every other nonce that may
    have been used in between, too. One possible taker is one explanation; more, or none, are no evidence. An
    explanation of all of it to the last unit is no better than one that needs a gift: a stranger's satoshi makes one
    offer look like another.
    """
    moved = moved_between(before, after)
    own: list[Taker] = [None, *offers]
    beside: list[list[Taker]] = [[None, *each] for each in others]
    withdrawn = [each for each in withdrawals if each.may_lie_between(before, after)]
    if not any(moved.values()) and not others:
        return [None]
    if prod(len(each) for each in [own, *beside]) * 2 ** len(withdrawn) > _TRIED_MAX:
        return own
    return [
        taker
        for taker in own
        if any(min(rest.values(), default=0) >= 0 for rest in _left(moved, [[taker], *beside], withdrawn))
    ]


def _left(
    moved: Mapping[str, int], choices: Sequence[Sequence[Taker]], withdrawals: Sequence[Withdrawal]
) -> Iterator[Counter[str]]:
    """What every combination of movements leaves unexplained: gifts, where none of it is negative."""
    for takers in product(*choices):
        rest = _less(moved, (each for each in takers if each is not None))
        for taken in _subsets(withdrawals):
            yield _without(rest, taken)


def used_beside(
    nonce: str, offers: Iterable[Offer], before: VerifierReading, after: VerifierReading, *, forgotten: bool
) -> tuple[tuple[Offer, ...], ...]:
    """The offers of every other nonce that may have been used first between two blocks.

    With `forgotten`, they include those whose use the contract may have erased in the later block at once, since their
    salt ended there.
    """
    by_nonce: dict[str, list[Offer]] = {}
    for offer in offers:
        if offer.nonce == nonce or before.nonces.get(offer.nonce, False):
            continue
        if after.nonces.get(offer.nonce, True) or (forgotten and after.salts.get(offer.salt) is not True):
            by_nonce.setdefault(offer.nonce, []).append(offer)
    return tuple(tuple(each) for each in by_nonce.values())


def _less(moved: Mapping[str, int], executed: Iterable[Offer]) -> Counter[str]:
    """What a movement leaves when these offers are taken from it."""
    rest = Counter(dict(moved))
    for offer in executed:
        rest[offer.asset_in] -= offer.amount_in
        rest[offer.asset_out] += offer.amount_out
    return rest


def _without(rest: Counter[str], withdrawals: Iterable[Withdrawal]) -> Counter[str]:
    left = Counter(rest)
    for withdrawal in withdrawals:
        left[withdrawal.asset_id] += withdrawal.amount
    return left


def _subsets(withdrawals: Sequence[Withdrawal]) -> Iterator[tuple[Withdrawal, ...]]:
    return (chosen for size in range(len(withdrawals) + 1) for chosen in combinations(withdrawals, size))


def shows_no_fill(
    offers: Sequence[Offer],
    before: VerifierReading,
    after: VerifierReading,
    *,
    may_be_revoked: Collection[str] = (),
    withdrawals: Sequence[Withdrawal] = (),
) -> bool:
    """Whether no offer whose nonce is unused at both of two neighbouring blocks was executed between them.

    That is so if the balances are the same, apart from withdrawals of the owner and from what offers moved whose nonce
    was first used in the later block: a fill moves both balances, and fills undo one another only where one gives as
    much as another asks for. Anything else that moved in this very block, be it a gift, is one explanation too many.
    `offers` are all that were open; for the nonces that `may_be_revoked` it is not known whether an offer used them or
    we did, which moves nothing.
    """
    used = [offer for offer in offers if after.nonces[offer.nonce] and not before.nonces[offer.nonce]]
    if len({offer.nonce for offer in used}) < len(used) or any(o.nonce in may_be_revoked for o in used):
        return False  # it is not known which of them was executed
    # An offer that was used may undo one that was forgotten: if both were executed, it looks as if neither was.
    undecided = [offer for offer in offers if not before.nonces[offer.nonce]]
    withdrawn = [each for each in withdrawals if each.may_lie_between(before, after)]
    if _may_cancel_out(undecided) or 2 ** (len(used) + len(withdrawn)) > _TRIED_MAX:
        return False
    moved = moved_between(before, after)
    # A nonce that a stranger used moved none of its offers' amounts.
    executed = (chosen for size in range(len(used), -1, -1) for chosen in combinations(used, size))
    return any(
        not any(_without(_less(moved, chosen), taken).values()) for chosen in executed for taken in _subsets(withdrawn)
    )


def _may_cancel_out(offers: Sequence[Offer]) -> bool:
    """Whether some of them, executed together, may leave all balances as they were.

    They cannot if every one gives less than each of the other direction asks for: then at some price between them each
    is a gain, and so are all together.
    """
    return any(
        one.amount_out * other.amount_out >= one.amount_in * other.amount_in
        for one, other in combinations(offers, 2)
        if one.asset_out == other.asset_in
    )
