"""Commands as somebody with access to the topic could write them, right or wrong."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from support.desk import Desk
from unrip.domain.command import TradeCommand
from unrip.domain.decide import command_id_of, nonce_free_bytes
from unrip.domain.pairs import Direction
from unrip.domain.pricing import propose
from unrip.domain.values import Amount, epoch_ms, from_epoch_ms
from unrip.messages.envelope import Envelope, Producer, encode
from unrip.messages.topics import EXECUTE_TRADE
from unrip.venues.near_intents.nonces import encode_nonce


def a_command(
    desk: Desk,
    *,
    account: str | None = None,
    edge: str = "0.03",
    amount_in_btc: str = "0.00015",
    nonce_of: str | None = None,
    life_s: int = 5,
    window_s: int = 5,
    snapshot_surplus: int = 0,
    generation: int | None = None,
) -> TradeCommand:
    """A command that would be good now, but for what is changed."""
    pair, direction = desk.settings.pair.pair(), Direction.BASE_IN
    strategy, executor = desk.state("strategy-engine"), desk.state("trade-executor")
    own_read = executor["own_read"] or {"credited": {}, "height": 0, "salt": "00000000"}
    fair_rate = Decimal((strategy["price"] or {"value": {}})["value"].get("fair_rate") or 71_000)
    amount_in = pair.base.units(Decimal(amount_in_btc))
    proposal = propose(pair, direction, fair_rate=fair_rate, edge=Decimal(edge), amount_in=amount_in)
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
        nonce=encode_nonce(salt, epoch_ms(nonce_deadline), nonce_free_bytes(command_id_of(nonce_of or quote_id))),
        nonce_deadline=nonce_deadline,
        fair_rate=fair_rate,
        gross_edge=Decimal(edge),
        edge_threshold=Decimal("0.02"),
        notional_eur=Decimal(10),
        inventory_id="a snapshot",
        inventory_height=own_read["height"],
        inventory_credited=Amount(credited),
        generation=strategy["generation"] if generation is None else generation,
        policy_hash=strategy["policy_hash"],
    )


def put_on_topic(desk: Desk, command: TradeCommand | dict[str, Any]) -> None:
    """Produce a command, or a whole recorded event again, to `cmd.execute_trade`."""
    if isinstance(command, dict):
        desk.produce(EXECUTE_TRADE.name, command["payload"]["account"], msgspec.json.encode(command))
        return
    now = datetime.now(UTC)
    envelope = Envelope(
        event_id=command.command_id,
        event_type=EXECUTE_TRADE.name,
        schema_version=1,
        producer=Producer(service="a test", instance="a test", version="0"),
        occurred_at=None,
        observed_at=now,
        published_at=now,
        venue="near_intents",
        pair=command.pair,
        correlation_id=command.quote_id,
        causation_id=command.decision_id,
        stages={},
        payload=command,
    )
    desk.produce(EXECUTE_TRADE.name, command.account, encode(envelope))
