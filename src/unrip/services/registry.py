"""Every service by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from unrip.frame.definition import Service
from unrip.frame.settings import SettingsError
from unrip.services.history_writer.definition import SERVICE as HISTORY_WRITER
from unrip.services.inventory_sync.definition import SERVICE as INVENTORY_SYNC
from unrip.services.liquidity_manager.definition import SERVICE as LIQUIDITY_MANAGER
from unrip.services.market_reference_ingest.definition import SERVICE as MARKET_REFERENCE_INGEST
from unrip.services.near_intents_ingest.definition import SERVICE as NEAR_INTENTS_INGEST
from unrip.services.strategy_engine.definition import SERVICE as STRATEGY_ENGINE
from unrip.services.trade_executor.definition import SERVICE as TRADE_EXECUTOR

if TYPE_CHECKING:  # a command that only needs the descriptions, such as the brake, loads no wiring
    from unrip.frame.wiring import Wire

#: The services in the order in which a quote meets them.
SERVICES: dict[str, Service] = {
    service.name: service
    for service in (
        NEAR_INTENTS_INGEST,
        MARKET_REFERENCE_INGEST,
        INVENTORY_SYNC,
        LIQUIDITY_MANAGER,
        HISTORY_WRITER,
        STRATEGY_ENGINE,
        TRADE_EXECUTOR,
    )
}
#: The services that hold switches, in the order in which they are armed: the one that commands comes last, since what
#: is armed before does nothing until then.
ARMED = tuple(name for name, service in reversed(SERVICES.items()) if service.armed)


def service_of(name: str) -> Service:
    """The description of a service.

    Raises:
        SettingsError: there is no such service.

    """
    if name not in SERVICES:
        raise SettingsError(f"there is no service {name!r}; there are: {', '.join(SERVICES)}")
    return SERVICES[name]


def wire_of(service: Service) -> Wire:
    """The wiring of a service; only its own modules are imported."""
    wire: Wire = import_module(service.wiring).wire
    return wire
