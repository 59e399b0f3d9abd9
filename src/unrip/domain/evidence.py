"""What blocks say about one nonce and the offers that carry it: the only judgement that ends an offer.

Values in, a verdict out. Whoever reads the chain, keeps the offers or writes the ledger asks here, and nothing else
says that an offer has ended (blueprint, principle 3).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from unrip.domain.attempt import ChainEvidence, Offer
from unrip.domain.balances import taker, taker_by_balances
from unrip.domain.values import Value
from unrip.domain.verifier import VerifierReading

#: So long after the last deadline of its offers the taker of a used nonce is still looked for.
TAKER_ALLOWANCE = timedelta(seconds=5)


class Trace(StrEnum):
    """What is known of a revocation of ours that may have used a nonce."""

    NONE = "none"
    """There is none: nobody ever made one."""
    UNTRACED = "untraced"
    """There may be one, and nobody has said yet whether it was executed."""
    REVOKED = "revoked"
    """A final transaction executed it."""
    NOT_REVOKED = "not_revoked"
    """It was not executed."""


class Promise(Value):
    """What is known of one nonce beside the blocks."""

    #: The open offers that carry it, in the order of their claims; at least one.
    offers: tuple[Offer, ...]
    #: Hashes of those that a final transaction has executed.
    filled: frozenset[str] = frozenset()
    trace: Trace = Trace.NONE
    #: A block before the first claim, where nothing else of ours may have moved a balance since; else None.
    before: VerifierReading | None = None

    @property
    def nonce(self) -> str:
        """The nonce that all of them carry."""
        return self.offers[0].nonce

    @property
    def last_deadline(self) -> datetime:
        """After it none of them can be executed any more."""
        return max(offer.offer_deadline for offer in self.offers)

    @property
    def nonce_deadline(self) -> datetime:
        """After it the contract may have forgotten that the nonce was used."""
        return self.offers[0].nonce_deadline


class Settled(Value):
    """One of the offers was executed; the others never can be."""

    taker: Offer
    evidence: ChainEvidence


class Spent(Value):
    """One of the offers was executed, and nobody knows which."""

    evidence: ChainEvidence


class Revoked(Value):
    """Our own revocation used the nonce."""

    evidence: ChainEvidence


class Lapsed(Value):
    """None was executed, and none can be any more."""

    evidence: ChainEvidence


class LookFurther(Value):
    """The blocks do not tell; others, or later ones, may."""

    #: The nonce is used, and it is not known yet by what.
    used: bool


class Unproven(Value):
    """These blocks were the last that could have told."""

    reason: str


Ended = Settled | Spent | Revoked | Lapsed
Verdict = Ended | LookFurther | Unproven

_NOT_UNIQUE = "the balances where the salt ended leave more than one explanation"
_NOT_IN_TIME = "no block is after the last deadline of its offers and not after the nonce's"


def judge(promise: Promise, block: VerifierReading, *, newest: datetime) -> Ended | LookFurther:
    """What one final block says; `newest` is the time of the newest one.

    A used nonce was used by an offer unless a revocation of ours may exist; then the transaction's logs say which.
    Dead is: unused, salt valid, at a block that proves death.
    """
    evidence = _evidence(promise, block)
    if evidence.nonce_used:
        return _judge_use(promise, block, evidence, newest=newest)
    dead = proves_death(evidence, last_deadline=promise.last_deadline, nonce_deadline=promise.nonce_deadline)
    return Lapsed(evidence=evidence) if dead else LookFurther(used=False)


def judge_past(
    promise: Promise, blocks: Sequence[VerifierReading], *, newest: datetime, no_fill: bool
) -> Ended | LookFurther | Unproven:
    """What older blocks say: each by itself, or two neighbours between which the salt ended.

    `no_fill`: the balances of the two show that no offer used the nonce in the later one, where it was forgotten.
    """
    for block in blocks:
        verdict = judge(promise, block, newest=newest)
        if not isinstance(verdict, LookFurther):
            return verdict
    if any(block.nonces[promise.nonce] for block in blocks):
        return LookFurther(used=True)
    if len(blocks) == 1:
        return Unproven(reason=_NOT_IN_TIME)
    if not no_fill:
        return Unproven(reason=_NOT_UNIQUE)
    valid, invalid = blocks
    return Lapsed(
        evidence=ChainEvidence(
            height=invalid.height,
            block_time=invalid.block_time,
            nonce_used=False,
            salt_valid=False,
            salt_valid_at=valid.height,
        )
    )


def proves_death(evidence: ChainEvidence, *, last_deadline: datetime, nonce_deadline: datetime) -> bool:
    """Whether the evidence shows that no offer of the nonce was executed or can be.

    It is unused after the last deadline of its offers and not after the nonce's own, since the contract erases used
    nonces after that; or unused up to the block that ended its salt.
    """
    if evidence.nonce_used:
        return False
    if evidence.salt_valid:
        return last_deadline < evidence.block_time <= nonce_deadline
    return evidence.salt_valid_at is not None and evidence.salt_valid_at < evidence.height


def cannot_tell(promise: Promise, block: VerifierReading) -> bool:
    """Whether a block can no longer judge the nonce, unused as it is: it may have been forgotten there."""
    used, salt_valid = block.nonces.get(promise.nonce), block.salts.get(promise.offers[0].salt)
    return used is False and (salt_valid is False or block.block_time > promise.nonce_deadline)


def _evidence(promise: Promise, block: VerifierReading) -> ChainEvidence:
    return ChainEvidence(
        height=block.height,
        block_time=block.block_time,
        nonce_used=block.nonces[promise.nonce],
        salt_valid=block.salts.get(promise.offers[0].salt, False),
    )


def _judge_use(
    promise: Promise, block: VerifierReading, evidence: ChainEvidence, *, newest: datetime
) -> Ended | LookFurther:
    """Who used the nonce: a revocation of ours, or an offer, if one is known."""
    if promise.trace is Trace.REVOKED:
        return Revoked(evidence=evidence)
    if not promise.filled and promise.trace is Trace.UNTRACED:
        return LookFurther(used=True)
    took = _taker(promise, block)
    if took is not None:
        return Settled(taker=took, evidence=evidence)
    if newest <= promise.last_deadline + TAKER_ALLOWANCE:
        return LookFurther(used=True)
    return Spent(evidence=evidence)


def _taker(promise: Promise, block: VerifierReading) -> Offer | None:
    """Which of the offers was executed; None while more than one may have been."""
    found = taker(promise.offers, _of(promise.offers, promise.filled))
    if found is not None or promise.before is None:
        return found
    return taker_by_balances(promise.offers, promise.before, block)


def _of(offers: Sequence[Offer], hashes: Collection[str]) -> list[Offer]:
    return [offer for offer in offers if offer.quote_hash in hashes]
