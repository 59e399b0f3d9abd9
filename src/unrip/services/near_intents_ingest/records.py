"""The records that a frame becomes. Their ids are derived, so that a repeat has the same ones."""

from __future__ import annotations

from datetime import datetime, timedelta

from unrip.domain.demand import SwapDemand, answer_by
from unrip.domain.pairs import Direction, Pair
from unrip.domain.values import derived_id
from unrip.frame.contract import Publish
from unrip.messages.payloads import RawQuote
from unrip.messages.topics import RAW_QUOTE, SWAP_DEMAND
from unrip.net.events import FrameReceived
from unrip.venues.near_intents.relay import QuoteRequested

VENUE = "near_intents"


def demand_record(
    quote: QuoteRequested,
    pair: Pair,
    direction: Direction,
    frame: FrameReceived,
    token: str,
    clock_tolerance: timedelta = timedelta(0),
) -> Publish:
    """The normalized demand.

    Amounts are passed on as given: the decision refuses both or none. The window begins when the frame came in, or
    earlier where the venue's time is earlier by more than two clocks may differ.
    """
    opened_at = frame.received_at
    if quote.asked_at is not None and quote.asked_at < opened_at - clock_tolerance:
        opened_at = quote.asked_at + clock_tolerance
    demand = SwapDemand(
        demand_id=derived_id("demand", quote.quote_id),
        quote_id=quote.quote_id,
        pair=pair.name,
        direction=direction,
        asset_in=quote.asset_in,
        asset_out=quote.asset_out,
        amount_in=quote.amount_in,
        amount_out=quote.amount_out,
        min_deadline_ms=quote.min_deadline_ms,
        router_leg=quote.router_leg,
        dry=quote.dry,
        partner_id=quote.partner_id,
        received_at=frame.received_at,
        answer_by=answer_by(
            received_at=opened_at,
            min_wait_ms=quote.min_wait_ms,
            max_wait_ms=quote.max_wait_ms,
            router_leg=quote.router_leg,
        ),
    )
    return Publish(
        topic=SWAP_DEMAND,
        event_id=demand.demand_id,
        payload=demand,
        occurred_at=quote.asked_at,
        observed_at=frame.received_at,
        correlation_id=quote.quote_id,
        causation_id=_raw_id(quote),
        venue=VENUE,
        pair=pair.name,
        stages=_stages(frame.received_at),
        token=token,
    )


def raw_record(quote: QuoteRequested, pair: str | None, frame: FrameReceived, token: str) -> Publish:
    """The frame as received, with the name of the pair that the filter has it under."""
    raw = RawQuote(
        quote_id=quote.quote_id, frame=frame.text or "", received_at=frame.received_at, in_filter=pair is not None
    )
    return Publish(
        topic=RAW_QUOTE,
        event_id=_raw_id(quote),
        payload=raw,
        observed_at=frame.received_at,
        correlation_id=quote.quote_id,
        venue=VENUE,
        pair=pair,
        stages=_stages(frame.received_at),
        token=token,
    )


def _raw_id(quote: QuoteRequested) -> str:
    return derived_id("raw_quote", quote.quote_id)


def _stages(received_at: datetime) -> dict[str, datetime]:
    return {"received": received_at}
