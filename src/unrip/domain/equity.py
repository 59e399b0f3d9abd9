"""The highest equity, from which a drawdown is told."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from unrip.domain.values import Delta, Value


class HighestEquity(Value):
    """The highest that what evidence explains was ever worth, moved by every transfer since."""

    #: Exact, in EUR.
    eur: Fraction
    #: The transfers that are in it: those of the books (`Books.transferred`) by then.
    transferred: dict[str, Delta]
    #: When those books were begun; transfers of other books say nothing about it. None where that is not known.
    begun_at: datetime | None = None
