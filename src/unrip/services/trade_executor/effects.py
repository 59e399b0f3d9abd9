"""Effects and events that only the executor knows."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from unrip.domain.attempt import AttemptState, Offer, TradeResult
from unrip.domain.command import TradeCommand
from unrip.domain.desk_state import CommandPosition, LedgerView
from unrip.domain.doubt import Seen
from unrip.domain.spending import Claimed
from unrip.domain.values import Amount, Value
from unrip.domain.verifier import PastSpan, UseSpan, VerifierFill, VerifierReading
from unrip.store.ledger import HeldDifference


class Lineage(Value):
    """Where a result belongs: the quote it follows from, its parent, and the instants of the stages so far."""

    correlation_id: str
    causation_id: str
    stages: dict[str, datetime]


# --- effects: the ledger ------------------------------------------------------------------------------------------


class LoadLedger(Value):
    """Effect: read position, open offers and counters; `LedgerLoaded` or `LedgerUnknown("load")` follows."""


class ClaimOffer(Value):
    """Effect: claim, hold and signed payload in one commit; `ClaimDecided` or `LedgerUnknown("claim")` follows."""

    offer: Offer
    position: CommandPosition
    generation: int
    result: TradeResult
    lineage: Lineage
    #: An earlier life that the ledger has forgotten may have sent it: it is held whatever is credited, and not sent.
    perhaps_sent: bool = False
    #: The newest commit of the ledger that we know of: an older ledger must refuse it.
    after: int = 0


class RejectCommand(Value):
    """Effect: record a rejection and the position in one commit; `ClaimDecided` or `LedgerUnknown("claim")` follows."""

    command: TradeCommand
    position: CommandPosition
    result: TradeResult
    lineage: Lineage
    after: int = 0


class NoteAttempt(Value):
    """Effect: record that an open attempt was sent or answered; `LedgerNoted` or `LedgerUnknown("note")` follows."""

    result: TradeResult
    lineage: Lineage
    after: int = 0


class DropAttempt(Value):
    """Effect: end an attempt of which no byte has left, hold and all in one commit; as `NoteAttempt`."""

    result: TradeResult
    lineage: Lineage
    after: int = 0


class Ending(Value):
    """A nonce whose offers have ended by evidence, with one result each."""

    nonce: str
    state: AttemptState
    results: tuple[tuple[TradeResult, Lineage], ...]


class ApplyReading(Value):
    """Effect: credit a final block's balances and release what it justifies, in one commit; as `NoteAttempt`."""

    account: str
    height: int
    credited: dict[str, Amount]
    endings: tuple[Ending, ...]
    #: The time of a newest block; None for an older one.
    block_time: datetime | None = None
    #: Why it replaces a block of a greater height that was believed until now.
    replaces: str | None = None
    after: int = 0


class NoteRevocation(Value):
    """Effect: keep what was published to spend a nonce; as `NoteAttempt`."""

    account: str
    nonce: str
    payload: str
    after: int = 0


class NoteSurroundings(Value):
    """Effect: record this database as ours, or a quarantine; as `NoteAttempt`."""

    account: str
    reason: str
    #: When it ends; None when it is over. Before the first final block is read, what our own clock expects.
    quarantined_until: datetime | None
    #: The highest number of commits that anybody knows of.
    commits: int = 0


class FindOffer(Value):
    """Effect: look an offer up by its hash, though it has ended; `OfferFound` or `LedgerUnknown("find")` follows."""

    quote_hash: str


class CheckHeld(Value):
    """Effect: compare the counters with the open holds; `HeldChecked` or `LedgerUnknown("check")` follows."""


#: Writes of which only the success matters; they are made one after another.
LedgerWrite = NoteAttempt | DropAttempt | NoteRevocation | NoteSurroundings | ApplyReading
#: The writes that an older ledger refuses.
GuardedWrite = ClaimOffer | RejectCommand | NoteAttempt | DropAttempt | NoteRevocation | ApplyReading


# --- effects: signer and chain ------------------------------------------------------------------------------------


class CloseRelay(Value):
    """Effect: give the connection to the relay up, and keep it closed until `OpenRelay`."""


class OpenRelay(Value):
    """Effect: connect to the relay, and stay connected.

    A standby has no connection: it would take the token's only one, or its part of the notices, from the instance that
    works.
    """


class SignOffer(Value):
    """Effect: build and sign the one offer of a command; `OfferSigned` follows."""

    command: TradeCommand


class SignRevocation(Value):
    """Effect: sign an intent that does nothing but spend a nonce; `RevocationSigned` follows."""

    nonce: str
    #: The nonce's own deadline.
    deadline: datetime


class PublishRevocation(Value):
    """Effect: have the relay execute a signed revocation; `RevocationPublished` follows."""

    nonce: str
    payload: str


class TraceRevocation(Value):
    """Effect: find out whether a revocation used a nonce that is used; `RevocationTraced` follows."""

    nonce: str
    #: The nonce's own deadline: it gives the one revocation that could have been made.
    deadline: datetime
    #: What was published, where that is known.
    payload: str | None


class ReadVerifier(Value):
    """Effect: read the verifier at one final block; `VerifierRead` or `VerifierUnread` follows."""

    nonces: tuple[str, ...]
    salts: tuple[str, ...]
    #: Whether the last node's answer was not believed: another one is asked first.
    elsewhere: bool = False


class ReadPast(Value):
    """Effect: read the older blocks that can judge nonces of one salt; `PastRead` or `PastUnread` follows."""

    span: PastSpan
    nonces: tuple[str, ...]
    #: Every open offer: in the block that ended the salt, any of them may have moved a balance.
    offers: tuple[Offer, ...]


class ReadUse(Value):
    """Effect: read the block that used a nonce and the one before it; `UseRead` or `PastUnread` follows."""

    span: UseSpan
    #: Every offer of ours that may have been used in the same block.
    offers: tuple[Offer, ...]
    salts: tuple[str, ...]


class ReadFills(Value):
    """Effect: read what a transaction moved for us; `FillsRead` or `FillsUnread` follows."""

    tx_hash: str


class FindFill(Value):
    """Effect: look for the transaction that used a nonce in a block; `FillsRead` or `FillsUnread` follows."""

    nonce: str
    height: int


class ProveAuthority(Value):
    """Effect: show that key, account and contract belong together; `AuthorityJudged` follows."""


# --- events -------------------------------------------------------------------------------------------------------


class LedgerLoaded(Value):
    """The ledger as it stands."""

    position: CommandPosition | None
    open_offers: tuple[Offer, ...]
    view: LedgerView
    #: The revocations that are known to have been published, by nonce.
    revocations: dict[str, str] = {}
    #: Why this may not be the newest ledger, as it reports itself; empty without a doubt.
    doubt: str = ""
    #: When the quarantine ends that an earlier life began; None where there is none.
    quarantined_until: datetime | None = None
    #: What was claimed within the last minute, also by an earlier life.
    claimed_lately: tuple[Claimed, ...] = ()
    #: The block of the last reading that an earlier life believed.
    believed: Seen | None = None


class LedgerUnknown(Value):
    """PostgreSQL did not answer: what was asked may or may not have happened. The same is asked again."""

    #: Which call it was: claim, note, find, check or load.
    call: str
    reason: str


class LedgerOlder(Value):
    """The ledger is not the one that answered before, or lacks what we remember of it: it has taken nothing in."""

    call: str
    #: The reason of the quarantine that follows.
    reason: str


class LedgerRefused(Value):
    """PostgreSQL refused what was asked, and nothing has changed: data, integrity, or a promise of its own."""

    call: str
    reason: str


class ClaimDecided(Value):
    """What the ledger did with a command: claimed, rejected, or known from before."""

    command_id: str
    #: A `ClaimKind`.
    kind: str
    view: LedgerView
    #: How long the ledger was asked for, by the clock that is never set.
    took: timedelta = timedelta(0)


class LedgerNoted(Value):
    """A ledger write is committed."""

    view: LedgerView


class OfferFound(Value):
    """The offer of ours that has this hash; None where it is not ours."""

    quote_hash: str
    offer: Offer | None


class HeldChecked(Value):
    """The assets whose counter and open holds do not add up; the check alarms and never writes."""

    differences: tuple[HeldDifference, ...]


class OfferSigned(Value):
    """The finished offer of a command."""

    command_id: str
    quote_hash: str
    #: The text of the `quote_response` parameters.
    signed_payload: str


class RevocationSigned(Value):
    """The finished revocation of a nonce."""

    nonce: str
    intent_hash: str
    #: The text of the signed intent.
    payload: str


class Publication(StrEnum):
    """What the relay did with a revocation; only the chain shows the end of the nonce."""

    EXPIRED = "expired"
    """Not published: the offer's deadline has passed, and with it that of its revocation."""
    WAITING = "waiting"
    """On its way to the relay."""
    TAKEN = "taken"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    """The relay did not answer: unknown, which is not no. `halt` with `revoke` again sends the same bytes."""


class RevocationPublished(Value):
    """The relay took or refused a revocation, or did not answer."""

    nonce: str
    publication: Publication
    reason: str


class Finding(StrEnum):
    """Whether our own revocation used a nonce that is used."""

    REVOKED = "revoked"
    NOT_REVOKED = "not_revoked"
    UNKNOWN = "unknown"


class RevocationTraced(Value):
    """What relay and chain show of the revocation of a used nonce."""

    nonce: str
    finding: Finding
    #: The transaction of the revocation that used it; None otherwise.
    intent_hash: str | None = None
    payload: str | None = None
    tx_hash: str | None = None


class VerifierRead(Value):
    """One final block."""

    reading: VerifierReading


class VerifierUnread(Value):
    """The verifier could not be read: unknown, which changes nothing."""

    reason: str


class PastRead(Value):
    """One block at which the salt was valid, or the last such block and its successor."""

    readings: tuple[VerifierReading, ...]


class UseRead(Value):
    """The last block with a nonce unused, and the next one, where it is used."""

    before: VerifierReading
    after: VerifierReading


class PastUnread(Value):
    """The older blocks could not be read: not now, or never again where no node keeps them."""

    kept: bool
    reason: str


class FillsRead(Value):
    """The fills in a transaction that concern our account; empty where there are none."""

    #: The transaction that was named; "" where the transaction of a use was looked for.
    tx_hash: str
    fills: tuple[VerifierFill, ...]
    #: The nonce whose use was looked for; "" for a transaction that was named.
    nonce: str = ""


class FillsUnread(Value):
    """The transaction could not be read, or is not final: unknown, which is not none."""

    reason: str
    tx_hash: str = ""
    nonce: str = ""


class AuthorityJudged(Value):
    """Whether a simulated offer passes every check of the contract."""

    proven: bool
    reason: str
