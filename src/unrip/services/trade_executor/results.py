"""Results: one record per state of an attempt."""

from __future__ import annotations

from datetime import datetime

import msgspec

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, Rejection, TradeResult, VenueReply, execution_id_of
from unrip.domain.command import Exchange, TradeCommand
from unrip.domain.desk_state import CommandPosition
from unrip.frame.contract import RecordReceived
from unrip.services.trade_executor.effects import Lineage


def rejected(command: TradeCommand, reason: Rejection, numbers: dict[str, str], *, account: str) -> TradeResult:
    """The only result of a command that was never claimed, for the account that was to trade it."""
    return TradeResult(
        command_id=command.command_id,
        execution_id=execution_id_of(command.command_id),
        quote_id=command.quote_id,
        account=account,
        pair=command.pair,
        direction=command.direction,
        state=AttemptState.REJECTED,
        reason=reason,
        numbers=numbers,
        quote_hash=None,
        request=None,
        response=None,
        evidence=None,
        next_check_at=None,
        ledger=None,
    )


def result_of_offer(
    offer: Offer,
    state: AttemptState,
    *,
    reason: str | None = None,
    numbers: dict[str, str] | None = None,
    request: str | None = None,
    response: VenueReply | None = None,
    evidence: ChainEvidence | None = None,
    next_check_at: datetime | None = None,
) -> TradeResult:
    """The result for one state of a claimed attempt."""
    return TradeResult(
        command_id=offer.command_id,
        execution_id=execution_id_of(offer.command_id),
        quote_id=offer.quote_id,
        account=offer.account,
        pair=offer.pair,
        direction=offer.direction,
        state=state,
        reason=reason,
        numbers=numbers or {},
        quote_hash=offer.quote_hash,
        request=request,
        response=response,
        evidence=evidence,
        next_check_at=next_check_at,
        ledger=None,
        exchange=Exchange(
            asset_in=offer.asset_in,
            amount_in=offer.amount_in,
            asset_out=offer.asset_out,
            amount_out=offer.amount_out,
        ),
    )


def position_after(record: RecordReceived) -> CommandPosition:
    """The ledger's position after this command."""
    return CommandPosition(topic_id=record.topic_id, next_offset=record.offset + 1)


def lineage_of(record: RecordReceived, stages: dict[str, datetime]) -> Lineage:
    """The lineage of the results of a command."""
    message = record.message
    return Lineage(
        correlation_id=message.correlation_id, causation_id=message.event_id, stages={**message.stages, **stages}
    )


def stamped(lineage: Lineage, stage: str, at: datetime) -> Lineage:
    """The same lineage with the instant of one more stage."""
    return msgspec.structs.replace(lineage, stages={**lineage.stages, str(stage): at})
