"""Which evidence explains what is credited, and what is left unexplained (blueprint, section 9)."""

from __future__ import annotations

from collections import OrderedDict

from unrip.domain.attempt import TradeResult
from unrip.domain.command import Exchange
from unrip.domain.desk import CommandPosition
from unrip.domain.inventory import BalanceChange, Books, ChangeKind, Reconciliation
from unrip.domain.treasury import LiquidityAction
from unrip.domain.values import Amount, Delta
from unrip.domain.verifier import VerifierReading
from unrip.messages.topics import LIQUIDITY_ACTION, TRADE_RESULT
from unrip.service.contract import RecordReceived

#: Fills that are remembered, to know them when they are told again.
_FILLED_MAX = 5_000
UNEXPLAINED = frozenset({Reconciliation.UNEXPLAINED_RISE, Reconciliation.UNEXPLAINED_FALL})


class Reconciler:
    """Keeps what all evidence adds up to, per asset.

    Evidence is counted once a final block is new enough to contain it, whichever was heard of first. Until then, and
    while offers are open, a difference that they can explain is awaited.
    """

    def __init__(self) -> None:
        #: None until there is a first reading to begin with, or the books of an earlier life.
        self._explained: dict[str, int] | None = None
        self._transferred: dict[str, int] = {}
        self._waiting: list[BalanceChange] = []
        self._results_read: CommandPosition | None = None
        self._actions_read: CommandPosition | None = None
        self._open: dict[str, Exchange] = {}
        #: Commands whose fill was told, also before this life as far as results are read back.
        self._filled: OrderedDict[str, None] = OrderedDict()
        self._held: dict[str, Amount] = {}
        self._credited: dict[str, Amount] = {}
        #: Evidence that was counted since the last snapshot.
        self.counted: list[BalanceChange] = []
        self.states: dict[str, Reconciliation] = {}

    # --- what an earlier life knew ---------------------------------------------------------------------------------

    def resume(self, books: Books, credited: dict[str, Amount]) -> None:
        """Go on from the last snapshot."""
        self._credited = credited
        self._explained = {asset: int(amount) for asset, amount in books.explained.items()}
        self._transferred = {asset: int(amount) for asset, amount in books.transferred.items()}
        self._waiting = list(books.waiting)
        self._results_read, self._actions_read = books.results_read, books.actions_read

    def books(self) -> Books | None:
        """What the next life needs, None before the first reading."""
        if self._explained is None:
            return None
        return Books(
            explained={asset: Delta(amount) for asset, amount in self._explained.items()},
            waiting=tuple(self._waiting),
            transferred={asset: Delta(amount) for asset, amount in self._transferred.items()},
            results_read=self._results_read,
            actions_read=self._actions_read,
        )

    # --- evidence --------------------------------------------------------------------------------------------------

    def read_from(self, topic: str, place: CommandPosition) -> None:
        """A topic was cut before what was read of it: what comes at those offsets now is new."""
        if topic == TRADE_RESULT.name:
            self._results_read = place
        elif topic == LIQUIDITY_ACTION.name:
            self._actions_read = place

    def take_result(self, record: RecordReceived) -> None:
        """A result opens or closes an offer, tells what is held, and may be the evidence of a fill."""
        result: TradeResult = record.message.payload
        is_new = _is_new(record, self._results_read)
        if is_new:
            self._results_read = _after(record)
        if result.ledger is not None:
            self._held = result.ledger.held
        if result.state.terminal:
            self._open.pop(result.command_id, None)
        if result.exchange is None:
            return
        if not result.state.terminal:
            self._open[result.command_id] = result.exchange
        elif result.state.moved and result.evidence is not None and self._told_first(result.command_id) and is_new:
            for asset, change in (
                (result.exchange.asset_in, result.exchange.amount_in),
                (result.exchange.asset_out, -result.exchange.amount_out),
            ):
                self._waiting.append(
                    BalanceChange(
                        kind=ChangeKind.FILL,
                        asset_id=asset,
                        change=Delta(change),
                        evidence=result.command_id,
                        seen_by=result.evidence.block_time,
                    )
                )

    def _told_first(self, command_id: str) -> bool:
        """Whether this is the first word of a fill: a restored ledger tells its ends once more."""
        if command_id in self._filled:
            return False
        self._filled[command_id] = None
        if len(self._filled) > _FILLED_MAX:
            self._filled.popitem(last=False)
        return True

    def take_action(self, record: RecordReceived) -> None:
        """The mint of a deposit and the beginning of a withdrawal happened before the bridge told of them."""
        action: LiquidityAction = record.message.payload
        if not _is_new(record, self._actions_read):
            return
        self._actions_read = _after(record)
        if action.asset_id is None or action.amount is None:
            return
        mint = action.details.get("mint_tx_hash", "")
        if action.step.startswith("deposit_") and mint:
            kind, change, evidence = ChangeKind.CREDIT, Delta(action.amount), mint
        elif action.step.startswith("withdrawal_"):
            kind, change, evidence = ChangeKind.WITHDRAWAL, Delta(-action.amount), action.action_id
        else:
            return
        if all(waiting.evidence != evidence for waiting in self._waiting):
            self._waiting.append(
                BalanceChange(
                    kind=kind,
                    asset_id=action.asset_id,
                    change=change,
                    evidence=evidence,
                    seen_by=record.message.observed_at,
                )
            )

    # --- a reading -------------------------------------------------------------------------------------------------

    def reconcile(self, reading: VerifierReading) -> None:
        """Count the evidence that this block contains, and judge what is left."""
        due = [change for change in self._waiting if change.seen_by <= reading.block_time]
        self._waiting = [change for change in self._waiting if change.seen_by > reading.block_time]
        if self._explained is None:
            self._explained, due = {}, []
        first = [asset for asset in reading.credited if asset not in self._explained]
        self._explained |= {asset: reading.credited[asset] for asset in first}
        before, self._credited = self._credited, reading.credited
        for change in due:
            if change.asset_id in self._credited and (change.kind is ChangeKind.FILL or self._shows(change)):
                self._explained[change.asset_id] += change.change
                self._count(change)
        self.states = {
            asset: Reconciliation.FIRST if asset in first else self._judge(asset, moved=before.get(asset) != amount)
            for asset, amount in reading.credited.items()
        }

    def _count(self, change: BalanceChange) -> None:
        self.counted.append(change)
        if change.kind is not ChangeKind.FILL:
            self._transferred[change.asset_id] = self._transferred.get(change.asset_id, 0) + change.change

    def _judge(self, asset: str, *, moved: bool) -> Reconciliation:
        rest = self.unexplained(asset) or 0
        if rest == 0:
            counted = any(change.asset_id == asset for change in self.counted)
            return Reconciliation.CHANGED if moved or counted else Reconciliation.UNCHANGED
        if -self._may_fall(asset) <= rest <= self._may_rise(asset):
            return Reconciliation.AWAITED
        return Reconciliation.UNEXPLAINED_RISE if rest > 0 else Reconciliation.UNEXPLAINED_FALL

    def unexplained(self, asset: str) -> int | None:
        """Credited less explained, None before the first reading."""
        if self._explained is None or asset not in self._credited or asset not in self._explained:
            return None
        return self._credited[asset] - self._explained[asset]

    def _may_fall(self, asset: str) -> int:
        """What open offers and waiting evidence may take."""
        waiting = sum(-each.change for each in self._waiting if each.asset_id == asset and each.change < 0)
        return self._held.get(asset, 0) + waiting

    def _may_rise(self, asset: str) -> int:
        """What open offers and waiting evidence may bring."""
        waiting = sum(each.change for each in self._waiting if each.asset_id == asset and each.change > 0)
        return sum(offer.amount_in for offer in self._open.values() if offer.asset_in == asset) + waiting

    def _shows(self, change: BalanceChange) -> bool:
        """Whether the balance can have made this move.

        The bridge also lists what it did before our first reading, and a step that says more of a known one.
        """
        rest = self.unexplained(change.asset_id) or 0
        if change.change > 0:
            return rest + self._may_fall(change.asset_id) >= change.change
        return -rest + self._may_rise(change.asset_id) >= -change.change

    def awaits_block(self, asset: str) -> bool:
        """Whether evidence waits for a newer block: whether the last reading contains it is not known."""
        return any(change.asset_id == asset for change in self._waiting)

    # --- the operator ----------------------------------------------------------------------------------------------

    def accept(self, change: BalanceChange) -> None:
        """Take what is credited of an asset as explained; nothing may wait for it (`awaits_block`)."""
        if self._explained is None:
            raise AssertionError("there is nothing to accept before a first reading")
        self._explained[change.asset_id] += change.change
        self._count(change)
        self.states[change.asset_id] = Reconciliation.CHANGED


def _is_new(record: RecordReceived, read: CommandPosition | None) -> bool:
    return read is None or record.topic_id != read.topic_id or record.offset >= read.next_offset


def _after(record: RecordReceived) -> CommandPosition:
    return CommandPosition(topic_id=record.topic_id, next_offset=record.offset + 1)
