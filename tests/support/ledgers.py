"""Offers, results and endings for tests of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from unrip.domain.attempt import (
    AttemptState,
    ChainEvidence,
    Offer,
    Rejection,
    TradeResult,
    VenueReply,
    result_id,
)
from unrip.domain.command import TradeCommand
from unrip.domain.decide import command_id_of
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount, Delta
from unrip.store.ledger import ClaimOutcome, Ledger, NonceEnding, OutboxEvent

ACCOUNT = "desk.near"
EURE, BTC = "nep141:eure", "nep141:btc"
T0 = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
#: Offers of these tests live for a minute, their nonces for a day.
DEADLINE = T0 + timedelta(minutes=1)
NONCE_DEADLINE = DEADLINE + timedelta(days=1)


def at(offset: int, topic_id: str = "commands-1") -> CommandPosition:
    """The position after the command at an offset."""
    return CommandPosition(topic_id=topic_id, next_offset=offset + 1)


def an_offer(
    name: str,
    *,
    amount: int = 30,
    amount_in: int = 1,
    asset: str = EURE,
    nonce: str | None = None,
    quote_hash: str | None = None,
    deadline: datetime = DEADLINE,
    nonce_deadline: datetime = NONCE_DEADLINE,
    account: str = ACCOUNT,
) -> Offer:
    """The signed offer for a quote of this name; its nonce is its own unless given."""
    return Offer(
        command_id=command_id_of(name),
        quote_id=name,
        account=account,
        pair="BTC/EURe",
        direction=Direction.BASE_IN,
        asset_in=BTC if asset == EURE else EURE,
        amount_in=Amount(amount_in),
        asset_out=asset,
        amount_out=Amount(amount),
        quote_hash=quote_hash or f"hash of {name}",
        nonce=nonce or f"nonce of {name}",
        salt="252812b3",
        answer_by=T0 + timedelta(milliseconds=300),
        offer_deadline=deadline,
        nonce_deadline=nonce_deadline,
        inventory_height=1,
        signed_payload=f'{{"quote_id":"{name}"}}',
        correlation_id=name,
        state=AttemptState.CLAIMED,
    )


def a_command(name: str, *, generation: int = 1, account: str = ACCOUNT) -> TradeCommand:
    """The command that `an_offer` of the same name would answer."""
    offer = an_offer(name)
    fields = {key: getattr(offer, key) for key in ("command_id", "quote_id", "pair", "direction", "answer_by", "salt")}
    return TradeCommand(
        **fields,
        account=account,
        decision_id=f"decision of {name}",
        asset_in=BTC,
        asset_out=offer.asset_out,
        amount_in=Amount(1),
        amount_out=offer.amount_out,
        exact_in=True,
        offer_deadline=offer.offer_deadline,
        nonce=offer.nonce,
        nonce_deadline=offer.nonce_deadline,
        fair_rate=Amount(1),  # type: ignore[arg-type] # the ledger looks at no price
        gross_edge=Amount(0),  # type: ignore[arg-type]
        edge_threshold=Amount(0),  # type: ignore[arg-type]
        notional_eur=Amount(0),  # type: ignore[arg-type]
        inventory_id="snapshot",
        inventory_height=1,
        inventory_credited=Amount(100),
        generation=generation,
        policy_hash="policy",
    )


def an_event(
    offer: Offer,
    state: AttemptState,
    *,
    reason: str | None = None,
    evidence: ChainEvidence | None = None,
    response: VenueReply | None = None,
) -> OutboxEvent:
    """The result of an offer in a state."""
    return OutboxEvent(
        event_id=result_id(offer.command_id, state),
        correlation_id=offer.quote_id,
        causation_id=offer.command_id,
        observed_at=T0,
        stages={"signed": T0 + timedelta(microseconds=250)},
        result=TradeResult(
            command_id=offer.command_id,
            quote_id=offer.quote_id,
            account=offer.account,
            pair=offer.pair,
            direction=offer.direction,
            state=state,
            reason=reason,
            numbers={},
            quote_hash=None if state is AttemptState.REJECTED else offer.quote_hash,
            request=offer.signed_payload if state is AttemptState.SENT else None,
            response=response,
            evidence=evidence,
            next_check_at=offer.offer_deadline if state is AttemptState.CLAIMED else None,
            ledger=None,
        ),
    )


def a_rejection(name: str, reason: Rejection = Rejection.DISARMED) -> OutboxEvent:
    """The result of a command that is not claimed."""
    return an_event(an_offer(name), AttemptState.REJECTED, reason=reason)


def evidence_at(
    height: int,
    *,
    used: bool,
    block_time: datetime = DEADLINE + timedelta(seconds=5),
    salt_valid: bool = True,
    executed: str | None = None,
    salt_valid_at: int | None = None,
    operator: str | None = None,
    compared_with: int | None = None,
    moved: int | None = None,
) -> ChainEvidence:
    """What a final block says about a nonce; by default five seconds after the offers' deadline.

    `moved` is the change of EURe since the block that it is compared with, the one before unless named.
    """
    return ChainEvidence(
        height=height,
        block_time=block_time,
        nonce_used=used,
        salt_valid=salt_valid,
        salt_valid_at=salt_valid_at,
        operator=operator,
        executed=executed,
        compared_with=height - 1 if moved is not None and compared_with is None else compared_with,
        moved=None if moved is None else {EURE: Delta(moved)},
    )


#: Ends that all offers of a nonce come to together.
_TOGETHER = {AttemptState.SPENT, AttemptState.VOIDED, AttemptState.REVOKED}


def an_ending(evidence: ChainEvidence, *offers: Offer, state: AttemptState | None = None) -> NonceEnding:
    """The end of the nonce that these offers share: the first one took it, if it is used and was not revoked.

    Evidence that says of a used nonce no more than that is completed by what shows this end.
    """
    ended_as = state or (AttemptState.SETTLED if evidence.nonce_used else AttemptState.LAPSED)
    if evidence.executed is None and evidence.compared_with is None and evidence.operator is None:
        evidence = _shown(evidence, ended_as, offers[0])
    rest = ended_as if ended_as in _TOGETHER else AttemptState.LAPSED
    states = [ended_as, *[rest] * (len(offers) - 1)]
    return NonceEnding(
        nonce=offers[0].nonce,
        state=ended_as,
        events=tuple(an_event(offer, each, evidence=evidence) for offer, each in zip(offers, states, strict=True)),
    )


def _shown(evidence: ChainEvidence, ended_as: AttemptState, offer: Offer) -> ChainEvidence:
    match ended_as:
        case AttemptState.SETTLED:
            return msgspec.structs.replace(evidence, executed=offer.quote_hash)
        case AttemptState.SPENT | AttemptState.VOIDED:
            moved = {offer.asset_out: Delta(-1 if ended_as is AttemptState.SPENT else 0)}
            return msgspec.structs.replace(evidence, compared_with=evidence.height - 1, moved=moved)
    return evidence


async def credit(ledger: Ledger, amount: int, *, height: int = 10, asset: str = EURE) -> LedgerView:
    return await ledger.apply_reading(ACCOUNT, height=height, credited={asset: Amount(amount)}, endings=[])


async def claim(ledger: Ledger, offer: Offer, offset: int, *, generation: int = 1) -> ClaimOutcome:
    return await ledger.claim(
        offer, position=at(offset), generation=generation, event=an_event(offer, AttemptState.CLAIMED)
    )


async def published_states(ledger: Ledger) -> list[tuple[str, str]]:
    return [(row.event.payload.quote_id, row.event.payload.state.value) for row in await ledger.unpublished(100)]
