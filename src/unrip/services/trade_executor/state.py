"""What trade-executor shows of itself."""

from __future__ import annotations

from datetime import datetime

from unrip.domain.attempt import AttemptState, ChainEvidence, Offer, VenueReply
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import LedgerView
from unrip.domain.values import Value
from unrip.domain.verifier import VerifierReading
from unrip.frame.link import LinkState
from unrip.frame.state import SwitchState
from unrip.net.clock_offset import ClockCompared


class RelayState(LinkState):
    """The connection that answers leave by."""

    #: Stream to the number under which the relay has subscribed it.
    subscriptions: dict[str, str]


class AuthorityState(Value):
    """Whether a simulated offer passes every check of the contract."""

    proven: bool
    reason: str


class QuarantineState(Value):
    """The ledger may not be the newest."""

    reason: str
    #: A final block later than this ends it, once every command is read. Before the first block in it, by our clock.
    until: datetime


class RevokedOffer(Value):
    """What the operator is told about one offer that was live when they were to be revoked."""

    command_id: str
    quote_id: str
    direction: str
    asset_out: str
    amount_out: str
    quote_hash: str
    nonce: str
    offer_deadline: datetime
    #: The hash of the intent that spends the nonce.
    revocation_hash: str | None
    #: What the relay said of it, one of `Publication`.
    publication: str
    reason: str
    #: The state that evidence has brought it to, or `unknown`.
    outcome: str
    evidence: ChainEvidence | None
    #: Whether the ledger has that end, too.
    recorded: bool


class RevocationState(Value):
    """What became of the offers that were to be revoked."""

    requested_at: datetime | None
    waits_for_ledger: bool
    #: Offers whose end is not known.
    unknown: int
    offers: tuple[RevokedOffer, ...]


class NonceInDoubt(Value):
    """A nonce whose end only older blocks can show."""

    nonce: str
    #: Its open offers.
    command_ids: tuple[str, ...]
    #: The blocks that would tell are not kept, or do not tell.
    unproven: bool
    reason: str
    looks: int
    next_check_at: datetime


class FailedExecution(Value):
    """An answer that the relay refused or left without a reply."""

    execution_id: str
    command_id: str
    quote_id: str
    quote_hash: str
    state: AttemptState
    reason: str


class EndedAttempt(Value):
    """An attempt with its terminal state."""

    execution_id: str
    command_id: str
    quote_id: str
    state: AttemptState
    reason: str | None
    numbers: dict[str, str]
    ended_at: datetime
    evidence: ChainEvidence | None


class ExecutorState(SwitchState):
    """`GET /state` of trade-executor."""

    #: How many offers are being revoked.
    revoking: str
    connected: bool
    connection: RelayState
    #: Open attempts of an earlier life have not all been asked about yet.
    recovering: bool
    quarantine: QuarantineState | None
    authority: AuthorityState
    #: Our clock against the servers'; null until it was compared.
    clock_ahead: ClockCompared | None
    ledger: LedgerView | None
    #: The last reading of the verifier, without the nonces and salts that were asked about.
    own_read: VerifierReading | None
    in_flight: int
    commands_waiting: int
    open_offers: tuple[Offer, ...]
    #: Null before the first request.
    revocation: RevocationState | None
    in_doubt: tuple[NonceInDoubt, ...]
    last_command: TradeCommand | None
    last_venue_response: VenueReply | None
    last_error: FailedExecution | None
    #: Terminal state to the number of attempts since the start.
    completed: dict[str, int]
    #: The newest first.
    attempts: tuple[EndedAttempt, ...]
