"""Offers in doubt, and the answers of older blocks about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from support.cases import BTC, EURE
from support.executor import Executor, a_reading, executor
from unrip.domain.attempt import ChainEvidence, Offer, TradeResult
from unrip.domain.values import Amount
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import Event
from unrip.services.trade_executor.effects import ApplyReading, NoteAttempt, PastRead, PastUnread, UseRead

SALT = "252812b3"
GONE = PastUnread(kept=False, reason="the node has no block that is old enough")


def in_doubt(*, past: timedelta = timedelta(seconds=5), valid: bool = False) -> tuple[Executor, Offer]:
    """One open offer, and a newest block after its deadline that says unused and, unless told otherwise, salt ended."""
    desk = executor()
    offer = desk.send().offer
    look(desk, offer, past=past, valid=valid)
    return desk, offer


def look(desk: Executor, *offers: Offer, past: timedelta = timedelta(seconds=5), valid: bool = False) -> None:
    """The next reading, so long after the last deadline."""
    desk.now = max(desk.now, max(offer.offer_deadline for offer in offers) + past)
    nonces = [offer.nonce for offer in offers]
    desk.read(asked=nonces, block_time=desk.now, observed_at=desk.now, salts={SALT: valid})
    while not desk.logic._book.writes.empty():
        desk.noted()


def pair(
    *offers: Offer, before: Any = (), after: Any = (), late: bool = False, moved: int = 0, taken: Offer | None = None
) -> tuple[VerifierReading, VerifierReading]:
    """The last block of the salt and the next one, within the offers' life or after it; perhaps one was taken there."""
    nonces = [offer.nonce for offer in offers]
    life = timedelta(seconds=1 if late else -1)
    at = max(offer.offer_deadline for offer in offers) + life
    balances = {BTC.asset_id: Amount(10**7), EURE.asset_id: Amount(5_000 * 10**18)}
    later = {**balances, EURE.asset_id: Amount(balances[EURE.asset_id] + moved)}
    if taken is not None:
        later[taken.asset_in] = Amount(later[taken.asset_in] + taken.amount_in)
        later[taken.asset_out] = Amount(later[taken.asset_out] - taken.amount_out)
    return (
        a_reading(990, asked=nonces, used=before, block_time=at, credited=balances),
        a_reading(991, asked=nonces, used=after, block_time=at, credited=later, salts={SALT: False}),
    )


def answer(desk: Executor, *readings: VerifierReading) -> None:
    committed(desk, PastRead(readings=readings))


def committed(desk: Executor, event: Event) -> None:
    """Feed the event, and let the ledger take over what follows from it."""
    effects = desk.feed(event)
    while any(isinstance(effect, ApplyReading | NoteAttempt) for effect in effects):
        effects = desk.noted()


def use(*offers: Offer, taken: Offer | None, height: int = 989, used: Offer | None = None) -> UseRead:
    """The block that used a nonce, and the one before it."""
    nonces = [offer.nonce for offer in offers]
    before, after = pair(*offers, after=[(used or offers[0]).nonce], taken=taken)
    changes = {"salts": {SALT: True}, "nonces": dict.fromkeys(nonces, False)}
    return UseRead(
        before=msgspec.structs.replace(before, height=height - 1, **changes),
        after=msgspec.structs.replace(after, height=height, salts={SALT: True}),
    )


def ended(desk: Executor) -> TradeResult:
    """The result of the last ending, which an older block's height justifies."""
    write = desk.last(ApplyReading)
    assert write.credited == {}, "an older block's balances are not the newest"
    (ending,) = write.endings
    result: TradeResult = ending.results[0][0]
    return result


def evidence(desk: Executor) -> ChainEvidence:
    found = ended(desk).evidence
    assert found is not None
    return found
