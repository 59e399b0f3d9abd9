"""What a taker asks for."""

from __future__ import annotations

from datetime import datetime, timedelta

from unrip.domain.pairs import Direction
from unrip.domain.values import Amount, Value

#: The relay raises `min_wait_ms` of a top-level auction to this floor (protocol, message bus section 6).
TOP_LEVEL_FLOOR_MS = 300
#: A router leg without fields of its own closes about 51 ms after it opened (same section): 1 ms wait, 50 ms grace.
ROUTER_LEG_WINDOW_MS = 51


class SwapDemand(Value):
    """One quote request of the active pair, normalized. Exactly one amount is given in a valid demand."""

    demand_id: str
    #: The auction; copied into the answer.
    quote_id: str
    pair: str
    direction: Direction
    asset_in: str
    asset_out: str
    #: What the taker gives, for an exact-in demand.
    amount_in: Amount | None
    #: What the taker gets, for an exact-out demand.
    amount_out: Amount | None
    #: The signed offer must stay valid at least this long from now.
    min_deadline_ms: int
    #: A sub-leg of the venue's router, with a much shorter window.
    router_leg: bool
    #: Who asks: the relay delivers the name and nobody signs it, so it is a business hint and never a control.
    partner_id: str | None
    #: When the frame came in.
    received_at: datetime
    #: The last instant at which an answer is sure to be in time.
    answer_by: datetime
    #: The relay marks the request as one for the price only; an answer binds us all the same.
    dry: bool = False


def answer_by(*, received_at: datetime, min_wait_ms: int | None, max_wait_ms: int | None, router_leg: bool) -> datetime:
    """The end of the part of the auction window that the relay guarantees.

    The relay collects for `min_wait_ms` (top level: at least 300 ms) and may close right after; `max_wait_ms` closes
    in any case. The grace after that is not promised, so it is not counted.
    """
    guaranteed_ms = max(min_wait_ms or 0, ROUTER_LEG_WINDOW_MS if router_leg else TOP_LEVEL_FLOOR_MS)
    if max_wait_ms is not None:
        guaranteed_ms = min(guaranteed_ms, max_wait_ms)
    return received_at + timedelta(milliseconds=guaranteed_ms)
