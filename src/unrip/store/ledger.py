"""The executor's ledger: what is credited, what is promised, and how every command ended.

Every call is one transaction and one round trip. All of them may be made again after an unknown outcome: the same
call twice leaves what one call leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from unrip.domain.attempt import AttemptState, Offer, Rejection, TradeResult, result_id
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.doubt import Seen
from unrip.domain.spending import Claimed
from unrip.domain.values import Amount, Value
from unrip.messages.topics import TRADE_RESULT
from unrip.store.errors import StoreRefused
from unrip.store.outbox import Outbox, OutboxRecord


class LedgerWentBack(StoreRefused):
    """It has made fewer commits than the caller knows of: nothing has changed, load it again."""


class NotInLedger(StoreRefused):
    """It lacks what the caller remembers of it: nothing has changed, load it again."""


class OutboxEvent(Value):
    """A result on its way to Kafka. The ledger fills in its `ledger` field, as of the same transaction."""

    event_id: str
    correlation_id: str
    causation_id: str | None
    observed_at: datetime
    stages: dict[str, datetime]
    result: TradeResult


def record_of(event: OutboxEvent) -> OutboxRecord:
    """The result as a record of the outbox."""
    return OutboxRecord(
        topic=TRADE_RESULT.name,
        event_id=event.event_id,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        occurred_at=None,
        observed_at=event.observed_at,
        venue="near_intents",
        pair=event.result.pair,
        stages=event.stages,
        payload=event.result,
    )


class HoldKind(StrEnum):
    """What a hold is for: both kinds count against what is credited; only offers share one."""

    OFFER = "offer"
    WITHDRAWAL = "withdrawal"


class ClaimKind(StrEnum):
    """What the ledger did with a command."""

    CLAIMED = "claimed"
    DUPLICATE = "duplicate"
    """It was handled before, perhaps by a call whose outcome did not arrive. Nothing has changed."""
    REJECTED = "rejected"
    """It was recorded as rejected, as the caller asked."""
    INSUFFICIENT_INVENTORY = "insufficient_inventory"
    """Credited less held does not cover it: recorded as rejected instead."""
    SUPERSEDED = "superseded"
    """An older strategy commanded it than an earlier claim: recorded as rejected instead."""
    NONCE_ENDED = "nonce_ended"
    """The nonce that it would share was used, is dead, or holds another asset or for no offer: recorded as rejected."""
    SAME_OFFER = "same_offer"
    """Its signed offer is another command's already: recorded as rejected instead."""
    COMMAND_INVALID = "command_invalid"
    """The commanding strategy never took over by PostgreSQL's own count: recorded as rejected instead."""


class ClaimOutcome(Value):
    """What the ledger did with a command, and the ledger as of that commit."""

    kind: ClaimKind
    view: LedgerView


class NonceEnding(Value):
    """A nonce that a final block has ended, with one result for each of its open offers.

    Each result carries the evidence. `settled`: one of its offers was executed, and the others end as `lapsed`.
    `spent`: one of them was executed, nobody knows which. `voided`: none of them was, though the nonce is used.
    `revoked`: our own revocation used it, as the contract's logs show. `lapsed`: provably dead.
    """

    nonce: str
    state: AttemptState
    events: tuple[OutboxEvent, ...]


class DatabaseIdentity(Value):
    """Which database this is: another cluster has another identifier, a recovered one another timeline."""

    system_identifier: str
    timeline: int


class Surroundings(Value):
    """What the ledger recorded about the database it is in."""

    #: None while a quarantine has not ended and none was recorded before.
    database: DatabaseIdentity | None
    quarantined_until: datetime | None
    reason: str


class LedgerState(Value):
    """The ledger as a start finds it."""

    view: LedgerView
    #: The newest strategy of all commands ever claimed; 0 without one.
    newest_generation: int
    #: In the order of their claims, each in its newest state.
    open_offers: tuple[Offer, ...]
    #: For each nonce with open offers: the signed intent that was published to spend it.
    revocations: dict[str, str]
    #: Where it is now, and where it was when it was last known to be the newest; None if that was never recorded.
    database: DatabaseIdentity
    surroundings: Surroundings | None
    #: PostgreSQL's time of the newest attempt: a ledger older than Kafka's last command is a restored one.
    last_claimed_at: datetime | None
    #: The block of the last reading that was taken over; None where there was none since this is kept.
    believed: Seen | None = None

    @property
    def position(self) -> CommandPosition | None:
        """Where commands are read from; None while none was ever handled."""
        return self.view.position

    @property
    def doubt(self) -> str:
        """Why this may not be the newest ledger of its account; empty without a doubt."""
        if self.surroundings is None:
            return "first_start_not_declared" if self.position is None else "database_is_another"
        if self.surroundings.quarantined_until is not None:
            return self.surroundings.reason
        return "" if self.surroundings.database == self.database else "database_is_another"


class HeldDifference(Value):
    """An asset whose counter and open holds do not add up."""

    account: str
    asset: str
    held: Amount
    open_holds: Amount


class Ledger(Outbox, Protocol):
    """What the executor uses of its ledger, whose results wait in an outbox of its own.

    Every method raises `StoreUnavailable` when the outcome is unknown (call again with the same arguments, before
    anything later) and `StoreRefused` when the caller broke a promise (nothing has changed). `after` is the newest
    commit that the caller knows of: an older ledger raises `LedgerWentBack`.
    """

    async def load(self, account: str) -> LedgerState:
        """Everything a start needs, as of one instant."""
        ...

    async def claim(
        self,
        offer: Offer,
        *,
        position: CommandPosition,
        generation: int,
        event: OutboxEvent,
        perhaps_sent: bool = False,
        after: int = 0,
    ) -> ClaimOutcome:
        """Claim, hold, signed payload, result row and position in one commit; or a rejection in their place.

        An offer that was perhaps sent is held even where it is not covered or an older strategy commanded it, and on a
        nonce that has ended unused, whose hold is taken again.
        """
        ...

    async def reject(
        self, command: TradeCommand, *, position: CommandPosition, event: OutboxEvent, after: int = 0
    ) -> ClaimOutcome:
        """Record a command that is not claimed, with its one result, and the position."""
        ...

    async def note(self, event: OutboxEvent, *, after: int = 0) -> LedgerView:
        """Record a state of an open attempt. It moves forward only; an attempt that has ended stays as it is.

        Raises:
            NotInLedger: nobody has claimed it here.

        """
        ...

    async def drop(self, event: OutboxEvent, *, after: int = 0) -> LedgerView:
        """End an attempt of which no byte has left, and its part of the hold with it.

        Only the process that claimed it may say so, and only before it noted `sent`.

        Raises:
            NotInLedger: nobody has claimed it here.

        """
        ...

    async def note_revocation(self, account: str, *, nonce: str, revocation: str, after: int = 0) -> LedgerView:
        """Keep what was published to spend a nonce of ours.

        Raises:
            NotInLedger: it holds nothing here.

        """
        ...

    async def note_surroundings(
        self, account: str, *, reason: str, quarantined_until: datetime | None, commits: int = 0
    ) -> LedgerView:
        """Record a quarantine; or, without an end, that this database has the newest ledger of the account.

        `commits` is the highest number that anybody knows of. A quarantine goes on counting from above it.
        """
        ...

    async def apply_reading(
        self,
        account: str,
        *,
        height: int,
        credited: dict[str, Amount],
        endings: Sequence[NonceEnding],
        block_time: datetime | None = None,
        replaces: str | None = None,
        after: int = 0,
    ) -> LedgerView:
        """Take over the balances of a final block, if it is a newer one, and release what it justifies.

        `block_time` is that of a newest block, which is believed from now on; None of an older one. With a reason
        (`replaces`) it is taken over whatever height was believed until now.

        Refused whole: an ending whose evidence is newer than the ledger or does not prove it.

        Raises:
            NotInLedger: the results of an ending are not one for each offer that is open here on its nonce.

        """
        ...

    async def claimed_lately(self, account: str) -> list[Claimed]:
        """What was claimed within the last minute, whatever its state is now."""
        ...

    async def find(self, account: str, quote_hash: str) -> Offer | None:
        """The account's offer with this hash in its newest state, also after its end."""
        ...

    async def check_held(self) -> list[HeldDifference]:
        """Recompute what is held from the open holds; empty unless something is wrong. Never writes."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


def rejection_of(claimed: OutboxEvent) -> OutboxEvent:
    """The result of a claim that the ledger refuses; the ledger fills in reason and numbers."""
    result = claimed.result
    return msgspec.structs.replace(
        claimed,
        event_id=result_id(result.command_id, AttemptState.REJECTED),
        result=msgspec.structs.replace(
            result,
            state=AttemptState.REJECTED,
            reason=Rejection.INSUFFICIENT_INVENTORY,
            numbers={},
            quote_hash=None,
            request=None,
            next_check_at=None,
        ),
    )
