"""The notional cap as the operator was told it: nothing may be accepted above it, also after a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from unrip.frame.control import ControlOutcome


class ToldCaps:
    """What the cap may be at each instant, from what was asked and what was answered alone."""

    def __init__(self, configured: Decimal) -> None:
        #: The cap that was last told as kept; those that may have come after; those whose answer is still to come.
        self._kept = configured
        self._possible: list[Decimal] = []
        self._asked: list[Decimal] = []
        #: What it may have been at most, from an instant on.
        self._highest: list[tuple[datetime, Decimal]] = [(datetime.min.replace(tzinfo=UTC), configured)]

    def asked(self, cap: Decimal, now: datetime) -> None:
        """The operator asks for a cap."""
        self._asked.append(cap)
        self._note(now)

    def answered(self, cap: Decimal, outcome: ControlOutcome | None, now: datetime) -> None:
        """What he was told; None when the service died before it answered: the cap may be either."""
        self._asked.remove(cap)
        if outcome is None or not outcome.kept:
            self._possible.append(cap)
        elif outcome.applied:
            self._kept, self._possible = Decimal(outcome.after["notional_cap_eur"]), []
        self._note(now)

    def _note(self, now: datetime) -> None:
        self._highest.append((now, max(self._kept, *self._possible, *self._asked, Decimal(0))))

    def highest(self, at: datetime) -> Decimal:
        """The highest that the cap may have been at an instant; at the instant of an answer, before it."""
        *_, before = (cap for since, cap in self._highest if since < at)
        return max(before, *(cap for since, cap in self._highest if since == at), Decimal(0))
