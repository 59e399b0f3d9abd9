"""What the executor itself measures commands with: its caps, what it signed lately, and a price of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from unrip.domain.attempt import Offer
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import LedgerView
from unrip.domain.market import MarketPrice
from unrip.domain.pairs import Pair
from unrip.domain.reference import Observed
from unrip.domain.spending import Claimed, Spending, SpendingCaps, claimed_of
from unrip.frame.contract import CaughtUp, Effect, RecordReceived
from unrip.net.clock_offset import ClockCompared
from unrip.services.trade_executor.offers.book import Book


class OwnLimits:
    """Limits that take nothing from the topic of the commands: whoever can write it chooses none of these numbers."""

    def __init__(self, *, pair: Pair, caps: Mapping[str, SpendingCaps]) -> None:
        self._pair = pair
        self._spending = Spending(caps)
        #: The newest price that we read ourselves.
        self.price: Observed[MarketPrice] | None = None
        #: Our clock, compared with those of the servers that answer us.
        self.clock: ClockCompared | None = None

    def load(self, claimed_lately: Iterable[Claimed]) -> None:
        """Count what an earlier life signed within the last minute."""
        for claimed in claimed_lately:
            self._spending.claimed(claimed)

    def priced(self, event: RecordReceived | CaughtUp) -> list[Effect]:
        """Take a price of our own pair."""
        if isinstance(event, RecordReceived) and event.message.payload.pair == self._pair.name:
            message = event.message
            self.price = Observed(event_id=message.event_id, observed_at=message.observed_at, value=message.payload)
        return []

    def claimed(self, offer: Offer, now: datetime) -> None:
        """Count an offer that was signed and claimed."""
        self._spending.claimed(claimed_of(offer, now))

    def overspent(
        self, command: TradeCommand, view: LedgerView | None, book: Book, now: datetime
    ) -> dict[str, str] | None:
        """Which cap the command would break."""
        return self._spending.fault(
            command.asset_out,
            command.nonce,
            command.amount_out,
            held=None if view is None else view.held.get(command.asset_out, 0),
            held_by_nonce=book.promised_on(command.nonce),
            now=now,
        )
