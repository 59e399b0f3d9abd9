"""Which evidence explains what is credited, and what is left unexplained (blueprint, section 9)."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from unrip.domain.attempt import TradeResult
from unrip.domain.command import Exchange
from unrip.domain.desk_state import VIEW_KNOWN_AFTER, CommandPosition, LedgerView
from unrip.domain.inventory import BalanceChange, Books, ChangeKind, EvidenceKey, Judged, KeptBooks, Reconciliation
from unrip.domain.treasury import DepositStep, LiquidityAction, WithdrawalStep
from unrip.domain.values import AMOUNT_MAX, Amount, Delta
from unrip.domain.verifier import VerifierReading
from unrip.frame.contract import RecordReceived
from unrip.messages.topics import LIQUIDITY_ACTION, TRADE_RESULT

#: How much evidence is remembered here, to recognise a repeat; PostgreSQL remembers all of it.
REMEMBERED_MAX = 10_000
UNEXPLAINED = frozenset({Reconciliation.UNEXPLAINED_RISE, Reconciliation.UNEXPLAINED_FALL})
#: How long a name may be that an index of PostgreSQL holds, with room; a longer one, or one with a NUL, is known by its
#: hash.
KEY_CHARACTERS_MAX = 256
_PART_CHARACTERS_MAX = 64
#: The bridge's status for what it gave back, and how soon after it the verifier shows that, if it does at all.
_RETURNED = "RETURNED"
RETURNS_WITHIN = timedelta(minutes=1)
_TRANSFERS = frozenset({ChangeKind.CREDIT, ChangeKind.WITHDRAWAL})


class Reconciler:
    """Keeps the sum of all evidence, per asset.

    Evidence is counted once, by its kind and id, and not before a final block is new enough to contain it, whichever
    arrived first. Until then, and while offers are open, a difference that they can explain is awaited.
    """

    def __init__(self) -> None:
        #: None until there is a first reading to begin with, or the books of an earlier life.
        self._explained: dict[str, int] | None = None
        self._transferred: dict[str, int] = {}
        self._begun_at: datetime | None = None
        #: The height at which this life began the books.
        self._first_height: int | None = None
        self._waiting: list[BalanceChange] = []
        #: What was judged, with its evidence where this life has judged it.
        self._judged: OrderedDict[EvidenceKey, BalanceChange | None] = OrderedDict()
        self._results_read: CommandPosition | None = None
        self._actions_read: CommandPosition | None = None
        self._open: dict[str, Exchange] = {}
        self._held: dict[str, Amount] = {}
        self._held_height = 0
        self._held_received_at: datetime | None = None
        self._credited: dict[str, Amount] = {}
        #: Evidence that was counted and perhaps stands in no record yet.
        self.counted: list[BalanceChange] = []
        self.states: dict[str, Reconciliation] = {}
        #: How many records were taken in, ever.
        self.records_read = 0

    @property
    def begun(self) -> bool:
        """Whether there are books."""
        return self._explained is not None

    # --- what an earlier life knew ---------------------------------------------------------------------------------

    def resume(self, kept: KeptBooks) -> None:
        """Go on from what is kept, with what was read beyond it; what is known of that already shows who keeps it."""
        books, before = kept.books, self._waiting
        self._credited = self._credited or kept.credited
        self._explained = {asset: int(amount) for asset, amount in books.explained.items()}
        self._transferred = {asset: int(amount) for asset, amount in books.transferred.items()}
        self._begun_at = books.begun_at
        self._waiting = []
        for change in (*books.waiting, *before):
            self._await(change)
        known = {change.key for change in self.counted}
        self.counted += [change for change in kept.untold if change.key not in known]
        if self._results_read is None:
            self._open, self._held = dict(kept.open), kept.held
        self._results_read = _further(self._results_read, books.results_read)
        self._actions_read = _further(self._actions_read, books.actions_read)

    def books(self) -> Books | None:
        """What the next life needs; None before the first reading."""
        return None if self._explained is None else self._books_after(())

    def kept(self, judged: Sequence[Judged] = ()) -> KeptBooks:
        """All that the next life needs once this evidence is judged, too."""
        counted = [each.change for each in judged if each.counted]
        return KeptBooks(
            books=self._books_after(judged),
            credited=self._credited,
            open=dict(self._open),
            held=self._held,
            untold=(*self.counted, *counted),
        )

    def _books_after(self, judged: Sequence[Judged]) -> Books:
        explained, transferred = self._sums(judged)
        over = {each.change.key for each in judged}
        return Books(
            explained={asset: Delta(amount) for asset, amount in explained.items()},
            waiting=tuple(change for change in self._waiting if change.key not in over),
            transferred={asset: Delta(amount) for asset, amount in transferred.items()},
            results_read=self._results_read,
            actions_read=self._actions_read,
            begun_at=self._begun_at,
        )

    def _sums(self, judged: Iterable[Judged]) -> tuple[dict[str, int], dict[str, int]]:
        """The sums of all evidence, and of transfers, with this evidence."""
        explained, transferred = Counter(self._explained), Counter(self._transferred)
        for each in judged:
            if each.counted:
                explained[each.change.asset_id] += each.change.change
                if each.change.kind is not ChangeKind.FILL:
                    transferred[each.change.asset_id] += each.change.change
        return dict(explained), dict(transferred)

    def recount(self) -> None:
        """Let all that this life has judged wait once more: what PostgreSQL has is not what we kept."""
        judged, self._judged = self._judged, OrderedDict()
        for change in judged.values():
            if change is not None:
                self._await(change)

    # --- evidence --------------------------------------------------------------------------------------------------

    def read_from(self, topic: str, place: CommandPosition) -> None:
        """Note that a topic was cut before what was read of it: what comes at those offsets now is new."""
        if topic == TRADE_RESULT.name:
            self._results_read = place
        elif topic == LIQUIDITY_ACTION.name:
            self._actions_read = place

    def take_result(self, record: RecordReceived, now: datetime) -> None:
        """Take a result: it opens or closes an offer, has what is held, and may be the evidence of a fill."""
        result: TradeResult = record.message.payload
        self.records_read += 1
        self._results_read = _after(record)
        if result.ledger is not None:
            self._take_held(result.ledger, record.message.observed_at, now)
        if result.state.terminal:
            self._open.pop(result.command_id, None)
        if result.exchange is None:
            return
        if not result.state.terminal:
            self._open[result.command_id] = result.exchange
        elif result.state.moved and result.evidence is not None:
            for asset, change in (
                (result.exchange.asset_in, result.exchange.amount_in),
                (result.exchange.asset_out, -result.exchange.amount_out),
            ):
                self._await(
                    BalanceChange(
                        kind=ChangeKind.FILL,
                        asset_id=asset,
                        change=Delta(change),
                        evidence=result.command_id,
                        seen_by=result.evidence.block_time,
                    )
                )

    def _take_held(self, ledger: LedgerView, published_at: datetime, now: datetime) -> None:
        """Take what is held from a ledger view; a repeat is older than the newest, a contradicted one is dropped."""
        newest_at = self._held_received_at
        if ledger.height < self._held_height and newest_at and published_at <= newest_at + VIEW_KNOWN_AFTER:
            return
        self._held, self._held_height, self._held_received_at = ledger.held, ledger.height, now

    def take_action(self, record: RecordReceived) -> None:
        """Take a step of the treasury: a mint, or a withdrawal's beginning, happened before the bridge reported it."""
        action: LiquidityAction = record.message.payload
        self.pass_over(record)
        match action.step:
            case DepositStep(mint_tx_hash=str(mint)) as step if mint:
                credit = _change_of(record, step.asset_id, ChangeKind.CREDIT, Delta(step.amount), mint)
                self._await(msgspec.structs.replace(credit, part=action.action_id))
            case WithdrawalStep() as step:
                taken = _change_of(record, step.asset_id, ChangeKind.WITHDRAWAL, Delta(-step.amount), action.action_id)
                self._await(taken)
                if step.status.upper() == _RETURNED:
                    self._await(_return_of(taken))

    def pass_over(self, record: RecordReceived) -> None:
        """An action was read, whatever it explains."""
        self.records_read += 1
        self._actions_read = _after(record)

    def _await(self, change: BalanceChange) -> None:
        """Let evidence wait for a block, unless it came before. Its names are foreign text, and PostgreSQL's keys.

        What the verifier cannot count has not moved there; added up, it would make books that nobody can read.
        """
        if abs(change.change) > AMOUNT_MAX:
            return
        names = {
            "evidence": _as_a_key(change.evidence),
            "asset_id": _as_a_key(change.asset_id),
            "part": _as_a_key(change.part, _PART_CHARACTERS_MAX),
        }
        change = msgspec.structs.replace(change, **names)
        if not self._is_known(change):
            self._waiting.append(change)

    def _is_known(self, change: BalanceChange) -> bool:
        """Whether it is known, perhaps from a version that knew a mint by itself, without its deposits."""
        whole = msgspec.structs.replace(change.key, part="")
        known = [*self._waiting, *filter(None, [self._judged.get(whole)])]
        as_one = any(each.key == whole and each.change == change.change for each in known)
        return as_one or change.key in self._judged or any(each.key == change.key for each in self._waiting)

    # --- a reading -------------------------------------------------------------------------------------------------

    def begin(self, reading: VerifierReading, *, trusted: bool) -> list[Judged]:
        """Open the books: with what is credited as explained, or with none of it. Evidence from before is over."""
        self._begun_at, self._credited, self._first_height = reading.block_time, reading.credited, reading.height
        self._explained = {asset: int(amount) if trusted else 0 for asset, amount in reading.credited.items()}
        self.states = dict.fromkeys(reading.credited, Reconciliation.FIRST)
        return [Judged(change=change, counted=False) for change in self._due(reading)]

    def judge(self, reading: VerifierReading) -> list[Judged]:
        """Judge the evidence that waits by this block; nothing has changed yet."""
        due = self._due(reading)
        explained = dict(self._explained or {})
        judged = []
        sides = Counter(each.evidence for each in due if _is_a_side(each, reading))
        for change in due:
            # A fill gives one asset of ours for another one: what brings nothing that we could count is a loss.
            one_sided = change.kind is ChangeKind.FILL and sides[change.evidence] < 2
            if change.asset_id not in reading.credited or one_sided or self._is_older(change):
                judged.append(Judged(change=change, counted=False))
            elif not self._may_be_older(change):
                explained[change.asset_id] = explained.get(change.asset_id, 0) + change.change
                judged.append(Judged(change=change, counted=True))
        for asset in reading.credited:
            over = {each.change.key for each in judged}
            doubtful = [each for each in due if each.asset_id == asset and each.key not in over]
            judged += self._believed(doubtful, reading.credited[asset] - explained.get(asset, 0), reading)
        return judged

    def apply(self, judged: Sequence[Judged]) -> None:
        """Take in what was judged, and never look at it again."""
        self._explained, self._transferred = self._sums(judged)
        self.counted += [each.change for each in judged if each.counted]
        self.know([each.change.key for each in judged])
        self._judged |= {each.change.key: each.change for each in judged}

    def know(self, keys: Sequence[EvidenceKey]) -> None:
        """Note that evidence of these keys was judged, now or in an earlier life."""
        for key in keys:
            self._judged.setdefault(key, None)
            if len(self._judged) > REMEMBERED_MAX:
                self._judged.popitem(last=False)
        self._waiting = [change for change in self._waiting if change.key not in keys]

    def look(self, reading: VerifierReading) -> None:
        """Judge what is left unexplained at this block. For an asset that is new in the books nothing is explained."""
        before, self._credited = self._credited, reading.credited
        first = self._first_height == reading.height and not self.counted
        self.states = {
            asset: self._judge(asset, moved=before.get(asset) != amount, first=first)
            for asset, amount in reading.credited.items()
        }

    def _due(self, reading: VerifierReading) -> list[BalanceChange]:
        """The evidence that this block contains."""
        return [change for change in self._waiting if change.seen_by <= reading.block_time]

    def _is_older(self, change: BalanceChange) -> bool:
        """Whether the bridge had taken a withdrawal over before the books were begun: the burn came before that."""
        began, begun = change.began_at, self._begun_at
        return change.kind is ChangeKind.WITHDRAWAL and began is not None and begun is not None and began < begun

    def _may_be_older(self, change: BalanceChange) -> bool:
        """Whether it may be from before the books: the bridge also lists what it did before our first reading.

        A date that lies after the moment of its arrival does not count as a date.
        """
        if change.kind not in _TRANSFERS:
            return False
        begun, began = self._begun_at, change.began_at
        return begun is None or began is None or not begun <= began <= change.seen_by

    def _believed(self, changes: list[BalanceChange], rest: int, reading: VerifierReading) -> list[Judged]:
        """The part of what may be older that the balance shows, and that which it cannot show whatever open offers did.

        What lies between waits until they have ended.
        """
        if changes and sum(change.change for change in changes) == rest:
            return [Judged(change=change, counted=True) for change in changes]
        judged = []
        for change in changes:
            towards = 1 if change.change > 0 else -1
            hidden = self._may(change.asset_id, -towards, after=reading.block_time)
            if towards * rest >= abs(change.change):
                rest -= change.change
                judged.append(Judged(change=change, counted=True))
            elif towards * rest + hidden < abs(change.change):
                judged.append(Judged(change=change, counted=False))
        return judged

    def _judge(self, asset: str, *, moved: bool, first: bool) -> Reconciliation:
        rest = self.unexplained(asset) or 0
        if rest == 0 and first:
            return Reconciliation.FIRST
        if rest == 0:
            counted = any(change.asset_id == asset for change in self.counted)
            return Reconciliation.CHANGED if moved or counted else Reconciliation.UNCHANGED
        if -self._may(asset, -1) <= rest <= self._may(asset, 1):
            return Reconciliation.AWAITED
        return Reconciliation.UNEXPLAINED_RISE if rest > 0 else Reconciliation.UNEXPLAINED_FALL

    def unexplained(self, asset: str) -> int | None:
        """Credited less explained; None before the first reading."""
        if self._explained is None or asset not in self._credited:
            return None
        return self._credited[asset] - self._explained.get(asset, 0)

    def _may(self, asset: str, towards: int, *, after: datetime | None = None) -> int:
        """What open offers, and evidence that waits (for a block after this), may bring or take of an asset."""
        waiting = sum(
            max(0, towards * each.change)
            for each in self._waiting
            if each.asset_id == asset and (after is None or each.seen_by > after)
        )
        if towards < 0:
            return self._held.get(asset, 0) + waiting
        return sum(offer.amount_in for offer in self._open.values() if offer.asset_in == asset) + waiting

    def awaits_block(self, asset: str) -> bool:
        """Whether evidence waits for a newer block: it is unknown whether the last reading contains it."""
        return any(change.asset_id == asset for change in self._waiting)


def _change_of(record: RecordReceived, asset_id: str, kind: ChangeKind, change: Delta, evidence: str) -> BalanceChange:
    message = record.message
    return BalanceChange(
        kind=kind,
        asset_id=asset_id,
        change=change,
        evidence=evidence,
        seen_by=message.observed_at,
        began_at=message.occurred_at,
    )


def _return_of(taken: BalanceChange) -> BalanceChange:
    return msgspec.structs.replace(
        taken,
        kind=ChangeKind.CREDIT,
        change=Delta(-taken.change),
        evidence=f"return of {taken.evidence}",
        seen_by=taken.seen_by + RETURNS_WITHIN,
        began_at=None,
    )


def _is_a_side(change: BalanceChange, reading: VerifierReading) -> bool:
    return change.kind is ChangeKind.FILL and change.change != 0 and change.asset_id in reading.credited


def _as_a_key(text: str, most: int = KEY_CHARACTERS_MAX) -> str:
    is_one = len(text) <= most and "\0" not in text
    return text if is_one else f"sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def _after(record: RecordReceived) -> CommandPosition:
    return CommandPosition(topic_id=record.topic_id, next_offset=record.offset + 1)


def _further(ours: CommandPosition | None, kept: CommandPosition | None) -> CommandPosition | None:
    """The later of two positions; where they are in different topics, ours is the one that is read now."""
    if ours is None or kept is None or ours.topic_id != kept.topic_id:
        return ours or kept
    return max(ours, kept, key=lambda place: place.next_offset)
