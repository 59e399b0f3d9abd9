"""What blocks show of one nonce and the offers that carry it: the only judgement that ends an offer.

Values in, a verdict out. Whoever reads the chain, keeps the offers or writes the ledger asks here, and nothing else
decides that an offer has ended (blueprint, principle 3).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, TradeResult
from unrip.domain.balances import Withdrawal, moved_between, possible_takers
from unrip.domain.values import Value
from unrip.domain.verifier import VerifierReading

#: How long after the last deadline of its offers we still look for who used a used nonce.
TAKER_ALLOWANCE = timedelta(seconds=5)


class Trace(StrEnum):
    """What is known of a revocation of ours that may have used a nonce."""

    NONE = "none"
    """There is none: nobody ever made one."""
    UNTRACED = "untraced"
    """There may be one, and it is not known yet whether it was executed."""
    REVOKED = "revoked"
    """A final transaction executed it."""
    NOT_REVOKED = "not_revoked"
    """It was not executed."""


class Search(StrEnum):
    """How far the search has come for the transaction that used a nonce: unread is not none."""

    PENDING = "pending"
    """It has not been read yet what the transactions say that may have used it."""
    UNREAD = "unread"
    """They were asked for again and again, and no node has them."""
    NONE = "none"
    """They were read, and none names an intent; or no node keeps the blocks that would lead to them."""


class Promise(Value):
    """What is known of one nonce beside the newest block."""

    #: The open offers that carry it, in the order of their claims; at least one.
    offers: tuple[Offer, ...]
    #: The hash of the intent that used the nonce in a final transaction, where one was read.
    executed: str | None = None
    #: Where none was.
    search: Search = Search.PENDING
    trace: Trace = Trace.NONE
    #: A block before the first claim, where nothing else of ours may have moved a balance since; else None.
    before: VerifierReading | None = None
    #: The last block with the nonce unused, and the next one, where it is used; once they are found.
    use: tuple[VerifierReading, VerifierReading] | None = None
    #: The offers of every other nonce that may have been used in that very block.
    others: tuple[tuple[Offer, ...], ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()

    @property
    def nonce(self) -> str:
        """The nonce that all of them carry."""
        return self.offers[0].nonce

    @property
    def last_deadline(self) -> datetime:
        """The deadline after which none of them can be executed any more."""
        return max(offer.offer_deadline for offer in self.offers)

    @property
    def nonce_deadline(self) -> datetime:
        """The deadline after which the contract may have forgotten that the nonce was used."""
        return self.offers[0].nonce_deadline


class Settled(Value):
    """One of the offers was executed; the others never can be."""

    taker: Offer
    evidence: ChainEvidence


class Spent(Value):
    """One of the offers was executed, and nobody knows which."""

    evidence: ChainEvidence


class Voided(Value):
    """The nonce was used by an intent that is none of the offers: they moved nothing, and never can."""

    evidence: ChainEvidence


class Revoked(Value):
    """Our own revocation used the nonce."""

    evidence: ChainEvidence


class Lapsed(Value):
    """None was executed, and none can be any more."""

    evidence: ChainEvidence


class Alive(Value):
    """The nonce is unused, and may still be used: later blocks will show more."""


class LookFurther(Value):
    """Older blocks may show what this one cannot."""

    #: A height at which the nonce is used: the block of its use shows more. None where it is unused, perhaps forgotten.
    used_at: int | None


class Wait(Value):
    """The nonce is used, and the blocks show no more than that: a transaction may still show by what."""


class Unproven(Value):
    """These blocks were the last that could have shown how it ended."""

    reason: str


Ended = Settled | Spent | Voided | Revoked | Lapsed
Verdict = Ended | Alive | LookFurther | Wait | Unproven

_NOT_UNIQUE = "the balances where the salt ended leave more than one explanation"
_NOT_IN_TIME = "no block is after the last deadline of its offers and not after the nonce's"
_USE_NOT_UNIQUE = "the balances where its nonce was used do not say by what, and no transaction does"


def judge(promise: Promise, block: VerifierReading, *, newest: datetime) -> Verdict:
    """What one final block shows; `newest` is the time of the newest one.

    A used nonce alone shows nothing: an offer settled if a transaction or the balances show it (blueprint, principle
    3). It is dead if the nonce is unused and the salt valid at a block that proves death.
    """
    evidence = _evidence(promise, block)
    if evidence.nonce_used:
        return _judge_use(promise, block, evidence, newest=newest)
    if proves_death(evidence, last_deadline=promise.last_deadline, nonce_deadline=promise.nonce_deadline):
        return Lapsed(evidence=evidence)
    # Once its salt or its own deadline has ended, the contract may have forgotten that a nonce was used.
    salt_ended = block.salts.get(promise.offers[0].salt) is False
    return LookFurther(used_at=None) if salt_ended or block.block_time > promise.nonce_deadline else Alive()


def judge_past(promise: Promise, blocks: Sequence[VerifierReading], *, newest: datetime, no_fill: bool) -> Verdict:
    """What older blocks show: each by itself, or two neighbours between which the salt ended or the nonce was used.

    `no_fill`: the balances of the two show that no offer used the nonce in the later one, where it was forgotten.
    """
    for block in blocks:
        verdict = judge(promise, block, newest=newest)
        if not isinstance(verdict, Alive) and verdict != LookFurther(used_at=None):
            return verdict
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


def shows_movement(evidence: ChainEvidence) -> bool:
    """Whether a balance moved since the earlier block that was compared; without that no offer was executed."""
    since, moved = evidence.compared_with, evidence.moved or {}
    return since is not None and since < evidence.height and any(moved.values())


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


def operator_may_say(evidence: ChainEvidence, *, last_deadline: datetime) -> bool:
    """Whether an operator may decide how an unproven nonce ended: none of its offers can be executed any more."""
    return evidence.nonce_used or evidence.block_time > last_deadline


def proves(
    state: AttemptState,
    results: Sequence[TradeResult],
    *,
    last_deadline: datetime,
    nonce_deadline: datetime,
    own: Collection[str],
    unproven: bool,
) -> bool:
    """Whether the evidence in the results of its open offers shows that a nonce has ended in this state.

    `own` are the hashes of every offer that ever carried it; `unproven`: no block shows how the open ones ended.
    """
    evidence = results[0].evidence if results else None
    if evidence is None:
        return False
    used = evidence.nonce_used
    if evidence.operator is not None:
        return unproven and operator_may_say(evidence, last_deadline=last_deadline)
    if state is AttemptState.SETTLED:
        took = [result for result in results if result.state is AttemptState.SETTLED]
        return used and any(shows_movement(evidence) or _executed(result) for result in took)
    if state is AttemptState.SPENT:
        return used and shows_movement(evidence)
    if state in {AttemptState.VOIDED, AttemptState.REVOKED}:
        compared = evidence.compared_with is not None and evidence.compared_with < evidence.height
        by_another = evidence.executed is not None or (state is AttemptState.VOIDED and compared)
        return used and evidence.executed not in own and by_another
    return state is AttemptState.LAPSED and proves_death(
        evidence, last_deadline=last_deadline, nonce_deadline=nonce_deadline
    )


def may_end_so(state: AttemptState, results: Sequence[TradeResult]) -> bool:
    """Whether the offers of one nonce can end like this: if one settled, the others lapsed."""
    rest = AttemptState.LAPSED if state is AttemptState.SETTLED else state
    return sorted(result.state for result in results) == sorted([state, *[rest] * (len(results) - 1)])


def _executed(result: TradeResult) -> bool:
    return result.evidence is not None and result.evidence.executed == result.quote_hash is not None


def _evidence(promise: Promise, block: VerifierReading) -> ChainEvidence:
    return ChainEvidence(
        height=block.height,
        block_time=block.block_time,
        nonce_used=block.nonces[promise.nonce],
        salt_valid=block.salts.get(promise.offers[0].salt, False),
    )


def _judge_use(promise: Promise, block: VerifierReading, evidence: ChainEvidence, *, newest: datetime) -> Verdict:
    """Who used the nonce: a final transaction shows it, or balances with one explanation."""
    if promise.trace is Trace.REVOKED:
        return Revoked(evidence=evidence)
    # "Our own revocation" says more than "no offer of ours": wait for it while it may still be learned.
    wait = promise.trace is Trace.UNTRACED and newest <= promise.last_deadline + TAKER_ALLOWANCE
    if promise.executed is not None:
        taker = next((offer for offer in promise.offers if offer.quote_hash == promise.executed), None)
        if taker is not None:
            return Settled(taker=taker, evidence=evidence)
        return Wait() if wait else Voided(evidence=evidence)
    before = promise.before
    blocks = promise.use or ((before, block) if before is not None and before.height < block.height else None)
    if blocks is None:
        return LookFurther(used_at=block.height)
    compared = _compared(promise, *blocks)
    others = promise.others if promise.use is not None else ()
    takers = possible_takers(promise.offers, *blocks, others=others, withdrawals=promise.withdrawals)
    pending = promise.search is Search.PENDING
    # Something moved that no offer explains: before that is nobody's, the transaction of the use is asked.
    if takers == [None] and not (pending and shows_movement(compared)):
        return Wait() if wait else Voided(evidence=compared)
    one_of_them = bool(takers) and None not in takers and shows_movement(compared)
    if one_of_them and len(takers) == 1 and takers[0] is not None:
        return Settled(taker=takers[0], evidence=compared)
    if promise.use is None and pending:
        return LookFurther(used_at=block.height)
    if pending or newest <= promise.last_deadline + TAKER_ALLOWANCE:
        return Wait()
    # Several explanations say who it was only where the transactions have no better word.
    said = one_of_them and promise.search is Search.NONE
    return Spent(evidence=compared) if said else Unproven(reason=_USE_NOT_UNIQUE)


def _compared(promise: Promise, before: VerifierReading, after: VerifierReading) -> ChainEvidence:
    """The evidence of the later block, with what moved since the earlier one."""
    return ChainEvidence(
        height=after.height,
        block_time=after.block_time,
        nonce_used=True,
        salt_valid=after.salts.get(promise.offers[0].salt, False),
        compared_with=before.height,
        moved=moved_between(before, after),
    )
