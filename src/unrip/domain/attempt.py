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

    Once a byte may have left, only chain evidence ends an offer: a relay's refusal is recorded, but ends nothing.
    """

    REJECTED = "rejected"
    """Never claimed; nothing was signed or held."""
    CLAIMED = "claimed"
    """Claim, hold and signed payload are committed; no byte has left yet, or the process died before it could record
    one.
    """
    SENT = "sent"
    ACCEPTED = "accepted"
    """The relay took the answer into its auction, which is neither a win nor a fill."""
    REFUSED = "refused"
    """The relay refused the answer. Whoever saw the bytes may still use them until the deadline."""
    UNANSWERED = "unanswered"
    """The relay's reply never came: unknown, which is not no."""
    UNPROVEN = "unproven"
    """Neither the newest block nor an older readable one shows how it ended: its amount stays held until a block does,
    or until an operator decides.
    """
    SETTLED = "settled"
    """A transaction executed it, or the balances leave no other explanation; a used nonce alone shows neither."""
    LAPSED = "lapsed"
    """Provably dead: the nonce was unused and the salt valid at a final block after the deadline, or unused up to the
    block that invalidated the salt, or used by another offer; or an operator decided so for an unproven one.
    """
    SPENT = "spent"
    """Its nonce was used by one of the offers that shared it; no evidence shows by which."""
    VOIDED = "voided"
    """Its nonce was used by an intent that is none of the offers that carry it, or that nobody can name: none of them
    moved anything, and none ever can.
    """
    REVOKED = "revoked"
    """Its nonce was used by our own revocation, as the contract's logs show: it can never settle."""
    DROPPED = "dropped"
    """The process that claimed it gave it up before the first byte; the hold was released in the same commit."""

    @property
    def terminal(self) -> bool:
        """Whether it is one of the ends: exactly one of these ends every command."""
        return self in {self.REJECTED, self.SETTLED, self.LAPSED, self.SPENT, self.VOIDED, self.REVOKED, self.DROPPED}

    @property
    def moved(self) -> bool:
        """Whether an offer of ours was executed; where nobody knows which, only some of the results have what moved."""
        return self in {self.SETTLED, self.SPENT}


#: The reason of a claim with which a ledger takes up again what an earlier life may have sent.
PERHAPS_SENT = "perhaps_sent"


def result_id(command_id: str, state: AttemptState, *, reason: str | None = None) -> str:
    """The event id of a result: an attempt passes through each state at most once, so both together name it.

    A claim that is taken up again was perhaps published before with other stamps: it is another event with its own id.
    """
    return derived_id("result", command_id, state, *([PERHAPS_SENT] if reason == PERHAPS_SENT else []))


def execution_id_of(command_id: str) -> str:
    """The attempt's own id (R40): a command is attempted once, so the command's id names it."""
    return derived_id("attempt", command_id)


class Rejection(StrEnum):
    """Why a command was not claimed."""

    DISARMED = "disarmed"
    HALTED = "halted"
    COMMAND_INVALID = "command_invalid"
    """It breaks a limit of our own: whoever can write the topic must not be able to trade freely."""
    WINDOW_CLOSED = "window_closed"
    NOT_CONNECTED = "not_connected"
    CLOCK_SKEWED = "clock_skewed"
    """Our own reading of the verifier, or the command, lies ahead of our clock, or the servers we ask have another
    time: one of the clocks is wrong, so that no age means anything.
    """
    INVENTORY_STALE = "inventory_stale"
    """Our own reading of the verifier is missing or old."""
    INVENTORY_DRIFT = "inventory_drift"
    """Our own reading credits less than the snapshot it was decided on, and no fill or hold explains the difference."""
    INSUFFICIENT_INVENTORY = "insufficient_inventory"
    """The ledger cannot hold that much."""
    SUPERSEDED = "superseded"
    """An older strategy than the newest seen commanded it."""
    NONCE_ENDED = "nonce_ended"
    """The offers whose nonce it would share have ended, or there never were any."""
    SAME_OFFER = "same_offer"
    """On a shared nonce it would be, byte for byte, the offer of another command."""


class Drop(StrEnum):
    """Why a claimed attempt was given up before its first byte left."""

    WINDOW_CLOSED = "window_closed"
    SOCKET_GONE = "socket_gone"
    HALTED = "halted"
    """An operator halted while the claim was being committed."""
    DISARMED = "disarmed"
    """The lease ended, or no longer covered the direction, while the claim was being committed."""
    PAUSED = "paused"
    """An operator paused while the claim was being committed: a command can wait for the resume, a claim cannot."""


class VenueReply(Value):
    """How the relay replied to an answer."""

    accepted: bool
    code: int | None
    text: str
    received_at: datetime


class ChainEvidence(Value):
    """What one final block shows of an offer's nonce; or who decided where no block shows it."""

    height: int
    block_time: datetime
    nonce_used: bool
    salt_valid: bool
    #: For a salt that ended in this very block: the block before, the last at which it was valid and the nonce unused.
    salt_valid_at: int | None = None
    #: The operator who decided what no block shows; the result's reason is theirs.
    operator: str | None = None
    #: The transaction that used the nonce, where it is known.
    tx_hash: str | None = None
    #: The intent that used the nonce, by the contract's own logs of that transaction; None where they were not read.
    executed: str | None = None
    #: What it moved for us, by the contract's own `token_diff` event; None where no transaction was read.
    diff: dict[str, Delta] | None = None
    #: An earlier block at which the nonce was unused, whose balances were compared with this one's; None without one.
    compared_with: int | None = None
    #: What our balances changed by between the two.
    moved: dict[str, Delta] | None = None


class TradeResult(Value):
    """One state of one attempt, with the ledger as of the same transaction."""

    command_id: str
    quote_id: str
    account: str
    pair: str
    direction: Direction
    state: AttemptState
    #: Why it was rejected, dropped, or refused by the relay.
    reason: str | None
    #: The numbers behind the reason.
    numbers: dict[str, str]
    #: The offer's hash, known before sending.
    quote_hash: str | None
    #: The whole frame as sent (R73); it holds no secret.
    request: str | None
    response: VenueReply | None
    evidence: ChainEvidence | None
    #: When the chain is asked again, while the outcome is unknown.
    next_check_at: datetime | None
    #: The ledger fills it in from the same transaction.
    ledger: LedgerView | None
    #: None for a command that was never claimed. Of offers that are `spent`, one result has it for all of the nonce;
    #: the others have it only where all would have moved the same.
    exchange: Exchange | None = None
    #: For a `spent` offer: the command whose result has what moved for all offers of the nonce.
    told_by: str | None = None
    #: The attempt's own id, the same in all its results and log lines. None in records older than this field.
    execution_id: str | None = None
    #: What each offer of the nonce would have moved, where they differ: exactly one of them did. It is in the one
    #: `spent` result that has what moved for all.
    candidates: tuple[Exchange, ...] = ()


class Offer(Value):
    """A signed offer as the ledger keeps it, with everything needed to send, follow and end it."""

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
    #: The block of the snapshot that it was decided on: the salt was valid there.
    inventory_height: int
    #: The exact text of the `quote_response` parameters: what is recorded is what is sent.
    signed_payload: str
    #: Ids of the demand's chain of records.
    correlation_id: str
    state: AttemptState
