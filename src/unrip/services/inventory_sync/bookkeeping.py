"""The books between a reading and PostgreSQL: nothing is counted before it is kept, and nothing is counted twice.

PostgreSQL decides what was counted before, since no memory of ours goes back for ever: results and steps may be
published again at any time. What it has not kept yet is unknown, for the assets that are concerned.
"""

from __future__ import annotations

from unrip.domain.inventory import BalanceChange, IntentInventory, Judged, KeptBooks
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import Effect, RecordReceived
from unrip.services.inventory_sync.effects import BooksPersisted, BooksRestored, PersistBooks, RestoreBooks
from unrip.services.inventory_sync.reconciling import Reconciler

#: After how many records the position is kept even where nothing was judged, so that a start reads few records again.
RECORDS_UNKEPT_MAX = 500


class Bookkeeper:
    """Opens or resumes the books, and counts what PostgreSQL has kept."""

    def __init__(self) -> None:
        self.reconciler = Reconciler()
        #: The last commit; None until the books are restored.
        self._revision: int | None = None
        self._declared = False
        #: Whether PostgreSQL has the books that ours follow.
        self.kept = False
        self._records_kept = 0
        #: What the commit that is under way would count; None without one.
        self._keeping: tuple[Judged, ...] | None = None
        self._reading: VerifierReading | None = None
        #: What an operator accepted and PostgreSQL has not kept yet.
        self.accepting: BalanceChange | None = None

    @property
    def settled(self) -> bool:
        """Whether the books are PostgreSQL's, and no commit is under way."""
        return self.kept and self._keeping is None

    def unexplained(self, asset: str) -> int | None:
        """What is unexplained of an asset once what an operator accepted is kept."""
        rest, accepting = self.reconciler.unexplained(asset), self.accepting
        return rest if rest is None or accepting is None or accepting.asset_id != asset else rest - accepting.change

    def on_recalled(self, event: BooksRestored) -> None:
        """Take over what PostgreSQL has, at the start and wherever it is not what we kept last.

        Another instance may have kept more; or it is an older copy, and what it lacks is counted again.
        """
        self._revision, self._declared = event.found.revision, event.found.declared
        self.reconciler.recount()
        if event.found.kept is not None:
            self.reconciler.resume(event.found.kept)
            self.kept = True

    def import_from(self, last: IntentInventory | None) -> None:
        """Take over the books of a version that kept them in its topic only; where there are none, begin none."""
        if self.reconciler.begun or last is None or last.books is None:
            return
        kept = KeptBooks(books=last.books, credited=last.credited, open={}, held={}, untold=())
        self.reconciler.resume(kept)

    def take(self, reading: VerifierReading) -> list[Effect]:
        """Judge a reading. Without a commit under way, what is to be counted goes to PostgreSQL first."""
        self._reading = reading
        effects = self._keep(reading) if self._keeping is None else []
        if not effects and self.kept:
            self.reconciler.look(reading)
        return effects

    def on_kept(self, event: BooksPersisted) -> list[Effect]:
        """Count what was kept, or judge anew without what was counted before."""
        judged, self._keeping = self._keeping or (), None
        outcome, reading = event.outcome, self._reading
        if outcome.revision is not None:
            self._revision, self.kept = outcome.revision, True
            self.reconciler.apply(judged)
            if self.accepting is not None and any(each.change == self.accepting for each in judged):
                self.accepting = None
        elif outcome.known:
            self.reconciler.know(outcome.known)
        else:
            self._revision = None
            return [RestoreBooks()]
        return [] if reading is None else self.take(reading)

    def pass_over(self, record: RecordReceived) -> None:
        """A record explains nothing: that is kept with the next reading, so that no later life believes it."""
        self.reconciler.pass_over(record)
        self._records_kept = self.reconciler.records_read - RECORDS_UNKEPT_MAX

    def accept(self, change: BalanceChange) -> list[Effect]:
        """Take what is credited of an asset as explained, once that is kept."""
        self.accepting = change
        return [] if self._reading is None else self.take(self._reading)

    def unkept(self) -> set[str]:
        """Assets whose evidence PostgreSQL has not kept yet: it is unknown what that evidence explains."""
        return {each.change.asset_id for each in self._keeping or ()}

    def _keep(self, reading: VerifierReading) -> list[Effect]:
        if self._revision is None:
            return []
        judged = [] if self.reconciler.begun else self.reconciler.begin(reading, trusted=self._declared)
        judged = judged or self.reconciler.judge(reading)
        judged += self._accepted()
        old = self.reconciler.records_read - self._records_kept >= RECORDS_UNKEPT_MAX
        if not judged and self.kept and not old:
            return []
        self._records_kept = self.reconciler.records_read
        self._keeping = tuple(judged)
        return [PersistBooks(kept=self.reconciler.kept(judged), judged=self._keeping, revision=self._revision)]

    def _accepted(self) -> list[Judged]:
        """Accept exactly what was unexplained when the operator decided; where that has moved, accept nothing."""
        change = self.accepting
        if change is None:
            return []
        if self.reconciler.unexplained(change.asset_id) != change.change:
            self.accepting = None
            return []
        return [Judged(change=change, counted=True)]
