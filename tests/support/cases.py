"""A desk on which everything is in order, and the pieces to put it out of order one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from unrip.domain.case import Case
from unrip.domain.decide import DemandPlace, command_id_of, decide
from unrip.domain.decision import Decision, Refusal
from unrip.domain.demand import SwapDemand
from unrip.domain.desk_state import CommandPosition, DeskState, ExecutorView, HistoryView, LedgerView
from unrip.domain.inventory import Books, IntentInventory, Reconciliation
from unrip.domain.market import Jump, MarketPrice, Peg, PrimaryReading, SecondReading, SourceHealth
from unrip.domain.pairs import Asset, Direction, Pair
from unrip.domain.policy import Policy
from unrip.domain.reference import Observed
from unrip.domain.sharing import SharedNonce, Sharing, group_deadline
from unrip.domain.values import Amount, Delta
from unrip.venues.near_intents.nonces import encode_nonce

NOW = datetime(2026, 11, 24, 9, 0, 0, 123_456, tzinfo=UTC)
ACCOUNT = "desk.near"
SALT = "252812b3"
BTC = Asset(symbol="BTC", asset_id="nep141:btc.omft.near", decimals=8, chain="btc:mainnet")
EURE = Asset(symbol="EURe", asset_id="nep141:gnosis-0x42.omft.near", decimals=18, chain="eth:100")
PAIR = Pair(base=BTC, quote=EURE)
BOTH = (Direction.BASE_IN, Direction.BASE_OUT)
FAIR = Decimal(60_000)
PLACE = DemandPlace(topic_id="demands-1", offset=7)
#: About 12 EUR on either side.
SATS = Amount(20_000)
WEI = Amount(12 * 10**18)


def ago(milliseconds: int) -> datetime:
    return NOW - timedelta(milliseconds=milliseconds)


def a_demand(direction: Direction = Direction.BASE_IN, *, quote_id: str = "quote-1", **changes: Any) -> SwapDemand:
    """An exact-in demand for about 12 EUR."""
    received, spent = PAIR.received(direction), PAIR.spent(direction)
    fields: dict[str, Any] = {
        "demand_id": f"demand of {quote_id}",
        "quote_id": quote_id,
        "pair": PAIR.name,
        "direction": direction,
        "asset_in": received.asset_id,
        "asset_out": spent.asset_id,
        "amount_in": SATS if received is BTC else WEI,
        "amount_out": None,
        "min_deadline_ms": 60_000,
        "router_leg": False,
        "dry": False,
        "partner_id": None,
        "received_at": ago(5),
        "answer_by": NOW + timedelta(milliseconds=295),
    }
    return SwapDemand(**(fields | changes))


def a_kraken(**changes: Any) -> PrimaryReading:
    fields: dict[str, Any] = {
        "bid": FAIR - 5,
        "ask": FAIR + 5,
        "observed_at": ago(400),
        "source_time": ago(450),
        "transport": "websocket",
    }
    return PrimaryReading(**(fields | changes))


def a_coingecko(**changes: Any) -> SecondReading:
    fields: dict[str, Any] = {
        "base_asset_eur": FAIR + 60,
        "base_updated_at": ago(60_000),
        "quote_asset_eur": Decimal("0.999"),
        "quote_updated_at": ago(60_000),
        "observed_at": ago(2_000),
    }
    return SecondReading(**(fields | changes))


def a_peg(**changes: Any) -> Peg:
    fields: dict[str, Any] = {
        "broken": False,
        "quote_asset_eur": Decimal("0.999"),
        "updated_at": ago(60_000),
        "observed_at": ago(2_000),
        "deviation": Decimal("0.001"),
        "breaks_beyond": Decimal("0.02"),
        "heals_within": Decimal("0.01"),
    }
    return Peg(**(fields | changes))


def a_jump(**changes: Any) -> Jump:
    fields: dict[str, Any] = {
        "jumped": False,
        "since": None,
        "lowest": FAIR - 30,
        "lowest_at": ago(50_000),
        "highest": FAIR,
        "highest_at": ago(400),
        "move": Decimal("0.0005"),
        "limit": Decimal("0.01"),
        "window_s": 60,
        "readings": 60,
        "readings_min": 10,
        "contradicted": False,
    }
    return Jump(**(fields | changes))


def a_price(**changes: Any) -> MarketPrice:
    fields: dict[str, Any] = {
        "pair": PAIR.name,
        "primary_source": "kraken",
        "primary": a_kraken(),
        "primary_health": SourceHealth.FRESH,
        "primary_system": "online",
        "second_opinion_source": "coingecko",
        "second_opinion": a_coingecko(),
        "second_opinion_health": SourceHealth.FRESH,
        "fair_rate": FAIR,
        "second_opinion_rate": FAIR + 60,
        "quote_asset_eur": Decimal(1),
        "quote_asset_eur_observed": Decimal("0.999"),
        "peg": a_peg(),
        "jump": a_jump(),
        "disagreement": Decimal("0.001"),
    }
    return MarketPrice(**(fields | changes))


def a_books(explained: dict[str, Delta]) -> Books:
    """Books in which nothing waits."""
    return Books(explained=explained, waiting=(), transferred={}, results_read=None, actions_read=None)


def an_inventory(**changes: Any) -> IntentInventory:
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "height": 1_000,
        "block_time": ago(1_500),
        "credited": {BTC.asset_id: Amount(10**7), EURE.asset_id: Amount(5_000 * 10**18)},
        "pending": None,
        "reconciliation": {BTC.asset_id: Reconciliation.UNCHANGED, EURE.asset_id: Reconciliation.UNCHANGED},
        "salt": SALT,
        "fee_pips": 1,
        "key_registered": True,
        "account_locked": False,
        "contract_paused": False,
    }
    fields |= changes
    explained = {asset: Delta(amount) for asset, amount in fields["credited"].items()}
    return IntentInventory(**({"books": a_books(explained)} | fields))


def a_view(**changes: Any) -> LedgerView:
    fields: dict[str, Any] = {
        "height": 999,
        "credited": {BTC.asset_id: Amount(10**7), EURE.asset_id: Amount(5_000 * 10**18)},
        "held": {},
        "without_answer": 0,
        "incoming": {},
        "position": CommandPosition(topic_id="commands-1", next_offset=0),
    }
    return LedgerView(**(fields | changes))


def an_executor(**changes: Any) -> ExecutorView:
    fields: dict[str, Any] = {
        "observed_at": ago(600),
        "ready": True,
        "recovering": False,
        "paused": False,
        "halted": False,
        "armed": BOTH,
    }
    return ExecutorView(**(fields | changes))


def a_history(**changes: Any) -> HistoryView:
    fields: dict[str, Any] = {"observed_at": ago(600), "database_up": True, "lag": 3}
    return HistoryView(**(fields | changes))


def a_desk(**changes: Any) -> DeskState:
    fields: dict[str, Any] = {
        "armed": BOTH,
        "paused": False,
        "halted": False,
        "store_up": True,
        "generation": 4,
        "executor": an_executor(),
        "history": a_history(),
        "ledger": a_view(),
        "uncounted": {},
        "uncounted_in": {},
        "sharing": Sharing(),
        "offers_last_minute": 0,
        "day_result_eur": Decimal(0),
    }
    return DeskState(**(fields | changes))


def a_shared_nonce(**changes: Any) -> SharedNonce:
    """A nonce of this bucket and salt, whose offers live for another minute and hold about what a demand here asks."""
    fields: dict[str, Any] = {
        "group": "a group",
        "opener": command_id_of("the first"),
        "nonce": "the first one's nonce",
        "salt": SALT,
        "nonce_deadline": group_deadline(NOW, Policy()),
        "amount": WEI,
        "last_deadline": NOW + timedelta(minutes=1),
    }
    return SharedNonce(**(fields | changes))


def seen(event_id: str, value: Any, milliseconds_ago: int = 400) -> Observed[Any]:
    return Observed(event_id=event_id, observed_at=ago(milliseconds_ago), value=value)


def a_case(**changes: Any) -> Case:
    """A case in which every guard passes, with the named parts replaced."""
    fields: dict[str, Any] = {
        "demand": a_demand(),
        "pair": PAIR,
        "price": seen("price-1", a_price()),
        "inventory": seen("inventory-1", an_inventory(), 1_200),
        "desk": a_desk(),
        "policy": Policy(),
        "now": NOW,
    }
    return Case(**(fields | changes))


def a_decision(case: Case | None = None) -> Decision:
    return decide(case or a_case(), PLACE, account=ACCOUNT, encode_nonce=encode_nonce)


def numbers_by_reason(decision: Decision) -> dict[Refusal, dict[str, str]]:
    """The numbers of every guard."""
    return {guard.reason: guard.numbers for guard in decision.guards}


def numbers_of(decision: Decision) -> Mapping[str, str]:
    """The numbers of the guard that refused."""
    return next(guard.numbers for guard in decision.guards if guard.reason is decision.reason)
