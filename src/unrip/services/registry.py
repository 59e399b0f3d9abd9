"""Every service by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from unrip.service.settings import SettingsError

if TYPE_CHECKING:  # a command that only needs the names, such as the brake, does not wait for the web framework to load
    from unrip.service.wiring import Wire

#: In the order in which a reader meets them on the way of a quote.
SERVICES = (
    "near-intents-ingest",
    "market-reference-ingest",
    "inventory-sync",
    "liquidity-manager",
    "history-writer",
    "strategy-engine",
    "trade-executor",
)


def wire_of(service: str) -> Wire:
    """The wiring of a service; only its own modules are imported.

    Raises:
        SettingsError: there is no such service.

    """
    if service not in SERVICES:
        raise SettingsError(f"there is no service {service!r}; there are: {', '.join(SERVICES)}")
    wire: Wire = import_module(f"unrip.services.{service.replace('-', '_')}.wiring").wire
    return wire
