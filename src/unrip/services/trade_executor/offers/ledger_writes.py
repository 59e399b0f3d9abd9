"""Ledger writes one after another; one whose fate is unknown is made again before the next."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from unrip.frame.contract import Effect, SetTimer
from unrip.services.trade_executor.effects import ApplyReading, LedgerWrite

RETRY = timedelta(milliseconds=500)
TIMER = "ledger_note_again"


class LedgerWrites:
    """Keeps the order of notes, drops and readings. Every write is idempotent, so unknown means: again.

    While PostgreSQL is away nothing new is claimed, so what waits is bounded by the offers that were open: each passes
    through each state once, each of their nonces ends once, and is revoked by one intent. Readings go on, but of those
    that only tell balances none waits once a newer one follows it.
    """

    def __init__(self) -> None:
        self._waiting: deque[LedgerWrite] = deque()
        self.in_flight: LedgerWrite | None = None
        #: The balances of a final block are in this ledger.
        self._credited = False
        #: The ledger is being judged: no further write begins.
        self._held = False

    def push(self, write: LedgerWrite) -> list[Effect]:
        """Make a write when its turn comes."""
        if self._waiting and _replaces(write, self._waiting[-1]):
            self._waiting.pop()
        self._waiting.append(write)
        return self._next()

    def committed(self) -> tuple[LedgerWrite, list[Effect]]:
        """The write in flight is committed; go on with the next."""
        write, self.in_flight = self.in_flight, None
        if write is None:
            raise AssertionError("a commit was reported, but no write was in flight")
        self._credited = self._credited or (isinstance(write, ApplyReading) and bool(write.credited))
        return write, self._next()

    def unknown(self, now: datetime) -> list[Effect]:
        """The fate of the write in flight is unknown: the same again after a moment."""
        return [SetTimer(name=TIMER, at=now + RETRY)]

    def again(self) -> list[Effect]:
        """The retry delay has passed."""
        return [self.in_flight] if self.in_flight is not None else []

    def refused(self) -> None:
        """The ledger lacks what the write in flight is about, and it waits for what is made of that."""
        if self.in_flight is not None:
            self._waiting.appendleft(self.in_flight)
            self.in_flight = None

    def hold(self) -> None:
        """Begin no further write until `go_on`."""
        self._held = True

    def go_on(self) -> list[Effect]:
        """The ledger is judged."""
        self._held = False
        return self._next()

    def give_up(self) -> list[LedgerWrite]:
        """What waits was for another ledger: none of it is made."""
        given_up, self._credited = list(self._waiting), False
        self._waiting.clear()
        return given_up

    def empty(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return self.in_flight is None and not self._waiting

    def recorded(self) -> bool:
        """A final block was read, and the ledger has it: only then can it hold what an earlier life promised."""
        return self._credited and self.empty()

    def _next(self) -> list[Effect]:
        if self._held or self.in_flight is not None or not self._waiting:
            return []
        self.in_flight = self._waiting.popleft()
        return [self.in_flight]


def _replaces(write: LedgerWrite, last: LedgerWrite) -> bool:
    """Whether the last one to wait tells nothing but balances that this one knows from a newer block."""
    return (
        isinstance(write, ApplyReading) and bool(write.credited) and isinstance(last, ApplyReading) and not last.endings
    )
