"""What follows from a command's record: its position, its lineage, the one offer that answers it, and its recording."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.attempt import PERHAPS_SENT, AttemptState, Offer, Rejection
from unrip.domain.command import TradeCommand
from unrip.frame.contract import RecordReceived
from unrip.services.trade_executor.effects import ClaimOffer, OfferSigned, RejectCommand
from unrip.services.trade_executor.intake.inspection import Numbers
from unrip.services.trade_executor.results import lineage_of, position_after, rejected, result_of_offer


def claim_of(record: RecordReceived, signed: OfferSigned, now: datetime, *, adopting: bool) -> ClaimOffer:
    """The claim of a signed offer; an adopted one is what an earlier life may have sent."""
    command: TradeCommand = record.message.payload
    offer = _offer_of(command, signed, correlation_id=record.message.correlation_id)
    reason = PERHAPS_SENT if adopting else None
    return ClaimOffer(
        offer=offer,
        position=position_after(record),
        generation=command.generation,
        result=result_of_offer(offer, AttemptState.CLAIMED, reason=reason, next_check_at=offer.offer_deadline),
        lineage=lineage_of(record, {"signed": now}),
        perhaps_sent=adopting,
    )


def reject_of(
    record: RecordReceived, found: tuple[Rejection, Numbers], now: datetime, *, account: str
) -> RejectCommand:
    """The rejection of a command, for the account that was to trade it."""
    command: TradeCommand = record.message.payload
    reason, numbers = found
    return RejectCommand(
        command=command,
        position=position_after(record),
        result=rejected(command, reason, numbers, account=account),
        lineage=lineage_of(record, {"command_received": now, "rejected": now}),
    )


def _offer_of(command: TradeCommand, signed: OfferSigned, *, correlation_id: str) -> Offer:
    """The offer as the ledger is to keep it."""
    return Offer(
        command_id=command.command_id,
        quote_id=command.quote_id,
        account=command.account,
        pair=command.pair,
        direction=command.direction,
        asset_in=command.asset_in,
        amount_in=command.amount_in,
        asset_out=command.asset_out,
        amount_out=command.amount_out,
        quote_hash=signed.quote_hash,
        nonce=command.nonce,
        salt=command.salt,
        answer_by=command.answer_by,
        offer_deadline=command.offer_deadline,
        nonce_deadline=command.nonce_deadline,
        inventory_height=command.inventory_height,
        signed_payload=signed.signed_payload,
        correlation_id=correlation_id,
        state=AttemptState.CLAIMED,
    )
