"""A case for every refusal by the inventory, the limits, and what must work to send and to record."""

from __future__ import annotations

from decimal import Decimal

from support.cases import (
    BTC,
    EURE,
    a_books,
    a_history,
    a_view,
    ago,
    an_executor,
)
from support.refusals import (
    EXECUTOR_FINE,
    IN_BAND,
    ONE,
    OUT,
    STORE_FINE,
    WITHOUT_SNAPSHOT,
    Refused,
    band,
    demand,
    desk,
    inventory,
)
from unrip.domain.decision import Refusal
from unrip.domain.inventory import Reconciliation
from unrip.domain.pairs import Direction
from unrip.domain.policy import Policy
from unrip.domain.values import Amount, Delta

#: Half of the 5 000 EURe that are credited.
SHARE = 2_500 * 10**18

FROM_INVENTORY = [
    Refused(
        Refusal.INVENTORY_MISSING,
        {"inventory": None},
        {"snapshot": "unknown", "ledger": "999"},
        WITHOUT_SNAPSHOT,
        name="no snapshot",
    ),
    Refused(
        Refusal.INVENTORY_STALE,
        inventory(block_time=ago(10_001)),
        {"inventory_age_ms": "10001", "limit": "10000"},
        name="an old block read just now",
    ),
    Refused(
        Refusal.INVENTORY_UNRECONCILED,
        inventory(
            reconciliation={EURE.asset_id: Reconciliation.UNEXPLAINED_FALL},
            books=a_books({EURE.asset_id: Delta(5_000 * 10**18 + 3)}),
        ),
        {"unexplained": "-3", "reconciliation": "unexplained_fall"},
    ),
    Refused(
        Refusal.INVENTORY_UNRECONCILED,
        inventory(books=a_books({EURE.asset_id: Delta(5_000 * 10**18 + 3)})),
        {"unexplained": "-3", "reconciliation": "unchanged"},
        name="a fall that is called none",
    ),
    Refused(
        Refusal.INVENTORY_UNRECONCILED,
        inventory(reconciliation={BTC.asset_id: Reconciliation.UNCHANGED}),
        {"unexplained": "0", "reconciliation": "unknown"},
        name="evidence that PostgreSQL has not kept",
    ),
    Refused(
        Refusal.INVENTORY_UNRECONCILED,
        inventory(books=None),
        {"unexplained": "unknown", "reconciliation": "unchanged"},
        {Refusal.INSUFFICIENT_INVENTORY, Refusal.INVENTORY_HELD},
        name="a snapshot without books",
    ),
    Refused(
        Refusal.INSUFFICIENT_INVENTORY,
        inventory(
            reconciliation={EURE.asset_id: Reconciliation.UNEXPLAINED_RISE},
            books=a_books({EURE.asset_id: Delta(OUT - 1)}),
        ),
        {"credited": str(OUT - 1), "limit": str(OUT)},
        {Refusal.INVENTORY_HELD},
        name="a rise that nothing explains is not spendable",
    ),
    Refused(
        Refusal.INSUFFICIENT_INVENTORY,
        inventory(credited={EURE.asset_id: Amount(OUT - 1)}),
        {"credited": str(OUT - 1), "limit": str(OUT)},
        {Refusal.INVENTORY_HELD},
        name="never had it by the snapshot",
    ),
    Refused(
        Refusal.INSUFFICIENT_INVENTORY,
        desk(ledger=a_view(credited={EURE.asset_id: Amount(OUT - 1)})),
        {"credited": str(OUT - 1), "limit": str(OUT)},
        {Refusal.INVENTORY_HELD},
        name="never had it by the ledger",
    ),
    Refused(
        Refusal.INVENTORY_HELD,
        desk(ledger=a_view(held={EURE.asset_id: Amount(5_000 * 10**18 - OUT + 1)})),
        {"spendable": str(OUT - 1), "limit": str(OUT), "share_left": str(OUT - 1 - SHARE)},
        {Refusal.EXPOSURE_ABOVE_CAP},
        name="promised by the ledger",
    ),
    Refused(
        Refusal.INVENTORY_HELD,
        desk(ledger=a_view(held={EURE.asset_id: Amount(SHARE - OUT + 1)})),
        {"spendable": str(SHARE + OUT - 1), "limit": str(OUT), "share_left": str(OUT - 1)},
        {Refusal.EXPOSURE_ABOVE_CAP},
        name="more than the share of it that offers may lock",
    ),
    Refused(
        Refusal.INVENTORY_HELD,
        desk(uncounted={EURE.asset_id: Amount(5_000 * 10**18)}),
        {"spendable": "0", "limit": str(OUT), "share_left": str(-SHARE)},
        {Refusal.EXPOSURE_ABOVE_CAP},
        name="promised by own commands",
    ),
    Refused(
        Refusal.EDGE_BELOW_THRESHOLD,
        {"policy": Policy(edge_threshold=Decimal("0.03"))},
        {"gross_edge": "0.022160246899469286", "limit": "0.03"},
    ),
    Refused(
        Refusal.NOTIONAL_ABOVE_CAP,
        demand(amount_in=Amount(41_667)),
        {"notional_eur": "25.0002", "limit": "25"},
    ),
    Refused(
        Refusal.EXPOSURE_ABOVE_CAP,
        desk(ledger=a_view(held={EURE.asset_id: Amount(239 * 10**18)})),
        {"exposure_eur": "250.739842198324324688", "limit": "250"},
        name="promised by the ledger",
    ),
    Refused(
        Refusal.EXPOSURE_ABOVE_CAP,
        desk(ledger=a_view(held={BTC.asset_id: Amount(200_000)}), uncounted={BTC.asset_id: Amount(200_000)})
        | demand(direction=Direction.BASE_OUT),
        {"exposure_eur": "251.7396", "limit": "250"},
        name="promised by ledger and own commands together",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(quote_min="4988.27"),
        IN_BAND | {"lower_bound": "4988.27"},
        name="what is spent could fall too low",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="0.10019999"),
        IN_BAND | {"upper_bound": "0.10019999"},
        name="what is received could rise too high",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(quote_min="4988.2")
        | desk(ledger=a_view(held={EURE.asset_id: ONE}), uncounted={EURE.asset_id: Amount(2 * ONE)}),
        IN_BAND | {"lowest": "4985.260157801675675312", "lower_bound": "4988.2"},
        name="what is promised by ledger and own commands could all settle",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="0.1003")
        | desk(ledger=a_view(incoming={BTC.asset_id: Amount(10_000)}), uncounted_in={BTC.asset_id: Amount(1)}),
        IN_BAND | {"highest": "0.10030001", "upper_bound": "0.1003"},
        name="what ledger and own commands expect could all come",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(quote_max="5012") | demand(direction=Direction.BASE_OUT, amount_in=Amount(12 * ONE + 1)),
        {
            "spent": "BTC",
            "lowest": "0.09980434",
            "lower_bound": "none",
            "received": "EURe",
            "highest": "5012.000000000000000001",
            "upper_bound": "5012",
        },
        name="one unit too many, the other way",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="1") | desk(ledger=a_view(incoming=None)),
        IN_BAND | {"highest": "unknown", "upper_bound": "1"},
        name="a ledger that does not say what could come",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="1") | desk(uncounted_in=None),
        IN_BAND | {"highest": "unknown", "upper_bound": "1"},
        name="a record that does not say what own commands could bring",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="1") | desk(ledger=a_view(credited={EURE.asset_id: Amount(5_000 * ONE)})),
        IN_BAND | {"highest": "unknown", "upper_bound": "1"},
        name="a ledger that has not read what is credited of it",
    ),
    Refused(
        Refusal.INVENTORY_OUT_OF_BAND,
        band(base_max="0.10019999") | inventory(books=a_books({EURE.asset_id: Delta(5_000 * ONE)})),
        IN_BAND | {"upper_bound": "0.10019999"},
        name="what nobody explains is there all the same",
    ),
    Refused(
        Refusal.DAILY_LOSS_HALT,
        desk(day_result_eur=Decimal("-10.01")),
        {"day_result_eur": "-10.01", "limit": "-10"},
    ),
    Refused(
        Refusal.DAILY_LOSS_HALT,
        desk(day_result_eur=None),
        {"day_result_eur": "unknown", "limit": "-10"},
        name="a day that nobody knows",
    ),
    Refused(Refusal.RATE_LIMITED, desk(offers_last_minute=60), {"offers_in_60_s": "61", "limit": "60"}),
    Refused(
        Refusal.RATE_LIMITED,
        desk(offers_last_minute=None),
        {"offers_in_60_s": "unknown", "limit": "60"},
        name="a desk that does not say",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(observed_at=ago(5_001))),
        EXECUTOR_FINE | {"executor_age_ms": "5001"},
        name="a silent executor",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(ready=False)),
        EXECUTOR_FINE | {"ready": "false"},
        name="an executor that is not ready",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(paused=True)),
        EXECUTOR_FINE | {"paused": "true"},
        name="a paused executor",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(halted=True)),
        EXECUTOR_FINE | {"halted": "true"},
        name="a halted executor",
    ),
    Refused(
        Refusal.EXECUTOR_NOT_READY,
        desk(executor=an_executor(armed=(Direction.BASE_OUT,))),
        EXECUTOR_FINE | {"armed": "base_out"},
        name="an executor armed for the other direction",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(store_up=False),
        STORE_FINE | {"store_up": "false"},
        name="our own session lost",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=None),
        {"store_up": "true", "history_age_ms": "unknown"},
        name="no beat of the history writer",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(database_up=False)),
        STORE_FINE | {"history_database_up": "false"},
        name="a history writer without a database",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(lag=5_001)),
        STORE_FINE | {"history_lag": "5001"},
        name="a history writer far behind",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(lag=None)),
        STORE_FINE | {"history_lag": "unknown"},
        name="a history writer that does not say how far behind it is",
    ),
    Refused(
        Refusal.AUDIT_STORE_UNAVAILABLE,
        desk(history=a_history(observed_at=ago(5_001))),
        STORE_FINE | {"history_age_ms": "5001"},
        name="a silent history writer",
    ),
    Refused(
        Refusal.KEY_NOT_REGISTERED,
        inventory(key_registered=False),
        {"key_registered": "false", "account_locked": "false"},
    ),
    Refused(
        Refusal.KEY_NOT_REGISTERED,
        inventory(account_locked=True),
        {"key_registered": "true", "account_locked": "true"},
        name="a locked account",
    ),
    Refused(Refusal.VENUE_PAUSED, inventory(contract_paused=True), {"contract_paused": "true"}),
]
