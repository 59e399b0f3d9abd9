"""What the strategy knows about the desk itself at the moment of a decision."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from unrip.domain.pairs import Direction
from unrip.domain.sharing import Sharing
from unrip.domain.values import Amount, Value


class CommandPosition(Value):
    """How far the executor has come: every command before `next_offset` of this topic is claimed or rejected."""

    topic_id: str
    next_offset: int


#: A beat of the executor that comes this long after we received a view of its ledger knows everything in that view.
VIEW_KNOWN_AFTER = timedelta(seconds=5)
#: No ledger has made more commits than this; a record with a higher number does not count. PostgreSQL counts on from
#: it.
COMMITS_MAX = 2**62


class LedgerView(Value):
    """The executor's ledger as of one transaction."""

    #: Height of the final block that `credited` was read at.
    height: int
    credited: dict[str, Amount]
    held: dict[str, Amount]
    #: None while no command was ever handled.
    position: CommandPosition | None
    #: Open attempts that the relay has neither accepted nor refused, or that no block can judge: whether they count is
    #: unknown. None where the record is older than this count.
    without_answer: int | None = None
    #: What open attempts could bring, per asset: for each nonce its largest offer. None where the record is older than
    #: this.
    incoming: dict[str, Amount] | None = None
    #: How many commits the ledger had made by then: of two views the newer one has more. It orders views and is not
    #: part of what they say: views that differ in nothing else are equal. None where the record is older than this
    #: count.
    commits: int | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both say the same of the ledger."""
        if not isinstance(other, LedgerView):
            return NotImplemented
        return _said_by(self) == _said_by(other)

    def __hash__(self) -> int:
        """Hash what equal views have in common."""
        return hash((self.height, self.position, self.without_answer))


def _said_by(view: LedgerView) -> tuple[object, ...]:
    return tuple(getattr(view, name) for name in view.__struct_fields__ if name != "commits")


class ExecutorView(Value):
    """The active executor's last beat."""

    observed_at: datetime
    ready: bool
    #: Open attempts of an earlier life have not all been asked about yet.
    recovering: bool
    paused: bool
    halted: bool
    armed: tuple[Direction, ...]


class HistoryView(Value):
    """The history writer's last beat."""

    observed_at: datetime
    #: Its database accepts writes.
    database_up: bool
    #: None when it did not report it: unknown, which is not zero.
    lag: int | None


class DeskState(Value):
    """What is known of the desk, as one frozen value kept from events.

    A decision is recomputed from it byte for byte (blueprint, section 6).
    """

    armed: tuple[Direction, ...]
    paused: bool
    halted: bool
    #: The strategy's own PostgreSQL session, and with it its lock, is alive.
    store_up: bool
    #: The strategy's take-over number; a claim refuses a command of an older one.
    generation: int
    executor: ExecutorView | None
    history: HistoryView | None
    ledger: LedgerView | None
    #: What own commands that the ledger has not handled yet spend, per asset.
    uncounted: dict[str, Amount]
    #: The live nonces that the offer under decision could join.
    sharing: Sharing = Sharing()
    #: Own offers decided within the last 60 s. None in records older than this count.
    offers_last_minute: int | None = None
    #: The sum over today's fills of value at the markout less value given. None where it is not known.
    day_result_eur: Decimal | None = None
    #: What own commands that the ledger has not handled yet could bring, per asset. None in records older than this.
    uncounted_in: dict[str, Amount] | None = None

    def promised(self, asset_id: str) -> int | None:
        """What live offers hold and own commands spend that the ledger has not handled yet; None while unknown."""
        if self.ledger is None:
            return None
        return self.ledger.held.get(asset_id, 0) + self.uncounted.get(asset_id, 0)

    def spendable(self, asset_id: str, snapshot_credited: int) -> int | None:
        """Credited minus promised, None while the ledger is unknown.

        The smaller of the two credited readings counts: whichever is older errs on the safe side (section 7).
        """
        promised = self.promised(asset_id)
        if self.ledger is None or promised is None:
            return None
        return min(snapshot_credited, self.ledger.credited.get(asset_id, Amount(0))) - promised

    def reachable(self, asset_id: str, snapshot_credited: int) -> int | None:
        """Credited plus all that live offers and own commands could bring, None while any of it is unknown.

        The larger of the two credited readings counts: whichever is older errs on the safe side here, too.
        """
        if self.ledger is None or self.ledger.incoming is None or self.uncounted_in is None:
            return None
        credited = self.ledger.credited.get(asset_id)
        if credited is None:
            return None
        incoming = self.ledger.incoming.get(asset_id, 0) + self.uncounted_in.get(asset_id, 0)
        return max(snapshot_credited, credited) + incoming
