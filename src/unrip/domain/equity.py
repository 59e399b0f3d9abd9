"""The highest equity, from which a drawdown is measured."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from unrip.domain.values import Delta, Value


class HighestEquity(Value):
    """The most that the explained inventory was ever worth, moved by every transfer since."""

    #: Exact, in EUR.
    eur: Fraction
    #: The transfers that are in it: those in the books (`Books.transferred`) by then.
    transferred: dict[str, Delta]
    #: When those books were begun; transfers in other books do not apply to it. None where that is not known.
    begun_at: datetime | None = None
