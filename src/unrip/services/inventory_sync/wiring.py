"""The wiring of inventory-sync."""

from __future__ import annotations

from unrip.frame.wiring import Context, Wiring
from unrip.services.inventory_sync.effects import PersistBooks, ReadBridge, ReadVerifier, RestoreBooks
from unrip.services.inventory_sync.handlers import BooksHandlers, Readings
from unrip.services.inventory_sync.logic import InventorySync
from unrip.services.venue import account_of, bridge_of, chains_of, public_key_of, rpc_client_of, verifier_of


def wire(context: Context) -> Wiring:
    """Wire it: verifier and bridge in, inventory out."""
    settings = context.settings
    rpc_http = rpc_client_of(context)
    bridge_http = context.http("bridge")
    readings = Readings(
        verifier_of(context, rpc_http, public_key=public_key_of(context), asset_ids=context.pair.balances().values()),
        bridge_of(context, bridge_http),
        chains=chains_of(context),
        ask=context.ask,
        clock=context.clock,
    )
    books = BooksHandlers(
        context.opened(context.adapters.books()), account=account_of(context), start=context.start, emit=context.emit
    )
    return Wiring(
        logic=InventorySync(
            pair=context.pair,
            account=account_of(context),
            interval_ms=settings.intervals.inventory_ms,
            bridge_interval_s=settings.intervals.bridge_s,
            inventory_age_max_ms=settings.limits.policy().inventory_age_max_ms,
            clock_ahead_max_ms=settings.limits.policy().clock_ahead_max_ms,
            nodes=len(settings.near_intents.rpc_urls),
        ),
        handlers={
            ReadVerifier: readings.read_verifier,
            ReadBridge: readings.read_bridge,
            RestoreBooks: books.recall,
            PersistBooks: books.keep,
        },
    )
