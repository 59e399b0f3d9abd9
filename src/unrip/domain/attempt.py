"""What becomes of a command: the states of an attempt, their reasons and their evidence."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from unrip.domain.command import Exchange
from unrip.domain.desk_state import LedgerView
from unrip.domain.pairs import Direction
from unrip.domain.values import Amount, Delta, Value, derived_id


class AttemptState(StrEnum):
    """The states an attempt passes through (blueprint, section 8).

    Once a byte may have left, only chain evidence ends an offer: a relay's refusal is a note, not an end.
    """

    REJECTED = "rejected"
    """Never claimed; nothing was signed or held."""
    CLAIMED = "claimed"
    """Claim, hold and signed payload are committed; no byte has left yet, or the process died before it could say."""
    SENT = "sent"
    ACCEPTED = "accepted"
    """The relay took the answer into its auction: neither a win nor a fill."""
    REFUSED = "refused"
    """The relay refused the answer. Whoever saw the bytes may still use them until the deadline."""
    UNANSWERED = "unanswered"
    """The relay's reply never came: unknown, which is not no."""
    UNPROVEN = "unproven"
    """Neither the newest block nor an older one that can be read says how it ended: held until one does, or until an
    operator decides."""
    SETTLED = "settled"
    """A transaction executed it, or the balances leave no other explanation; a used nonce alone says neither."""
    LAPSED = "lapsed"
    """Provably dead: nonce unused and salt valid at a final block after the deadline, or unused up to the block that
    invalidated the salt, or taken by another offer; or so an operator says of an unproven one."""
    SPENT = "spent"
    """Its nonce was used by one of the offers that shared it; which one, no evidence says."""
    VOIDED = "voided"
    """Its nonce was used by an intent that is none of the offers which carry it, or that nobody can name: none of them
    moved anything, and none ever can."""
    REVOKED = "revoked"
    """Its nonce was used by our own revocation, as the contract's logs show: it can never settle."""
    DROPPED = "dropped"
    """Given up by the claiming process before the first byte; the hold went with it in the same commit."""

    @property
    def terminal(self) -> bool:
        """Exactly one of these ends every command."""
        return self in {self.REJECTED, self.SETTLED, self.LAPSED, self.SPENT, self.VOIDED, self.REVOKED, self.DROPPED}

    @property
    def moved(self) -> bool:
        """An offer of ours was taken; where nobody knows which, only some of the results say what moved."""
        return self in {self.SETTLED, self.SPENT}


#: The reason of a claim by which a ledger takes up again what an earlier life may have sent.
PERHAPS_SENT = "perhaps_sent"


def result_id(command_id: str, state: AttemptState, *, reason: str | None = None) -> str:
    """The event id of a result: an attempt passes through each state at most once, so both together name it.

    What is taken up again was perhaps told as claimed before, with other stamps: that is another event.
    """
    return derived_id("result", command_id, state, *([PERHAPS_SENT] if reason == PERHAPS_SENT else []))


def execution_id_of(command_id: str) -> str:
    """The attempt's own id (R40): a command is attempted once, so its id names it."""
    return derived_id("attempt", command_id)


class Rejection(StrEnum):
    """Why a command was not claimed."""

    DISARMED = "disarmed"
    HALTED = "halted"
    COMMAND_INVALID = "command_invalid"
    """It breaks a limit of our own: who can write the topic must not be able to trade freely."""
    WINDOW_CLOSED = "window_closed"
    NOT_CONNECTED = "not_connected"
    CLOCK_SKEWED = "clock_skewed"
    """Our own read of the verifier or the command lies ahead of our clock, or the servers we ask have another time: one
    of the clocks is wrong, and no age means anything."""
    INVENTORY_STALE = "inventory_stale"
    """Our own read of the verifier is missing or old."""
    INVENTORY_DRIFT = "inventory_drift"
    """Our own read credits less than the snapshot it was decided on, and no fill or hold explains it."""
    INSUFFICIENT_INVENTORY = "insufficient_inventory"
    """The ledger cannot hold that much."""
    SUPERSEDED = "superseded"
    """Commanded by an older strategy than the newest seen."""
    NONCE_ENDED = "nonce_ended"
    """The offers whose nonce it would share have ended, or there never were any."""
    SAME_OFFER = "same_offer"
    """On a shared nonce it would be, to the last byte, the offer of another command."""


class Drop(StrEnum):
    """Why a claimed attempt was given up before its first byte left."""

    WINDOW_CLOSED = "window_closed"
    SOCKET_GONE = "socket_gone"
    HALTED = "halted"
    """An operator halted while the claim was being committed."""
    DISARMED = "disarmed"
    """The lease ended, or no longer covered the direction, while the claim was being committed."""
    PAUSED = "paused"
    """An operator paused while the claim was being committed: a command waits, a claim cannot."""


class VenueReply(Value):
    """What the relay said to an answer."""

    accepted: bool
    code: int | None
    text: str
    received_at: datetime


class ChainEvidence(Value):
    """What one final block says about an offer's nonce; or who decided where no block does."""

    height: int
    block_time: datetime
    nonce_used: bool
    salt_valid: bool
    #: Of a salt that ended in this very block: the block before, the last at which it was valid and the nonce unused.
    salt_valid_at: int | None = None
    #: The operator who decided what no block says; the result's reason is theirs.
    operator: str | None = None
    #: The transaction that used the nonce, where somebody named it.
    tx_hash: str | None = None
    #: The intent that used the nonce, by the contract's own logs of that transaction; None where they were not read.
    executed: str | None = None
    #: What it moved for us, by the contract's own `token_diff` event; None where no transaction was read.
    diff: dict[str, Delta] | None = None
    #: An earlier block, with the nonce unused, whose balances were compared with this one's; None where none was.
    compared_with: int | None = None
    #: What our balances changed by in between.
    moved: dict[str, Delta] | None = None


class TradeResult(Value):
    """One state of one attempt, with the ledger as of the same transaction."""

    command_id: str
    quote_id: str
    account: str
    pair: str
    direction: Direction
    state: AttemptState
    #: Of a rejection, a drop, or the relay's refusal.
    reason: str | None
    #: The numbers behind the reason.
    numbers: dict[str, str]
    #: The offer's hash, known before sending.
    quote_hash: str | None
    #: The frame as sent, whole (R73); it holds no secret.
    request: str | None
    response: VenueReply | None
    evidence: ChainEvidence | None
    #: While the outcome is unknown: when the chain is asked again.
    next_check_at: datetime | None
    #: Filled in from the same transaction by the ledger.
    ledger: LedgerView | None
    #: None of a command that was never claimed, and of a `spent` offer but for the one that tells for all of its nonce,
    #: where they all say the same.
    exchange: Exchange | None = None
    #: Of a `spent` offer: the command whose result tells what moved for all offers of the nonce.
    told_by: str | None = None
    #: The attempt's own id, alike in all its results and log lines. None in records older than it.
    execution_id: str | None = None
    #: Of the `spent` offer that tells, where they differ: what each would have moved. One of them did.
    candidates: tuple[Exchange, ...] = ()


class Offer(Value):
    """A signed offer as the ledger keeps it: everything needed to send, follow and end it."""

    command_id: str
    quote_id: str
    account: str
    pair: str
    direction: Direction
    asset_in: str
    amount_in: Amount
    asset_out: str
    amount_out: Amount
    quote_hash: str
    nonce: str
    salt: str
    answer_by: datetime
    offer_deadline: datetime
    nonce_deadline: datetime
    #: Of the snapshot that it was decided on: the salt was valid at that block.
    inventory_height: int
    #: The exact text of the `quote_response` parameters: what is recorded is what is sent.
    signed_payload: str
    #: Ids of the chain it belongs to.
    correlation_id: str
    state: AttemptState
