"""The switches of a service that can be armed, wired with the lease that may survive a restart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from unrip.frame.contract import Effect
from unrip.frame.leases import LeaseKeeper
from unrip.frame.runner import Handler
from unrip.frame.switchboard import Switchboard
from unrip.frame.wiring import Context


@dataclass(frozen=True, kw_only=True)
class Arming:
    """The switchboard for the logic, and the rest for its wiring."""

    switchboard: Switchboard
    handlers: dict[type[Effect], Handler]


def arming_of(context: Context, service: str) -> Arming:
    """Everything that arming needs."""
    settings = context.settings
    leases = context.opened(context.adapters.leases())
    keeper = LeaseKeeper(
        leases,
        settings.kept_file(service, "lease"),
        service=service,
        emit=context.emit,
        clock=context.clock,
        new_token=context.new_token,
        start=context.start,
        log=context.adapters.log,
    )
    return Arming(
        switchboard=Switchboard(
            service=service,
            configuration_hash=settings.configuration_hash,
            rearm_after=timedelta(seconds=settings.control.rearm_after_s),
            account=settings.account,
        ),
        handlers=keeper.handlers(),
    )
