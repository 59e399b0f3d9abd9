"""Effects and events that only this service knows."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.inventory import Judged, KeptBooks
from unrip.domain.treasury import BridgeDeposit, BridgeWithdrawal
from unrip.domain.values import Value
from unrip.domain.verifier import VerifierReading
from unrip.store.books import FoundBooks, KeepOutcome


class ReadVerifier(Value):
    """Effect: read the verifier at one final block; `VerifierRead` or `VerifierUnread` follows."""

    #: Whether the last node's answer was not believed: another one is asked first.
    elsewhere: bool = False


class ReadBridge(Value):
    """Effect: read the bridge's movements on every chain; `BridgeRead` or `BridgeUnread` follows."""


class VerifierRead(Value):
    """One final block."""

    reading: VerifierReading


class VerifierUnread(Value):
    """The verifier could not be read: unknown, which changes nothing."""

    reason: str


class BridgeRead(Value):
    """Every movement that the bridge lists."""

    deposits: tuple[BridgeDeposit, ...]
    withdrawals: tuple[BridgeWithdrawal, ...]
    observed_at: datetime


class BridgeUnread(Value):
    """The bridge could not be read: pending movements grow old, nothing else happens."""

    reason: str


class RestoreBooks(Value):
    """Effect: read the books of earlier lives; `BooksRestored` follows as soon as PostgreSQL answers."""


class BooksRestored(Value):
    """What PostgreSQL has."""

    found: FoundBooks


class PersistBooks(Value):
    """Effect: commit the books that follow a revision, with the evidence that makes the difference.

    `BooksPersisted` follows as soon as PostgreSQL answers; there is never a second one before that.
    """

    kept: KeptBooks
    judged: tuple[Judged, ...]
    revision: int


class BooksPersisted(Value):
    """The outcome of that commit."""

    outcome: KeepOutcome
