"""The one offer that answers a command."""

from __future__ import annotations

from unrip.domain.attempt import AttemptState, Offer
from unrip.domain.command import TradeCommand
from unrip.services.trade_executor.effects import OfferSigned


def offer_of(command: TradeCommand, signed: OfferSigned, *, correlation_id: str) -> Offer:
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
