"""Commands as somebody with access to the topic could write them, right or wrong."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from support.desk import Desk
from unrip.domain.command import TradeCommand
from unrip.domain.decide import command_id_of, nonce_free_bytes
from unrip.domain.demand import SwapDemand
from unrip.domain.pairs import Direction
from unrip.domain.pricing import propose
from unrip.domain.values import Amount, epoch_ms, from_epoch_ms
from unrip.messages.envelope import Envelope, Producer, encode
from unrip.messages.topics import EXECUTE_TRADE, SWAP_DEMAND
from unrip.venues.near_intents.nonces import encode_nonce


def a_command(
    desk: Desk,
    *,
    account: str | None = None,
    edge: str = "0.03",
    amount_in_btc: str = "0.00015",
    nonce_of: str | None = None,
    joins: str | None = None,
    life_s: int = 5,
    window_s: int = 5,
    snapshot_surplus: int = 0,
    generation: int | None = None,
    fair_rate: str | None = None,
) -> TradeCommand:
    """A command that would be good now, but for what is changed."""
    pair, direction = desk.settings.pair.pair(), Direction.BASE_IN
    strategy, executor = desk.state("strategy-engine"), desk.state("trade-executor")
    own_read = executor["own_read"] or {"credited": {}, "height": 0, "salt": "00000000"}
    known = (strategy["price"] or {"value": {}})["value"].get("fair_rate") or 71_000
    rate = Decimal(known if fair_rate is None else fair_rate)
    amount_in = pair.base.units(Decimal(amount_in_btc))
    proposal = propose(pair, direction, fair_rate=rate, edge=Decimal(edge), amount_in=amount_in)
    quote_id = str(uuid.uuid4())
    now = datetime.now(UTC)
    deadline = from_epoch_ms(epoch_ms(now + timedelta(seconds=life_s)))
    nonce_deadline = deadline + timedelta(days=1)
    salt = own_read["salt"]
    credited = int(own_read["credited"].get(pair.quote.asset_id, "0")) + snapshot_surplus
    return TradeCommand(
        command_id=command_id_of(quote_id),
        decision_id=f"decision of {quote_id}",
        quote_id=quote_id,
        account=account or desk.settings.near_intents.account,
        pair=pair.name,
        direction=direction,
        asset_in=pair.base.asset_id,
        asset_out=pair.quote.asset_id,
        amount_in=proposal.amount_in,
        amount_out=proposal.amount_out,
        exact_in=True,
        answer_by=now + timedelta(seconds=window_s),
        offer_deadline=deadline,
        salt=salt,
        nonce=encode_nonce(
            salt, epoch_ms(nonce_deadline), nonce_free_bytes(command_id_of(nonce_of or joins or quote_id))
        ),
        nonce_deadline=nonce_deadline,
        nonce_opener=None if joins is None else command_id_of(joins),
        fair_rate=rate,
        gross_edge=Decimal(edge),
        edge_threshold=Decimal("0.02"),
        notional_eur=Decimal(10),
        inventory_id="a snapshot",
        inventory_height=own_read["height"],
        inventory_credited=Amount(credited),
        generation=strategy["generation"] if generation is None else generation,
        policy_hash=strategy["policy_hash"],
    )


def put_demands_on_topic(desk: Desk, count: int) -> list[str]:
    """Produce many demands whose window is over to `norm.swap_demand`; gives their quote ids."""
    pair, now = desk.settings.pair.pair(), datetime.now(UTC)
    quote_ids = [str(uuid.uuid4()) for _ in range(count)]
    values = []
    for quote_id in quote_ids:
        demand = SwapDemand(
            demand_id=f"demand of {quote_id}",
            quote_id=quote_id,
            pair=pair.name,
            direction=Direction.BASE_IN,
            asset_in=pair.base.asset_id,
            asset_out=pair.quote.asset_id,
            amount_in=Amount(15_000),
            amount_out=None,
            min_deadline_ms=60_000,
            router_leg=False,
            dry=False,
            partner_id=None,
            received_at=now,
            answer_by=now,
        )
        values.append(encode(_enveloped(SWAP_DEMAND.name, demand.demand_id, quote_id, pair.name, demand)))
    desk.produce(SWAP_DEMAND.name, pair.name, *values)
    return quote_ids


def put_on_topic(desk: Desk, command: TradeCommand | dict[str, Any]) -> None:
    """Produce a command, or a whole recorded event again, to `cmd.execute_trade`."""
    if isinstance(command, dict):
        desk.produce(EXECUTE_TRADE.name, command["payload"]["account"], msgspec.json.encode(command))
        return
    envelope = _enveloped(EXECUTE_TRADE.name, command.command_id, command.quote_id, command.pair, command)
    desk.produce(EXECUTE_TRADE.name, command.account, encode(envelope))


def _enveloped(topic: str, event_id: str, quote_id: str, pair: str, payload: Any) -> Envelope[Any]:
    now = datetime.now(UTC)
    return Envelope(
        event_id=event_id,
        event_type=topic,
        schema_version=1,
        producer=Producer(service="a test", instance="a test", version="0"),
        occurred_at=None,
        observed_at=now,
        published_at=now,
        venue="near_intents",
        pair=pair,
        correlation_id=quote_id,
        causation_id=None,
        stages={},
        payload=payload,
    )
