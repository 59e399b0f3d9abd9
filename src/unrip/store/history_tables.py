"""What the history keeps of each topic: its table, and which fields of the payload are columns of their own.

The table below and `migrations/*.history.sql` say the same; a test compares them.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from unrip.domain.values import Value
from unrip.messages import topics
from unrip.messages.envelope import Envelope, encode
from unrip.store.nul import json_without_nul, without_nul


class Column(Value):
    """A column that is filled from the payload."""

    name: str
    #: PostgreSQL's name of its type.
    type: str
    #: The way to it from the payload on, with dots; None anywhere on the way is NULL.
    path: str

    def of(self, payload: Any) -> Any:
        """The column's value for a payload."""
        value = payload
        for step in self.path.split("."):
            value = getattr(value, step, None)
        if self.type == "numeric" and value is not None:
            return str(value)
        return without_nul(value) if isinstance(value, str) else value

    @property
    def cast(self) -> str:
        """From the parameter's type to an array of the column's.

        A number travels as text and is read by PostgreSQL, which refuses what it cannot hold: the driver's own encoding
        would make another number of it.
        """
        return "::text[]::numeric[]" if self.type == "numeric" else f"::{self.type}[]"


class HistoryTable(Value):
    """A topic's table in the schema `history`."""

    name: str
    columns: tuple[Column, ...]


class HistoryRow(Value):
    """One event on its way into its table."""

    event_id: str
    offset: int
    correlation_id: str
    causation_id: str | None
    observed_at: datetime
    published_at: datetime
    #: SHA-256 of the payload's canonical bytes: equal for a repeat, whatever the envelope's stamps.
    payload_digest: bytes
    #: The whole event as JSON, as it stood on the topic.
    event: str
    #: The values of the table's own columns.
    values: tuple[Any, ...]


def _columns(**columns: str) -> tuple[Column, ...]:
    """A column is `name="type"`, or `name="type path.to.it"` where the field is called otherwise or lies deeper."""
    made = []
    for name, description in columns.items():
        kind, _, path = description.partition(" ")
        made.append(Column(name=name, type=kind, path=path or name))
    return tuple(made)


def _table(name: str, **columns: str) -> HistoryTable:
    return HistoryTable(name=name, columns=_columns(**columns))


TABLES: dict[str, HistoryTable] = {
    topics.RAW_QUOTE.name: _table(
        "raw_quote",
        quote_id="text",
        in_filter="boolean",
        received_at="timestamptz",
    ),
    topics.RAW_QUOTE_STATUS.name: _table(
        "raw_quote_status",
        quote_hash="text",
        tx_hash="text",
        received_at="timestamptz",
    ),
    topics.SWAP_DEMAND.name: _table(
        "swap_demand",
        quote_id="text",
        pair="text",
        direction="text",
        amount_in="numeric",
        amount_out="numeric",
        partner_id="text",
        received_at="timestamptz",
        answer_by="timestamptz",
    ),
    topics.MARKET_PRICE.name: _table(
        "market_price",
        pair="text",
        fair_rate="numeric",
        kraken_bid="numeric kraken.bid",
        kraken_ask="numeric kraken.ask",
        kraken_health="text",
        coingecko_btc_eur="numeric coingecko.btc_eur",
        coingecko_health="text",
        eure_eur_observed="numeric",
        disagreement="numeric",
        peg_broken="boolean peg.broken",
        price_jumped="boolean jump.jumped",
    ),
    topics.INTENT_INVENTORY.name: _table(
        "intent_inventory",
        account="text",
        height="numeric",
        block_time="timestamptz",
        salt="text",
    ),
    topics.TREASURY.name: _table(
        "treasury",
        account="text",
        bridge_observed_at="timestamptz",
    ),
    topics.LIQUIDITY_ACTION.name: _table(
        "liquidity_action",
        action_id="text",
        account="text",
        step="text step.name",
        asset_id="text step.asset_id",
        amount="numeric step.amount",
    ),
    topics.TRADE_DECISION.name: _table(
        "trade_decision",
        decision_id="text",
        demand_id="text",
        quote_id="text",
        pair="text",
        direction="text",
        accepted="boolean",
        reason="text",
        decided_at="timestamptz",
        price_id="text",
        inventory_id="text",
        policy_hash="text",
        price_age_ms="numeric",
        inventory_age_ms="numeric",
        fair_rate="numeric",
        implied_rate="numeric",
        gross_edge="numeric",
        edge_threshold="numeric",
        notional_eur="numeric",
        required="numeric",
        spendable="numeric",
    ),
    topics.EXECUTE_TRADE.name: _table(
        "execute_trade",
        command_id="text",
        decision_id="text",
        quote_id="text",
        account="text",
        pair="text",
        direction="text",
        amount_in="numeric",
        amount_out="numeric",
        gross_edge="numeric",
        notional_eur="numeric",
        offer_deadline="timestamptz",
        nonce="text",
        generation="numeric",
    ),
    topics.TRADE_RESULT.name: _table(
        "trade_result",
        command_id="text",
        quote_id="text",
        account="text",
        pair="text",
        direction="text",
        state="text",
        reason="text",
        quote_hash="text",
        tx_hash="text evidence.tx_hash",
        evidence_height="numeric evidence.height",
        next_check_at="timestamptz",
    ),
    topics.CONTROL_ACTION.name: _table(
        "control_action",
        service="text",
        instance="text",
        action="text",
        actor="text",
        reason="text",
        applied="boolean",
        acted_at="timestamptz",
    ),
    topics.SERVICE_STATUS.name: _table(
        "service_status",
        service="text",
        instance="text",
        active="boolean",
        healthy="boolean",
        ready="boolean",
        generation="numeric",
        lag="numeric",
    ),
    topics.DEAD_LETTER.name: _table(
        "dead_letter",
        source="text",
        reason="text",
        size_bytes="numeric",
    ),
}

#: What every table has, in the order of `HistoryRow`'s fields, before the columns of its own.
ENVELOPE = _columns(
    event_id="text",
    offset="bigint",
    correlation_id="text",
    causation_id="text",
    observed_at="timestamptz",
    published_at="timestamptz",
    payload_digest="bytea",
    event="jsonb",
)


def row_of(topic: str, offset: int, message: Envelope[Any], data: bytes) -> HistoryRow:
    """The row of a decoded record; `data` are the record's bytes."""
    return HistoryRow(
        event_id=without_nul(message.event_id),
        offset=offset,
        correlation_id=without_nul(message.correlation_id),
        causation_id=None if message.causation_id is None else without_nul(message.causation_id),
        observed_at=message.observed_at,
        published_at=message.published_at,
        payload_digest=hashlib.sha256(encode(message.payload)).digest(),
        event=json_without_nul(data.decode(errors="replace")),
        values=tuple(column.of(message.payload) for column in TABLES[topic].columns),
    )


def insert_statement(table: HistoryTable) -> str:
    """Insert any number of rows, one array per column after `$1`, the topic's id. The first row of an id stays."""
    columns = (*ENVELOPE, *table.columns)
    names = ", ".join(f'"{column.name}"' for column in columns)
    arrays = ", ".join(f"${number}{column.cast}" for number, column in enumerate(columns, start=2))
    # Every name is one of the constants above.
    return (
        f"INSERT INTO history.{table.name} (topic_id, {names}) "  # noqa: S608
        f"SELECT $1, rows.* FROM UNNEST({arrays}) AS rows ({names}) ON CONFLICT (event_id) DO NOTHING"
    )


def insert_arguments(topic_id: str, rows: tuple[HistoryRow, ...]) -> list[Any]:
    """The arguments of `insert_statement`."""
    fixed = [[getattr(row, column.name) for row in rows] for column in ENVELOPE]
    own = [list(column) for column in zip(*(row.values for row in rows), strict=True)]
    return [topic_id, *fixed, *own]


INSERTS: dict[str, str] = {topic: insert_statement(table) for topic, table in TABLES.items()}
