"""What the sources' last words say against each other, and what an operator takes for granted of that.

A contradiction does not end by growing old: CoinGecko may have gone silent because it, or we, are cut off from what it
saw. A newer word of either source that agrees ends it, or an operator's for a while.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from unrip.domain.market import AcceptedDisagreement
from unrip.domain.values import format_rate, parse_rate
from unrip.frame.contract import Control, ControlRefused
from unrip.services.market_reference_ingest.definition import ACCEPT_DISAGREEMENT


class Contradiction:
    """The last words of both sources, compared; what an operator accepted does not outlive the process."""

    def __init__(self, *, limit: Decimal) -> None:
        self._limit = limit
        self.accepted: AcceptedDisagreement | None = None

    def compared(self, apart: Decimal | None, now: datetime) -> None:
        """Take in how far they are apart now: what was accepted ends with its time, and where they agree again."""
        agree = apart is not None and apart <= self._limit
        if self.accepted is not None and (agree or not self.accepted.in_force(now)):
            self.accepted = None

    def after(self, control: Control, apart: Decimal | None, now: datetime) -> AcceptedDisagreement | None:
        """What is accepted after an operator's word; taking it back is never refused.

        Raises:
            ControlRefused: nothing is to be accepted, or less was said than the sources are apart by now.

        """
        if takes_back(control):
            return None
        wanted = _wanted(control, now)
        if apart is None or apart <= self._limit:
            raise ControlRefused("the sources do not contradict each other")
        if wanted.up_to < apart:
            raise ControlRefused(f"they are {format_rate(apart)} apart by now, which is more: look again")
        return wanted

    def not_ready(self, apart: Decimal | None, age_ms: int | None, now: datetime) -> list[str]:
        """The source, how far it is away and how old it is."""
        if apart is None or age_ms is None or apart <= self._limit:
            return []
        if self.accepted is not None and self.accepted.in_force(now) and apart <= self.accepted.up_to:
            return []
        minutes = age_ms // 60_000
        return [f"sources_disagree: coingecko is {apart:.1%} away from kraken and {minutes} min old"]


def shown(accepted: AcceptedDisagreement | None, now: datetime) -> str:
    """What is accepted, as a control record shows it."""
    if accepted is None or not accepted.in_force(now):
        return "none"
    return f"{format_rate(accepted.up_to)} until {accepted.until.isoformat()}"


def takes_back(control: Control) -> bool:
    """Whether this only ends what was accepted."""
    return control.action == ACCEPT_DISAGREEMENT.name and control.arguments["minutes"] == 0


def _wanted(control: Control, now: datetime) -> AcceptedDisagreement:
    try:
        up_to = parse_rate(control.arguments["up_to"])
    except (ValueError, ArithmeticError) as error:
        raise ControlRefused(str(error)) from None
    until = now + timedelta(minutes=control.arguments["minutes"])
    return AcceptedDisagreement(up_to=up_to, until=until, actor=control.actor)
