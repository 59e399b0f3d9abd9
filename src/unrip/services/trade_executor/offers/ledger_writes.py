"""Ledger writes, one after another; a write whose fate is unknown is made again before the next."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from unrip.frame.contract import Effect, SetTimer
from unrip.services.trade_executor.effects import ApplyReading, LedgerWrite

RETRY = timedelta(milliseconds=500)
TIMER = "ledger_note_again"


class LedgerWrites:
    """Keeps the order of notes, drops and readings; every write is idempotent, so an unknown one is made again.

    While PostgreSQL is away nothing new is claimed, so what waits is bounded by the offers that were open: each passes
    through each state once, each of their nonces ends once, and is revoked by one intent. Readings go on, but one that
    only reports balances no longer waits once a newer one follows it.
    """

    def __init__(self) -> None:
        self._waiting: deque[LedgerWrite] = deque()
        self.in_flight: LedgerWrite | None = None
        #: Whether the balances of a final block are in this ledger.
        self._credited = False
        #: Whether the ledger is being judged: no further write begins then.
        self._held = False

    def push(self, write: LedgerWrite) -> list[Effect]:
        """Make a write when its turn comes."""
        if self._waiting and _replaces(write, self._waiting[-1]):
            self._waiting.pop()
        self._waiting.append(write)
        return self._next()

    def committed(self) -> tuple[LedgerWrite, list[Effect]]:
        """Note that the write in flight is committed; go on with the next."""
        write, self.in_flight = self.in_flight, None
        if write is None:
            raise AssertionError("a commit was reported, but no write was in flight")
        self._credited = self._credited or (isinstance(write, ApplyReading) and bool(write.credited))
        return write, self._next()

    def unknown(self, now: datetime) -> list[Effect]:
        """Make the write in flight again after a moment: its fate is unknown."""
        return [SetTimer(name=TIMER, at=now + RETRY)]

    def again(self) -> list[Effect]:
        """The retry delay has passed."""
        return [self.in_flight] if self.in_flight is not None else []

    def refused(self) -> None:
        """Keep the write in flight until it is decided: the ledger lacks what it is about."""
        if self.in_flight is not None:
            self._waiting.appendleft(self.in_flight)
            self.in_flight = None

    def hold(self) -> None:
        """Begin no further write until `go_on`."""
        self._held = True

    def go_on(self) -> list[Effect]:
        """Go on: the ledger is judged."""
        self._held = False
        return self._next()

    def give_up(self) -> list[LedgerWrite]:
        """Make none of the writes that wait: they were for another ledger."""
        given_up, self._credited = list(self._waiting), False
        self._waiting.clear()
        return given_up

    def empty(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return self.in_flight is None and not self._waiting

    def recorded(self) -> bool:
        """Whether a final block was read and the ledger has it: only then can it hold what an earlier life promised."""
        return self._credited and self.empty()

    def _next(self) -> list[Effect]:
        if self._held or self.in_flight is not None or not self._waiting:
            return []
        self.in_flight = self._waiting.popleft()
        return [self.in_flight]


def _replaces(write: LedgerWrite, last: LedgerWrite) -> bool:
    """Whether the last write that waits has nothing but balances, and this one has newer ones."""
    return (
        isinstance(write, ApplyReading) and bool(write.credited) and isinstance(last, ApplyReading) and not last.endings
    )
