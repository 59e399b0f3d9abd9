"""What an answer of the ledger shows of the ledger itself, and loading it again while the executor runs.

A new session may lead to a database that lacks the last commits. A load answers with the number of commits that the
ledger has made; the ledger is older if that is less than was known when it was asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from unrip.domain.desk_state import LedgerView
from unrip.frame.contract import Effect
from unrip.services.trade_executor.effects import GuardedWrite, LedgerLoaded, LoadLedger


class Renewal:
    """One load at a time. While the ledger is judged nothing is claimed or written."""

    def __init__(self) -> None:
        #: The ledger as of the newest commit that we know of.
        self.view: LedgerView | None = None
        self.judging = False
        #: Why it is known to be older already; empty while that is only asked.
        self.doubt = ""
        self._wanted = False
        self._under_way = False
        #: The newest commit that was known when the load under way was asked for.
        self._heard = 0

    @property
    def commits(self) -> int:
        """The newest commit that we know of."""
        return (self.view.commits or 0) if self.view is not None else 0

    def seen(self, view: LedgerView) -> None:
        """Note an answer of the ledger; one that was merely late changes nothing."""
        if (view.commits or 0) >= self.commits:
            self.view = view

    def look(self) -> None:
        """Load the ledger beside whatever else goes on."""
        self._wanted = True

    def want(self, doubt: str) -> None:
        """Judge the ledger."""
        self.judging = self._wanted = True
        self.doubt = self.doubt or doubt

    def asked(self, effects: Sequence[Effect], *, quiet: bool) -> list[Effect]:
        """Add the newest known commit to every write, and the load that is wanted.

        Where the ledger is judged, the load waits until nothing else is under way.
        """
        commits, load = self.commits, self._wanted and not self._under_way and (quiet or not self.judging)
        self._wanted = self._wanted and not load
        asked = [
            msgspec.structs.replace(effect, after=commits) if isinstance(effect, GuardedWrite) else effect
            for effect in [*effects, *([LoadLedger()] if load else [])]
        ]
        if any(isinstance(effect, LoadLedger) for effect in asked):
            self._under_way, self._heard = True, commits
        return asked

    def answered(self) -> None:
        """The load under way has come to an end."""
        self._under_way = False

    def why_older(self, event: LedgerLoaded, *, in_doubt: bool) -> str:
        """Why the ledger that was loaded is not the one that was written to; empty where it is."""
        if (event.view.commits or 0) < self._heard:
            return self.doubt or "ledger_went_back"
        moved = event.doubt if not in_doubt and event.quarantined_until is None else ""
        return self.doubt or moved

    def decides(self) -> bool:
        """Whether the answered load was asked for while nothing else was under way: then it judges the ledger."""
        if not self.judging or self._wanted:
            return False
        self.judging, self.doubt = False, ""
        return True
